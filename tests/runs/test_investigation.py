"""Investigations inside a flow: their own limits, their edges, and the policy that a run keeps for its life."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.models.scripted import ScriptedModel, Turn
from bridle.rules.prompt import ToolUse
from bridle.rules.stop import StopReason
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.testing.fake_tool import FakeTool, Returns
from tests.gateway.house import allowing
from tests.runs.crashing_flow import FLOW, POLICY, house
from tests.runs.test_resume import died


def asks(doc: int) -> Turn:
    return Turn(uses=(ToolUse("", "kb.read", f'{{"doc": {doc}}}'),))


async def told(*turns: Turn, exhausted: str = "", limit: int = 2) -> RunResult:
    """An investigation of at most so many tool calls, with a step behind each edge."""
    flow = Flow("answers")

    @flow.step(to=["ask"])
    async def begin(run: Run, state: object) -> object:
        await run.call("kb.read", {"doc": 0})
        return "ask"

    edges = {"found": "good"} | ({"exhausted": exhausted} if exhausted else {})
    flow.investigate(
        "ask", model="scripted:m", goal="?", tools=["kb.read"], limits={"max_tool_calls": limit}, into="said", to=edges
    )

    @flow.step()
    async def good(run: Run, state: object) -> object:
        assert isinstance(state, dict)
        return {"good": state["said"]}

    if exhausted:

        @flow.step()
        async def bad(run: Run, state: object) -> object:
            assert isinstance(state, dict)
            return {"bad": state["said"], "more": (await run.call("kb.read", {"doc": 99})).value}

    async with Bridle(allowing("kb.read"), ":memory:", models={"scripted:m": ScriptedModel(turns)}) as b:
        b.declare("kb.read", FakeTool({"doc": int}, *(Returns(f"text {n}") for n in range(9))), effect="read")
        return await b.run(flow)


async def test_what_was_found_goes_along_the_edge_found() -> None:
    result = await told(asks(1), asks(2), Turn("two"))
    assert (result.status, result.answer, result.tool_calls) == ("ok", {"good": "two"}, 3)


async def test_a_node_that_used_its_limit_goes_along_the_edge_exhausted_and_the_run_goes_on() -> None:
    result = await told(asks(1), asks(2), asks(3), Turn("this far"), exhausted="bad")
    assert (result.status, result.answer) == ("ok", {"bad": "this far", "more": "text 3"})
    assert result.tool_calls == 4


async def test_without_an_edge_a_node_that_used_its_limit_ends_the_run_with_its_partial_result() -> None:
    result = await told(asks(1), asks(2), asks(3), Turn("this far"))
    assert result.stop is not None
    assert (result.stop.reason, result.partial, result.tool_calls) == (StopReason.MAX_TOOL_CALLS, "this far", 3)


@pytest.mark.parametrize("number", [8, 12])
async def test_a_run_that_is_resumed_keeps_the_policy_it_was_started_under(tmp_path: Path, number: int) -> None:
    store, world = tmp_path / "a.db", tmp_path / "a.txt"
    world.touch()
    assert await asyncio.to_thread(died, store, world, number, False)
    b = house(store, world)
    strict = Bridle(
        replace(POLICY, allow=frozenset()), f"sqlite:///{store}", models={"scripted:m": b._desk._given["scripted:m"]}
    )
    strict.toolbox = b.toolbox
    strict.register(FLOW)
    async with strict:
        (line,) = strict.store.runs()
        result = await asyncio.wait_for(strict.result(line.state.run), 20)
        assert (result.status, result.tool_calls >= 3) == ("ok", True)
        assert strict.store.recorded(line.state.run).state.policy == POLICY.digest() != strict.policy.digest()
