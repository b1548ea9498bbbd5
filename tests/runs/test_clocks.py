"""The clock of a question stands still while the kill switch forbids its call; and waiting is no time of the run."""

from dataclasses import replace
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.rules.events import ApprovalExtended
from bridle.rules.failure import BridleError
from bridle.rules.names import ACTIVE_MS, Millis
from bridle.rules.policy import KillLevel
from bridle.rules.switch import Scope
from bridle.runs.approvals import Approvals, BadAnswer
from bridle.runs.result import RunResult
from bridle.store.sqlite import SqliteStore
from bridle.store.switches import Wish
from tests.cli.house import Clock
from tests.gateway.house import at, journal
from tests.runs.test_approvals import FLOW, POLICY, Desk, tell

HOUR = replace(POLICY, expire_after=Millis(3_600_000))
OFF = {"because": "an incident", "by": "ann"}


def _text(order: str, amount: int = 0) -> str:
    return f"{order} {amount}"


@pytest.mark.parametrize(
    ("level", "scope"),
    [("writes", {}), ("all", {"tool": "refund.create"}), ("egress", {"flow": "refunds"}), ("expensive", {})],
)
@pytest.mark.parametrize("is_answered", [True, False])
def test_a_clock_stands_still_while_the_switch_forbids_the_call(
    level: str, scope: dict[str, str], is_answered: bool
) -> None:
    """Sabotage: let `take_up` keep no clocks, and the sweeper ends the question after an hour."""

    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert waiting.approval is not None
        begun = desk.loop.time()
        await at(desk.loop, begun + 50 * 60)
        await desk.b.kill(level, **scope, **OFF)
        await at(desk.loop, begun + 75 * 60)  # the hour is over, and the sweeper has been round
        (question,) = desk.b.approvals.pending()
        assert question.until == desk.loop.now() + 600_000, "ten minutes were left of the hour"
        await desk.b.unkill(**scope, **OFF)
        await at(desk.loop, begun + 84 * 60)
        if is_answered:
            await desk.b.approvals.answer(waiting.approval, "approve", "bob")
            assert (await desk.later()).answer == "refunded 40"
            return
        await at(desk.loop, begun + 86 * 60)
        assert (await desk.asked()).answer == "order 7: approval_expired: "
        moved = [event.until for event in journal(desk.b, waiting.run_id) if isinstance(event, ApprovalExtended)]
        assert [round(until / 60_000 - desk.loop.now() / 60_000) for until in moved] == [-16, -6, -1]

    tell(story, policy=HOUR)


@pytest.mark.parametrize("scope", [{"tenant": "umbrella"}, {"tool": "order.read"}, {"flow": "triage"}])
def test_a_switch_that_is_about_something_else_stops_no_clock(scope: dict[str, str]) -> None:
    async def story(desk: Desk) -> None:
        await desk.asked()
        await desk.b.kill("writes", **scope, **OFF)
        await at(desk.loop, desk.loop.time() + 3_601)
        assert (await desk.asked()).answer == "order 7: approval_expired: "

    tell(story, policy=HOUR)


@pytest.mark.parametrize("loop", ["flow", "attach"])
@pytest.mark.parametrize("minutes", [59, 61])
async def test_a_clock_stands_still_while_no_process_lives(tmp_path: Path, loop: str, minutes: int) -> None:
    """The history of the switch tells for how long. Sabotage: let `answer` not keep the clocks."""
    clock, place = Clock(), tmp_path / "s.db"

    async def refunded() -> RunResult:
        async with Bridle(HOUR, f"sqlite:///{place}", world=clock.world) as b:
            b.register(FLOW)
            b.tool("order.read", effect="read")(_text)
            b.tool("refund.create", effect="write")(_text)
            if loop == "flow":
                return await b.run(FLOW, {"order": "7"}, by="eve", key="k")
            async with b.attach(agent="a", by="eve", key="k") as run:
                run.finish(answer=(await run.call("refund.create", {"order": "7", "amount": 40})).value)
            assert run.result is not None
            return run.result

    waiting = await refunded()
    assert waiting.approval is not None
    store = SqliteStore(place)
    approvals, said = Approvals(store, clock.world), Wish("ann", "an incident", "root", Millis(clock.at))
    store.switches.kill(KillLevel.WRITES, Scope(), said)
    clock.at += 120 * 60_000
    store.switches.unkill(None, Scope(), replace(said, at=Millis(clock.at)))
    clock.at += minutes * 60_000
    if minutes == 61:
        with pytest.raises(BadAnswer, match="expired"):
            await approvals.answer(waiting.approval, "approve", "bob")
    else:
        await approvals.answer(waiting.approval, "approve", "bob")
    await store.close()
    clock.at += 30_000
    if (loop, minutes) == ("attach", 61):
        with pytest.raises(BridleError, match="had this key and has ended"):
            await refunded()
        return
    assert ((await refunded()).answer == "7 40") is (minutes == 59)


def test_what_a_run_waited_is_no_time_that_it_spent() -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert waiting.spent[ACTIVE_MS] < 1_000
        await at(desk.loop, desk.loop.time() + 600)
        assert waiting.approval is not None
        await desk.b.approvals.answer(waiting.approval, "approve", "ann")
        result = await desk.later()
        assert result.answer == "refunded 40"
        assert result.spent[ACTIVE_MS] < 1_000, "ten minutes of waiting"

    tell(story)
