"""A switch is turned between any two statements of admissions: what commits after it was not taken away by it.

The owner's connection is a proxy that stops before every statement; there, by chance, somebody with a connection of his
own begins, commits or lifts a switch. The order of the commits is the order of this list, so that an admission
which stands after an acknowledgement and is of its kind is a violation. `BRIDLE_INTERLEAVINGS=10000` tries as many.
"""

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.gateway.proposal import ToolWish
from bridle.rules.events import CallAdmitted
from bridle.rules.names import Effect, TenantId, ToolName
from bridle.rules.policy import KillLevel, Limits
from bridle.rules.switch import Scope, Switch, against_call
from bridle.rules.tool import Tool
from bridle.runs.run import Run
from bridle.store.opening import connect
from bridle.store.sqlite import SqliteStore
from bridle.store.switches import SwitchBook, Wish
from tests.gateway.house import allowing
from tests.store.journals import T0

INTERLEAVINGS = int(os.environ.get("BRIDLE_INTERLEAVINGS", "1500"))
WITH_A_PROCESS = int(os.environ.get("BRIDLE_INTERLEAVINGS", "1500")) // 50
KINDS = {
    "note.read": Tool(ToolName("note.read"), effect=Effect.READ),
    "video.read": Tool(ToolName("video.read"), effect=Effect.READ, expensive=True),
    "page.get": Tool(ToolName("page.get"), effect=Effect.EGRESS),
    "mail.send": Tool(ToolName("mail.send"), effect=Effect.WRITE),
}
SCOPES = (
    Scope(), Scope("acme"), Scope("umbrella"), Scope(flow="a"), Scope(tool="mail.send"), Scope("acme", "a", "page.get"),
)  # fmt: skip
BOTH = ("mail.send", "note.read")
NUMBERS = count()  # no two calls are the same
LIMITS = Limits(max_steps=10**6, max_seconds=10**6, max_tool_calls=10**6)


class Hooked:
    """A connection that lets something happen before each of its statements, and tells which one it was."""

    def __init__(self, db: sqlite3.Connection, happens: Callable[[str], None]) -> None:
        self._db = db
        self._happens = happens

    def execute(self, statement: str, *values: object) -> object:
        self._happens(f"before {statement}")
        found = self._db.execute(statement, *values)  # type: ignore[arg-type]  # as given
        self._happens(f"after {statement}")
        return found

    def executemany(self, statement: str, rows: Sequence[object]) -> object:
        self._happens(f"before {statement}")
        return self._db.executemany(statement, rows)  # type: ignore[arg-type]  # as given

    def __getattr__(self, name: str) -> object:
        return getattr(self._db, name)


@dataclass
class Somebody:
    """Turns switches by chance, one after another, each when it may: he waits for nobody and nobody for him.

    He does not even ask for the writer's lock: that the transaction alone is enough is what is tested.
    """

    path: Path
    chance: random.Random
    on: list[Switch] = field(default_factory=list)  # acknowledged, as he knows
    turned: int = 0
    tried_in_vain: int = 0

    def __post_init__(self) -> None:
        self.db = connect(self.path, False)
        self.db.execute("PRAGMA busy_timeout = 0")
        self.db.execute("PRAGMA synchronous = OFF")  # about order, not about power

        @contextmanager
        def lent() -> Iterator[sqlite3.Connection]:
            yield self.db

        self.book = SwitchBook(self.path, lent, lent, list)

    def act(self) -> None:
        """Turn one on, or all off; where the file is locked, nothing happened."""
        wish = Wish("ann", "an incident", "root", T0)
        try:
            if len(self.on) >= 2:
                switch = self.on[0]
                self.book.unkill(switch.level, switch.scope, wish)
                self.on.remove(switch)
            else:
                level, scope = self.chance.choice(list(KillLevel)), self.chance.choice(SCOPES)
                change = self.book.kill(level, scope, wish)
                self.on += [change.switch] if change.is_new else []
        except sqlite3.OperationalError as error:
            self.tried_in_vain += "locked" in str(error)
        else:
            self.turned += 1


@dataclass
class Oracle:
    """What was acknowledged when, and every admission that should not have been."""

    somebody: Somebody
    acts: float
    broken: list[str] = field(default_factory=list)
    admissions: int = 0
    begun: tuple[Switch, ...] = ()

    def happens(self, statement: str) -> None:
        """Before or after a statement of the owner: somebody may act; at a commit, what holds is noted."""
        if statement == "before COMMIT":
            return  # the commit itself is one step; what was acknowledged before it is what counts
        if statement == "after COMMIT":
            self.begun = tuple(self.somebody.on)
        if self.somebody.chance.random() < self.acts:
            self.somebody.act()

    def judge(self, run: str, tenant: str, flow: str, events: Sequence[object], on: Sequence[Switch]) -> None:
        """Every call that was admitted, against what had been acknowledged when its transaction was committed."""
        for event in events:
            if isinstance(event, CallAdmitted):
                self.admissions += 1
                against = against_call(on, TenantId(tenant), flow, event.tool, KINDS[event.tool])
                if against is not None:
                    self.broken.append(f"{run}: {event.call} {event.tool} was admitted after {against}")


def furnished(path: Path) -> Bridle:
    policy = allowing(*KINDS, limits=LIMITS, max_refusals=10**6)
    b = Bridle(policy, f"sqlite:///{path}")
    for name, tool in KINDS.items():
        labels = {"effect": tool.effect.value, "expensive": tool.expensive, "reuse": "never"}

        async def work(number: int) -> int:
            return number

        b.declare(name, work, **labels)  # type: ignore[arg-type]  # labels as the table has them
    return b


async def interleaved(path: Path, seed: int, times: int) -> Oracle:
    """So many turns of calls in runs of two tenants and two agents, with somebody between their statements."""
    chance = random.Random(seed)
    async with furnished(path) as b:
        store = b.store
        assert isinstance(store, SqliteStore)
        somebody = Somebody(path, chance)
        oracle = Oracle(somebody, acts=0.2)
        number = 0
        while number < times:
            somebody_acts, oracle.acts = oracle.acts, 0.0
            lift(somebody)
            tenant, agent = chance.choice(["acme", "umbrella"]), chance.choice(["a", "b"])
            async with b.attach(agent=agent, tenant=tenant) as run:
                plain = store._write
                store._write.execute("PRAGMA synchronous = OFF")
                store._write = Hooked(plain, oracle.happens)  # type: ignore[assignment]  # it behaves like one
                oracle.acts = somebody_acts
                try:
                    for _ in range(40):
                        number += 1
                        await one_turn(store, oracle, run, chance, (tenant, agent))
                        if store.recorded(run.id).state.halt is not None:
                            break
                finally:
                    oracle.acts, store._write = 0.0, plain
            oracle.acts = somebody_acts
        somebody.db.close()
    return oracle


async def one_turn(
    store: SqliteStore, oracle: Oracle, run: Run, chance: random.Random, of: tuple[str, str]
) -> None:  # fmt: skip
    seq = store.recorded(run.id).state.seq
    wishes = [
        ToolWish(ToolName(chance.choice(list(KINDS))), {"number": next(NUMBERS)})
        for _ in range(chance.choice((1, 1, 3)))
    ]
    known: list[tuple[Switch, ...]] = []
    inner = oracle.happens

    def noting(statement: str) -> None:
        if statement == "after COMMIT":
            known.append(tuple(oracle.somebody.on))
        inner(statement)

    store._write._happens = noting  # type: ignore[attr-defined]  # the proxy
    await run.acted(wishes)
    assert known, "an admission was committed"
    oracle.judge(run.id, *of, [entry.event for entry in store.journal(run.id, seq)], known[0])


def lift(somebody: Somebody) -> None:
    """Everything off, so that another run may start."""
    for switch in somebody.on:
        somebody.book.unkill(switch.level, switch.scope, Wish("ann", "on", "root", T0))
    somebody.on.clear()


async def test_nothing_is_admitted_after_a_switch_was_acknowledged(tmp_path: Path) -> None:
    oracle = await interleaved(tmp_path / "s.db", 1, INTERLEAVINGS)
    assert oracle.broken == []
    assert oracle.admissions > INTERLEAVINGS // 3
    assert oracle.somebody.turned > INTERLEAVINGS // 4
    assert oracle.somebody.tried_in_vain > INTERLEAVINGS // 2, "he also came while the owner held the file"


@pytest.mark.parametrize("sabotage", ["read before the transaction", "read once and kept"])
async def test_a_switch_that_is_read_outside_of_the_transaction_is_found(
    tmp_path: Path, sabotage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this test is worth: with the read in the wrong place, it says so."""
    commit = SqliteStore._commit
    known: dict[int, tuple[Switch, ...]] = {}

    def early(self: SqliteStore, batch: list[object]) -> None:
        if sabotage == "read before the transaction" or id(self) not in known:
            known[id(self)] = self.switches.now()
        commit(self, batch)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(SqliteStore, "_commit", early)
    monkeypatch.setattr(SqliteStore, "load_switches", lambda self: known[id(self)])
    oracle = await interleaved(tmp_path / "s.db", 1, 300)
    assert oracle.broken != []


SOMEBODY = """
import sys
from pathlib import Path
from bridle.rules.policy import KillLevel
from bridle.rules.switch import Scope
from bridle.store.opening import writing
from bridle.store.switches import SwitchBook, Wish

path, wish = Path(sys.argv[1]), Wish("ann", "an incident", "root", 0)
book = SwitchBook(path, lambda: writing(path), lambda: writing(path), list)
for line in sys.stdin:
    act, level = line.split()
    if act == "kill":
        book.kill(KillLevel(level), Scope(), wish)
    else:
        book.unkill(KillLevel(level), Scope(), wish)
    print(act, level, flush=True)
"""


async def test_nothing_is_admitted_after_another_process_was_told_that_its_switch_is_on(tmp_path: Path) -> None:
    path, chance, admitted, refused = tmp_path / "s.db", random.Random(7), 0, 0
    async with furnished(path) as b, b.attach(agent="a") as run:
        somebody = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SOMEBODY, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert somebody.stdin is not None
        assert somebody.stdout is not None
        for _ in range(WITH_A_PROCESS):
            level = chance.choice(["writes", "expensive", "egress"])
            somebody.stdin.write(f"kill {level}\n".encode())
            told = asyncio.create_task(somebody.stdout.readline())
            while True:  # ends: two turns after the other process has said that it is done
                is_on, seq = told.done(), b.store.recorded(run.id).state.seq
                await run.acted(
                    [ToolWish(ToolName(name), {"number": next(NUMBERS)}) for name in ("mail.send", "note.read")]
                )
                events = [entry.event for entry in b.store.journal(run.id, seq)]
                admissions = [event.tool for event in events if isinstance(event, CallAdmitted)]
                admitted += "mail.send" in admissions
                if is_on:
                    assert admissions == ["note.read"]
                    refused += 1
                    break
                await asyncio.wait((told,), timeout=0.001)
            somebody.stdin.write(f"unkill {level}\n".encode())
            await somebody.stdout.readline()
        somebody.stdin.close()
        await somebody.wait()
    assert (refused, admitted > 0) == (WITH_A_PROCESS, True)
