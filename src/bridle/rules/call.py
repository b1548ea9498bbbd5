"""A call as it is proposed: which tool or model, with which arguments, and what it holds at its worst."""

from enum import StrEnum

from bridle.rules.data import data
from bridle.rules.names import Amounts, CallId, Digest, ToolName


class CallKind(StrEnum):
    """Both go through the same door."""

    TOOL = "tool"
    MODEL = "model"


class Purpose(StrEnum):
    """Whether the call is work, or the one call with which a run that is out of budget writes down what it has."""

    WORK = "work"
    FINALISE = "finalise"


@data
class Call:
    """One proposal. `args` is a keyed digest: the arguments themselves are a payload."""

    id: CallId
    kind: CallKind
    tool: ToolName  # for a model call, the model's name
    args: Digest
    hold: Amounts
    turn: int = 0  # proposals of one turn share it: those of one model reply, or one call of a plain step
    ordinal: int = 1  # the how-manieth identical proposal of its step
    attempt: int = 1
    purpose: Purpose = Purpose.WORK
