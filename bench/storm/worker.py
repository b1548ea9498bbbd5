"""One life of a worker: a Bridle on a store that outlives it, and tasks that end when it is killed."""

import asyncio
import random
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import TypeVar
from unittest import mock

import bridle.bridle
from bench.storm.disk import Disk
from bench.storm.house import PRESENT, furnished
from bench.storm.tap import Commits, Crashed, Tap
from bench.storm.world import World
from bridle.gateway.world import World as OutsideWorld
from bridle.rules.names import Millis
from bridle.runs import switchboard
from bridle.store import writer
from bridle.store.sqlite import SqliteStore
from bridle.testing.virtual_time import VirtualLoop

T = TypeVar("T")


class Worker:
    """Opens a Bridle behind a tap, and knows every task that is done in its name."""

    def __init__(
        self, number: int, world: World, loop: VirtualLoop, disk: Disk, commits: Commits, dies_at: int
    ) -> None:
        self.number = number
        self.world = world
        self.is_dead = False
        self.clock_off = Millis(0)
        self._loop, self._disk = loop, disk
        self.death: asyncio.Future[None] = loop.create_future()
        self._tasks: dict[asyncio.Task[object], None] = {}
        self._context = copy_context()
        self._context.run(PRESENT.set, self)
        self.tap = Tap(disk.open(), world.ledger, commits, 0 if disk.tears else dies_at, self.die)
        if disk.tears:
            disk.dies_while_it_commits(self.tap.inner, dies_at, self.die)
        chance = random.Random(f"{number}/{disk.batch}/{loop.now()}")
        lent = OutsideWorld(lambda: Millis(loop.now() + self.clock_off), chance.random, chance.randbytes)
        self.house = furnished(disk.place, lent)

    async def open(self) -> None:
        """Open the house, recovery included."""
        with _lent(self.tap, self.number):
            await self.does(self.house.open())

    def does(self, work: Coroutine[object, object, T]) -> "asyncio.Task[T]":
        """Work in the name of this worker: it ends when the worker is killed."""
        return self._loop.create_task(work, context=self._context)

    async def lives_until(self, job: "asyncio.Task[T]") -> None:
        """Until a job is done, or the worker dead."""
        over = self._loop.create_future()
        for one in (job, self.death):
            one.add_done_callback(lambda _: None if over.done() else over.set_result(None))
        await over

    def owns(self, task: "asyncio.Task[object]") -> None:
        """One more task in its name."""
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    def must_live(self) -> None:
        """The dead send nothing. Raises Crashed."""
        if self.is_dead:
            raise Crashed

    def stamp(self) -> int:
        """When it sends what it asks."""
        return self.world.ledger.stamp()

    def die(self) -> None:
        """As by kill -9: nothing is written any more, nothing is sent, nobody tidies up."""
        if self.is_dead:
            return
        self.is_dead = self.tap.is_dead = True
        for task in list(self._tasks):
            task.cancel()
        inner = self.tap.inner
        if isinstance(inner, SqliteStore):  # what the kernel does for a process that died
            self._disk.loses(inner)
        self.death.set_result(None)


@contextmanager
def _lent(tap: Tap, number: int) -> Iterator[None]:
    """Bridle opens its store by name; here it is given this one, and a name on the roll that is the same every time."""

    def opened(*_: object) -> Tap:
        tap.inner.enlist()
        return tap

    def name(_: int) -> str:
        return f"{number:08}"

    with (
        mock.patch.object(bridle.bridle, "enlisted", opened),
        mock.patch.object(secrets, "token_hex", name),
    ):
        yield


@contextmanager
def batches_of(size: int) -> Iterator[None]:
    """The writer takes so many functions into a commit, at most; the switch is looked at with every sweep."""
    with mock.patch.object(writer, "BATCH", size), mock.patch.object(switchboard, "LOOKS_EVERY_S", 0.5):
        yield


def owning(
    loop: asyncio.AbstractEventLoop, work: Coroutine[object, object, T], context: Context | None = None
) -> "asyncio.Task[T]":
    """A task factory: a task belongs to the worker in whose name it was made."""
    task = asyncio.Task(work, loop=loop, context=context)
    owner = context[PRESENT] if context is not None and PRESENT in context else PRESENT.get(None)
    if isinstance(owner, Worker):
        owner.owns(task)
    return task
