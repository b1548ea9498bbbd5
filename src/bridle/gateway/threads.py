"""Plain functions in threads of their own: one that never returns holds up nobody, not even the end of the process."""

import asyncio
import contextvars
import threading
from collections.abc import Callable

from bridle.rules.failure import CallFailed, FailureKind


async def in_thread(work: Callable[[], object]) -> object:
    """What a plain function returns or raises. The thread is a daemon; one that never returns stays, without its seat.

    Not asyncio's executor: its few threads are shared, and a tool that never returns keeps one for ever.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[object] = loop.create_future()
    context = contextvars.copy_context()

    def told(result: object, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        elif isinstance(error, StopIteration):  # a future takes none, and whoever waits would wait for ever
            done.set_exception(CallFailed(FailureKind.CRASHED, "StopIteration"))
        else:
            done.set_exception(error)

    def run() -> None:
        result: object = None
        error: BaseException | None = None
        try:
            result = context.run(work)
        except BaseException as raised:  # noqa: BLE001 - it is raised again, where the call is waited for
            error = raised
        try:
            loop.call_soon_threadsafe(told, result, error)
        except RuntimeError:
            return  # the loop is gone, and so is everybody who waited

    threading.Thread(target=run, name="bridle-tool", daemon=True).start()
    return await done
