"""The writer: who waits is always told, whatever kills it."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest

from bridle.rules.failure import ControlUnavailable
from bridle.store.writer import BATCH, QUEUE, Job, Writer


class Interrupted(BaseException):
    """What no `except Exception` catches."""


def writer(commit: Callable[[list[Job[object]]], None], *, inline: bool = False) -> Writer[object]:
    return Writer(commit, lambda: 2, inline=inline)


def perform(batch: list[Job[object]]) -> None:
    for job in batch:
        job.result = job.fn(None)


async def outcomes(made: Writer[object], number: int) -> list[object]:
    async with asyncio.timeout(10):
        return list(await asyncio.gather(*(made.run(lambda _: "done") for _ in range(number)), return_exceptions=True))


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("waiting", [1, 2, BATCH + 1, 3 * BATCH])
@pytest.mark.parametrize("error", [OSError("gone"), AssertionError("bug"), MemoryError()])
async def test_a_writer_that_dies_fails_everybody_who_waits_for_it(
    waiting: int, inline: bool, error: Exception
) -> None:
    def dies(batch: list[Job[object]]) -> None:
        raise error

    made = writer(dies, inline=inline)
    for outcome in await outcomes(made, waiting):
        assert isinstance(outcome, ControlUnavailable)
        assert type(error).__name__ in str(outcome)
    await made.close()


@pytest.mark.parametrize("waiting", [2, BATCH + 1])
async def test_a_writer_that_dies_of_what_nobody_catches_leaves_nobody_waiting(waiting: int) -> None:
    def dies(batch: list[Job[object]]) -> None:
        raise Interrupted

    made = writer(dies)
    assert all(isinstance(outcome, ControlUnavailable) for outcome in await outcomes(made, waiting))
    await made.close()


async def test_a_writer_that_failed_once_goes_on_with_the_next_batch() -> None:
    batches: list[int] = []

    def fails_first(batch: list[Job[object]]) -> None:
        batches.append(len(batch))
        if len(batches) == 1:
            raise OSError("for once")
        perform(batch)

    made = writer(fails_first)
    assert all(isinstance(outcome, ControlUnavailable) for outcome in await outcomes(made, 5))
    assert await outcomes(made, 5) == ["done"] * 5
    await made.close()


async def test_more_than_10000_waiting_transactions_are_refused_and_the_others_are_kept() -> None:
    made = writer(perform)
    found = await outcomes(made, QUEUE + 7)
    refused = [outcome for outcome in found if isinstance(outcome, ControlUnavailable)]
    assert (found.count("done"), len(refused)) == (QUEUE, 7)
    assert "10000 transactions are waiting" in str(refused[0])
    await made.close()


async def test_no_batch_is_larger_than_256_and_the_order_is_kept() -> None:
    sizes: list[int] = []
    seen: list[int] = []

    def note(number: int, _: object) -> None:
        seen.append(number)

    def watching(batch: list[Job[object]]) -> None:
        sizes.append(len(batch))
        perform(batch)

    made = writer(watching)
    async with asyncio.timeout(10):
        await asyncio.gather(*(made.run(partial(note, n)) for n in range(1_000)))
    assert max(sizes) <= BATCH
    assert seen == list(range(1_000))
    await made.close()


async def test_the_loop_goes_on_while_the_disk_works() -> None:
    may_go_on, turns = threading.Event(), 0

    def slow(batch: list[Job[object]]) -> None:
        if len(batch) > 1:
            assert may_go_on.wait(10), "the loop stood still"
        perform(batch)

    made = writer(slow)
    waiting = asyncio.gather(*(made.run(lambda _: 1) for _ in range(20)))
    while turns < 50:
        await asyncio.sleep(0)
        turns += 1
    may_go_on.set()
    async with asyncio.timeout(10):
        assert await waiting == [1] * 20
    await made.close()


async def test_who_stops_waiting_disturbs_nobody() -> None:
    made = writer(perform)
    tasks = [asyncio.create_task(made.run(lambda _: "done")) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    async with asyncio.timeout(10):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert found[1::2] == ["done"] * 25
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in found[::2])
    await made.close()


async def test_a_closed_writer_has_finished_what_was_queued_and_refuses_the_rest() -> None:
    made = writer(perform)
    tasks = [asyncio.create_task(made.run(lambda _: "done")) for _ in range(3 * BATCH)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await made.close()
        assert await asyncio.gather(*tasks) == ["done"] * (3 * BATCH)
    with pytest.raises(ControlUnavailable, match="closed"):
        await made.run(lambda _: "late")
