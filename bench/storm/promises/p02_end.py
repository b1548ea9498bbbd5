"""P2: every run that was acknowledged ends with exactly one reason, and nothing of it starts after that."""

from collections.abc import Iterator

from bench.storm.evidence import NEVER, Evidence, Journal
from bridle.rules.events import CallSettled, RunStopped
from bridle.rules.fold import JournalBroken, fold
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
        for line in one.lines:
            if line.stamp > ends[one.journal.run]:
                yield f"{one.journal.run} sent {line.name} after its end"


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
