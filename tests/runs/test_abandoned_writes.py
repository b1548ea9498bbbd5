"""A write that nobody waits for is found out about as after a crash: at the end of its run, or when it resumes."""

import asyncio
from contextlib import suppress

import pytest

from bridle.bridle import Bridle
from bridle.rules.effect import IntentStatus
from bridle.rules.names import ToolName
from bridle.rules.stop import Status
from bridle.rules.tool import ToolRule
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.far_end import LONG, FarEnd, furnished, row
from tests.gateway.house import allowing, at, virtually

ASKS = allowing("refund.create", "note.write", limits=LONG, tools={ToolName("note.write"): ToolRule(approval="{}")})


def told(
    flow: Flow, then: str, idempotency: str, *, probes: bool = False
) -> tuple[RunResult, FarEnd, IntentStatus, int]:
    """A flow whose first refund took effect and never answered: how its run ended, and how many doubts are left."""
    far = FarEnd(script=["hangs after"])

    async def story(b: Bridle, loop: VirtualLoop) -> tuple[RunResult, IntentStatus, int]:
        furnished(b, far, idempotency, probes=probes)
        b.tool("note.write", effect="write")(_noted)
        result = await b.run(flow, key="k") if then != "cancel" else await cancelled(b, loop)
        if then == "approve":
            assert (result.status, result.approval is None) == (Status.WAITING, False)
            await b.approvals.answer(str(result.approval), "approve", "ann")
            await at(loop, loop.time() + 30)
            result = await b.run(flow, key="k")
        return result, (await row(b)).status, len(b.doubts())

    async def cancelled(b: Bridle, loop: VirtualLoop) -> RunResult:
        going = asyncio.create_task(b.run(flow, key="k"))
        await at(loop, 2)
        (state,) = b.progress()
        await b.cancel(state.run)
        return await going

    result, status, doubts = virtually(story, ASKS)
    return result, far, status, doubts


async def _noted(text: str) -> str:
    return f"noted {text}"


def gives_up() -> Flow:
    """It waits for a second, and does without."""
    flow = Flow("gives_up")

    @flow.step()
    async def refund(run: Run, state: object) -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await run.call("refund.create", {"order": "A1"})
        return "went on"

    return flow


def waits_beside() -> Flow:
    """A refund is on its way while a note waits for a person."""
    flow = Flow("waits_beside")

    @flow.step()
    async def both(run: Run, state: object) -> list[object]:
        async with asyncio.TaskGroup() as group:
            refund = group.create_task(run.call("refund.create", {"order": "A1"}))
            await asyncio.wait([refund], timeout=1)
            note = group.create_task(run.call("note.write", {"text": "x"}))
        return [refund.result().value, note.result().value]

    return flow


@pytest.mark.parametrize(
    ("idempotency", "probes", "sent"), [("key", False, 2), ("natural", False, 2), ("key", True, 2), ("none", True, 1)]
)
def test_a_write_that_a_step_gave_up_is_found_out_before_its_run_ends(
    idempotency: str, probes: bool, sent: int
) -> None:
    """Sabotage: let `ended_early` leave it to a person, or `close` not look after it, and the run ends in doubt."""
    result, far, status, doubts = told(gives_up(), "", idempotency, probes=probes)
    assert (result.status, result.answer, status, doubts) == (Status.OK, "went on", IntentStatus.CONFIRMED, 0)
    assert (len(far.sent), len(far.effects)) == (sent, 1)


def test_what_nobody_can_find_out_is_left_to_a_person_at_once() -> None:
    result, far, status, doubts = told(gives_up(), "", "none")
    assert result.stop is not None
    assert (result.stop.reason, status, doubts, len(far.sent)) == ("write_in_doubt", IntentStatus.IN_DOUBT, 1, 1)


@pytest.mark.parametrize(("idempotency", "probes"), [("key", False), ("natural", False), ("none", True)])
def test_a_write_in_flight_when_its_run_is_suspended_is_found_out_when_it_resumes(
    idempotency: str, probes: bool
) -> None:
    result, far, status, doubts = told(waits_beside(), "approve", idempotency, probes=probes)
    assert (result.status, result.answer) == (Status.OK, ["receipt 1", "noted x"])
    assert (status, doubts, len(far.effects)) == (IntentStatus.CONFIRMED, 0, 1)


def test_who_cancels_does_not_wait_and_nothing_is_sent_again() -> None:
    result, far, status, doubts = told(gives_up_never(), "cancel", "key", probes=True)
    assert far.asked == []
    assert result.stop is not None
    assert (result.stop.reason, status, doubts, len(far.sent)) == ("write_in_doubt", IntentStatus.IN_DOUBT, 1, 1)


def gives_up_never() -> Flow:
    """It waits for its refund as long as that takes."""
    flow = Flow("patient")

    @flow.step()
    async def refund(run: Run, state: object) -> str:
        return str((await run.call("refund.create", {"order": "A1"})).value)

    return flow


@pytest.mark.parametrize("cancels", [True, False])
def test_an_attached_loop_that_comes_back_is_given_what_became_of_its_write(cancels: bool) -> None:
    """Sabotage: let `attach` not find out, and the same write is refused as one in flight."""
    far = FarEnd(script=["hangs after"])

    async def attached(b: Bridle) -> list[object]:
        said: list[object] = []
        async with b.attach(agent="a", key="k") as run:
            refund = asyncio.create_task(run.call("refund.create", {"order": "A1"}))
            await asyncio.wait([refund], timeout=1)
            try:
                said.append((await run.call("note.write", {"text": "x"})).value)
            finally:
                if cancels:
                    refund.cancel()
            said.append((await refund).value)
        return said

    async def story(b: Bridle, loop: VirtualLoop) -> list[object]:
        furnished(b, far)
        b.tool("note.write", effect="write")(_noted)
        with suppress(asyncio.CancelledError):
            await attached(b)
        (question,) = b.approvals.pending()
        await b.approvals.answer(question.approval, "approve", "ann")
        return await attached(b)

    assert virtually(story, ASKS) == ["noted x", "receipt 1"]
    assert len(far.effects) == 1
