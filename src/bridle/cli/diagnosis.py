"""One finding of `bridle doctor`."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it is."""

    WELL = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at: how it is, in a sentence, and what to do now."""

    name: str
    state: State
    text: str
    now: str = ""
