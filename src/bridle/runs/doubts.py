"""The writes in doubt, and what a person says of one: an event of its run, also after its end, and its key's fate."""

from dataclasses import dataclass

from bridle.gateway.intents import Resolution, resolved
from bridle.gateway.world import World
from bridle.rules import strict_json
from bridle.rules.effect import Intent, IntentStatus
from bridle.rules.events import CallAdmitted, CallInDoubt, CallResolved, Event
from bridle.rules.failure import BridleError
from bridle.rules.names import CallId, Millis, RunId
from bridle.rules.strict_json import Json
from bridle.store.base import Store, Transaction

MOST_WORDS = 2_000  # characters of a reason
MOST_ARGS = 100_000_000  # bytes; what a run kept was bounded when it was admitted


class NotInDoubt(BridleError):
    """There is nothing to resolve; the message says what is known of the call."""


@dataclass(frozen=True, slots=True)
class WriteInDoubt:
    """A write that was sent, and of which nobody knows whether it took effect."""

    write: str  # "run/call"
    calls: tuple[CallId, ...]  # every attempt of which nobody knows
    tenant: str
    tool: str
    key: str  # under which the far end knows it
    sent_at: Millis
    arguments: Json  # None where they were not kept

    @property
    def run(self) -> RunId:
        """The run that made it."""
        return RunId(self.write.rpartition("/")[0])


class Doubts:
    """The writes of a store that wait for a person. Any process that can write the store may settle one."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    def pending(self) -> list[WriteInDoubt]:
        """What is in doubt, the oldest first."""
        return [self._shown(intent) for intent in self._store.doubts()]

    def _shown(self, intent: Intent) -> WriteInDoubt:
        calls = intent.doubts or (intent.call,)
        kept = (self._store.payload(intent.run, f"{call}.args") for call in (*calls, intent.call))
        body = next((body for body in kept if body is not None), None)
        arguments = strict_json.parse(body, max_bytes=MOST_ARGS) if body is not None else None
        return WriteInDoubt(
            f"{intent.run}/{calls[-1]}", calls, intent.tenant, intent.tool, intent.key, intent.at, arguments
        )

    async def resolve(self, write: str, *, happened: bool, by: str, because: str) -> bool:
        """Say what became of the write "run/call", once and for all. False when the very same was said before.

        Raises UnknownRun; NotInDoubt, also when the opposite was said before; and BridleError without name or reason.
        """
        run, call = _named(write)
        said = Resolution(happened, by.strip()[:MOST_WORDS], because.strip()[:MOST_WORDS])
        if not said.by or not said.because:
            raise BridleError('a resolution has a reason, and somebody who gives it: --because "..."')
        events = [entry.event for entry in self._store.journal(run)]
        earlier = next((e for e in events if isinstance(e, CallResolved) and e.call == call), None)
        if earlier is not None:
            return _repeated(write, earlier, said)
        _check(events, run, call)
        now = self._world.now()
        await self._store.transact(lambda tx: _write_down(tx, run, call, said, now))
        return True


def _named(write: str) -> tuple[RunId, CallId]:
    run, _, call = write.rpartition("/")
    if not run or not call:
        raise NotInDoubt(f"{write!r} names no write; it is RUN/CALL, as `bridle doubts` lists them")
    return RunId(run), CallId(call)


def _repeated(write: str, earlier: CallResolved, said: Resolution) -> bool:
    """What was said before may be said again. Raises NotInDoubt for the opposite."""
    if earlier.happened is said.happened:
        return False
    did = "happened" if earlier.happened else "did-not"
    raise NotInDoubt(
        f"{write} was resolved before: {did}, by {earlier.by}, because {earlier.because!r}."
        " A resolution is final; what is wrong with it is put right at the far end."
    )


def _write_down(tx: Transaction, run: RunId, call: CallId, said: Resolution, now: Millis) -> None:
    state = tx.state(run)
    if call not in state.in_doubt:
        raise NotInDoubt(f"{run}/{call} is not in doubt any more; look again with `bridle show {run}`")
    intent = next((i for i in tx.unresolved(run) if call in i.doubts), None)
    if intent is None:  # of a store that is older than the table of intents
        tx.append(run, state.epoch, [CallResolved(now, call, said.happened, said.by, said.because)])
        return
    if intent.status is IntentStatus.OPEN:
        raise NotInDoubt(f"{run}/{call} is not left to a person: {_still_open(intent)}")
    resolved(tx, state.epoch, intent, said, now)


def _still_open(intent: Intent) -> str:
    return f"bridle finds out when the run is taken up; `bridle cancel {intent.run}` ends it instead"


def _check(events: list[Event], run: RunId, call: CallId) -> None:
    """Raises NotInDoubt for a call that was never sent, or whose end is known."""
    if not any(isinstance(event, CallAdmitted) and event.call == call for event in events):
        raise NotInDoubt(f"{run} sent no call {call}; `bridle doubts` lists what is in doubt")
    if not any(isinstance(event, CallInDoubt) and event.call == call for event in events):
        raise NotInDoubt(f"{run}/{call} is not in doubt; `bridle show {run}` tells how it ended")
