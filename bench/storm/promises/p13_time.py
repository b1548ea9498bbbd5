"""P13: a run is active no longer than it may, and one that repeats itself is found within three repeats."""

from collections import Counter
from collections.abc import Iterator

from bench.storm.evidence import Evidence
from bench.storm.house import LIMITS
from bench.storm.ledger import Deed, Line, Told
from bench.storm.plan import Fault
from bench.storm.tasks import Shape
from bridle.rules.names import MILLIS_PER_SECOND
from bridle.rules.stop import StopReason

REPEATS = 3
SLACK = 2 * MILLIS_PER_SECOND


def violations(seen: Evidence) -> Iterator[str]:
    """Users who waited too long, loops that went on, and honest polls that were taken for one."""
    for told in seen.answers:
        journal, fate = seen.journals.get(told.run), seen.fates[told.task]
        if journal is None or fate.faults & {Fault.CLOCK_JUMP, Fault.JOURNAL_OUT}:
            continue
        most = LIMITS.max_seconds * MILLIS_PER_SECOND + SLACK + seen.excused(told)
        lasted = told.told - max(told.asked, journal.started.at)
        if lasted > most:
            yield f"{told.run} kept its user waiting for {lasted} ms of {most}"
        if told.reason == StopReason.NO_PROGRESS and _is_honest_poll(seen, told.task):
            yield f"{told.run} polled honestly, and was taken for a loop"
    streaks = Counter[tuple[str, int]]()
    for line in seen.lines:
        if line.deed is Deed.CALLED:
            streak = (line.run, line.worker)
            streaks[streak] = streaks[streak] + 1 if _learns_nothing(line) else 0
            if streaks[streak] == REPEATS + 1:
                yield f"{line.run} called {line.name} {streaks[streak]} times with the same arguments and result"


def _learns_nothing(line: Line) -> bool:
    """The job that never changes, answered: whoever asks for it again and again learns nothing."""
    is_answered = line.fault is Fault.NONE and line.told is Told.TRUTH
    return line.deed is Deed.CALLED and line.name == "job.poll" and is_answered and b'"job"' in line.args


def _is_honest_poll(seen: Evidence, task: int) -> bool:
    return seen.tasks[task].shape is Shape.POLL and not seen.fates[task].faults - {Fault.PRESSED_AGAIN, Fault.CRASH}
