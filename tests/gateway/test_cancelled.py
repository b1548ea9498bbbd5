"""A call that nobody waits for any more: what was never sent is given back, and is in no doubt."""

import asyncio

import pytest

from bridle.bridle import Bridle
from bridle.rules.stop import StopReason
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.house import TOOLS, allowing, furnished, virtually


@pytest.mark.parametrize("turns", range(5))
def test_a_write_that_was_cancelled_before_it_was_sent_is_in_no_doubt(turns: int) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        async with b.attach(agent="company"), b.attach(agent="a") as run:  # so that commits are waited for
            call = asyncio.create_task(run.call("mail.send", {"to": "ann"}))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        assert run.result.stop is not None
        if not calls.made:
            assert run.result.stop.reason is StopReason.OK

    virtually(story, allowing(*TOOLS))
