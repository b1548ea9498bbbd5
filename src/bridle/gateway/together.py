"""Several things at once, none of them orphaned."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TypeVar

T = TypeVar("T")


async def together(work: Sequence[Coroutine[object, object, T]]) -> list[T]:
    """The results in order. The first exception cancels the others and is raised as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as raised:
        raise first_of(raised) from None
    return [task.result() for task in tasks]


def first_of(raised: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception that is none of a group."""
    error: BaseException = raised
    while isinstance(error, BaseExceptionGroup):  # ends: groups nest finitely
        error = error.exceptions[0]
    return error
