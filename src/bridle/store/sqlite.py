"""The store in one SQLite file: WAL, FULL, one writing process."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar, cast

from bridle.rules.budget import Account, Balance
from bridle.rules.failure import ControlUnavailable
from bridle.rules.health import WELL, Health
from bridle.rules.house import Matter, Note
from bridle.rules.names import IN_FLIGHT, Digest, Millis, RunId, TenantId
from bridle.rules.policy import KillLevel
from bridle.rules.run import Phase
from bridle.store import codec, erasure, house
from bridle.store.base import Entry, Erasure, Grounds, Recorded, RunKey, RunLine, Transaction, UnknownRun
from bridle.store.chain import Head
from bridle.store.opening import SCHEMA, StoreBusy, StoreUnusable, connect, take_lock
from bridle.store.statements import SQL
from bridle.store.witness import Witness
from bridle.store.work import Line, Stored, Work
from bridle.store.writer import Job, Writer

__all__ = ["SCHEMA", "SqliteStore", "StoreBusy", "StoreUnusable"]
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
CACHED_RUNS = 4_096
CACHED_ACCOUNTS = 16_384
_KILL_LEVELS = tuple(KillLevel)
_OWN_FAULTS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
_INSERT_EVENT = SQL["insert_event"]
_UPDATE_RUN = SQL["update_run"]
_SELECT_SWITCHES = SQL["select_switches"]


class SqliteStore:
    """Keeps the contract of `bridle.store.base.Store` in the file `path`, or in memory when it is None.

    With `read_only` it takes no lock and refuses to write, so that any process may look. Raises StoreBusy when another
    process writes the file, and StoreUnusable when the file is not a store, is newer than this bridle, or cannot be
    opened.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False, inline: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._lock = -1
        self._runs: dict[RunId, Stored] = {}
        self._accounts: dict[Account, Balance] = {}
        self._healths: dict[tuple[TenantId, str], Health] = {}
        self._policies: set[Digest] = set()
        if path is not None and not read_only:
            self._lock = take_lock(path)
        try:
            self._write = connect(path, read_only)
            self._read = self._write if path is None or read_only else connect(path, True)
        except sqlite3.Error as error:
            self._let_go()
            raise StoreUnusable(f"{path}: {error}. Is it a bridle store, and may this process read it?") from error
        except StoreUnusable:
            self._let_go()
            raise
        self.witness: Witness | None = None  # who signs what was committed; set by who owns the store
        self.crowd = 0  # how many runs are at work in this process; set by who starts them
        self._writer: Writer[Transaction] = Writer(self._commit, lambda: self.crowd, inline=inline or path is None)

    async def transact(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` inside the writer's transaction; see the contract."""
        if self.read_only:
            raise ControlUnavailable(f"{self.path} is open for reading only")
        return cast(T, await self._writer.run(fn))

    def _commit(self, batch: list[Job[Transaction]]) -> None:
        """One transaction for a whole batch; a job that fails leaves nothing behind and takes nobody with it."""
        self._write.execute("BEGIN IMMEDIATE")
        try:
            done = self._alone(batch[0]) if len(batch) == 1 else self._in_company(batch)
            if done is None:
                self._write.execute("ROLLBACK")
                return
            _save_shared(self._write, done)
            head = house.write(self._write, done.notes, done.runs.values())
            self._write.execute("COMMIT")
        except BaseException:
            if self._write.in_transaction:
                self._write.execute("ROLLBACK")
            raise
        self._remember(done)
        if self.witness is not None:
            self.witness.saw(done.runs, len(done.lines), head)

    def _alone(self, job: Job[Transaction]) -> "Work | None":
        """The only job of a transaction needs no savepoint; None when it failed."""
        work = Work(self)
        return work if self._ran(job, work, self._write_out) else None

    def _in_company(self, batch: list[Job[Transaction]]) -> "_Shared":
        """Each job reads what the ones before it did, and is written inside its own savepoint."""
        shared = _Shared(self)
        for job in batch:
            work = Work(shared)
            if self._ran(job, work, self._write_out_apart):
                shared.take(work)
        return shared

    def _ran(self, job: Job[Transaction], work: Work, write_out: Callable[[Work], None]) -> bool:
        """Run one job and write what it did; its own failure goes back to its caller alone."""
        try:
            job.result = job.fn(cast(Transaction, work))
            write_out(work)
        except _OWN_FAULTS as error:  # this row cannot be stored; its neighbours can
            job.error = error
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - the caller's own failure goes back to the caller
            job.error = error
        return job.error is None

    def _write_out_apart(self, work: Work) -> None:
        db = self._write
        db.execute("SAVEPOINT work")
        try:
            self._write_out(work)
        except BaseException:
            db.execute("ROLLBACK TO work")
            db.execute("RELEASE work")
            raise
        db.execute("RELEASE work")

    def _write_out(self, work: Work) -> None:
        db = self._write
        for run, stored in work.runs.items():
            work.runs[run] = _save_run(db, stored)
        db.executemany(_INSERT_EVENT, [(work.runs[line[0]].no, *line[1:]) for line in work.lines])
        for digest, (canonical, at) in work.policies.items():
            if digest not in self._policies and house.keep_policy(db, digest, canonical):
                work.notes.append(Note(at, Matter.POLICY_KEPT, digest))

    def _remember(self, done: "Work | _Shared") -> None:
        """Caches change only after the commit."""
        for run, stored in done.runs.items():
            if stored.state.phase is Phase.STOPPED and not stored.state.open_calls:
                self._runs.pop(run, None)
            else:
                self._runs[run] = stored
        self._accounts.update(done.accounts)
        self._policies.update(done.policies)
        self._healths.update(done.healths)
        if len(self._runs) > CACHED_RUNS:
            _drop_oldest(self._runs, CACHED_RUNS)
        if len(self._accounts) > CACHED_ACCOUNTS:  # a seat that is taken has no row: it may not be forgotten
            self._accounts = {a: b for a, b in self._accounts.items() if a.unit == IN_FLIGHT and b.reserved}
        if len(self._healths) > CACHED_RUNS:
            _drop_oldest(self._healths, CACHED_RUNS)

    # What is committed, as a transaction sees it

    def load(self, run: RunId) -> Stored:
        """A run; raises UnknownRun."""
        cached = self._runs.get(run)
        return cached if cached is not None else self._select(self._write, run)

    def _select(self, db: sqlite3.Connection, run: RunId) -> Stored:
        row = db.execute(SQL["select_run"], (run,)).fetchone()
        if row is None:
            raise UnknownRun(f"there is no run {run} in {self._name}; `bridle runs` lists them")
        return Stored(row[0], codec.decode_state(row[3]), row[1], row[2])

    def find(self, tenant: TenantId, key: RunKey) -> RunId | None:
        """The newest run of a key, or of a fingerprint where there is no key."""
        named, by = ("find_by_key", key.key) if key.key else ("find_by_fingerprint", key.fingerprint)
        row = self._write.execute(SQL[named], (tenant, by)).fetchone()
        return RunId(row[0]) if row is not None else None

    def load_balance(self, account: Account) -> Balance:
        """A shared account."""
        cached = self._accounts.get(account)
        if cached is not None:
            return cached
        name = (account.level, account.of, account.unit, account.window, account.period)
        row = self._write.execute(SQL["select_account"], name).fetchone()
        return Balance(0, *row) if row is not None else Balance(0)

    def load_health(self, tenant: TenantId, dependency: str) -> Health:
        """The health of a dependency."""
        cached = self._healths.get((tenant, dependency))
        if cached is None:
            row = self._write.execute(SQL["select_health"], (tenant, dependency)).fetchone()
            cached = codec.decode_health(row[0]) if row is not None else WELL
            self._healths[tenant, dependency] = cached
        return cached

    def load_switch(self, tenant: TenantId) -> KillLevel:
        """The stronger of the house's level and the tenant's."""
        strongest = KillLevel.OFF
        for of, level in self._write.execute(_SELECT_SWITCHES):
            if of in ("", tenant):
                strongest = max(strongest, codec.level_of(level), key=_KILL_LEVELS.index)
        return strongest

    # What anybody may read

    def recorded(self, run: RunId) -> Recorded:
        """A run as of the last commit; raises UnknownRun."""
        with self._looking() as db:
            stored = self._select(db, run)
        return Recorded(stored.state, stored.head, stored.salt)

    def journal(self, run: RunId, after: int = 0) -> list[Entry]:
        """The events of a run, in order."""
        with self._looking() as db:
            rows = db.execute(SQL["select_events"], (self._select(db, run).no, after)).fetchall()
        return [Entry(seq, codec.decode(body), body, hash_) for seq, body, hash_ in rows]

    def payload(self, run: RunId, name: str) -> bytes | None:
        """A payload, or None."""
        with self._looking() as db:
            row = db.execute(SQL["select_payload"], (run, name)).fetchone()
        return bytes(row[0]) if row is not None and row[0] is not None else None

    def runs(self, *, limit: int = 50, only_open: bool = False) -> list[RunLine]:
        """The newest runs first."""
        with self._looking() as db:
            rows = db.execute(SQL["select_open_runs" if only_open else "select_runs"], (limit,)).fetchall()
        return [RunLine(codec.decode_state(state), codec.reason_of(reason), Millis(at)) for state, reason, at in rows]

    def balances(self) -> dict[Account, Balance]:
        """Every shared account."""
        with self._looking() as db:
            rows = db.execute(SQL["select_accounts"]).fetchall()
        return {codec.account_of(*row[:5]): Balance(0, row[5], row[6]) for row in rows}

    def policy(self, digest: Digest) -> bytes | None:
        """The canonical bytes of a policy."""
        with self._looking() as db:
            row = db.execute(SQL["select_policy"], (digest,)).fetchone()
        return bytes(row[0]) if row is not None else None

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        """For who looks; a file that cannot be read gives a sentence."""
        try:
            yield self._read
        except sqlite3.Error as error:
            raise ControlUnavailable(f"{self._name}: {error}; `bridle doctor` names what is wrong") from error

    def ask_to_cancel(self, run: RunId, by: str, at: Millis) -> None:
        """Leave a wish for the process that owns the run. Raises ControlUnavailable when it cannot be written."""
        with self._aside() as db:
            db.execute(SQL["insert_wish"], (run, by, at))

    def wishes(self) -> list[tuple[RunId, str]]:
        """Runs that somebody asked to cancel."""
        with self._looking() as db:
            if db.execute(SQL["any_wish"]).fetchone() is None:
                return []
        with self._aside() as db:
            return [(RunId(run), by) for run, by in db.execute(SQL["delete_wishes"]).fetchall()]

    def house(self) -> Head:
        """Where the chain of the house ends."""
        with self._looking() as db:
            return house.last(db)

    def attend(self, witness: Witness) -> None:
        """Let a witness sign what is committed from now on, beginning with what is open."""
        with self._looking() as db:
            witness.begin(house.last(db), house.open_heads(db))
        self.witness = witness

    def tick(self, *, at_once: bool = False) -> None:
        """Let the witness sign what is due."""
        if self.witness is not None:
            self.witness.tick(self.house, at_once=at_once)

    def erase(self, runs: Sequence[RunId], grounds: Grounds) -> list[Erasure]:
        """Erase what runs that have ended kept beside their journals; see the contract."""
        with self._aside() as db:
            return erasure.erase(db, runs, grounds)

    @contextmanager
    def _aside(self) -> Iterator[sqlite3.Connection]:
        """A connection for one statement: the writer's may be in the middle of a batch, in its own thread."""
        try:
            db = self._write if self.path is None else connect(self.path, False)
            try:
                yield db
            finally:
                if db is not self._write:
                    db.close()
        except sqlite3.Error as error:
            raise ControlUnavailable(f"{self._name}: {error}") from error

    async def close(self) -> None:
        """Finish what is queued, and let go of the file."""
        await self._writer.close()
        with suppress(ControlUnavailable):
            self.tick(at_once=True)
        self.witness = None
        for db in {id(self._read): self._read, id(self._write): self._write}.values():
            db.close()
        self._let_go()

    @property
    def _name(self) -> str:
        return str(self.path or "the store in memory")

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class _Shared:
    """What the functions of one batch see of each other: each reads what the ones before it did."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.runs: dict[RunId, Stored] = {}
        self.accounts: dict[Account, Balance] = {}
        self.healths: dict[tuple[TenantId, str], Health] = {}
        self.policies: dict[Digest, tuple[bytes, Millis]] = {}
        self.notes: list[Note] = []
        self.lines: list[Line] = []
        self._switches: dict[TenantId, KillLevel] = {}

    def take(self, work: Work) -> None:
        """A function that succeeded joins the batch."""
        self.runs.update(work.runs)
        self.accounts.update(work.accounts)
        self.healths.update(work.healths)
        self.policies.update(work.policies)
        self.notes += work.notes
        self.lines += work.lines

    def load(self, run: RunId) -> Stored:
        """A run."""
        own = self.runs.get(run)
        return own if own is not None else self._store.load(run)

    def find(self, tenant: TenantId, key: RunKey) -> RunId | None:
        """The newest run of a key; runs of the same batch are in the table already."""
        return self._store.find(tenant, key)

    def load_balance(self, account: Account) -> Balance:
        """A shared account."""
        own = self.accounts.get(account)
        return own if own is not None else self._store.load_balance(account)

    def load_health(self, tenant: TenantId, dependency: str) -> Health:
        """The health of a dependency."""
        own = self.healths.get((tenant, dependency))
        return own if own is not None else self._store.load_health(tenant, dependency)

    def load_switch(self, tenant: TenantId) -> KillLevel:
        """The kill level of a tenant, read once in every transaction."""
        if tenant not in self._switches:
            self._switches[tenant] = self._store.load_switch(tenant)
        return self._switches[tenant]


def _drop_oldest(cache: dict[K, V], bound: int) -> None:
    """What entered first goes first; a cache only saves a look into the table."""
    for key in list(islice(cache, len(cache) - bound)):
        del cache[key]


def _save_run(db: sqlite3.Connection, stored: Stored) -> Stored:
    state = stored.state
    reason = state.stop.reason if state.stop else None
    row = codec.encode_state(state)
    if stored.no and state.phase is Phase.OPEN:
        db.execute(_UPDATE_RUN, (state.last_at, stored.head, row, stored.no))
        return stored
    if stored.no:
        db.execute(SQL["update_phase"], (state.phase, reason, state.last_at, stored.head, row, stored.no))
        return stored
    key = stored.key or RunKey("", Digest(""))
    values = (
        state.run, state.tenant, key.key, key.fingerprint, state.phase, reason, state.last_at, stored.head,
        stored.salt, row,
    )  # fmt: skip
    no = db.execute(SQL["insert_run"], values).lastrowid
    return Stored(no or 0, state, stored.head, stored.salt)


def _save_shared(db: sqlite3.Connection, shared: "Work | _Shared") -> None:
    """Accounts and health are written once a batch, however many functions touched them."""
    for account, balance in shared.accounts.items():
        if account.unit == IN_FLIGHT:
            continue  # seats are given back when their process dies, by recovery; they need no row
        name = (account.level, account.of, account.unit, account.window, account.period)
        db.execute(SQL["upsert_account"], (*name, balance.settled, balance.reserved))
    for (tenant, dependency), health in shared.healths.items():
        db.execute(SQL["upsert_health"], (tenant, dependency, codec.encode_health(health)))
