"""A tool that does what its script says: results, failures by kind, and time that passes."""

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import MILLIS_PER_SECOND, Millis


@dataclass(frozen=True, slots=True)
class Returns:
    """One call returns `value` after so many milliseconds; `times` calls in a row do."""

    value: object = None
    after: Millis = Millis(0)
    times: int = 1


@dataclass(frozen=True, slots=True)
class Fails:
    """One call fails after so many milliseconds; `times` calls in a row do. `retry_after` is in milliseconds."""

    kind: FailureKind
    after: Millis = Millis(0)
    times: int = 1
    retry_after: Millis | None = None
    happened: bool | None = None
    message: str = "the script says so"


Turn = Returns | Fails


class FakeTool:
    """Declare it like any other tool: `b.declare("kb.read", FakeTool({"doc": str}, Returns("text")), effect="read")`.

    `takes` gives its arguments by name with their types. Every call takes the next turn of the script; the last turn
    repeats for ever. `calls` holds the arguments of every call, as they arrived.
    """

    def __init__(self, takes: Mapping[str, type], *script: Turn) -> None:
        turns = [turn for turn in script for _ in range(turn.times)]
        if not turns:
            raise ValueError("a fake tool needs a turn: FakeTool({'doc': str}, Returns('text'))")
        self._turns = turns
        self.calls: list[dict[str, object]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        kind = inspect.Parameter.KEYWORD_ONLY
        arguments = [inspect.Parameter(name, kind, annotation=type_) for name, type_ in takes.items()]
        self.__signature__ = inspect.Signature(arguments, return_annotation=object)

    async def __call__(self, **args: object) -> object:
        """One call; raises CallFailed where the script says so."""
        turn = self._turns[min(len(self.calls), len(self._turns) - 1)]
        self.calls.append(args)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(turn.after / MILLIS_PER_SECOND)
        finally:
            self.in_flight -= 1
        match turn:
            case Returns(value=value):
                return value
            case Fails(kind=kind, message=message, retry_after=patience, happened=happened):
                raise CallFailed(kind, message, retry_after=patience, happened=happened)
