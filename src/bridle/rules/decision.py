"""The six answers to a proposed call."""

from dataclasses import field

from bridle.rules.data import data
from bridle.rules.names import Amounts, CallId, Millis, RunId
from bridle.rules.policy import Level
from bridle.rules.stop import Detail, StopReason


@data
class Admit:
    """It may be performed; `reserve` is held until it is settled."""

    reserve: Amounts


@data
class Reuse:
    """An identical call answered already, or is about to: its observation stands for this one."""

    of: CallId
    run: RunId = RunId("")  # of a write: where its receipt is; it may be another run


@data
class Later:
    """Not now, but soon, and it is no refusal: a full bulkhead (`at` is 0) or a far end that asked for time."""

    at: Millis
    reason: StopReason
    detail: Detail = field(default_factory=dict)


@data
class Hold:
    """A person decides first. It holds no money meanwhile."""

    rule: str


@data
class Deny:
    """This call is refused; the run goes on."""

    reason: StopReason
    detail: Detail = field(default_factory=dict)


@data
class Halt:
    """This call is refused and nothing else is admitted: in this run, or only in this node of it."""

    reason: StopReason
    detail: Detail = field(default_factory=dict)
    level: Level = Level.RUN


Objection = Reuse | Later | Hold | Deny | Halt


@data
class Decision:
    """The answer, and the objections that did not win, in the order of the checks."""

    answer: Admit | Objection
    also: tuple[Objection, ...] = ()
