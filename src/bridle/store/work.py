"""One function's unit of work: it reads through to what is committed, and keeps its changes until they are written."""

from collections.abc import Sequence
from typing import Protocol

from bridle.rules.budget import Account, Balance
from bridle.rules.data import changed, data
from bridle.rules.effect import Intent
from bridle.rules.events import Event, RunResumed, RunStarted
from bridle.rules.fold import apply, fold
from bridle.rules.health import Health
from bridle.rules.house import Note
from bridle.rules.names import Digest, Millis, RunId, TenantId, ToolName
from bridle.rules.run import Phase, RunState
from bridle.rules.switch import Switch
from bridle.store import chain, codec
from bridle.store.base import Fenced, Recorded, RunKey


class Committed(Protocol):
    """What a store knows as of the transaction's start."""

    @property
    def worker(self) -> str:
        """The name under which this process drives runs."""

    def last_seen(self, worker: str) -> Millis:
        """When another worker was alive for the last time that is known; 0 when nobody knows."""

    def load(self, run: RunId) -> "Stored":
        """A run; raises UnknownRun."""

    def find(self, tenant: TenantId, key: RunKey) -> RunId | None:
        """The newest run of a key."""

    def load_balance(self, account: Account) -> Balance:
        """A shared account, with a limit that means nothing."""

    def load_health(self, tenant: TenantId, dependency: str) -> Health:
        """The health of a dependency."""

    def load_switches(self) -> tuple[Switch, ...]:
        """Every kill switch that is on."""

    def load_intent(self, tenant: TenantId, tool: ToolName, key: str) -> Intent | None:
        """The write under a key."""

    def load_unresolved(self, run: RunId) -> list[Intent]:
        """The writes of a run that are open or in doubt."""


@data
class Stored:
    """A run as it will be, or is, in the store. `no` is 0 until the store has given it a number."""

    no: int
    state: RunState
    head: bytes
    salt: bytes
    worker: str  # who drives it; empty when nobody does
    key: RunKey | None = None  # of a run that is new
    is_taken: bool = False  # it has another driver than its row says


IntentKey = tuple[TenantId, ToolName, str]
Line = tuple[RunId, int, bytes, bytes, str | None, bytes | None]  # run, seq, body, hash, and a payload with its name


class Work:
    """A transaction in progress; keeps the contract of `bridle.store.base.Transaction`."""

    __slots__ = ("accounts", "committed", "healths", "intents", "lines", "notes", "policies", "runs")

    def __init__(self, committed: Committed) -> None:
        self.committed = committed
        self.runs: dict[RunId, Stored] = {}
        self.lines: list[Line] = []
        self.accounts: dict[Account, Balance] = {}
        self.healths: dict[tuple[TenantId, str], Health] = {}
        self.policies: dict[Digest, tuple[bytes, Millis]] = {}
        self.intents: dict[IntentKey, Intent] = {}
        self.notes: list[Note] = []

    def start(self, event: RunStarted, key: RunKey, salt: bytes) -> RunState:
        """Open the journal of a new run with its first event."""
        state = fold([event])
        body = codec.encode(event)
        head = chain.link(chain.root(event.run), body)
        self.runs[event.run] = Stored(0, state, head, salt, self.committed.worker, key)
        self.lines.append((event.run, 1, body, head, None, None))
        return state

    def recorded(self, run: RunId) -> Recorded:
        """A run; raises UnknownRun."""
        stored = self._stored(run)
        return Recorded(stored.state, stored.head, stored.salt)

    def state(self, run: RunId) -> RunState:
        """The state of a run; raises UnknownRun."""
        own = self.runs.get(run)
        return own.state if own is not None else self.committed.load(run).state

    def append(self, run: RunId, epoch: int, events: Sequence[Event]) -> RunState:
        """Add events to a journal; raises Fenced unless `epoch` is the run's own."""
        stored = self.runs.get(run) or self.committed.load(run)
        state, head = stored.state, stored.head
        if state.epoch != epoch:
            raise Fenced(f"{run} belongs to epoch {state.epoch} now, and epoch {epoch} may write nothing any more")
        for event in events:
            state = apply(state, event)
            body = codec.encode(event)
            head = chain.link(head, body)
            self.lines.append((run, state.seq, body, head, None, None))
        self.runs[run] = changed(stored, state=state, head=head)
        return state

    def take_over(self, run: RunId, at: Millis, *, drives: bool = True) -> RunState:
        """Begin a new epoch of an open run: whoever held the one before is fenced off."""
        stored = self._stored(run)
        state = stored.state
        if state.phase is Phase.STOPPED:
            return state
        since = max(state.last_at, self.committed.last_seen(stored.worker))
        if state.phase is Phase.SUSPENDED:
            since = state.suspended_at
        away = Millis(max(at - since, 0))
        state = self.append(run, state.epoch, [RunResumed(at, state.epoch + 1, away)])
        self._give(run, self.committed.worker if drives else "")
        return state

    def let_go(self, run: RunId) -> None:
        """Nobody drives this run from here on, until a worker takes it over."""
        self._give(run, "")

    def _give(self, run: RunId, worker: str) -> None:
        self.runs[run] = changed(self._stored(run), worker=worker, is_taken=True)

    def keep(self, run: RunId, name: str, body: bytes) -> None:
        """Keep a payload beside the event that was appended last. Raises LookupError when there is no place for it.

        Of a run whose payloads were erased nothing is kept any more.
        """
        if type(body) is not bytes:
            raise TypeError(f"{name} is of type {type(body).__name__}; a payload is bytes")
        if not self.lines or self.lines[-1][0] != run:
            raise LookupError(f"{name} belongs to no event of {run}: append the event first")
        _, seq, line, hash_, other, _ = self.lines[-1]
        if other is not None:
            raise LookupError(f"{name} has no place beside event {seq} of {run}, which keeps {other}")
        if self.runs[run].salt:
            self.lines[-1] = (run, seq, line, hash_, name, body)

    def find(self, tenant: TenantId, key: RunKey) -> RunState | None:
        """The newest run of this key, or of this fingerprint where the key is empty."""
        found = self.committed.find(tenant, key)
        return self._stored(found).state if found is not None else None

    def balance(self, account: Account, limit: int) -> Balance:
        """A shared account as it stands, under today's limit."""
        own = self.accounts.get(account)
        balance = own if own is not None else self.committed.load_balance(account)
        return balance if balance.limit == limit else Balance(limit, balance.settled, balance.reserved)

    def set_balance(self, account: Account, balance: Balance) -> None:
        """Write a shared account back."""
        self.accounts[account] = balance

    def health(self, tenant: TenantId, dependency: str) -> Health:
        """What this tenant has seen of a dependency."""
        own = self.healths.get((tenant, dependency))
        return own if own is not None else self.committed.load_health(tenant, dependency)

    def set_health(self, tenant: TenantId, dependency: str, health: Health) -> None:
        """Write it back."""
        self.healths[tenant, dependency] = health

    def switches(self) -> tuple[Switch, ...]:
        """Every kill switch that is on."""
        return self.committed.load_switches()

    def keep_policy(self, digest: Digest, canonical: bytes, at: Millis) -> None:
        """Keep a policy under its digest, once."""
        self.policies[digest] = canonical, at

    def note(self, note: Note) -> None:
        """Add an entry to the chain of the house."""
        self.notes.append(note)

    @property
    def events(self) -> int:
        """How many were appended."""
        return len(self.lines)

    def intent(self, tenant: TenantId, tool: ToolName, key: str) -> Intent | None:
        """The write under a key; None when it was never claimed."""
        own = self.intents.get((tenant, tool, key))
        return own if own is not None else self.committed.load_intent(tenant, tool, key)

    def set_intent(self, intent: Intent) -> None:
        """Claim its key, or say how far its write has come."""
        self.intents[intent.tenant, intent.tool, intent.key] = intent

    def unresolved(self, run: RunId) -> list[Intent]:
        """The writes of a run that are open or in doubt."""
        known = {(i.tenant, i.tool, i.key): i for i in self.committed.load_unresolved(run)} | self.intents
        return [intent for intent in known.values() if intent.run == run and intent.is_unresolved]

    def _stored(self, run: RunId) -> Stored:
        own = self.runs.get(run)
        return own if own is not None else self.committed.load(run)
