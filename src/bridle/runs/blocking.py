"""The same doors for code without an event loop: one loop in one thread of its own, and callers that wait for it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Protocol, TypeVar

from bridle.gateway.outcome import Observation
from bridle.rules.failure import BridleError
from bridle.rules.names import Millis
from bridle.rules.prompt import ModelReply, ModelRequest
from bridle.runs.attach import Attachment
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread; `do` runs a coroutine in it and waits for the result."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bridle-loop", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[object, object, T]) -> T:
        """The result of the coroutine, or what it raised, a Stop included. An interrupt of the caller cancels it."""
        future = asyncio.run_coroutine_threadsafe(_carried(work), self._loop)
        try:
            result, raised = future.result()
        except BaseException:
            future.cancel()
            raise
        if raised is not None:
            raise raised
        assert result is not None
        return result[0]

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _carried(work: Coroutine[object, object, T]) -> tuple[tuple[T] | None, BaseException | None]:
    """What a coroutine raised, as a value: a Stop must not tear the loop's thread down on its way to the caller."""
    try:
        return (await work,), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread of the caller
        return None, error


class BlockingRun:
    """A run whose calls wait. Raises what the calls of `Run` raise."""

    def __init__(self, run: Run, thread: LoopThread) -> None:
        self._run = run
        self._thread = thread

    @property
    def id(self) -> str:
        """The run's id."""
        return self._run.id

    def call(
        self, name: str, args: Mapping[str, object] | None = None, perform: Callable[..., object] | None = None
    ) -> Observation:
        """See `Run.call`; `perform` runs in a thread of its own when it is a plain function."""
        return self._thread.do(self._run.call(name, args, perform))

    def model(
        self, request: ModelRequest, perform: Callable[[ModelRequest, Millis], ModelReply] | None = None
    ) -> ModelReply:
        """See `Run.model`; `perform` is a plain function here and runs in a thread of its own."""
        if perform is None:
            return self._thread.do(self._run.model(request))
        ask = perform

        async def asked(sent: ModelRequest, left: Millis) -> ModelReply:
            return await asyncio.to_thread(ask, sent, left)

        return self._thread.do(self._run.model(request, asked))

    def finish(self, answer: object = None, partial: object = None) -> None:
        """See `Run.finish`."""
        self._run.finish(answer, partial)

    @property
    def result(self) -> RunResult:
        """See `Run.result`."""
        return self._run.result


class BlockingAttachment:
    """`with b.attach_blocking(...) as run`: see `Attachment`."""

    def __init__(self, attachment: Attachment, thread: LoopThread) -> None:
        self._attachment = attachment
        self._thread = thread

    def __enter__(self) -> BlockingRun:
        return BlockingRun(self._thread.do(self._attachment.__aenter__()), self._thread)

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self._thread.do(self._attachment.__aexit__(kind, raised, trace))


class AsyncHouse(Protocol):
    """What the twins need of a house: its asynchronous doors."""

    @property
    def is_open(self) -> bool:
        """Whether somebody opened it in an event loop of his own."""

    async def run(
        self, flow: Flow, given: object = None, /, *, tenant: str = "default", by: str = "local", key: str | None = None
    ) -> RunResult:
        """Run a flow."""

    def attach(
        self, *, agent: str, task: str = "", tenant: str = "default", by: str = "local", key: str | None = None
    ) -> Attachment:
        """A run for a foreign loop."""

    async def close(self) -> None:
        """Close the house."""


class BlockingTwins:
    """The same doors for code without an event loop: a house works in a thread of its own until `close_blocking`."""

    def __init__(self) -> None:
        self._thread: LoopThread | None = None
        self._starting = threading.Lock()
        super().__init__()

    def run_blocking(
        self: "AsyncHouse", flow: Flow, given: object = None, /, *, tenant: str = "default", by: str = "local",
        key: str | None = None,
    ) -> RunResult:  # fmt: skip
        """`run` for code without an event loop."""
        return in_thread(self).do(self.run(flow, given, tenant=tenant, by=by, key=key))

    def attach_blocking(
        self: "AsyncHouse",
        *,
        agent: str,
        task: str = "",
        tenant: str = "default",
        by: str = "local",
        key: str | None = None,
    ) -> BlockingAttachment:
        """`attach` for code without an event loop: `with b.attach_blocking(agent="support") as run`."""
        return BlockingAttachment(self.attach(agent=agent, task=task, tenant=tenant, by=by, key=key), in_thread(self))

    def close_blocking(self: "AsyncHouse") -> None:
        """Close the house and the thread it worked in."""
        assert isinstance(self, BlockingTwins)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.do(self.close())
            thread.close()


def in_thread(house: "AsyncHouse") -> LoopThread:
    """The thread of a house, started by the first who needs it. Raises BridleError when it is open in a loop."""
    assert isinstance(house, BlockingTwins)
    with house._starting:
        if house._thread is None:
            if house.is_open:
                raise BridleError("this house is open in a loop; its blocking twins need a Bridle of their own")
            house._thread = LoopThread()
        return house._thread
