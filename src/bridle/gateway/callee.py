"""A function of somebody else's: plain or async, with or without a parameter for the context of its call."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bridle.gateway.context import CallContext
from bridle.gateway.threads import in_thread


@dataclass(frozen=True, slots=True)
class Callee:
    """What performs a tool, asks its far end, or shows what it would change."""

    function: Callable[..., object]
    is_async: bool
    wants_context: bool

    @staticmethod
    def of(function: Callable[..., object]) -> "Callee":
        """A function, by its signature. Raises ValueError when it has none that can be read."""
        inner = inspect.unwrap(function)
        body = inner if inspect.isroutine(inner) else getattr(inner, "__call__", inner)  # noqa: B004  # a callable object
        return Callee(function, inspect.iscoroutinefunction(body), "call" in inspect.signature(function).parameters)

    async def __call__(self, context: CallContext, given: Mapping[str, object], *first: object) -> object:
        """What it returns or raises; a plain one runs in a thread of its own."""
        named = {**given, "call": context} if self.wants_context else given
        if self.is_async:
            answer = self.function(*first, **named)
        else:
            answer = await in_thread(lambda: self.function(*first, **named))
        return await answer if isinstance(answer, Awaitable) else answer
