"""What is known after a house's day: the oracle's lines on one side, journals and answers on the other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bench.storm.ledger import Deed, Line
from bench.storm.plan import Plan
from bench.storm.tap import Commits
from bench.storm.tasks import Task
from bench.storm.world import Fate
from bridle.rules.budget import Account, Balance
from bridle.rules.call import CallKind
from bridle.rules.events import (
    ApprovalDecided,
    CallAdmitted,
    CallInDoubt,
    CallResolved,
    CallSettled,
    CallVoided,
    Event,
    RunResumed,
    RunStarted,
    RunStopped,
    RunSuspended,
)
from bridle.rules.names import CallId, Millis, RunId
from bridle.rules.policy import Cap
from bridle.rules.run import RunState
from bridle.rules.switch import Scope
from bridle.store.base import Entry

NEVER = 10**18  # the stamp of what was not committed
BEAT = 1_000  # milliseconds: by so much nobody knows when a worker died
SENT = (Deed.ASKED, Deed.CALLED)


@dataclass(frozen=True, slots=True)
class Killed:
    """The switch was on, from the stamp of its acknowledgement to that before it was turned off."""

    since: int
    until: int
    level: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Answered:
    """What one user was told: the run's reason and head, in virtual milliseconds from his first press."""

    task: int
    run: RunId
    reason: str
    head: str
    asked: Millis
    told: Millis


@dataclass
class Journal:
    """One run as the store has it, with the stamp of each event's commit."""

    run: RunId
    task: int
    state: RunState
    head: bytes
    salt: bytes
    entries: list[Entry]
    stamps: list[int]
    payloads: Mapping[str, bytes]

    @property
    def events(self) -> Iterator[tuple[int, Event]]:
        """Each event with the stamp of its commit."""
        return ((stamp, entry.event) for stamp, entry in zip(self.stamps, self.entries, strict=True))

    @property
    def started(self) -> RunStarted:
        """Its first event."""
        first = self.entries[0].event
        assert isinstance(first, RunStarted)
        return first

    @property
    def waited(self) -> int:
        """How long it waited for a person; children may have ended meanwhile."""
        found, waits = 0, False
        for entry in self.entries:
            if isinstance(entry.event, RunResumed):
                found += entry.event.away if waits else 0
                waits = False
            else:
                waits |= isinstance(entry.event, RunSuspended | ApprovalDecided)
        return found

    @property
    def takeovers(self) -> int:
        """How often another life of the worker went on with it."""
        return sum(isinstance(entry.event, RunResumed) for entry in self.entries)

    @cached_property
    def resolved(self) -> dict[CallId, CallResolved]:
        """What became known of calls that were in doubt."""
        return {entry.event.call: entry.event for entry in self.entries if isinstance(entry.event, CallResolved)}

    @property
    def ended(self) -> int:
        """The stamp of its terminal event."""
        return next((stamp for stamp, event in self.events if isinstance(event, RunStopped)), NEVER)


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admission, how it ended, and what of it the world saw."""

    journal: Journal
    stamp: int
    event: CallAdmitted
    ending: CallSettled | CallVoided | CallInDoubt | None
    lines: list[Line] = field(default_factory=list)


@dataclass
class Evidence:
    """One house's day."""

    house: int
    plan: Plan
    caps: Sequence[Cap]
    tasks: Mapping[int, Task]
    fates: Mapping[int, Fate]
    lines: list[Line]
    commits: Commits
    journals: dict[RunId, Journal]
    answers: list[Answered]
    balances: Mapping[Account, Balance]
    down: list[tuple[RunId, Millis, Millis]]  # when a run had no worker that lived; without a name, when none had
    outages: list[tuple[int, int]]  # stamps between which the journal was out of reach
    kills: list[Killed]
    hung: str  # what never came to an end, or nothing
    logged: list[str]
    wrong: list[str]  # answers of people that were taken and should not have been
    raised: list[str]  # what reached a user instead of an answer

    @cached_property
    def admitted(self) -> dict[tuple[RunId, CallId], Admitted]:
        """Every admission, with the lines of the ledger that stand for it."""
        found = {key: one for journal in self.journals.values() for key, one in _admissions(journal)}
        waiting: dict[int, list[Admitted]] = {}
        for one in found.values():
            if one.event.kind is CallKind.MODEL:
                waiting.setdefault(one.journal.task, []).append(one)
        for line in self.lines:
            named = found.get((RunId(line.run), CallId(line.call)))
            admitted = _newest(waiting.get(line.task, []), line) if line.deed is Deed.ASKED else named
            if admitted is not None and line.deed in SENT:
                admitted.lines.append(line)
        return found

    @cached_property
    def unfounded(self) -> list[Line]:
        """Lines for which no admission was committed before."""
        founded = {id(line) for one in self.admitted.values() for line in one.lines}
        return [line for line in self.lines if line.deed in SENT and id(line) not in founded]

    def excused(self, told: Answered) -> int:
        """For how long a user waited while his run was nobody's, or a person's; a beat counts for each worker lost."""
        spans = [(fell, up) for run, fell, up in self.down if run in ("", told.run)]
        down = sum(max(min(told.told, up) - max(told.asked, fell), 0) for fell, up in spans)
        journal = self.journals.get(told.run)
        return down + (journal.waited + BEAT * journal.takeovers if journal is not None else 0)

    def lineage(self, journal: Journal) -> Iterator[Journal]:
        """A run, its parent, and so on to the run that somebody asked for."""
        found: Journal | None = journal
        while found is not None:  # ends: generations are few
            yield found
            found = self.journals.get(found.started.parent)


def _newest(waiting: list[Admitted], line: Line) -> Admitted | None:
    """A model is not told which call asks it: a task asks one at a time, so it is the newest one before."""
    found = None
    for one in waiting:
        if one.stamp < line.stamp and (found is None or one.stamp > found.stamp):
            found = one
    return found


def _admissions(journal: Journal) -> Iterator[tuple[tuple[RunId, CallId], Admitted]]:
    endings: dict[CallId, CallSettled | CallVoided | CallInDoubt] = {}
    for entry in journal.entries:
        if isinstance(entry.event, CallSettled | CallVoided | CallInDoubt):
            endings[entry.event.call] = entry.event
    for stamp, event in journal.events:
        if isinstance(event, CallAdmitted):
            yield (journal.run, event.call), Admitted(journal, stamp, event, endings.get(event.call))
