"""What an investigation came to."""

from dataclasses import dataclass

from bridle.rules.stop import StopNote


@dataclass(frozen=True, slots=True)
class Finding:
    """A value of the declared type; or, when a limit of the node ended it, the words so far and why."""

    value: object
    over: StopNote | None = None
