"""Group commit: functions that wait at the same moment share one fsync; one that waits alone needs no thread."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from bridle.rules.failure import ControlUnavailable

T = TypeVar("T")
BATCH = 256  # functions in one commit, at most
QUEUE = 10_000  # functions that wait, at most


@dataclass(slots=True)
class Job(Generic[T]):
    """A function on its way through a commit."""

    fn: Callable[[T], object]
    future: asyncio.Future[object] | None = None  # None where nobody has to wait
    result: object = None
    error: BaseException | None = None


class Writer(Generic[T]):
    """Collects the functions of one pass of the event loop and commits them together.

    `commit` runs them inside one transaction; it fills `result` or `error` of each job, and raises when the whole
    batch is lost. A batch of one is committed in the loop's own thread, a larger one in the writer's, so that the
    loop goes on while the disk works; where `crowd` says that only one run is at work, it is committed at once. With
    `inline` everything stays in the loop's thread: for a simulation that wants the same order every
    time.
    """

    def __init__(self, commit: Callable[[list[Job[T]]], None], crowd: Callable[[], int], *, inline: bool) -> None:
        self._commit = commit
        self._crowd = crowd
        self._inline = inline
        self._queue: deque[Job[T]] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._is_busy = False
        self._is_scheduled = False
        self._is_closed = False

    async def run(self, fn: Callable[[T], object]) -> object:
        """The result of `fn` after its commit. Raises what it raised, or ControlUnavailable."""
        if self._is_closed:
            raise ControlUnavailable("the store is closed")
        if len(self._queue) >= QUEUE:
            raise ControlUnavailable(f"{QUEUE} transactions are waiting already")
        job = Job(fn)
        if self._crowd() <= 1 and not self._queue and not self._is_busy:
            return _result(job, self._committed([job]))
        loop = asyncio.get_running_loop()
        waiter = job.future = loop.create_future()
        self._queue.append(job)
        if not self._is_scheduled and not self._is_busy:
            self._is_scheduled = True
            loop.call_soon(self._flush, loop)
        return await waiter

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_scheduled = False
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        if not batch:
            return
        if self._inline or len(batch) == 1:
            self._deliver(batch, self._committed(batch))
            if self._queue:
                self._is_scheduled = True
                loop.call_soon(self._flush, loop)
            return
        self._is_busy = True
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="bridle-writer")
        done = self._thread.submit(self._committed, batch)
        done.add_done_callback(lambda lost: loop.call_soon_threadsafe(self._landed, loop, batch, lost.result()))

    def _landed(self, loop: asyncio.AbstractEventLoop, batch: list[Job[T]], lost: str) -> None:
        self._is_busy = False
        self._deliver(batch, lost)
        self._flush(loop)

    def _committed(self, batch: list[Job[T]]) -> str:
        """Commit; returns why the whole batch was lost, or nothing."""
        try:
            self._commit(batch)
        except (KeyboardInterrupt, SystemExit):  # the whole process ends
            raise
        except BaseException as error:  # noqa: BLE001 - whatever killed the writer, nobody may wait for it for ever
            return f"{type(error).__name__}: {error}"
        return ""

    def _deliver(self, batch: list[Job[T]], lost: str) -> None:
        for job in batch:
            if job.future is None or job.future.done():
                continue
            try:
                job.future.set_result(_result(job, lost))
            except Exception as error:  # noqa: BLE001 - it goes to whoever waits
                job.future.set_exception(error)

    async def close(self) -> None:
        """Commit what is queued, then refuse everything."""
        while self._queue or self._is_busy:  # ends when the queue is empty: a closed writer takes nothing new
            self._is_closed = True
            await asyncio.sleep(0)
        self._is_closed = True
        if self._thread is not None:
            self._thread.shutdown(wait=True)


def _result(job: Job[T], lost: str) -> object:
    if lost:
        raise ControlUnavailable(f"the journal could not be written ({lost})")
    if job.error is not None:
        raise job.error
    return job.result
