"""The contract in plain dictionaries: what `:memory:` is, and what the stores on disk are compared with."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from bridle.rules.budget import Account, Balance
from bridle.rules.effect import Intent, IntentStatus, erased_key
from bridle.rules.failure import ControlUnavailable
from bridle.rules.health import WELL, Health
from bridle.rules.house import Matter, Note
from bridle.rules.names import IN_FLIGHT, Digest, Millis, RunId, TenantId, ToolName
from bridle.rules.run import Phase, RunState
from bridle.rules.switch import Switch
from bridle.store import codec, erasure, house
from bridle.store.base import Entry, Erasure, Grounds, Recorded, RunKey, RunLine, Transaction, UnknownRun
from bridle.store.batch import ending
from bridle.store.chain import HOUSE, Head, root
from bridle.store.opening import in_memory
from bridle.store.switches import SwitchBook
from bridle.store.work import IntentKey, Line, Stored, Work

T = TypeVar("T")
MOST_OPEN = 1_000_000  # runs


class SwitchesInMemory(SwitchBook):
    """The switches of a store that only this process can reach: a small database, made when the first one is turned.

    There is one worker, which has seen every change by the time that its command returns.
    """

    def __init__(
        self, states: Callable[[], list[RunState]], living: Callable[[], list[str]], noted: Callable[[list[Note]], None]
    ) -> None:
        super().__init__(None, self._lent, self._lent, living)
        self._states = states
        self._noted = noted
        self._db: sqlite3.Connection | None = None

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        if self._db is None:
            self._db = in_memory()
        yield self._db

    def now(self) -> tuple[Switch, ...]:
        """Every switch that is on."""
        return (*self.files(), *self.turned(self._db)) if self._db is not None else self.files()

    def generation(self) -> int:
        """The number of the newest change."""
        return super().generation() if self._db is not None else 0

    def close(self) -> None:
        """Forget them."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _open_states(self) -> list[RunState]:
        return self._states()

    def _note(self, db: sqlite3.Connection, note: Note) -> None:
        self._noted([note])


class MemoryStore:
    """Keeps the contract of `bridle.store.base.Store` for as long as the process lives. For one event loop."""

    def __init__(self) -> None:
        self.crowd = 0
        self.worker = ""
        self._workers = 0
        self._is_closed = False
        self._runs: dict[RunId, Stored] = {}
        self._open: dict[RunId, None] = {}
        self._lines: defaultdict[RunId, list[Line]] = defaultdict(list)
        self._keys: dict[tuple[TenantId, str], RunId] = {}
        self._fingerprints: dict[tuple[TenantId, Digest], RunId] = {}
        self._accounts: dict[Account, Balance] = {}
        self._healths: dict[tuple[TenantId, str], Health] = {}
        self._policies: dict[Digest, bytes] = {}
        self._house: list[house.Entry] = []
        self._wishes: dict[RunId, str] = {}
        self._intents: dict[IntentKey, Intent] = {}
        self._unresolved: dict[IntentKey, Intent] = {}  # those of them that are open or in doubt
        self.switches = SwitchesInMemory(self._at_work, lambda: [self.worker] if self.worker else [], self._note)

    async def transact(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn`; nothing of it stays when it raises."""
        if self._is_closed:
            raise ControlUnavailable("the store is closed")
        work = Work(self)
        result = fn(work)
        for run, stored in work.runs.items():
            self._runs[run] = stored if stored.key is None else self._numbered(stored, stored.key)
            if stored.state.phase is Phase.STOPPED:
                self._open.pop(run, None)
                work.notes.append(ending(stored))
        for line in work.lines:
            self._lines[line[0]].append(line)
        self._accounts.update(work.accounts)
        self._healths.update(work.healths)
        for digest, (canonical, at) in work.policies.items():
            if digest not in self._policies:
                self._policies[digest] = canonical
                work.notes.append(Note(at, Matter.POLICY_KEPT, digest))
        if work.intents:
            self._claim(work.intents)
        if work.notes:
            self._note(work.notes)
        return result

    def _claim(self, intents: dict[IntentKey, Intent]) -> None:
        self._intents.update(intents)
        for key, intent in intents.items():
            if intent.is_unresolved:
                self._unresolved[key] = intent
            else:
                self._unresolved.pop(key, None)

    def enlist(self) -> None:
        """Whoever worked on this store before is gone: it has one worker at a time."""
        self._workers += 1
        self.worker = f"w{self._workers}"

    def beat(self, at: Millis) -> None:
        """Nobody else asks."""

    def last_seen(self, worker: str) -> Millis:
        """Nobody knows: who worked on it before died with its memory."""
        return Millis(0)

    def driver(self, run: RunId) -> str:
        """The worker of today, when it drives this run; raises UnknownRun."""
        return self.worker if self.load(run).worker == self.worker else ""

    def orphans(self, now: Millis, limit: int = 100) -> list[RunState]:
        """Open runs that need not wait, the oldest first."""
        found = (self._runs[run].state for run in self._open)
        return list(islice((state for state in found if state.wakes_at is None or state.wakes_at <= now), limit))

    def _at_work(self) -> list[RunState]:
        return [self._runs[run].state for run in islice(self._open, MOST_OPEN)]

    def _numbered(self, stored: Stored, key: RunKey) -> Stored:
        state = stored.state
        if state.run in self._runs or (key.key and (state.tenant, key.key) in self._keys):
            raise ValueError(f"the run {state.run}, or one of the same key, was started before")
        if key.key:
            self._keys[state.tenant, key.key] = state.run
        self._fingerprints[state.tenant, key.fingerprint] = state.run
        self._open[state.run] = None
        return Stored(len(self._runs) + 1, state, stored.head, stored.salt, stored.worker)

    # What is committed, as a transaction sees it

    def load(self, run: RunId) -> Stored:
        """A run; raises UnknownRun."""
        if run not in self._runs:
            raise UnknownRun(f"there is no run {run} in the store in memory; `bridle runs` lists them")
        return self._runs[run]

    def find(self, tenant: TenantId, key: RunKey) -> RunId | None:
        """The newest run of a key, or of a fingerprint where there is no key."""
        if key.key:
            return self._keys.get((tenant, key.key))
        return self._fingerprints.get((tenant, key.fingerprint))

    def load_balance(self, account: Account) -> Balance:
        """A shared account."""
        return self._accounts.get(account) or Balance(0)

    def load_health(self, tenant: TenantId, dependency: str) -> Health:
        """The health of a dependency."""
        return self._healths.get((tenant, dependency), WELL)

    def load_switches(self) -> tuple[Switch, ...]:
        """Every kill switch that is on."""
        return self.switches.now()

    def load_intent(self, tenant: TenantId, tool: ToolName, key: str) -> Intent | None:
        """The write under a key."""
        return self._intents.get((tenant, tool, key)) or self._intents.get(
            (tenant, tool, erased_key(tenant, tool, key))
        )

    def load_unresolved(self, run: RunId) -> list[Intent]:
        """The writes of a run that are open or in doubt."""
        return [intent for intent in self._unresolved.values() if intent.run == run]

    # What anybody may read

    def recorded(self, run: RunId) -> Recorded:
        """A run as of the last commit; raises UnknownRun."""
        stored = self.load(run)
        return Recorded(stored.state, stored.head, stored.salt)

    def journal(self, run: RunId, after: int = 0) -> list[Entry]:
        """The events of a run, in order."""
        self.load(run)
        lines = islice(self._lines[run], after, None)
        return [Entry(seq, codec.decode_at(run, seq, body), body, hash_) for _, seq, body, hash_, _, _ in lines]

    def payload(self, run: RunId, name: str) -> bytes | None:
        """A payload, or None."""
        return next((line[5] for line in self._lines.get(run, ()) if line[4] == name), None)

    def runs(self, *, limit: int = 50, only_open: bool = False) -> list[RunLine]:
        """The newest runs first."""
        found = (stored.state for stored in reversed(self._runs.values()))
        lines = (RunLine(state, state.stop.reason if state.stop else None, state.last_at) for state in found)
        return list(islice((line for line in lines if not (only_open and line.state.phase is Phase.STOPPED)), limit))

    def balances(self) -> dict[Account, Balance]:
        """Every shared account; seats are not part of it."""
        known = self._accounts.items()
        return {a: Balance(0, b.settled, b.reserved) for a, b in known if a.unit != IN_FLIGHT}

    def health(self, tenant: TenantId, dependency: str) -> Health:
        """The health of a dependency."""
        return self._healths.get((tenant, dependency), WELL)

    def healths(self) -> dict[tuple[TenantId, str], Health]:
        """Every health."""
        return dict(self._healths)

    def policy(self, digest: Digest) -> bytes | None:
        """The canonical bytes of a policy."""
        return self._policies.get(digest)

    def doubts(self) -> list[Intent]:
        """The writes that wait for a person, the oldest first."""
        found = (intent for intent in self._unresolved.values() if intent.status is IntentStatus.IN_DOUBT)
        return sorted(found, key=lambda intent: intent.at)

    def ask_to_cancel(self, run: RunId, by: str, at: Millis) -> None:
        """Leave a wish for who drives the run."""
        self._wishes.setdefault(run, by)

    def wishes(self) -> list[tuple[RunId, str]]:
        """Runs that somebody asked to cancel."""
        wished, self._wishes = list(self._wishes.items()), {}
        return wished

    def house(self) -> Head:
        """Where the chain of the house ends."""
        if not self._house:
            return Head(0, root(HOUSE))
        seq, _, hash_ = self._house[-1]
        return Head(seq, hash_)

    def _note(self, notes: list[Note]) -> None:
        if notes:
            self._house += house.chained(self.house(), notes)

    def erase(self, runs: Sequence[RunId], grounds: Grounds) -> list[Erasure]:
        """Erase what runs that have ended kept beside their journals; see the contract."""
        return [self._erased(run, grounds) for run in runs]

    def _erased(self, run: RunId, grounds: Grounds) -> Erasure:
        stored = self._runs.get(run)
        if stored is None:
            return Erasure(run, kept=erasure.UNKNOWN)
        why = erasure.needed(stored.state)
        if why or not stored.salt:
            return Erasure(run, kept=why)
        sizes = [len(kept) for *_, kept in self._lines[run] if kept is not None]
        state, body, head, note = erasure.told(stored.state, stored.head, grounds, len(sizes), sum(sizes))
        self._lines[run] = [(*line[:5], None) for line in self._lines[run]]
        self._lines[run].append((run, state.seq, body, head, None, None))
        self._runs[run] = Stored(stored.no, state, head, b"", stored.worker)
        for intent in [one for one in self._intents.values() if one.run == run]:
            del self._intents[intent.tenant, intent.tool, intent.key]
            if intent.status is IntentStatus.CONFIRMED:
                self._claim({(intent.tenant, intent.tool, intent.erased().key): intent.erased()})
        self._fingerprints = {by: newest for by, newest in self._fingerprints.items() if newest != run}
        self._note([note])
        return Erasure(run, len(sizes), sum(sizes))

    def tick(self) -> None:
        """Nobody signs what ends with its process."""

    async def close(self) -> None:
        """Take nothing new."""
        self._is_closed = True
        self.switches.close()
