"""The world outside of bridle: suites, one trial in them, and the ledger that the tools themselves keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bridle.rules.strict_json import Json


@dataclass(frozen=True)
class Step:
    """One call, as a task's ground truth has it."""

    tool: str
    args: Mapping[str, Json]


@dataclass(frozen=True)
class Trial:
    """A user's task, the attack on it ("" where there is none), and what both come to."""

    suite: str
    task: str
    attack: str
    prompt: str
    truth: tuple[Step, ...]
    answer: str
    attacker: tuple[Step, ...] = ()
    mark: str = ""  # stands in every injected text


@dataclass(frozen=True)
class Given:
    """What a tool gave back: as data for the gateway, as text for the model."""

    value: Json
    text: str
    failed: bool = False


class Place(Protocol):
    """The environment of one trial."""

    def perform(self, step: Step) -> Given:
        """Really do it; what goes wrong is told in the answer, as AgentDojo tells its models."""

    def is_useful(self, answer: str, done: Sequence[Step]) -> bool:
        """AgentDojo's own check of the user's task."""


class Suite(Protocol):
    """One suite of tasks and attacks."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def tools(self) -> Mapping[str, Mapping[str, object]]:
        """The JSON Schemas of the arguments of its tools."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The ids of its user tasks."""

    @property
    def attacks(self) -> tuple[str, ...]:
        """The ids of its injection tasks."""

    def open(self, task: str, attack: str) -> tuple[Trial, Place]:
        """A fresh environment, with the attack in every text that the task comes to see."""


@dataclass(frozen=True)
class Line:
    """One call that really was performed."""

    step: Step
    given: Given


@dataclass
class Ledger:
    """What the tools of one trial saw; bridle cannot write here."""

    place: Place
    lines: list[Line] = field(default_factory=list)

    def perform(self, step: Step) -> Json:
        """Do it and write it down."""
        given = self.place.perform(step)
        self.lines.append(Line(step, given))
        return given.value

    def shows(self, mark: str) -> bool:
        """Whether some output had this in it."""
        return bool(mark) and any(mark in line.given.text for line in self.lines)

    def done(self) -> list[Step]:
        """What took effect, in order."""
        return [line.step for line in self.lines if not line.given.failed]
