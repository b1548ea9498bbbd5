"""What the functions of one commit see of each other, and how it is written."""

import sqlite3
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from bridle.rules.budget import Account, Balance
from bridle.rules.effect import Intent
from bridle.rules.health import Health
from bridle.rules.house import Matter, Note
from bridle.rules.names import Digest, Millis, RunId, TenantId, ToolName
from bridle.rules.run import Phase
from bridle.rules.switch import Switch
from bridle.store import codec, house
from bridle.store.base import RunKey
from bridle.store.chain import Head
from bridle.store.statements import SQL
from bridle.store.work import Committed, Stored, Work

K = TypeVar("K")
V = TypeVar("V")
_UPDATE_RUN = SQL["update_run"]
_UPSERT_ACCOUNT = SQL["upsert_account"]


class Batch:
    """What the functions of one batch see of each other: each reads what the ones before it did."""

    def __init__(self, committed: Committed) -> None:
        self._committed = committed
        self.worker = committed.worker
        self.runs: dict[RunId, Stored] = {}
        self.accounts: dict[Account, Balance] = {}
        self.healths: dict[tuple[TenantId, str], Health] = {}
        self.policies: dict[Digest, tuple[bytes, Millis]] = {}
        self.notes: list[Note] = []
        self.events = 0

    def take(self, work: Work) -> None:
        """A function that succeeded joins the batch."""
        self.runs.update(work.runs)
        self.accounts.update(work.accounts)
        self.healths.update(work.healths)
        self.policies.update(work.policies)
        self.notes += work.notes
        self.events += work.events

    def load(self, run: RunId) -> Stored:
        """A run."""
        own = self.runs.get(run)
        return own if own is not None else self._committed.load(run)

    def find(self, tenant: TenantId, key: RunKey) -> RunId | None:
        """The newest run of a key; runs of the same batch are in the table already."""
        return self._committed.find(tenant, key)

    def load_balance(self, account: Account) -> Balance:
        """A shared account."""
        own = self.accounts.get(account)
        return own if own is not None else self._committed.load_balance(account)

    def load_health(self, tenant: TenantId, dependency: str) -> Health:
        """The health of a dependency."""
        own = self.healths.get((tenant, dependency))
        return own if own is not None else self._committed.load_health(tenant, dependency)

    def load_switches(self) -> tuple[Switch, ...]:
        """Every kill switch that is on."""
        return self._committed.load_switches()

    def load_intent(self, tenant: TenantId, tool: ToolName, key: str) -> Intent | None:
        """The write under a key; those of the same batch are in the table already."""
        return self._committed.load_intent(tenant, tool, key)

    def load_unresolved(self, run: RunId) -> list[Intent]:
        """The writes of a run that are open or in doubt; those of the same batch are in the table already."""
        return self._committed.load_unresolved(run)


def save_run(db: sqlite3.Connection, stored: Stored) -> Stored:
    """Write a run's row; a new one is given its number."""
    state = stored.state
    reason = state.stop.reason if state.stop else None
    row = codec.encode_state(state)
    if stored.no and state.phase is Phase.OPEN and not stored.is_taken:
        db.execute(_UPDATE_RUN, (state.last_at, stored.head, row, stored.no))
        return stored
    if stored.no:
        named = (state.phase, reason, stored.worker, state.wakes_at or 0)
        db.execute(SQL["update_phase"], (*named, state.last_at, stored.head, row, stored.no))
        return Stored(stored.no, state, stored.head, stored.salt, stored.worker)
    key = stored.key or RunKey("", Digest(""))
    values = (
        state.run, state.tenant, key.key, key.fingerprint, state.phase, reason, state.last_at, stored.head,
        stored.salt, row, stored.worker,
    )  # fmt: skip
    no = db.execute(SQL["insert_run"], values).lastrowid
    return Stored(no or 0, state, stored.head, stored.salt, stored.worker)


def save_shared(db: sqlite3.Connection, shared: "Work | Batch") -> None:
    """Accounts and health are written once a batch, however many functions touched them."""
    rows = [
        (account.level.value, account.of, account.unit, account.window.value, account.period, b.settled, b.reserved)
        for account, b in shared.accounts.items()
    ]
    db.executemany(_UPSERT_ACCOUNT, rows)
    for (tenant, dependency), health in shared.healths.items():
        db.execute(SQL["upsert_health"], (tenant, dependency, codec.encode_health(health)))


def endings(written: Iterable[Stored]) -> list[Note]:
    """Of the runs of a transaction, the heads of those that have ended, for the house."""
    return [ending(stored) for stored in written if stored.state.phase is Phase.STOPPED]


def ending(stored: Stored) -> Note:
    """The head of a run that has ended, for the house."""
    state = stored.state
    return house.run_note(Matter.RUN_ENDED, state.last_at, state.run, Head(state.seq, stored.head))


def drop_oldest(cache: dict[K, V], bound: int) -> None:
    """What entered first goes first; a cache only saves a look into the table."""
    for key in list(islice(cache, len(cache) - bound)):
        del cache[key]
