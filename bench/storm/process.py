"""A worker of tier P, in a process of its own: `python -m bench.storm.process <folder> <number> <seed> <runs> <plan>`.

It drives what it is asked to and what it takes over, until it is killed or told to stop by SIGTERM.
"""

import asyncio
import logging
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast
from unittest import mock

import bridle.bridle
from bench.storm.far_world import Asker, Client
from bench.storm.house import PRESENT, furnished, requested
from bench.storm.plan import PLANS
from bench.storm.tasks import task_of
from bench.storm.wire import Errand, Reply, receive, send
from bench.storm.world import World
from bridle.bridle import Bridle
from bridle.gateway.world import World as OutsideWorld
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import RunId
from bridle.store.base import Transaction
from bridle.store.sqlite import SqliteStore
from bridle.store.work import Work

T = TypeVar("T")
DRAIN = 0.5  # seconds


class StampingStore(SqliteStore):
    """A store that leaves the time of each event in a file, from inside of the transaction that writes it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._stamps = os.open(path.with_name(f"{os.getpid()}.stamps"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def transact(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn`, and note what it wrote; what is rolled back is written by somebody else later."""

        def watched(tx: Transaction) -> T:
            result, work = fn(tx), cast(Work, tx)
            over = [(a, b) for a, b in work.accounts.items() if b.settled + b.reserved > b.limit]
            if work.lines or over:
                noted = [line[:2] for line in work.lines]
                os.write(self._stamps, pickle.dumps((time.monotonic_ns(), noted, over)))
            return result

        return await super().transact(watched)


async def _answered(house: Bridle, order: Errand, seed: int, plan: str) -> Reply:
    task = task_of(seed, order.task, PLANS[plan])
    try:
        result = await requested(house, task, RunId(order.waits_for))
    except ControlUnavailable:
        return Reply(order.number, is_out=True)
    except Exception as error:  # noqa: BLE001 - whatever reaches a user is told, and is a violation
        return Reply(order.number, raised=repr(error))
    if result is None:
        return Reply(order.number)
    reason = str(result.stop.reason) if result.stop is not None else ""
    return Reply(order.number, result.run_id, reason, result.head, result.approval or "")


async def main() -> None:
    """Work."""
    folder, plan = Path(sys.argv[1]), sys.argv[5]
    number, seed, runs = map(int, sys.argv[2:5])
    logging.basicConfig(filename=folder / f"{number}.log", level=logging.WARNING)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    PRESENT.set(Asker(number, 0, cast(World, Client(folder / "world", number))))
    with mock.patch.object(bridle.bridle, "enlisted", lambda path, now: _enlisted(path)):
        house = furnished(f"sqlite:///{folder / 'storm.db'}", OutsideWorld(), runs)
        await house.open()
    reader, writer = await asyncio.open_unix_connection(folder / "world")
    await send(writer, (number, house.store.worker))
    jobs: dict[int, asyncio.Task[None]] = {}

    async def job(order: Errand) -> None:
        try:
            await send(writer, await _answered(house, order, seed, plan))
        finally:
            del jobs[order.number]

    async def take() -> None:
        while True:  # ends: cancelled when this worker stops
            order = await receive(reader)
            assert isinstance(order, Errand)
            if order.task < 0 and order.number in jobs:
                jobs[order.number].cancel()
            elif order.task >= 0:
                jobs[order.number] = asyncio.create_task(job(order))

    taking = asyncio.create_task(take())
    await told.wait()
    taking.cancel()
    await house.close(drain=DRAIN)
    for one in tuple(jobs.values()):
        one.cancel()


def _enlisted(path: Path | None) -> StampingStore:
    assert path is not None
    store = StampingStore(path)
    store.enlist()
    return store


if __name__ == "__main__":
    asyncio.run(main())
