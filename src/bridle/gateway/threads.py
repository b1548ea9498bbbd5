"""Plain functions in threads of their own: one that never returns holds up nobody, not even the end of the process."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from bridle.rules.failure import CallFailed, FailureKind

P = ParamSpec("P")
T = TypeVar("T")


class Daemons(Executor):
    """A daemon thread for each function. One that never returns stays; the seat of its call is given back.

    Not asyncio's own executor: its few threads are shared, and a tool that never returns keeps one for ever.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As of every executor."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it is raised again, where the call is waited for
                future.set_exception(error)

        threading.Thread(target=run, name="bridle-tool", daemon=True).start()
        return future


DAEMONS = Daemons()


async def in_thread(work: Callable[[], object]) -> object:
    """What a plain function returns or raises."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(DAEMONS, context.run, _safe, work)


def _safe(work: Callable[[], object]) -> object:
    """A future takes no StopIteration, and whoever waits for it would wait for ever."""
    try:
        return work()
    except StopIteration as error:
        raise CallFailed(FailureKind.CRASHED, "StopIteration") from error
