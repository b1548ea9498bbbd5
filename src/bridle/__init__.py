"""Explicit flow by default, bounded autonomy in declared nodes, one door for every effect, a reason for every stop.

The names one uses daily are here, each fetched when it is first asked for: a command that needs none starts at once.
The rest stands one level down.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridle.bridle import Bridle
    from bridle.gateway.context import CallContext
    from bridle.gateway.outcome import Observation
    from bridle.rules.failure import BridleError, CallFailed, FailureKind
    from bridle.rules.policy import Policy
    from bridle.rules.stop import StopReason
    from bridle.runs.flow import Flow
    from bridle.runs.result import RunResult
    from bridle.runs.run import Run
    from bridle.runs.signals import Denied, Held, NotStarted, RunIsOpen, Stop

_HOMES = {
    "Bridle": "bridle",
    "CallContext": "gateway.context",
    "Observation": "gateway.outcome",
    "BridleError": "rules.failure",
    "CallFailed": "rules.failure",
    "FailureKind": "rules.failure",
    "Policy": "rules.policy",
    "StopReason": "rules.stop",
    "Flow": "runs.flow",
    "RunResult": "runs.result",
    "Run": "runs.run",
    "Denied": "runs.signals",
    "Held": "runs.signals",
    "NotStarted": "runs.signals",
    "RunIsOpen": "runs.signals",
    "Stop": "runs.signals",
}

__all__ = [
    "Bridle",
    "BridleError",
    "CallContext",
    "CallFailed",
    "Denied",
    "FailureKind",
    "Flow",
    "Held",
    "NotStarted",
    "Observation",
    "Policy",
    "Run",
    "RunIsOpen",
    "RunResult",
    "Stop",
    "StopReason",
]


def __getattr__(name: str) -> object:
    """Fetch a name of `__all__` on its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bridle' has no attribute {name!r}")
    found: object = getattr(import_module(f"bridle.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
