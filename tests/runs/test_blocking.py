"""The blocking twins do what their asynchronous ones do, for code without an event loop."""

import pytest

from bridle import Bridle, BridleError, Flow, Run, Stop, StopReason
from bridle.rules.names import ToolName
from bridle.rules.policy import Limits, Policy

POLICY = Policy(allow=frozenset({ToolName("add")}), limits=Limits(max_tool_calls=2))


def house() -> Bridle:
    """A house with one tool and two calls of it."""
    b = Bridle(POLICY, ":memory:")

    @b.tool("add", effect="read", source="trusted")
    def add(left: int, right: int) -> int:
        return left + right

    return b


def test_a_flow_runs_without_an_event_loop() -> None:
    flow = Flow("sum")

    @flow.step()
    async def add(run: Run, state: dict[str, int]) -> object:
        return (await run.call("add", {"left": 1, "right": 2})).value

    b = house()
    result = b.run_blocking(flow, {})
    b.close_blocking()
    assert (result.status, result.answer) == ("ok", 3)


def test_a_stop_ends_a_blocking_loop_and_says_why() -> None:
    b = house()
    seen = []
    with b.attach_blocking(agent="loop") as run:
        for number in range(9):
            seen.append(run.call("add", {"left": number, "right": 0}).value)
        run.finish(answer="never reached")
    b.close_blocking()
    assert seen == [0, 1]
    assert run.result.stop is not None
    assert run.result.stop.reason is StopReason.MAX_TOOL_CALLS


def test_a_stop_reaches_the_thread_of_the_caller() -> None:
    b = house()
    with b.attach_blocking(agent="loop") as run:
        for number in range(2):
            run.call("add", {"left": number, "right": 0})
        with pytest.raises(Stop):
            run.call("add", {"left": 9, "right": 0})
        run.finish(answer="said before")
    b.close_blocking()
    assert run.result.status == "stopped"
    assert run.result.partial == "said before"


async def test_a_house_that_is_open_in_a_loop_has_no_blocking_twins() -> None:
    async with house() as b:
        with pytest.raises(BridleError, match="of their own"):
            b.run_blocking(Flow("sum"), {})
