"""P14: nothing that a tool or a model returns crashes the engine, poisons the store or is kept as it should not be."""

from collections.abc import Iterator

from bench.storm.evidence import Evidence
from bridle.rules.stop import StopReason

OURS = (StopReason.INTERNAL_ERROR,)


def violations(seen: Evidence) -> Iterator[str]:
    """Runs that ended by a fault of the engine, and trouble that nobody caught."""
    for journal in seen.journals.values():
        stop = journal.state.stop
        if stop is not None and stop.reason in OURS:
            yield f"{journal.run} of task {journal.task} ended {stop.reason}: {dict(stop.detail)}"
    for line in seen.raised:
        yield f"instead of an answer a user got {line[:300]}"
    for line in seen.logged:
        if "Crashed" not in line and "ControlUnavailable" not in line:
            yield f"the log says: {line[-300:]}"
