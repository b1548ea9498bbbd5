"""A run that is taken over goes on where it was: its turns, what its step was told, and its time."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.rules.events import RunResumed
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import Millis, ToolName
from bridle.rules.policy import Policy
from bridle.rules.stop import StopReason
from bridle.rules.tool import ToolRule
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.runs.signals import Denied
from bridle.store.roll import Roll
from bridle.store.sqlite import SqliteStore
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world
from tests.gateway.house import UNGUARDED, allowing, at, journal

SEEN = ToolRule(approval="{}")
POLICY = Policy(
    allow=frozenset(ToolName(name) for name in ("order.read", "job.poll", "card.charge", "mail.send")),
    tools={ToolName("mail.send"): SEEN},
    require_approval=False,
    flow_rule=UNGUARDED,
)


def told(flow: Flow, furnish: Callable[[Bridle], None]) -> RunResult:
    """The end of a run that waits for a person once, who approves."""

    async def story(loop: VirtualLoop) -> RunResult:
        b = Bridle(POLICY, ":memory:", world=virtual_world(loop))
        furnish(b)

        @b.tool("mail.send", effect="write")
        async def send(to: str) -> str:
            return f"sent to {to}"

        async with b:
            waiting = await b.run(flow, {}, by="eve", key="k")
            assert waiting.approval is not None
            await b.approvals.answer(waiting.approval, "approve", "ann")
            await at(loop, loop.time() + 2)
            return await b.run(flow, {}, by="eve", key="k")

    return run_virtual(story)


def test_a_loop_is_found_at_its_third_repeat_also_when_the_run_was_taken_over_between() -> None:
    flow, polls = Flow("polling", state=dict), list[int]()

    @flow.step(to=["again"])
    async def first(run: Run, state: object) -> str:
        for name in ("not.allowed", "not.declared"):
            with pytest.raises(Denied):
                await run.call(name, {})
        return "again"

    @flow.step()
    async def again(run: Run, state: object) -> None:
        await run.call("job.poll", {})
        await run.call("mail.send", {"to": "ann"})
        for _ in range(9):
            await run.call("job.poll", {})

    def furnish(b: Bridle) -> None:
        @b.tool("job.poll", effect="read", source="trusted", reuse="never")
        async def poll() -> str:
            polls.append(1)
            return "still at work"

    result = told(flow, furnish)
    assert result.stop is not None
    assert (result.stop.reason, len(polls)) == (StopReason.NO_PROGRESS, 3)


@pytest.mark.parametrize("tool", ["card.charge", "order.read"])
def test_what_a_step_was_told_before_it_waited_it_is_told_again(tool: str) -> None:
    """Else the flow would take both ways: the card that was refused at first, and what was done because it was."""
    flow, made, reasons = Flow("either_or", state=dict), list[str](), list[StopReason]()

    @flow.step()
    async def pay(run: Run, state: object) -> str:
        try:
            await run.call(tool, {"card": "first"})
            paid = "first"
        except Denied as denied:
            reasons.append(denied.reason)
            await run.call(tool, {"card": "second"})
            paid = "second"
        await run.call("mail.send", {"to": "ann"})
        return paid

    def furnish(b: Bridle) -> None:
        async def charge(card: str) -> str:
            made.append(card)
            if made == ["first"]:
                raise CallFailed(FailureKind.REJECTED, "over its limit", happened=False)
            return "charged"

        effect = "write" if tool == "card.charge" else "read"
        labels = {"effect": effect, **({"key": "charge:{card}"} if effect == "write" else {})}
        b.declare(tool, charge, **labels)  # type: ignore[arg-type]  # labels as a table has them

    assert told(flow, furnish).answer == "second"
    assert made == ["first", "second"]
    assert reasons == [StopReason.INPUT_REJECTED] * 2


FLOW = Flow("slow", state=dict)


@FLOW.step()
async def slow(run: Run, state: object) -> object:
    """One read that takes a while."""
    return (await run.call("order.read", {})).value


def test_time_in_which_a_worker_waited_for_a_call_before_it_died_counts_as_active(tmp_path: Path) -> None:
    place = tmp_path / "b.db"

    async def story(loop: VirtualLoop) -> None:
        b = Bridle(allowing("order.read"), f"sqlite:///{place}", world=virtual_world(loop))

        @b.tool("order.read", effect="read", source="trusted", timeout=80)
        async def read() -> str:
            await at(loop, 10_000)
            return "late"

        async with b:
            job = loop.create_task(b.run(FLOW, {}, key="k"))
            await at(loop, 40)
            (live,) = b.workroom.lives.values()
            other = SqliteStore(place)
            other.enlist()
            now = Millis(b._world.now() + 20_000)  # its worker is not seen for so long
            state = await other.transact(lambda tx: tx.take_over(live.run, now))
            (resumed,) = [event for event in journal(b, live.run) if isinstance(event, RunResumed)]
            assert 20_000 <= resumed.away <= 21_000
            assert state.deadline == live.state.deadline + resumed.away
            await other.close()
            job.cancel()

    run_virtual(story)


def test_the_last_beat_of_a_dead_worker_is_known_until_nobody_needs_it(tmp_path: Path) -> None:
    dead, looks = Roll(tmp_path / "b.db"), Roll(tmp_path / "b.db")
    name = dead.enlist()
    assert looks.last_seen(name) == 0  # it has not said anything yet
    dead.beat(Millis(1_700_000_000_123))
    assert (looks.last_seen(name), looks.is_alive(name)) == (1_700_000_000_123, True)
    looks.bury([])
    assert looks.is_alive(name)
    os.close(dead._file)  # as the kernel does
    looks.bury([name])
    assert (looks.last_seen(name), looks.is_alive(name)) == (1_700_000_000_123, False)
    looks.bury([])
    assert looks.last_seen(name) == 0
