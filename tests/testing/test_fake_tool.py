"""Tests of the fake tool: it follows its script, counts its calls, and takes virtual time."""

import asyncio

import pytest

from bridle import Bridle, CallFailed, FailureKind
from bridle.rules.names import Millis
from bridle.testing import Fails, FakeTool, Returns, VirtualLoop, run_virtual, virtual_world


def test_it_follows_its_script_and_repeats_the_last_turn() -> None:
    async def story(loop: VirtualLoop) -> list[object]:
        tool = FakeTool({"n": int}, Returns("a"), Fails(FailureKind.TIMEOUT, times=2), Returns("b"))
        said: list[object] = []
        for n in range(5):
            try:
                said.append(await tool(n=n))
            except CallFailed as failed:
                said.append(failed.kind)
        assert tool.calls == [{"n": n} for n in range(5)]
        return said

    timeout = FailureKind.TIMEOUT
    assert run_virtual(story) == ["a", timeout, timeout, "b", "b"]


def test_it_takes_virtual_time_and_counts_who_is_inside() -> None:
    async def story(loop: VirtualLoop) -> tuple[float, int]:
        tool = FakeTool({"n": int}, Returns(after=Millis(2_500)))
        await asyncio.gather(*(tool(n=n) for n in range(3)))
        assert tool.in_flight == 0
        return loop.time(), tool.most_in_flight

    assert run_virtual(story) == (2.5, 3)


def test_it_needs_a_turn() -> None:
    with pytest.raises(ValueError, match="needs a turn"):
        FakeTool({"doc": str})


def test_a_house_knows_its_arguments_and_retries_its_failures() -> None:
    async def story(loop: VirtualLoop) -> None:
        tool = FakeTool({"doc": str}, Fails(FailureKind.UNAVAILABLE), Returns({"text": "found"}))
        async with Bridle({"tools": {"allow": ["kb.read"]}}, ":memory:", world=virtual_world(loop)) as b:
            b.declare("kb.read", tool, effect="read")
            async with b.attach(agent="reader") as run:
                observation = await run.call("kb.read", {"doc": "a"})
                run.finish(answer=observation.value)
            assert run.result.answer == {"text": "found"}
        assert tool.calls == [{"doc": "a"}, {"doc": "a"}]

    run_virtual(story)
