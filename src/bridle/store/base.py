"""The contract of a store: one function, run inside one transaction, whose effects are all durable or all absent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bridle.rules.budget import Account, Balance
from bridle.rules.effect import Intent
from bridle.rules.events import Event, RunStarted
from bridle.rules.failure import BridleError
from bridle.rules.health import Health
from bridle.rules.house import Note
from bridle.rules.names import Digest, Millis, RunId, TenantId, ToolName
from bridle.rules.run import RunState
from bridle.rules.stop import StopReason
from bridle.rules.switch import Switch
from bridle.store.chain import Head
from bridle.store.switches import SwitchBook

T = TypeVar("T")


class Fenced(BridleError):
    """A newer delivery of this run took over; this one may write nothing any more."""


class UnknownRun(BridleError):
    """No run of this id is in the store."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as the store holds it, beside its journal."""

    state: RunState
    head: bytes  # of its hash chain
    salt: bytes  # keys the digests in its events; erasing it makes them unlinkable

    @property
    def is_erased(self) -> bool:
        """Whether its payloads and its salt were erased."""
        return not self.salt


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal."""

    seq: int
    event: Event
    body: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Grounds:
    """Who wants payloads erased, why, and when that was; it stands in the journal and is never erased."""

    at: Millis
    by: str
    because: str = ""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased of a run: nothing when it had been erased before, or when `kept` says why not."""

    run: RunId
    payloads: int = 0
    bytes: int = 0
    kept: str = ""


@dataclass(frozen=True, slots=True)
class RunKey:
    """By what a request is recognised: the caller's key (same key, same run, for ever), or what it asks for."""

    key: str  # empty when the caller gave none
    fingerprint: Digest


class Transaction(Protocol):
    """What a function given to `transact` may see and change; others see nothing of it before the commit."""

    def start(self, event: RunStarted, key: RunKey, salt: bytes) -> RunState:
        """Open the journal of a new run with its first event."""

    def recorded(self, run: RunId) -> Recorded:
        """A run; raises UnknownRun."""

    def state(self, run: RunId) -> RunState:
        """The state of a run; raises UnknownRun."""

    def append(self, run: RunId, epoch: int, events: Sequence[Event]) -> RunState:
        """Add events to a journal; raises Fenced unless `epoch` is the run's own."""

    def take_over(self, run: RunId, at: Millis, *, drives: bool = True) -> RunState:
        """Begin a new epoch of an open run: whoever held the one before is fenced off.

        From here on this worker drives it; or nobody does, until one takes it over who can.
        """

    def let_go(self, run: RunId) -> None:
        """Nobody drives this run from here on, until a worker takes it over."""

    def keep(self, run: RunId, name: str, body: bytes) -> None:
        """Keep a payload beside the event that was appended last, which carries its digest."""

    def find(self, tenant: TenantId, key: RunKey) -> RunState | None:
        """The newest run of this key, or of this fingerprint where the key is empty."""

    def balance(self, account: Account, limit: int) -> Balance:
        """A shared account as it stands; a new one is empty. `limit` is what the policy says today."""

    def set_balance(self, account: Account, balance: Balance) -> None:
        """Write a shared account back."""

    def health(self, tenant: TenantId, dependency: str) -> Health:
        """What this tenant has seen of a dependency."""

    def set_health(self, tenant: TenantId, dependency: str, health: Health) -> None:
        """Write it back."""

    def switches(self) -> tuple[Switch, ...]:
        """Every kill switch that is on, as of this transaction."""

    def keep_policy(self, digest: Digest, canonical: bytes, at: Millis) -> None:
        """Keep a policy under its digest, once."""

    def intent(self, tenant: TenantId, tool: ToolName, key: str) -> Intent | None:
        """The write under a key; None when it was never claimed."""

    def set_intent(self, intent: Intent) -> None:
        """Claim its key, or say how far its write has come. There is one row for each (tenant, tool, key)."""

    def unresolved(self, run: RunId) -> list[Intent]:
        """The writes of a run that are open or in doubt."""

    def note(self, note: Note) -> None:
        """Add an entry to the chain of the house. The end of a run, and a new policy, note themselves."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """One line of a list of runs."""

    state: RunState
    reason: StopReason | None
    updated_at: Millis


class Store(Protocol):
    """A journal that runs share, and several processes.

    `crowd` says how many runs this process works on: one alone need not wait for company. `worker` is the name under
    which it drives them, once it enlisted; the store knows of each worker whether it lives.
    """

    crowd: int

    @property
    def worker(self) -> str:
        """This process's name as a worker; empty before it enlisted."""

    def enlist(self) -> None:
        """Become a worker: runs that start from now on are this process's to drive. Raises StoreUnusable."""

    @property
    def switches(self) -> SwitchBook:
        """The kill switch: turned by any process, and who has seen it."""

    async def transact(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` inside the writer's transaction and return its result after the commit.

        `fn` is synchronous, may be run again, and fails alone: neighbours in the same commit are kept. Raises what
        `fn` raises, or ControlUnavailable when nothing can be made durable.
        """

    def recorded(self, run: RunId) -> Recorded:
        """A run as of the last commit; raises UnknownRun."""

    def journal(self, run: RunId, after: int = 0) -> list[Entry]:
        """The events of a run with a seq greater than `after`, in order."""

    def payload(self, run: RunId, name: str) -> bytes | None:
        """A payload, or None when it was never kept or was erased."""

    def runs(self, *, limit: int = 50, only_open: bool = False) -> list[RunLine]:
        """The newest runs first."""

    def driver(self, run: RunId) -> str:
        """The worker that drives this run and lives, or nothing; raises UnknownRun."""

    def beat(self, at: Millis) -> None:
        """This worker is alive: who takes its runs over one day knows since when nobody worked on them."""

    def orphans(self, now: Millis, limit: int = 100) -> list[RunState]:
        """Open runs that no other worker drives, the oldest first: of the dead, of nobody, and of this one.

        Of the suspended ones only those that are to go on by `now`.
        """

    def balances(self) -> dict[Account, Balance]:
        """Every shared account."""

    def health(self, tenant: TenantId, dependency: str) -> Health:
        """What this tenant has seen of a dependency, as of the last commit."""

    def healths(self) -> dict[tuple[TenantId, str], Health]:
        """What every tenant has seen of every dependency."""

    def policy(self, digest: Digest) -> bytes | None:
        """The canonical bytes of a policy that some run was governed by."""

    def doubts(self) -> list[Intent]:
        """The writes that wait for a person, the oldest first."""

    def ask_to_cancel(self, run: RunId, by: str, at: Millis) -> None:
        """Leave a wish for the process that owns the run; any process may."""

    def wishes(self) -> list[tuple[RunId, str]]:
        """Runs of this worker, or of none that lives, that somebody asked to cancel, with who asked; given out once."""

    def house(self) -> Head:
        """Where the chain of the house ends, as of the last commit."""

    def erase(self, runs: Sequence[RunId], grounds: Grounds) -> list[Erasure]:
        """Erase the payloads and salts of runs that have ended; any process may. One that stays says why."""

    def tick(self) -> None:
        """Time went by: what is due is signed, where somebody signs."""

    async def close(self) -> None:
        """Finish what is queued, and let go of the file."""
