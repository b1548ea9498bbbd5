"""The oracle ledger: what the fake world saw, line by line, written by the world alone and never by bridle."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count

from bench.storm.plan import Fault
from bridle.rules.names import Millis


class Deed(StrEnum):
    """What reached the world."""

    ASKED = "asked"  # a model was asked, and billed `cost`
    CALLED = "called"  # a tool was called
    EFFECT = "effect"  # a write took effect
    SAID = "said"  # a person answered a question about a call, in `answer`


class Told(StrEnum):
    """What the world let the caller know of a call."""

    TRUTH = "truth"
    NOTHING = "nothing"  # sent, and never answered: nobody can know


@dataclass(slots=True)
class Line:
    """One line. `stamp` orders it among the commits that the tap saw; costs are nano-dollars, as billed."""

    stamp: int
    at: Millis
    deed: Deed
    task: int
    name: str  # of the tool or the model
    fault: Fault = Fault.NONE
    worker: int = 0  # which life of the worker asked
    run: str = ""  # of a tool call; a model is not told
    call: str = ""
    key: str = ""
    args: bytes = b""
    cost: int = 0
    tokens: int = 0
    beyond: int = 0  # of the cost: what the far end took beyond its declared bound
    answer: str = ""
    tenants: frozenset[str] = frozenset()  # whose canaries stood in what the world was sent
    is_pinned: bool = True  # whether the policy stood in front
    told: Told = Told.TRUTH
    crowd: int = 1  # calls of this tool and tenant that were under way, this one included
    is_committed: bool = True  # False: its admission could not be read in the store when it arrived
    is_honest: bool = True  # False: an attacker's wish was carried out


@dataclass(slots=True)
class Ledger:
    """The lines of one house, and the one counter of everything that happened in it."""

    lines: list[Line] = field(default_factory=list)
    stamp: Callable[[], int] = field(default_factory=lambda: count(1).__next__)  # later is more

    def write(self, line: Line) -> Line:
        """Add a line."""
        self.lines.append(line)
        return line
