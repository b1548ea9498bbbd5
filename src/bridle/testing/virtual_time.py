"""An event loop whose clock jumps when nothing is ready, so that a test may be a whole day long and take a second."""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

from bridle.gateway.world import World
from bridle.rules.names import MILLIS_PER_SECOND, Millis

START = Millis(1_767_225_600_000)  # 2026-01-01 00:00 UTC: windows of accounts begin where a story begins
PATIENCE_S = 30.0  # real seconds that the loop waits for a thread, while virtual time stands still
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Events = list[tuple[selectors.SelectorKey, int]]


class Deadlock(RuntimeError):
    """Everybody waits and nothing is scheduled: in virtual time nothing will ever happen again."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs `asyncio.sleep`, timeouts and deadlines in virtual time; what is ready runs at once and takes none.

    `start` is what `now` says at the beginning, in Unix milliseconds. Work that asyncio sends to threads
    (`asyncio.to_thread`, sync tools) is waited for in real time, and virtual time stands still meanwhile; other
    threads and processes are not seen, so use a store in memory.
    """

    def __init__(self, start: Millis = START) -> None:
        self._start = start
        self._passed = 0.0  # virtual seconds; from 0, because asyncio's timers need its last nine decimals
        self._threads_out = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._passed

    def now(self) -> Millis:
        """Virtual Unix milliseconds."""
        return Millis(self._start + round(self._passed * MILLIS_PER_SECOND))

    async def sleep(self, seconds: float) -> None:
        """As `asyncio.sleep`, where it is certain that the seconds are virtual."""
        await asyncio.sleep(seconds)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As of every loop; the thread is counted, so that the clock waits for it."""
        work = super().run_in_executor(executor, func, *args)
        self._threads_out += 1
        work.add_done_callback(self._came_back)
        return work

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as of every loop
        """As of every loop; the thread that asyncio starts for it is counted too. `timeout` is not needed here."""
        self._threads_out += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._threads_out -= 1

    def _came_back(self, work: "asyncio.Future[T]") -> None:
        self._threads_out -= 1

    def waited(self, select: Callable[[float], Events], wanted: float | None) -> Events:
        """What is ready after `wanted` virtual seconds (None: whenever). Raises Deadlock."""
        ready = select(0)
        if ready or (wanted is not None and wanted <= 0):
            return ready
        if self._threads_out:
            ready = select(PATIENCE_S)
            if not ready:
                raise Deadlock(f"a thread has been at work for {PATIENCE_S:g} real seconds; virtual time waits for it")
            return ready
        if wanted is None:
            raise Deadlock(f"after {self._passed:g} virtual seconds everybody waits, and nothing is scheduled")
        self._passed += wanted
        return []


class _JumpingSelector(selectors.DefaultSelector):
    """The real selector, but it does not wait: it lets the loop move its clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Events:
        return self._loop.waited(super().select, timeout)


def run_virtual(story: Callable[[VirtualLoop], Coroutine[object, object, T]], *, start: Millis = START) -> T:
    """Run `story(loop)` to its end in virtual time. `start` is in Unix milliseconds.

    Raises what the story raises, and Deadlock when it waits for something that can never happen.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(story(loop))


def virtual_world(loop: VirtualLoop, seed: int = 0) -> World:
    """What the gateway asks the outside for, under a loop of virtual time: the same seed gives the same day."""
    chance = random.Random(seed)  # noqa: S311 - the point of it is that it can be foreseen
    return World(now=loop.now, chance=chance.random, fresh=chance.randbytes)
