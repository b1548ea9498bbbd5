"""A call as it is proposed: which tool or model, with which arguments, and what it holds at its worst."""

import hashlib
from enum import StrEnum
from typing import Protocol

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


class Attempted(Protocol):
    """One attempt of a call, as a client is told of it."""

    @property
    def attempt(self) -> int:
        """From 1."""

    @property
    def key(self) -> str:
        """The same for every attempt of a call; empty where nobody said."""


def marks(of: Attempted) -> dict[str, str]:
    """The headers that tell a far end which attempt this is, so that it can count them and do the work once.

    The key is a string of RFC 9651 (draft-ietf-httpapi-idempotency-key-header, section 2.1), and says nothing of the
    run: a digest leaves the house, not a name.
    """
    found = {"x-bridle-attempt": str(of.attempt)}
    if of.key:
        found["idempotency-key"] = f'"{hashlib.sha256(of.key.encode()).hexdigest()[:32]}"'
    return found
