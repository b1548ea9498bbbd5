"""The kill switch in the store: any process turns it in one transaction, and every admission reads it in its own."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwuid

from bridle.rules.failure import BridleError
from bridle.rules.house import Matter, Note
from bridle.rules.names import CallId, Effect, Millis, RunId, ToolName
from bridle.rules.policy import KillLevel, Policy
from bridle.rules.run import OpenCall, RunState
from bridle.rules.stop import Detail
from bridle.rules.switch import Scope, Switch
from bridle.store import codec, house
from bridle.store.kill_file import places, switch_of
from bridle.store.statements import SQL

MOST_SWITCHES = 1_000  # that are on at the same time
MOST_WORDS = 500  # characters of a reason
MOST_NAME = 100  # characters of a name
_SELECT = SQL["select_switches"]
Row = tuple[str, str, str, str, str, str, int, int]
ChangeRow = tuple[int, str, str, str, str, str, str, str, str, int]
Connected = Callable[[], AbstractContextManager[sqlite3.Connection]]


class NotTurned(BridleError):
    """A switch stays as it is; the message says why, and what to do now."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody wants a switch turned: who, under which account of this machine, why, and when."""

    by: str
    because: str
    account: str
    at: Millis


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history. `is_new` is False where the switch was on already, and nothing was written."""

    act: str
    switch: Switch
    account: str
    is_new: bool = True

    @property
    def generation(self) -> int:
        """Its number among all changes."""
        return self.switch.generation


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that lives. `acknowledged_at` is None while it has not said that it has seen a change."""

    name: str
    acknowledged_at: Millis | None


@dataclass(frozen=True, slots=True)
class InFlight:
    """A call that was admitted before a switch was turned and has not been settled."""

    run: RunId
    call: CallId
    tool: ToolName
    effect: Effect
    since: Millis


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What is left in a scope: calls in flight, and how many runs are open in it."""

    in_flight: tuple[InFlight, ...]
    open_runs: int


class SwitchBook:
    """The switches of one store, for any process.

    `looking` lends a connection to read, `writing` one to write while nobody else does; `living` names the workers.
    """

    def __init__(
        self, path: Path | None, looking: Connected, writing: Connected, living: Callable[[], Sequence[str]]
    ) -> None:
        self.is_shared = path is not None  # whether another process can turn it
        self._kill_files = places(path)
        self._looking = looking
        self._writing = writing
        self._living = living

    @staticmethod
    def turned(db: sqlite3.Connection) -> tuple[Switch, ...]:
        """Every switch that was turned on, as the transaction of `db` sees it. Raises BadRow."""
        return tuple([_switch(row) for row in db.execute(_SELECT).fetchall()])

    def files(self) -> tuple[Switch, ...]:
        """What the KILL files of this machine say."""
        return switch_of(self._kill_files)

    def now(self) -> tuple[Switch, ...]:
        """The same for who looks: old news the moment it is told."""
        with self._looking() as db:
            return (*self.files(), *self.turned(db))

    def generation(self) -> int:
        """The number of the newest change; 0 before the first one."""
        with self._looking() as db:
            return int(db.execute(SQL["select_generation"]).fetchone()[0])

    def kill(self, level: KillLevel, scope: Scope, wish: Wish) -> Change:
        """Turn a switch on. One that is on already stays as it was, with the name of who set it.

        Raises NotTurned without a name or a reason, and when too many are on.
        """
        wish = _checked(wish)
        with self._turning() as db:
            on = [_switch(row) for row in db.execute(_SELECT).fetchall()]
            for switch in on:
                if (switch.level, switch.scope) == (level, scope):
                    return Change("kill", switch, "", is_new=False)
            if len(on) >= MOST_SWITCHES:
                raise NotTurned(f"{MOST_SWITCHES:,} switches are on already; take a wider scope, or lift some")
            change = self._recorded(db, "kill", Switch(level, scope, wish.by, wish.because, at=wish.at), wish.account)
            db.execute(SQL["insert_switch"], _row(change.switch))
        return change

    def unkill(self, level: KillLevel | None, scope: Scope, wish: Wish) -> list[Change]:
        """Turn off what is on at exactly this scope: one level, or all of them.

        Raises NotTurned when nothing is on there, and when the one who set it wants to lift it and the store knows
        somebody else who turns switches.
        """
        wish = _checked(wish)
        with self._turning() as db:
            on = [_switch(row) for row in db.execute(_SELECT).fetchall()]
            meant = [switch for switch in on if switch.scope == scope and level in (None, switch.level)]
            if not meant:
                what = ", ".join(f"{switch.level} ({switch.scope})" for switch in on[:10]) or "nothing"
                which = f"{level} " if level else ""
                raise NotTurned(f"no switch {which}is on for {scope}; on is: {what}")
            other = db.execute(SQL["select_second_person"], (wish.by,)).fetchone()
            if other is not None and any(switch.by == wish.by for switch in meant):
                raise NotTurned(f"{wish.by} set it, so somebody else lifts it: {other[0]}, or whoever else is there")
            changes = []
            for switch in meant:
                db.execute(SQL["delete_switch"], _row(switch)[:4])
                off = Switch(switch.level, scope, wish.by, wish.because, at=wish.at)
                changes.append(self._recorded(db, "unkill", off, wish.account))
        return changes

    def note_file(self, act: str, switch: Switch, worker: str, at: Millis) -> None:
        """One line of history: a worker saw a KILL file come or go; the first one that did."""
        by = switch.by[:MOST_WORDS]
        with self._turning() as db:
            if db.execute(SQL["select_file_act"], (by, switch.level.value)).fetchone() != (act,):
                self._recorded(db, act, Switch(switch.level, switch.scope, by, at=at), worker)

    def history(self, most: int = 50) -> list[Change]:
        """The newest changes first."""
        with self._looking() as db:
            rows = db.execute(SQL["select_switch_changes"], (most,)).fetchall()
        return [
            Change(act, _switch((level, tenant, flow, tool, by, because, generation, at)), account)
            for generation, act, level, tenant, flow, tool, by, account, because, at in rows
        ]

    def house_level(self) -> KillLevel:
        """The level that the house of the newest run means when nobody names one; `writes` where there is none."""
        with self._looking() as db:
            newest = db.execute(SQL["select_runs"], (1,)).fetchone()
            digest = codec.decode_state(newest[0]).policy if newest is not None else ""
            kept = db.execute(SQL["select_policy"], (digest,)).fetchone()
        return Policy.parse(kept[0]).kill_level if kept is not None else KillLevel.WRITES

    # Who has seen it

    def acknowledge(self, worker: str, generation: int, at: Millis) -> None:
        """A worker says that whatever it admits from now on, it admits under this change. The dead are forgotten."""
        living = {worker, *self._living()}
        with self._turning() as db:
            known = [name for (name,) in db.execute(SQL["select_acknowledged"]).fetchall()]
            db.executemany(SQL["delete_acknowledgement"], [(name,) for name in known if name not in living])
            db.execute(SQL["insert_acknowledgement"], (worker, generation, at))

    def workers(self, generation: int) -> list[Worker]:
        """Who works on the store, and when each acknowledged this change or a later one."""
        living = self._living()
        with self._looking() as db:
            acknowledged = dict(db.execute(SQL["select_acknowledgements"], (generation,)).fetchall())
        return [Worker(name, acknowledged.get(name)) for name in living]

    def aftermath(self, level: KillLevel, scope: Scope) -> Aftermath:
        """What of a switch's kind is still in flight, by the rows of the runs."""
        states = [state for state in self._open_states() if scope.covers_run(state.tenant, state.name)]
        found = [
            InFlight(state.run, call, opened.tool, opened.effect, opened.at)
            for state in states
            for call, opened in state.open_calls.items()
            if scope.tool in ("", opened.tool) and _is_of(level, opened)
        ]
        return Aftermath(tuple(found), len(states))

    def _open_states(self) -> Iterable[RunState]:
        with self._looking() as db:
            return [codec.decode_state(body) for (body,) in db.execute(SQL["select_in_flight"]).fetchall()]

    def _recorded(self, db: sqlite3.Connection, act: str, switch: Switch, account: str) -> Change:
        """Add a line to the history, and an entry to the chain of the house."""
        level, tenant, flow, tool, by, because, _, at = _row(switch)
        row = (act, level, tenant, flow, tool, by, account, because, at)
        generation = db.execute(SQL["insert_switch_change"], row).lastrowid or 0
        turned = Switch(switch.level, switch.scope, switch.by, switch.because, generation, switch.at)
        self._note(db, note_of((generation, *row)))
        return Change(act, turned, account)

    def _note(self, db: sqlite3.Connection, note: Note) -> None:
        house.write(db, [note])

    @contextmanager
    def _turning(self) -> Iterator[sqlite3.Connection]:
        """One transaction: the database puts it before or after every admission, and no clock has a say."""
        with self._writing() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


def _switch(row: Row) -> Switch:
    level, tenant, flow, tool, by, because, generation, at = row
    return Switch(codec.level_of(level), Scope(tenant, flow, tool), by, because, generation, Millis(at))


def _row(switch: Switch) -> Row:
    scope = switch.scope
    about = (switch.level.value, scope.tenant, scope.flow, scope.tool)
    return *about, switch.by, switch.because, switch.generation, switch.at


def note_of(row: ChangeRow) -> Note:
    """What the chain of the house says of a line of the history."""
    generation, act, level, tenant, flow, tool, by, account, because, at = row
    about: Detail = {"act": act, "level": level, "tenant": tenant, "flow": flow, "tool": tool}
    who: Detail = {"by": by, "because": because, "account": account, "change": generation}
    return Note(Millis(at), Matter.SWITCH_TURNED, str(Scope(tenant, flow, tool)), {**about, **who})


def changes(db: sqlite3.Connection) -> list[ChangeRow]:
    """The whole history, the oldest line first."""
    found: list[ChangeRow] = db.execute(SQL["select_switch_changes"], (-1,)).fetchall()
    return found[::-1]


def contradictions(db: sqlite3.Connection, noted: Mapping[int, Note]) -> Iterator[tuple[int, str]]:
    """Where the history is not what the house was told, by change, or what is on is not what the history comes to."""
    missing, on = dict(noted), dict[Row, int]()
    for row in changes(db):
        generation, act, level, tenant, flow, tool, by, _, because, at = row
        told = missing.pop(generation, None)
        if told is None:
            yield generation, "it was added: the house does not know it"
        elif told != note_of(row):
            yield generation, "it was changed: the house has another one"
        if act in ("kill", "unkill"):
            on = {one: number for one, number in on.items() if one[:4] != (level, tenant, flow, tool)}
        if act == "kill":
            on[level, tenant, flow, tool, by, because, generation, at] = generation
    for generation in sorted(missing):
        yield generation, "it was removed: the house knows it"
    rows: set[Row] = set(db.execute(_SELECT).fetchall())
    for one in sorted(on.keys() - rows):
        yield on[one], f"{one[0]} is not on any more as it was turned on, and nobody lifted it"
    for one in sorted(rows - on.keys()):
        yield one[6], f"{one[0]} is on, and nobody turned it on like this"


def _checked(wish: Wish) -> Wish:
    """A wish whose words can be stored. Raises NotTurned."""
    by, because = _words(wish.by, MOST_NAME), _words(wish.because, MOST_WORDS)
    if not by:
        raise NotTurned("a switch is turned by somebody: say who")
    if not because:
        raise NotTurned("a switch is turned for a reason: say why")
    return Wish(by, because, _words(wish.account, MOST_NAME), wish.at)


def _words(text: str, most: int) -> str:
    """What was typed, without what cannot be stored; a terminal's undecodable bytes are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "").strip()[:most]


def _is_of(level: KillLevel, opened: OpenCall) -> bool:
    """Whether a call in flight is of the kind that a level takes away. What is expensive, the row does not know."""
    is_tool = opened.kind.value == "tool"
    match level:
        case KillLevel.ALL:
            return True
        case KillLevel.EXPENSIVE:
            return is_tool
        case KillLevel.EGRESS:
            return is_tool and opened.effect is not Effect.READ
        case KillLevel.WRITES:
            return opened.effect is Effect.WRITE


def account() -> str:
    """The account of this machine under which the process runs, which nobody can choose."""
    try:
        return getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
