"""Explicit flow by default, bounded autonomy in declared nodes, one door for every effect, a reason for every stop.

The names one uses daily are here; the rest stands one level down.
"""

from bridle.bridle import Bridle
from bridle.gateway.context import CallContext
from bridle.gateway.outcome import Observation
from bridle.rules.failure import BridleError, CallFailed, FailureKind
from bridle.rules.policy import Policy
from bridle.rules.stop import StopReason
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.runs.signals import Denied, Held, RunIsOpen, Stop

__all__ = [
    "Bridle",
    "BridleError",
    "CallContext",
    "CallFailed",
    "Denied",
    "FailureKind",
    "Flow",
    "Held",
    "Observation",
    "Policy",
    "Run",
    "RunIsOpen",
    "RunResult",
    "Stop",
    "StopReason",
]
