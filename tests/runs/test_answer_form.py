"""Text that goes on to act elsewhere leaves through a form: of the answer, or of a step without tools."""

import pytest

from bridle.bridle import Bridle
from bridle.rules.policy import Policy
from bridle.rules.stop import StopReason
from bridle.runs.flow import BadFlow, Flow
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world

POLICY = Policy(answers=('{"type":"string"}', '{"maxLength":9}'))


@pytest.mark.parametrize(
    ("said", "reason"), [("fine", StopReason.OK), ("too long to be fine", StopReason.ANSWER_INVALID)]
)
def test_an_answer_has_the_form_that_the_policy_wants(said: str, reason: StopReason) -> None:
    async def told(loop: VirtualLoop) -> None:
        async with Bridle(POLICY, ":memory:", world=virtual_world(loop)) as b:
            async with b.attach(agent="office") as run:
                run.finish(said)
            assert run.result is not None
            assert run.result.stop is not None
            assert run.result.stop.reason is reason
            assert said in (run.result.answer, run.result.partial), "nothing is lost"
            async with b.attach(agent="office") as run:
                run.finish(None)
            assert run.result is not None
            assert run.result.stop is not None
            assert run.result.stop.reason is StopReason.ANSWER_INVALID, "no answer is no text either"

    run_virtual(told)


def test_a_quarantine_is_a_step_without_tools_and_with_a_form() -> None:
    flow = Flow("mail", start="read")
    flow.quarantine("read", model="m", goal="{text}", output={"enum": ["refund", "other"]})
    (node,) = flow.nodes
    assert node.tools == ()
    with pytest.raises(BadFlow, match="without a form"):
        flow.quarantine("again", model="m", goal="{text}", output=None)
