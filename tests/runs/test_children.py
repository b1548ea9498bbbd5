"""Children of runs: funded before they begin, bound by what they were given, and never left open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from bridle.bridle import Bridle
from bridle.rules.events import ChildFunded, ChildRefused, RunStarted, RunStopped
from bridle.rules.names import STEPS, TOOL_CALLS, USD_NANO, RunId, ToolName
from bridle.rules.policy import Limits, Narrowing, Policy
from bridle.rules.stop import StopNote, StopReason
from bridle.runs import journey
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.runs.signals import Denied
from tests.runs.family import EQUAL_PARTS, POLICY, a_house, parent_of, reads, settled_up, slow, told


@pytest.fixture
def began() -> asyncio.Event:
    """Set when the tool that never returns was called."""
    return asyncio.Event()


@pytest.fixture
async def b(began: asyncio.Event) -> AsyncIterator[Bridle]:
    async with a_house(began=began) as house:
        yield house


async def test_a_child_uses_what_it_was_given_and_the_rest_goes_back(b: Bridle) -> None:
    result = await b.run(parent_of(reads(2), max_tool_calls=5, max_usd="0.10", max_steps=3), {})
    assert isinstance(result.answer, list)
    assert result.answer[1:] == ["ok", "ok", [1, 2]]
    funded = next(event for event in told(b, result.run_id) if isinstance(event, ChildFunded))
    assert (funded.hold[TOOL_CALLS], funded.hold[USD_NANO], funded.hold[STEPS]) == (5, 100_000_000, 3)
    assert (result.spent[TOOL_CALLS], result.spent[USD_NANO], result.spent[STEPS]) == (2, 20_000_000, 3)
    settled_up(b)


async def test_a_child_is_stopped_by_its_own_limit_and_its_parent_goes_on(b: Bridle) -> None:
    result = await b.run(parent_of(reads(9), max_tool_calls=3), {})
    assert result.status == "ok"
    assert isinstance(result.answer, list)
    assert result.answer[1:] == ["stopped", "max_tool_calls", None]
    assert result.spent[TOOL_CALLS] == 3
    settled_up(b)


@pytest.mark.parametrize(
    ("budgets", "reason"),
    [
        ({"max_tool_calls": 11}, "max_tool_calls"),
        ({"max_usd": "1.01"}, "max_usd"),
        ({"max_steps": 11}, "max_steps"),
        ({"max_seconds": 61}, "max_seconds"),
        ({"max_tokens": 500_001}, "max_tokens"),
        ({"max_model_calls": 31}, "max_model_calls"),
    ],
)
async def test_what_the_parent_cannot_fund_is_refused_before_anything_starts(
    b: Bridle, budgets: dict[str, int | str], reason: str
) -> None:
    result = await b.run(parent_of(reads(1), **budgets), {})
    assert result.stop is not None
    assert result.stop.reason == reason  # a flow that lets the refusal out ends with it
    assert [type(event) for event in told(b, result.run_id) if isinstance(event, ChildRefused)] == [ChildRefused]
    assert len(b.store.runs()) == 1


async def test_children_at_once_share_what_their_parent_has(b: Bridle) -> None:
    flow, child = Flow("parent", state=dict), reads(4)

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> object:
        wants = [run.child(child, {"n": n}, budgets=EQUAL_PARTS) for n in range(3)]
        found = await asyncio.gather(*wants, return_exceptions=True)
        return [one.reason if isinstance(one, Denied) else cast("RunResult", one).status for one in found]

    result = await b.run(flow, {})
    assert result.answer == ["ok", "ok", "max_tool_calls"]
    assert result.spent[TOOL_CALLS] == 8
    settled_up(b)


async def test_a_parent_cannot_use_what_its_child_was_given(b: Bridle, began: asyncio.Event) -> None:
    flow, children = Flow("parent", state=dict), []

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> None:
        children.append(asyncio.ensure_future(run.child(slow(), {}, budgets={"max_tool_calls": 10})))
        children[0].add_done_callback(lambda task: task.cancelled() or task.exception())
        await began.wait()
        await run.call("kb.read", {"doc": 1})

    result = await b.run(flow, {})
    assert result.stop is not None
    assert result.stop.reason is StopReason.MAX_TOOL_CALLS
    settled_up(b)
    (ended,) = [line for line in b.store.runs() if line.state.parent]
    assert ended.reason is StopReason.CANCELLED
    assert ended.state.stop is not None
    assert str(ended.state.stop.detail["by"]).startswith(f"its parent {result.run_id}")


async def test_the_quota_of_a_tool_holds_over_a_run_and_its_children(b: Bridle) -> None:
    flow, child = Flow("parent", state=dict), reads(5, "web.read")

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> object:
        await run.call("web.read", {"doc": 7})
        return (await run.child(child, {})).stop.reason  # type: ignore[union-attr]  # it has ended

    result = await b.run(flow, {})
    assert result.answer == "tool_quota"
    assert result.spent["tool:web.read"] == 3  # type: ignore[index]  # a unit by its name
    settled_up(b)


async def test_what_a_child_has_read_its_parent_has_read_and_what_the_parent_had_the_child_has(b: Bridle) -> None:
    child = reads(1, "web.read")
    first = await b.run(parent_of(child), {})
    state = b.store.recorded(RunId(first.run_id)).state
    assert state.is_tainted
    assert state.has_read_private
    flow, second = Flow("tainted", state=dict), reads(1, name="clean")

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> object:
        await run.call("web.read", {"doc": 7})
        return (await run.child(second, {})).run_id

    result = await b.run(flow, {})
    assert b.store.recorded(RunId(str(result.answer))).state.is_tainted


async def test_children_may_have_children_three_deep(b: Bridle) -> None:
    flow = Flow("deep", state=dict)

    @flow.step()
    async def go(run: Run, state: dict[str, int]) -> object:
        try:
            below = await run.child(flow, {"level": state["level"] + 1})
        except Denied as denied:
            return [state["level"], denied.detail["rule"]]
        return below.answer

    result = await b.run(flow, {"level": 0})
    assert result.answer == [3, "generations"]
    assert result.spent[STEPS] == 7  # four steps and three spawns
    settled_up(b)


async def test_a_child_has_no_tool_that_its_parent_has_not(b: Bridle) -> None:
    narrow = Narrowing(allow=frozenset({ToolName("web.read")}))
    policy = Policy(allow=POLICY.allow, limits=POLICY.limits, flows={"parent": narrow})
    async with a_house(policy) as house:
        result = await house.run(parent_of(reads(1)), {})
        assert isinstance(result.answer, list)
        assert result.answer[2] == "tool_denied"


async def test_a_child_never_has_more_time_than_its_parent(b: Bridle) -> None:
    result = await b.run(parent_of(reads(1), max_seconds=30), {})
    unbounded = await b.run(parent_of(reads(1, name="other")), {"again": 1})
    for run, least in ((result, 29_000), (unbounded, 59_000)):
        child = next(line.state for line in b.store.runs() if line.state.parent == run.run_id)
        started = next(event for event in told(b, child.run) if isinstance(event, RunStarted))
        assert least <= started.deadline - started.at <= 60_000
        assert child.deadline <= b.store.recorded(RunId(run.run_id)).state.work_until


async def test_an_input_that_does_not_fit_starts_no_child(b: Bridle) -> None:
    flow, child = Flow("parent", state=dict), Flow("typed", state=int)

    @child.step()
    async def nothing(run: Run, state: int) -> object:
        return state

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> None:
        await run.child(child, "no number")

    result = await b.run(flow, {})
    assert result.stop is not None
    assert result.stop.reason is StopReason.INPUT_REJECTED
    assert len(b.store.runs()) == 1


async def test_a_budget_that_is_no_limit_is_said_to_be_none(b: Bridle) -> None:
    result = await b.run(parent_of(reads(1), max_tool_cals=5), {})
    assert result.stop is not None
    assert "did you mean max_tool_calls?" in result.stop.text()


async def test_refusals_of_children_end_a_parent_that_does_not_listen(b: Bridle) -> None:
    flow, child = Flow("parent", state=dict), reads(1)

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> object:
        for _ in range(100):
            with suppress(Denied):
                await run.child(child, {}, budgets={"max_tool_calls": 99})
        return "never"

    result = await b.run(flow, {})
    assert result.stop is not None
    assert result.stop.reason is StopReason.MAX_TOOL_CALLS
    assert sum(isinstance(event, ChildRefused) for event in told(b, result.run_id)) == POLICY.max_refusals + 1


@pytest.mark.parametrize("how", ["cancel", "kill", "deadline"])
async def test_a_parent_that_is_ended_ends_its_child_first(began: asyncio.Event, how: str) -> None:
    policy = replace(POLICY, limits=Limits(max_seconds=1)) if how == "deadline" else POLICY
    async with a_house(policy, began=began) as b:
        running = asyncio.ensure_future(b.run(parent_of(slow()), {}))
        await began.wait()
        parent, child = sorted((line.state for line in b.store.runs()), key=lambda state: state.depth)
        if how == "cancel":
            await b.cancel(parent.run)
        elif how == "kill":
            await b.kill("all", because="smoke", by="ann")
            await b.cancel(child.run)  # its call in flight may come back; this one never does
        result = await running
        assert result.stop is not None
        assert result.stop.reason == {"cancel": "cancelled", "kill": "killed", "deadline": "max_seconds"}[how]
        ended = b.store.recorded(child.run).state.stop
        assert ended is not None
        if how == "cancel":
            assert ended.detail["by"] == f"its parent {parent.run}"
        settled_up(b)


async def test_a_child_of_a_killed_flow_begins_no_call() -> None:
    async with a_house() as b:
        flow, child = Flow("parent", state=dict), Flow("child", state=dict)
        begun, gate = asyncio.Event(), asyncio.Event()

        @child.step()
        async def go(run: Run, state: dict[str, object]) -> object:
            begun.set()
            await gate.wait()
            return (await run.call("kb.read", {"doc": 1})).value

        @flow.step()
        async def ask(run: Run, state: dict[str, object]) -> object:
            return (await run.child(child, {})).answer

        running = asyncio.ensure_future(b.run(flow, {}))
        await begun.wait()
        await b.kill("all", because="smoke", by="ann", flow="parent")
        gate.set()
        result = await running
        assert result.stop is not None
        assert result.stop.reason is StopReason.KILLED
        assert result.tool_calls == 0
        settled_up(b)


async def test_a_child_that_the_step_did_not_wait_for_is_ended_with_it(b: Bridle, began: asyncio.Event) -> None:
    flow, children = Flow("parent", state=dict), []

    @flow.step(to=["last"])
    async def first(run: Run, state: dict[str, object]) -> str:
        children.append(asyncio.ensure_future(run.child(slow(), {})))
        children[0].add_done_callback(lambda task: task.cancelled() or task.exception())
        await began.wait()
        return "last"

    @flow.step()
    async def last(run: Run, state: dict[str, object]) -> object:
        return "done"

    result = await b.run(flow, {})
    assert result.answer == "done"
    settled_up(b)


async def test_a_house_that_closes_ends_parent_and_child(began: asyncio.Event, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'b.db'}"
    async with a_house(store=store, began=began) as b:
        running = asyncio.ensure_future(b.run(parent_of(slow()), {}))
        await began.wait()
    await asyncio.gather(running, return_exceptions=True)
    async with a_house(store=store) as b:
        assert [line.reason for line in b.store.runs()] == ["cancelled", "cancelled"]
        settled_up(b)


async def test_a_house_that_drains_leaves_parent_and_child_to_the_next(began: asyncio.Event, tmp_path: Path) -> None:
    store, times = f"sqlite:///{tmp_path / 'b.db'}", []
    child = Flow("child", state=dict)

    @child.step()
    async def wait(run: Run, state: dict[str, object]) -> object:
        times.append(1)
        return (await run.call("kb.read", {"doc": -1 if len(times) == 1 else 1})).value

    flow = parent_of(child)
    async with a_house(store=store, began=began) as b:
        running = asyncio.ensure_future(b.run(flow, {}, key="k"))
        await began.wait()
        await b.close(drain=0.01)
        await asyncio.gather(running, return_exceptions=True)
    async with a_house(store=store) as b:
        result = await b.run(flow, {}, key="k")
        assert isinstance(result.answer, list)
        assert result.answer[1:] == ["ok", "ok", 1]
        assert len(b.store.runs()) == 2
        settled_up(b)


async def test_a_step_that_gives_up_on_its_child_goes_on(b: Bridle) -> None:
    flow = Flow("parent", state=dict)

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> object:
        try:
            return await asyncio.wait_for(run.child(slow(), {}), 0.01)
        except TimeoutError:
            return (await run.call("kb.read", {"doc": 1})).value

    result = await b.run(flow, {})
    assert result.answer == 1
    settled_up(b)
    assert [line.reason for line in b.store.runs()] == ["cancelled", "ok"]


async def test_a_request_of_the_same_input_does_not_join_a_child(b: Bridle, began: asyncio.Event) -> None:
    child = slow()
    running = asyncio.ensure_future(b.run(parent_of(child), {}))
    await began.wait()
    began.clear()
    asked = asyncio.ensure_future(b.run(child, {}))
    await asyncio.wait_for(began.wait(), 10)
    assert sorted(line.state.parent != "" for line in b.store.runs()) == [False, False, True]
    for line in b.store.runs(only_open=True):
        await b.cancel(line.state.run)
    await asyncio.gather(running, asked)
    settled_up(b)


async def test_a_child_that_another_worker_ended_with_its_parent_writes_nothing_more(b: Bridle) -> None:
    child, called, gate = Flow("child", state=dict), asyncio.Event(), asyncio.Event()

    async def slowly() -> str:
        called.set()
        await gate.wait()
        return "late"

    @child.step()
    async def go(run: Run, state: dict[str, object]) -> object:
        await run.call("kb.read", {"doc": 1}, perform=lambda doc: slowly())
        return (await run.call("kb.read", {"doc": 2})).value

    running = asyncio.ensure_future(b.run(parent_of(child), {}))
    await called.wait()
    parent, below = sorted((line.state for line in b.store.runs()), key=lambda state: state.depth)
    live = await journey.take_over(b.store, b._world, parent.run, POLICY)  # as a worker that took this one for dead
    await journey.close_run(b.store, b._world, live, StopNote(StopReason.WORKER_LOST), None)
    assert b.store.recorded(below.run).state.stop is not None
    gate.set()
    await asyncio.gather(running, return_exceptions=True)
    assert isinstance(told(b, below.run)[-1], RunStopped)
    settled_up(b)
