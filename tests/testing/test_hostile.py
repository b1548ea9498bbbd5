"""Hostile outputs end as observations or as failures of their tool, and never as a failure of the run."""

import pytest

from bridle.bridle import Bridle
from bridle.gateway.outcome import Observation, Refusal
from bridle.rules.stop import Status, StopReason
from bridle.testing import HOSTILE, FakeTool, Returns, VirtualLoop
from tests.gateway.house import allowing, asking, virtually


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tool_that_returns_it_harms_nobody(name: str) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        b.declare("kb.read", FakeTool({"n": int}, Returns(HOSTILE[name]()), Returns("well")), effect="read")
        async with b.attach(agent="a") as run:
            (outcome,) = await asking(run, "kb.read n=1")
            assert isinstance(outcome, Observation) or (
                isinstance(outcome, Refusal) and outcome.reason is StopReason.TOOL_OUTPUT_INVALID
            )
            (after,) = await asking(run, "kb.read n=2")
            assert isinstance(after, Observation)
        assert run.result.status is Status.OK
        assert b.store.journal(run.id)

    virtually(story, allowing("kb.read"))
