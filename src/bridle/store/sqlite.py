"""The store in one SQLite file: WAL, FULL, and one writer at a time."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar, cast

from bridle.rules.budget import Account, Balance
from bridle.rules.effect import Intent, erased_key
from bridle.rules.failure import BridleError, ControlUnavailable
from bridle.rules.health import WELL, Health
from bridle.rules.house import Matter, Note
from bridle.rules.names import IN_FLIGHT, Digest, Millis, RunId, TenantId, ToolName
from bridle.rules.run import Phase, RunState
from bridle.rules.switch import Switch
from bridle.store import codec, erasure, house
from bridle.store.base import Entry, Erasure, Grounds, Recorded, RunKey, RunLine, Transaction, UnknownRun
from bridle.store.batch import Batch, drop_oldest, endings, save_run, save_shared
from bridle.store.chain import Head
from bridle.store.opening import SCHEMA, StoreUnusable, cause, connect, lock_beside, writing
from bridle.store.roll import Roll
from bridle.store.statements import SQL
from bridle.store.switches import SwitchBook
from bridle.store.witness import Witness
from bridle.store.work import Stored, Work
from bridle.store.writer import Job, Writer

__all__ = ["SCHEMA", "SqliteStore", "StoreUnusable"]
T = TypeVar("T")
CACHED_RUNS = 4_096
CACHED_ACCOUNTS = 16_384
CHECKPOINT_AFTER = 256  # functions
_OWN_FAULTS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
_INSERT_EVENT = SQL["insert_event"]


class SqliteStore:
    """Keeps the contract of `bridle.store.base.Store` in the file `path`.

    Several processes may write it; what another one committed is read again. With `read_only` it refuses to write.
    Raises StoreUnusable when the file is not a store, is newer than this bridle, or cannot be opened.
    """

    def __init__(self, path: Path, *, read_only: bool = False, inline: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._roll = Roll(path)
        self.beat, self.last_seen, self.workers = self._roll.beat, self._roll.last_seen, self._roll.living
        self._data_version = -1
        self._since_checkpoint = 0
        self._runs: dict[RunId, Stored] = {}
        self._accounts: dict[Account, Balance] = {}
        self._healths: dict[tuple[TenantId, str], Health] = {}
        self._policies: set[Digest] = set()
        self._turned: tuple[Switch, ...] | None = None  # the switches that are on
        self.switches = SwitchBook(path, self._looking, lambda: writing(path), self._roll.living)
        self._lock = None if read_only else lock_beside(path)
        try:
            with self._lock or nullcontext():
                self._write = connect(path, read_only)
                self._read = self._write if read_only else connect(path, True)
        except sqlite3.Error as error:
            self._let_go()
            raise StoreUnusable(f"{path}: {error}. {cause(path)}") from error
        except BridleError:
            self._let_go()
            raise
        self.witness: Witness | None = None  # who signs what was committed
        self.crowd = 0  # how many runs are at work in this process; set by who starts them
        self._writer: Writer[Transaction] = Writer(self._commit, lambda: self.crowd, inline=inline)

    async def transact(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` inside the writer's transaction; see the contract."""
        if self.read_only:
            raise ControlUnavailable(f"{self.path} is open for reading only")
        return cast(T, await self._writer.run(fn))

    @property
    def worker(self) -> str:
        """The name under which this process drives runs; empty before it enlisted."""
        return self._roll.own

    def enlist(self) -> None:
        """Become a worker. Raises StoreUnusable."""
        try:
            self._roll.enlist()
        except OSError as error:
            raise StoreUnusable(f"{self._name}: {error.strerror}. May this process write beside it?") from error

    def _commit(self, batch: list[Job[Transaction]]) -> None:
        """One transaction for a whole batch, while no other process writes."""
        assert self._lock is not None
        with self._lock:
            done = self._commit_alone(batch)
            self._checkpoint(batch)
        if done is not None and self.witness is not None:
            self.witness.saw(done.events, lambda: self._ends(self._write))

    def _checkpoint(self, batch: list[Job[Transaction]]) -> None:
        self._since_checkpoint += len(batch)
        if self._since_checkpoint >= CHECKPOINT_AFTER:
            self._since_checkpoint = 0
            with suppress(sqlite3.Error):  # the batch is durable; the log is copied back another time
                self._write.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _commit_alone(self, batch: list[Job[Transaction]]) -> "Work | Batch | None":
        """A job that fails leaves nothing behind and takes nobody with it. Returns what was done."""
        self._write.execute("BEGIN IMMEDIATE")
        try:
            self._look_again()
            done = self._alone(batch[0]) if len(batch) == 1 else self._in_company(batch)
            if done is None:
                self._write.execute("ROLLBACK")
                return None
            save_shared(self._write, done)
            house.write(self._write, [*done.notes, *endings(done.runs.values())])
            self._write.execute("COMMIT")
        except BaseException:
            if self._write.in_transaction:
                self._write.execute("ROLLBACK")
            raise
        self._remember(done)
        return done

    def _look_again(self) -> None:
        """Forget what is cached when another connection has committed since, as does each that turns a switch.

        Asked inside the transaction: so the database puts a switch before it or after it.
        """
        (version,) = self._write.execute("PRAGMA data_version").fetchone()
        if version != self._data_version:
            self._data_version = version
            self._runs.clear()
            self._accounts.clear()
            self._healths.clear()
            self._turned = None

    def _alone(self, job: Job[Transaction]) -> "Work | None":
        """The only job of a transaction needs no savepoint; None when it failed."""
        work = Work(self)
        return work if self._ran(job, work, self._write_out) else None

    def _in_company(self, batch: list[Job[Transaction]]) -> "Batch":
        """Each job reads what the ones before it did, and is written inside its own savepoint."""
        shared = Batch(self)
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
            work.runs[run] = save_run(db, stored)
        db.executemany(_INSERT_EVENT, [(work.runs[line[0]].no, *line[1:]) for line in work.lines])
        for digest, (canonical, at) in work.policies.items():
            if digest not in self._policies and house.keep_policy(db, digest, canonical):
                work.notes.append(Note(at, Matter.POLICY_KEPT, digest))
        for intent in work.intents.values():  # never cached: what another transaction claimed has to be seen
            db.execute(SQL["upsert_intent"], codec.encode_intent(intent))

    def _remember(self, done: "Work | Batch") -> None:
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
            drop_oldest(self._runs, CACHED_RUNS)
        if len(self._accounts) > CACHED_ACCOUNTS:
            drop_oldest(self._accounts, CACHED_ACCOUNTS)
        if len(self._healths) > CACHED_RUNS:
            drop_oldest(self._healths, CACHED_RUNS)

    # What is committed, as a transaction sees it

    def load(self, run: RunId) -> Stored:
        """A run; raises UnknownRun."""
        cached = self._runs.get(run)
        return cached if cached is not None else self._select(self._write, run)

    def _select(self, db: sqlite3.Connection, run: RunId) -> Stored:
        row = db.execute(SQL["select_run"], (run,)).fetchone()
        if row is None:
            raise UnknownRun(f"there is no run {run} in {self._name}; `bridle runs` lists them")
        return Stored(row[0], codec.decode_state(row[3]), row[1], row[2], row[4])

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
        row = self._write.execute(SQL["select_account"], account).fetchone()
        return Balance(0, *row) if row is not None else Balance(0)

    def load_health(self, tenant: TenantId, dependency: str) -> Health:
        """The health of a dependency."""
        cached = self._healths.get((tenant, dependency))
        if cached is None:
            row = self._write.execute(SQL["select_health"], (tenant, dependency)).fetchone()
            cached = codec.decode_health(row[0]) if row is not None else WELL
            self._healths[tenant, dependency] = cached
        return cached

    def load_switches(self) -> tuple[Switch, ...]:
        """Every kill switch that is on; the KILL files are looked at each time."""
        if self._turned is None:
            self._turned = self.switches.turned(self._write)
        return (*self.switches.files(), *self._turned)

    def load_intent(self, tenant: TenantId, tool: ToolName, key: str) -> Intent | None:
        """The write under a key."""
        keys = (key, erased_key(tenant, tool, key))
        row = self._write.execute(SQL["select_intent"], (tenant, tool, *keys)).fetchone()
        return codec.decode_intent(row) if row is not None else None

    def load_unresolved(self, run: RunId) -> list[Intent]:
        """The writes of a run that are open or in doubt."""
        return [codec.decode_intent(row) for row in self._write.execute(SQL["select_unresolved"], (run,)).fetchall()]

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
        return [Entry(seq, codec.decode_at(run, seq, body), body, hash_) for seq, body, hash_ in rows]

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
        return {codec.account_of(*row[:5]): Balance(0, row[5], row[6]) for row in rows if row[2] != IN_FLIGHT}

    def driver(self, run: RunId) -> str:
        """The worker that drives this run and lives, or nothing; raises UnknownRun."""
        with self._looking() as db:
            worker = self._select(db, run).worker
        return worker if self._roll.is_alive(worker) else ""

    def orphans(self, now: Millis, limit: int = 100) -> list[RunState]:
        """Open runs of workers that are dead, of nobody, and of this one; the oldest first."""
        with self._looking() as db:
            drivers = [worker for (worker,) in db.execute(SQL["select_drivers"]).fetchall()]
            self._roll.bury(drivers)
            gone = [worker for worker in drivers if worker == self.worker or not self._roll.is_alive(worker)]
            rows = [row for worker in gone for row in db.execute(SQL["select_driven"], (worker, now, limit)).fetchall()]
        return [codec.decode_state(state) for (state,) in rows[:limit]]

    def health(self, tenant: TenantId, dependency: str) -> Health:
        """The health of a dependency; asked before every request to a model, so mostly answered from memory."""
        cached = self._healths.get((tenant, dependency))
        if cached is None:
            with self._looking() as db:
                row = db.execute(SQL["select_health"], (tenant, dependency)).fetchone()
            found = codec.decode_health(row[0]) if row is not None else WELL
            cached = found if self.read_only else self._healths.setdefault((tenant, dependency), found)
        return cached

    def healths(self) -> dict[tuple[TenantId, str], Health]:
        """Every health."""
        with self._looking() as db:
            rows = db.execute(SQL["select_healths"]).fetchall()
        return {(TenantId(tenant), dependency): codec.decode_health(body) for tenant, dependency, body in rows}

    def policy(self, digest: Digest) -> bytes | None:
        """The canonical bytes of a policy."""
        with self._looking() as db:
            row = db.execute(SQL["select_policy"], (digest,)).fetchone()
        return bytes(row[0]) if row is not None else None

    def doubts(self) -> list[Intent]:
        """The writes that wait for a person, the oldest first."""
        with self._looking() as db:
            return [codec.decode_intent(row) for row in db.execute(SQL["select_doubts"]).fetchall()]

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        """For who looks; a file that cannot be read gives a sentence."""
        try:
            yield self._read
        except sqlite3.Error as error:
            raise ControlUnavailable(f"{self._name}: {error}; `bridle doctor` names what is wrong") from error

    def ask_to_cancel(self, run: RunId, by: str, at: Millis) -> None:
        """Leave a wish for the process that owns the run. Raises ControlUnavailable when it cannot be written."""
        with writing(self.path) as db:
            db.execute(SQL["insert_wish"], (run, by, at))

    def wishes(self) -> list[tuple[RunId, str]]:
        """Runs that somebody asked to cancel."""
        with self._looking() as db:
            found = db.execute(SQL["select_wishes"]).fetchall()
        mine = [(RunId(run), by) for run, by, at in found if at == self.worker or not self._roll.is_alive(at or "")]
        if mine:
            with writing(self.path) as db:
                db.executemany(SQL["delete_wish"], [(run,) for run, _ in mine])
        return mine

    def house(self) -> Head:
        """Where the chain of the house ends."""
        with self._looking() as db:
            return house.last(db)

    def attend(self, witness: Witness) -> None:
        """Let a witness sign what is committed from now on, beginning with what is open."""
        witness.begin(lambda: self._ends(self._read))
        self.witness = witness

    def tick(self, *, at_once: bool = False) -> None:
        """Let the witness sign what is due."""
        if self.witness is not None:
            self.witness.tick(lambda: self._ends(self._read), at_once=at_once)

    def _ends(self, db: sqlite3.Connection) -> tuple[Head, dict[RunId, Head]]:
        try:
            return house.ends(db)
        except sqlite3.Error as error:
            raise ControlUnavailable(f"{self._name}: {error}") from error

    def erase(self, runs: Sequence[RunId], grounds: Grounds) -> list[Erasure]:
        """Erase what runs that have ended kept beside their journals; see the contract."""
        with writing(self.path) as db:
            return erasure.erase(db, runs, grounds)

    async def close(self) -> None:
        """Finish what is queued, and let go of the file."""
        await self._writer.close()
        with suppress(ControlUnavailable):
            self.tick(at_once=True)
        self.witness = None
        with suppress(ControlUnavailable), self._lock or nullcontext():  # closing may be a checkpoint
            for db in {id(self._read): self._read, id(self._write): self._write}.values():
                db.close()
        self._let_go()

    @property
    def _name(self) -> str:
        return str(self.path)

    def _let_go(self) -> None:
        self._roll.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
