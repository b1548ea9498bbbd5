"""What a person says of a write in doubt: an event of its run, also after the run's end, and the fate of its key."""

from bridle.gateway.intents import Finding, resolved
from bridle.rules.effect import Intent, IntentStatus
from bridle.rules.events import CallAdmitted, CallInDoubt, CallResolved, Event
from bridle.rules.failure import BridleError
from bridle.rules.names import CallId, Millis, RunId
from bridle.store.base import Store, Transaction

MOST_WORDS = 2_000  # characters of a reason


class NotInDoubt(BridleError):
    """There is nothing to resolve; the message says what is known of the call."""


async def resolve(store: Store, run: RunId, call: CallId, found: Finding, now: Millis) -> bool:
    """Write down what became of a write in doubt. False when the very same was said before.

    Raises UnknownRun; NotInDoubt, also when the opposite was said before; and BridleError without a reason.
    """
    because, by = found.because.strip(), found.by.strip()
    if not because or not by:
        raise BridleError('a resolution has a reason, and somebody who gives it: --because "..."')
    said = Finding(found.happened, by[:MOST_WORDS], because[:MOST_WORDS])
    events = [entry.event for entry in store.journal(run)]
    earlier = next((e for e in events if isinstance(e, CallResolved) and e.call == call), None)
    if earlier is not None:
        if earlier.happened is said.happened:
            return False
        did = "happened" if earlier.happened else "did-not"
        raise NotInDoubt(
            f"{run}/{call} was resolved before: {did}, by {earlier.by}, because {earlier.because!r}."
            " A resolution is final; what is wrong with it is put right at the far end."
        )
    _check(events, run, call)

    def written(tx: Transaction) -> None:
        state = tx.state(run)
        if call not in state.in_doubt:
            raise NotInDoubt(f"{run}/{call} is not in doubt any more; look again with `bridle show {run}`")
        intent = next((i for i in tx.unresolved(run) if call in i.doubts), None)
        if intent is None:  # of a store that is older than the table of intents
            told = CallResolved(now, call, said.happened, said.by, said.because)
            tx.append(run, state.epoch, [told])
            return
        if intent.status is IntentStatus.OPEN:
            raise NotInDoubt(f"{run}/{call} is not left to a person: {_still_open(intent)}")
        resolved(tx, state.epoch, intent, said, now)

    await store.transact(written)
    return True


def _still_open(intent: Intent) -> str:
    return f"bridle finds out when the run is taken up; `bridle cancel {intent.run}` ends it instead"


def _check(events: list[Event], run: RunId, call: CallId) -> None:
    """Raises NotInDoubt for a call that was never sent, or whose end is known."""
    if not any(isinstance(event, CallAdmitted) and event.call == call for event in events):
        raise NotInDoubt(f"{run} sent no call {call}; `bridle doubts` lists what is in doubt")
    if not any(isinstance(event, CallInDoubt) and event.call == call for event in events):
        raise NotInDoubt(f"{run}/{call} is not in doubt; `bridle show {run}` tells how it ended")
