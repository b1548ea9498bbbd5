"""What a day came to, in numbers that can be added up: one row for each fault, for the runs that met it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from bench.storm.evidence import SENT, Evidence
from bench.storm.house import LIMITS
from bench.storm.ledger import Deed
from bench.storm.plan import Fault
from bridle.rules.events import CallInDoubt, RunResumed
from bridle.rules.names import MILLIS_PER_SECOND, USD_NANO
from bridle.rules.stop import StopReason

EVERY_RUN = "every run"
RETRIES = 3  # that a run is promised; whoever needs more of them is not served


@dataclass(slots=True)
class Row:
    """The runs that met one fault. Money is in nano-dollars."""

    runs: int = 0
    answered: int = 0  # whose user was told an end
    in_time: int = 0
    ok: int = 0
    degraded: int = 0
    feasible: int = 0
    feasible_ok: int = 0
    wanted: int = 0  # calls that were admitted for the first time
    sent: int = 0  # calls that reached the world
    overspent: int = 0  # beyond a run's limit, where the far end kept its bounds
    stranded: int = 0  # paid to be safe, and never billed
    duplicates: int = 0
    in_doubt: int = 0
    resumed: int = 0

    def add(self, other: "Row") -> None:
        """Both together."""
        for column in fields(Row):
            setattr(self, column.name, getattr(self, column.name) + getattr(other, column.name))


@dataclass(slots=True)
class Tally:
    """The rows of many days, and what did not hold on them: (run or house, promise, what)."""

    rows: dict[str, Row] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str, str]] = field(default_factory=list)
    runs: int = 0
    crashes: int = 0
    commits: int = 0

    def add(self, other: "Tally") -> None:
        """Both together."""
        for name, row in other.rows.items():
            self.rows.setdefault(name, Row()).add(row)
        self.reasons.update(other.reasons)
        self.violations += other.violations
        self.runs += other.runs
        self.crashes += other.crashes
        self.commits += other.commits


def tally(seen: Evidence, violations: list[tuple[str, str]]) -> Tally:
    """One day in numbers."""
    found = Tally(runs=len(seen.tasks), commits=seen.commits.count)
    first = min(seen.tasks)
    found.violations = [(first, promise, what) for promise, what in violations]
    found.crashes = max((line.worker for line in seen.lines), default=1) - 1
    for number, row in _rows(seen):
        for fault in (EVERY_RUN, *(fault.value for fault in seen.fates[number].faults - {Fault.NONE})):
            found.rows.setdefault(fault, Row()).add(row)
    found.reasons.update({told.task: told.reason for told in seen.answers}.values())
    return found


def _rows(seen: Evidence) -> Iterator[tuple[int, Row]]:
    """One row for each task."""
    rows = {number: Row(runs=1) for number in seen.tasks}
    for number, fate in seen.fates.items():
        rows[number].feasible = is_feasible(seen, number)
        del fate
    for told in seen.answers:
        row = rows[told.task]
        row.answered = 1
        most = LIMITS.max_seconds * MILLIS_PER_SECOND + 2_000 + seen.excused(told)
        row.in_time = int(told.told - told.asked <= most)
        row.ok = int(told.reason == StopReason.OK)
        row.degraded = int(told.reason == StopReason.OK_DEGRADED)
        row.feasible_ok = int(bool(row.feasible and (row.ok or row.degraded)))
    effects = Counter((line.run, line.key) for line in seen.lines if line.deed is Deed.EFFECT)
    for line in seen.lines:
        rows[line.task].sent += line.deed in SENT
        if line.deed is Deed.EFFECT and effects[line.run, line.key] > 1:
            rows[line.task].duplicates += 1
    for one in seen.admitted.values():
        row, billed = rows[one.journal.task], sum(line.cost for line in one.lines)
        row.wanted += one.event.attempt == 1
        row.in_doubt += isinstance(one.ending, CallInDoubt)
        paid = getattr(one.ending, "used", one.event.hold).get(USD_NANO, 0)
        row.stranded += max(paid - billed, 0)
    for journal in seen.journals.values():
        rows[journal.task].resumed += any(isinstance(entry.event, RunResumed) for entry in journal.entries)
    spent = Counter[int]()
    for line in seen.lines:
        spent[line.task] += line.cost - line.beyond
    for number, row in rows.items():
        runs = sum(journal.task == number and not journal.started.parent for journal in seen.journals.values())
        row.overspent = max(spent[number] - runs * LIMITS.max_usd, 0)
    yield from rows.items()


def is_feasible(seen: Evidence, number: int) -> bool:
    """Whether the world left a task a way to its answer, within what its run may use."""
    fate = seen.fates[number]
    return not fate.is_spoiled and fate.retries <= RETRIES
