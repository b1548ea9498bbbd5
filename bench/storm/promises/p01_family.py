"""P1 for families: what a child may use is held by its parent from its start to its end, and then paid, once."""

from collections import Counter
from collections.abc import Iterator

from bench.storm.evidence import Evidence, Journal
from bench.storm.house import LIMITS
from bench.storm.plan import Fault
from bridle.rules.events import (
    CallAdmitted,
    CallInDoubt,
    CallSettled,
    CallVoided,
    ChildClosed,
    ChildFunded,
    Event,
    StepEntered,
)
from bridle.rules.fold import apply
from bridle.rules.names import (
    BYTES_OBSERVED,
    IN_FLIGHT,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Amounts,
    CallId,
    RunId,
    Unit,
)
from bridle.rules.run import RunState

Sum = Counter[Unit]
WHOLE: Amounts = {
    STEPS: LIMITS.max_steps, MODEL_CALLS: LIMITS.max_model_calls, TOOL_CALLS: LIMITS.max_tool_calls,
    TOKENS_IN: LIMITS.max_tokens, USD_NANO: LIMITS.max_usd,
}  # fmt: skip


def violations(seen: Evidence) -> Iterator[str]:
    """Instants at which the books of a run with children, kept apart, say something else than the run."""
    for journal in seen.journals.values():
        if journal.started.parent or any(isinstance(entry.event, ChildFunded) for entry in journal.entries):
            yield from _of_run(seen, journal)


def _of_run(seen: Evidence, journal: Journal) -> Iterator[str]:
    books, state, limits = Books(seen), None, journal.started.funds or WHOLE
    overruns = Fault.USAGE_ABOVE in seen.fates[journal.task].faults
    for entry in journal.entries:
        state = apply(state, entry.event)
        books.take(entry.event)
        name = f"{journal.run} ({state.name}, event {entry.seq})"
        if +books.held != +Sum(state.held):
            yield f"{name} holds {state.held}, and its calls and children may use {dict(books.held)}"
        if +books.paid != +Sum(state.used):
            yield f"{name} has paid {state.used}, and it and its children used {dict(books.paid)}"
        for unit, limit in limits.items() if not overruns else ():
            if _committed(state, unit) > limit:
                yield f"{name} has used or holds {_committed(state, unit)} {unit} of {limit}"
    if +books.held:
        yield f"{journal.run} is over, and {dict(+books.held)} of it is never given back"


def _committed(state: RunState, unit: Unit) -> int:
    units = (TOKENS_IN, TOKENS_OUT) if unit == TOKENS_IN else (unit,)
    return sum(state.used.get(one, 0) + state.held.get(one, 0) for one in units)


class Books:
    """What a run holds and has paid, from its own calls and the journals of its children."""

    def __init__(self, seen: Evidence) -> None:
        self._seen = seen
        self.held, self.paid = Sum(), Sum()
        self._holds: dict[CallId | RunId, Amounts] = {}

    def take(self, event: Event) -> None:
        """One more event."""
        match event:
            case StepEntered():
                self.paid[STEPS] += 1
            case CallAdmitted():
                self._begins(event.call, event.hold)
            case CallSettled():
                self._ends(event.call, event.used)
            case CallVoided():
                self._ends(event.call, {})
            case CallInDoubt():
                hold = self._holds[event.call]
                kept = {unit: amount for unit, amount in hold.items() if unit not in (IN_FLIGHT, BYTES_OBSERVED)}
                self._ends(event.call, kept)
            case ChildFunded():
                self.paid[STEPS] += 1
                self._begins(event.child, self._seen.journals[event.child].started.funds)
            case ChildClosed():
                self._ends(event.child, self._seen.journals[event.child].state.used)
            case _:
                pass

    def _begins(self, what: CallId | RunId, hold: Amounts) -> None:
        self._holds[what] = hold
        self.held.update(hold)

    def _ends(self, what: CallId | RunId, used: Amounts) -> None:
        self.held.subtract(self._holds.pop(what))
        self.paid.update(used)
