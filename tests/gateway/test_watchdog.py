"""One timer ends every call that is late, and no other."""

import asyncio
from collections.abc import Sequence

import pytest

from bridle.gateway.watchdog import Watchdog, watchdog_of
from bridle.testing.virtual_time import VirtualLoop, run_virtual


async def ended(loop: VirtualLoop, plan: Sequence[tuple[float, float | None]]) -> list[float | None]:
    """When each call was ended, in seconds from its start; None for those that were let go first.

    A plan has the seconds after which each call is late, and those after which it is over, if ever.
    """
    watchdog, began = Watchdog(loop), loop.time()

    async def call(late: float, over_after: float | None) -> float | None:
        over: asyncio.Future[None] = loop.create_future()
        watchdog.watch(over, late)
        if over_after is not None:
            loop.call_at(began + over_after, lambda: None if over.done() else over.set_result(None))
        await over
        watchdog.let_go(over)
        return None if over_after is not None and loop.time() - began == over_after else loop.time() - began

    return await asyncio.gather(*[call(*one) for one in plan])


@pytest.mark.parametrize(
    ("plan", "when"),
    [
        ([(5, None)], [5]),
        ([(5, None), (3, None), (9, None)], [5, 3, 9]),  # a later call may be due earlier
        ([(3, 1), (5, None)], [None, 5]),  # the timer of the first fires for nothing, and looks on
        ([(5, 1), (3, 2), (4, None)], [None, None, 4]),
        ([(0, None), (0, None), (2, None)], [0, 0, 2]),
    ],
)
def test_each_late_call_is_ended_when_it_is_late(
    plan: list[tuple[float, float | None]], when: list[float | None]
) -> None:
    async def told(loop: VirtualLoop) -> None:
        assert await ended(loop, plan) == pytest.approx(when)

    run_virtual(told)


def test_calls_that_begin_after_a_quiet_time_are_watched_too() -> None:
    async def told(loop: VirtualLoop) -> None:
        watchdog = Watchdog(loop)
        for _ in range(2):
            began, over = loop.time(), loop.create_future()
            watchdog.watch(over, 2)
            await over
            assert loop.time() - began == pytest.approx(2)

    run_virtual(told)


def test_every_loop_of_a_thread_has_its_own() -> None:
    async def mine() -> Watchdog:
        loop = asyncio.get_running_loop()
        assert watchdog_of(loop) is watchdog_of(loop)
        assert watchdog_of(loop).loop is loop
        return watchdog_of(loop)

    assert asyncio.run(mine()) is not asyncio.run(mine())
