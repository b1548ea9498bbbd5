"""The fault plans: what goes wrong, how often, and what an honest system can still make of it."""

import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from types import MappingProxyType


class Fault(StrEnum):
    """One thing that goes wrong; the value is the name in the report."""

    NONE = "nothing"
    # on the wire, to a tool or to a model
    RATE_LIMITED = "429 with Retry-After"
    SERVER_ERROR = "5xx"
    DOWN = "dependency down"
    TIMEOUT = "timeout"
    DRIP = "slow drip"
    NEVER_CLOSES = "never closes"
    REPLY_LOST = "reply lost after effect"
    OTHER_REPLY = "reply of another call"
    TWICE = "delivered twice"
    MALFORMED = "malformed or truncated JSON"
    HTML = "HTML with 200"
    DRIFT = "schema drift"
    HUGE = "huge output"
    BAD_TEXT = "invalid UTF-8, NUL, surrogates"
    BAD_NUMBER = "NaN, 1e999, 5,000 digits, depth 100k"
    # in a model's mind
    BAD_ARGUMENTS = "malformed arguments"
    UNKNOWN_TOOL = "unknown tool"
    LOOK_ALIKE = "look-alike name"
    DUPLICATE_IDS = "duplicate call ids"
    PARALLEL = "64 parallel calls"
    LOOPS = "loops"
    NEVER_FINISHES = "never finishes"
    EMPTY = "empty reply"
    REFUSES = "refusing"
    USAGE_MISSING = "usage missing"
    USAGE_ABOVE = "usage above bound"
    PRICE_MISSING = "price missing"
    INJECTION = "injected instruction, obeyed"
    # of workers, of the journal, and of people
    CRASH = "worker killed"
    JOURNAL_OUT = "journal out of reach"
    CLOCK_JUMP = "clock jump"
    PRESSED_AGAIN = "retry pressed 3x"
    CANCELLED = "user cancels"
    KILLED = "kill switch"
    HOSTILE_TENANT = "hostile tenant"


class Harm(StrEnum):
    """What a fault costs a system that does everything right."""

    NONE = "none"
    ATTEMPT = "attempt"  # another attempt gets through
    CALL = "call"  # the run goes on without this call
    RUN = "run"  # no answer can come of this run


@dataclass(frozen=True, slots=True)
class Row:
    """A fault on the wire: how often in 100,000 calls, and its harm to a call of a tool and to one of a model."""

    rate: int
    tool: Harm
    model: Harm


# Per 100,000 calls: the column "bad day" of the plan. Dependencies that are down go by the clock, see `world.py`.
WIRE: Mapping[Fault, Row] = MappingProxyType({
    Fault.RATE_LIMITED: Row(3_000, Harm.ATTEMPT, Harm.ATTEMPT),
    Fault.SERVER_ERROR: Row(2_000, Harm.ATTEMPT, Harm.ATTEMPT),
    Fault.TIMEOUT: Row(1_000, Harm.CALL, Harm.RUN),  # a model that hangs takes all the time there is
    Fault.DRIP: Row(500, Harm.CALL, Harm.RUN),
    Fault.NEVER_CLOSES: Row(200, Harm.CALL, Harm.RUN),
    Fault.REPLY_LOST: Row(500, Harm.ATTEMPT, Harm.ATTEMPT),
    Fault.OTHER_REPLY: Row(100, Harm.NONE, Harm.NONE),
    Fault.TWICE: Row(100, Harm.NONE, Harm.NONE),
    Fault.MALFORMED: Row(1_000, Harm.CALL, Harm.RUN),
    Fault.HTML: Row(500, Harm.CALL, Harm.RUN),
    Fault.DRIFT: Row(1_000, Harm.CALL, Harm.RUN),
    Fault.HUGE: Row(200, Harm.CALL, Harm.RUN),
    Fault.BAD_TEXT: Row(200, Harm.CALL, Harm.RUN),
    Fault.BAD_NUMBER: Row(200, Harm.CALL, Harm.NONE),
})  # fmt: skip

# Per 100,000 replies of a model, with the harm to its run.
MIND: Mapping[Fault, tuple[int, Harm]] = MappingProxyType({
    Fault.BAD_ARGUMENTS: (1_000, Harm.NONE),
    Fault.UNKNOWN_TOOL: (500, Harm.NONE),
    Fault.LOOK_ALIKE: (200, Harm.NONE),
    Fault.DUPLICATE_IDS: (500, Harm.NONE),
    Fault.PARALLEL: (2_000, Harm.RUN),  # more than the run may call: it ends at its limit, with a partial answer
    Fault.LOOPS: (2_000, Harm.RUN),
    Fault.NEVER_FINISHES: (1_000, Harm.RUN),
    Fault.EMPTY: (250, Harm.NONE),  # it is asked again, once
    Fault.REFUSES: (250, Harm.RUN),
    Fault.USAGE_MISSING: (500, Harm.NONE),
    Fault.USAGE_ABOVE: (100, Harm.RUN),  # promised: the run halts, and the model is asked by no other run
})  # fmt: skip
AMBIGUOUS = frozenset({
    Fault.SERVER_ERROR, Fault.TIMEOUT, Fault.DRIP, Fault.NEVER_CLOSES, Fault.REPLY_LOST,
})  # fmt: skip
"""After these nobody can know whether a write took effect; a person has to look."""
PRICE_MISSING, INJECTION, PRESSED_AGAIN, CANCELLED = 200, 5_000, 5_000, 1_000  # per 100,000 runs, or outputs
JOURNAL_OUT, CLOCK_JUMP, KILLED = 5_000, 5_000, 5_000  # per 100,000 houses of 50 runs: every 1,000 runs


@dataclass(frozen=True, slots=True)
class Plan:
    """A fault plan: the rates of a bad day, so many times over."""

    name: str
    factor: int
    has_bad_disk: bool = False  # every house is on a file, whose disk is full, loses syncs, and tears what it writes

    def draw(self, table: str, chance: random.Random) -> Fault:
        """One fault of a table, or none."""
        faults, bounds = _BOUNDS[table]
        at = bisect_right(bounds, chance.random() * 100_000 / self.factor) if self.factor else len(faults)
        return faults[at] if at < len(faults) else Fault.NONE

    def happens(self, rate: int, chance: random.Random) -> bool:
        """Whether something with a rate per 100,000 happens now."""
        return chance.random() * 100_000 < rate * self.factor


PLANS: Mapping[str, Plan] = MappingProxyType({
    "calm": Plan("calm", 0), "bad_day": Plan("bad_day", 1), "hell": Plan("hell", 5),
    "bad_disk": Plan("bad_disk", 1, has_bad_disk=True),
})  # fmt: skip


def chance_of(*names: object) -> random.Random:
    """The randomness of one thing, from its name alone: nothing else that is drawn can move it."""
    return random.Random("/".join(map(str, names)))


def _bounds(rates: Mapping[Fault, int]) -> tuple[Sequence[Fault], Sequence[int]]:
    return tuple(rates), tuple(accumulate(rates.values()))


_BOUNDS = {
    "wire": _bounds({fault: row.rate for fault, row in WIRE.items()}),
    "mind": _bounds({fault: rate for fault, (rate, _) in MIND.items()}),
}
