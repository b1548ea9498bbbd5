"""Tests of virtual time: a day takes no time, threads are waited for, and a deadlock says so."""

import asyncio
import threading

import pytest

from bridle import Bridle, Flow, Run, StopReason
from bridle.rules.names import Millis
from bridle.testing import Deadlock, FakeTool, Returns, VirtualLoop, run_virtual, virtual_world
from bridle.testing import virtual_time as module

DAY_S = 86_400


def test_a_day_takes_no_time() -> None:
    async def story(loop: VirtualLoop) -> tuple[float, Millis]:
        await loop.sleep(DAY_S)
        return loop.time(), loop.now()

    assert run_virtual(story, start=Millis(1_000)) == (DAY_S, DAY_S * 1_000 + 1_000)


def test_things_happen_in_the_order_of_their_times() -> None:
    async def story(loop: VirtualLoop) -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def later(name: str, seconds: float) -> None:
            await loop.sleep(seconds)
            seen.append((name, loop.time()))

        await asyncio.gather(later("c", 3), later("a", 0.001), later("b", 2.5))
        return seen

    assert run_virtual(story) == [("a", pytest.approx(0.001)), ("b", pytest.approx(2.5)), ("c", pytest.approx(3))]


def test_timeouts_fire_in_virtual_time() -> None:
    async def story(loop: VirtualLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(90):
                await loop.sleep(1_000)
        done, pending = await asyncio.wait((asyncio.create_task(loop.sleep(50)),), timeout=10)
        assert not done
        for task in pending:
            task.cancel()
        return loop.time()

    assert run_virtual(story) == pytest.approx(100)


def test_a_loop_in_which_everybody_waits_says_so_and_does_not_hang() -> None:
    async def story(loop: VirtualLoop) -> None:
        await loop.sleep(7)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="after 7 virtual seconds everybody waits, and nothing is scheduled"):
        run_virtual(story)


def test_virtual_time_stands_still_while_a_thread_works() -> None:
    may_end = threading.Event()

    async def story(loop: VirtualLoop) -> float:
        work = asyncio.create_task(asyncio.to_thread(may_end.wait, 30))
        alarm = loop.call_later(1_000, lambda: None)
        await asyncio.sleep(0)
        threading.Timer(0.05, may_end.set).start()
        assert await work
        alarm.cancel()
        return loop.time()

    assert run_virtual(story) == 0


def test_a_thread_that_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    may_end = threading.Event()

    async def story(loop: VirtualLoop) -> None:
        work = asyncio.create_task(asyncio.to_thread(may_end.wait, 30))
        try:
            await loop.sleep(1_000)
        finally:
            may_end.set()
            await work

    with pytest.raises(Deadlock, match=r"a thread has been at work for 0\.05 real seconds"):
        run_virtual(story)


def test_the_same_seed_gives_the_same_world() -> None:
    async def story(loop: VirtualLoop) -> list[object]:
        worlds = [virtual_world(loop, seed) for seed in (1, 1, 2)]
        await loop.sleep(1.5)
        return [(world.now(), world.chance(), world.fresh(8)) for world in worlds]

    first, same, other = run_virtual(story, start=Millis(0))
    assert first == same != other
    assert isinstance(first, tuple)
    assert first[0] == 1_500


def test_the_deadlines_of_a_run_are_those_of_virtual_time() -> None:
    async def story(loop: VirtualLoop) -> None:
        slow = FakeTool({"doc": str}, Returns("late", after=Millis(60_000)))
        flow = Flow("read", start="read")

        @flow.step()
        async def read(run: Run, state: object) -> object:
            for doc in range(10):
                await run.call("kb.read", {"doc": str(doc)})
            return "all"

        policy = {"tools": {"allow": ["kb.read"]}, "budgets": {"max_seconds": 90}}
        async with Bridle(policy, ":memory:", world=virtual_world(loop)) as b:
            b.declare("kb.read", slow, effect="read", timeout="2m")
            result = await b.run(flow, {})
        assert result.stop is not None
        assert result.stop.reason is not StopReason.OK
        assert loop.time() == pytest.approx(90)
        assert len(slow.calls) == 2

    run_virtual(story)
