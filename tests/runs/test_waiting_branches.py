"""A step that does two things at once, one of which waits for a person: the other is told so, whatever it was doing."""

import asyncio
from dataclasses import replace

import pytest

from bridle.rules.names import ToolName
from bridle.rules.policy import ModelPrice
from bridle.rules.prompt import Message, Prompt, Role
from bridle.runs.flow import Flow
from bridle.runs.run import Run
from bridle.runs.signals import Denied, Held
from tests.runs.test_approvals import POLICY, Desk, tell


@pytest.mark.parametrize("branch", ["a call", "a call that is under way", "a model"])
def test_a_branch_that_goes_on_while_its_run_waits_is_told_that_it_waits(branch: str) -> None:
    """A step may do two things at once; what the other one does meanwhile is no fault of the engine."""
    flow, told, gate = Flow("two at once", state=dict), list[Held](), asyncio.Event()

    @flow.step()
    async def both(run: Run, state: object) -> object:
        async def other() -> None:
            try:
                if branch != "a call that is under way":
                    await gate.wait()
                if branch == "a model":
                    await run.model(Prompt("policy").with_message(Message(Role.USER, "u")).request("m", (), 10))
                else:
                    await run.call("order.wait", {})
            except Denied:  # nothing is scripted for the model
                pass
            except Held as raised:
                told.append(raised)
                raise

        found = await asyncio.gather(other(), run.call("refund.create", {"order": "7", "amount": 40}))
        return found[1].value

    async def story(desk: Desk) -> None:
        @desk.b.tool("order.wait", effect="read", source="trusted")
        async def wait() -> str:
            await gate.wait()
            return "it came"

        waiting = await desk.b.run(flow, {}, by="eve", key="k")
        assert waiting.approval is not None
        gate.set()
        await desk.later_than(0.1)
        assert len(told) == 1
        await desk.b.approvals.answer(waiting.approval, "approve", "ann")
        told.clear()
        await desk.later_than(2)
        result = await desk.b.result(waiting.run_id)
        assert (result.answer, told) == ("refunded 40", [])

    tell(story, policy=replace(POLICY, allow=POLICY.allow | {ToolName("order.wait")}, models={"m": ModelPrice(1, 1)}))
