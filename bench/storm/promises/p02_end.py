"""P2: every run that was acknowledged ends with exactly one reason, and nothing of it starts after that."""

from collections.abc import Iterator

from bench.storm.evidence import NEVER, Evidence, Journal
from bridle.rules.events import CallSettled, ChildClosed, ChildFunded, RunStopped, StepEntered
from bridle.rules.fold import JournalBroken, fold
from bridle.rules.names import RunId
from bridle.rules.run import Phase
from bridle.rules.stop import StopReason


def violations(seen: Evidence) -> Iterator[str]:
    """Runs without an end or with two, users who were told another one, and deeds after it."""
    if seen.hung:
        yield seen.hung
    for journal in seen.journals.values():
        yield from _of_run(journal)
    for told in seen.answers:
        known = seen.journals.get(told.run)
        if not told.run and told.reason == StopReason.KILLED:
            continue  # nothing was started, and he was told so
        if known is None:
            yield f"{told.run} was acknowledged, and no journal has it"
        elif told.reason != StopReason.CONTROL_UNAVAILABLE and (
            known.state.stop is None or known.state.stop.reason != told.reason
        ):
            yield f"{told.run} ended {known.state.stop}, and its user was told {told.reason}"
    ends = {run: journal.ended for run, journal in seen.journals.items()}
    for one in seen.admitted.values():
        over = min(ends[journal.run] for journal in seen.lineage(one.journal)) if one.lines else NEVER
        for line in one.lines:
            if line.stamp > over:
                yield f"{one.journal.run} sent {line.name} after its end, or that of its parent"
    for journal in seen.journals.values():
        yield from _of_children(seen, journal)


def _of_children(seen: Evidence, parent: Journal) -> Iterator[str]:
    """Each child ends once, before the step that began it is left, and its parent knows how."""
    waits = set[RunId]()
    for stamp, event in parent.events:
        match event:
            case ChildFunded(child=child):
                waits.add(child)
                if child not in seen.journals or seen.journals[child].started.parent != parent.run:
                    yield f"{parent.run} has a child {child}, which is none of its own"
            case ChildClosed(child=child, reason=reason):
                waits.discard(child)
                ended = seen.journals[child].state.stop
                if seen.journals[child].ended > stamp or ended is None or ended.reason != reason:
                    yield f"{child} ended {ended}, and its parent {parent.run} was told {reason}"
            case StepEntered() | RunStopped() if waits:
                yield f"{parent.run} went on to {event}, and left {', '.join(waits)} behind"
            case _:
                pass


def _of_run(journal: Journal) -> Iterator[str]:
    ends = [at for at, entry in enumerate(journal.entries) if isinstance(entry.event, RunStopped)]
    if len(ends) != 1 or journal.state.phase is not Phase.STOPPED:
        yield f"{journal.run} has {len(ends)} terminal events and is {journal.state.phase}"
    elif not all(isinstance(entry.event, CallSettled) for entry in journal.entries[ends[0] + 1 :]):
        yield f"{journal.run} goes on after its terminal event"
    if journal.state.phase is Phase.STOPPED and journal.state.open_calls:
        yield f"{journal.run} has ended and leaves {', '.join(journal.state.open_calls)} open"
    if NEVER in journal.stamps:
        yield f"{journal.run} has an event that no commit wrote"
    try:
        folded = fold(entry.event for entry in journal.entries)
    except (JournalBroken, AssertionError) as broken:
        yield f"{journal.run} cannot be folded: {broken}"
    else:
        if folded != journal.state:
            yield f"{journal.run} is another one in its row than in its journal"
