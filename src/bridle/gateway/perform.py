"""The one place where a tool or a model is really called: with a permit, under a deadline, nothing around it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bridle.gateway.cleaning import legible
from bridle.gateway.watchdog import watchdog_of
from bridle.rules.data import data
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import CallId, Millis


class PermitUsed(AssertionError):
    """A permit was shown twice: one admission is one attempt."""


@dataclass(slots=True)
class Permit:
    """What a committed admission returns; it opens the door once."""

    call: CallId
    until: Millis  # the attempt ends by then, Unix milliseconds
    is_cut: bool = False  # that is earlier than its own timeout: the run or its step has no more time
    is_used: bool = field(default=False)

    def use(self) -> None:
        """Spend it. Raises PermitUsed the second time."""
        if self.is_used:
            raise PermitUsed(f"the permit of {self.call} was used before")
        self.is_used = True


@data
class Performed:
    """What came back: a value nobody has looked at yet, or how the call failed."""

    value: object = None
    failed: CallFailed | None = None


async def perform(permit: Permit, work: Callable[[], Awaitable[object]], now: Millis) -> Performed:
    """One attempt. The watchdog counts the whole time; work that will not stop is left behind, its result unread."""
    permit.use()
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    task = loop.create_task(_announced(work, over), name=permit.call)
    seconds = max(permit.until - now, 0) / 1_000
    watchdog = watchdog_of(loop)
    watchdog.watch(over, seconds)
    try:
        await over  # what asyncio.wait does, without the sets: this is on the path of every call
    except asyncio.CancelledError:
        task.cancel()
        task.add_done_callback(_forgotten)
        raise
    finally:
        watchdog.let_go(over)
    if not task.done():
        task.cancel()
        task.add_done_callback(_forgotten)
        return Performed(failed=CallFailed(FailureKind.TIMEOUT, f"no answer within {seconds:g} s"))
    return task.result()


async def perform_here(permit: Permit, work: Callable[[], Awaitable[object]], now: Millis) -> Performed:
    """One attempt of one of our own clients, in the caller's task: its port promises that a cancellation ends it.

    A task of its own costs a seventh of a call; what is not ours gets one (`perform`).
    """
    permit.use()
    try:
        async with asyncio.timeout(max(permit.until - now, 0) / 1_000):
            return Performed(await work())
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - translated, or raised again
        return Performed(failed=_translated(error))


async def _announced(work: Callable[[], Awaitable[object]], over: "asyncio.Future[None]") -> Performed:
    """Wakes who waits from inside the task: a callback on the task would wake him one pass of the loop later."""
    try:
        return Performed(await work())
    except asyncio.CancelledError:  # read only where nobody outside cancelled it
        return Performed(failed=CallFailed(FailureKind.CRASHED, "the call was cancelled from inside"))
    except SystemExit as error:  # a tool does not end the house
        return Performed(failed=CallFailed(FailureKind.CRASHED, f"SystemExit: {error.code}"))
    except BaseException as error:  # noqa: BLE001 - translated, or raised again
        return Performed(failed=_translated(error))
    finally:
        _end(over)


def _translated(error: BaseException) -> CallFailed:
    """What foreign code raised, translated once. A stop or an interrupt is not ours to keep and is raised again."""
    if isinstance(error, CallFailed):
        error.message = legible(str(error.message))
        return error
    if isinstance(error, TimeoutError):
        return CallFailed(FailureKind.TIMEOUT, _said(error))
    if isinstance(error, ConnectionError):
        return CallFailed(FailureKind.UNAVAILABLE, _said(error))
    if isinstance(error, Exception | GeneratorExit):
        return CallFailed(FailureKind.CRASHED, _said(error))
    raise error


def _said(error: BaseException) -> str:
    """Its class and the start of its message; a hostile `__str__` costs nothing."""
    try:
        text = legible(str(error))
    except Exception:  # noqa: BLE001 - even the message of an exception is foreign code
        text = "its message cannot be read"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _end(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


def _forgotten(task: asyncio.Task[Performed]) -> None:
    """A late end is looked at, so that nothing is logged as never retrieved."""
    if not task.cancelled():
        task.exception()
