"""What a run wants to end with; a halt or a write in doubt may still speak before it."""

from dataclasses import dataclass

from bridle.rules.stop import StopNote
from bridle.runs.result import RunResult


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run wants to end with: its reason, and its answer or partial result."""

    note: StopNote
    said: object = None
    result: RunResult | None = None  # once it is written down
