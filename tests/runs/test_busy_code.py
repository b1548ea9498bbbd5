"""Code that keeps the event loop busy, or does not stop when it is cancelled: the limits hold all the same."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.gateway.world import World
from bridle.rules.names import Millis, ToolName
from bridle.rules.policy import KillLevel, Limits, Policy
from bridle.rules.stop import StopReason
from bridle.rules.switch import Scope
from bridle.runs.flow import BadFlow, Flow
from bridle.runs.run import Run
from bridle.runs.signals import Denied, KeyIsTaken
from bridle.store.opening import StoreUnusable
from bridle.store.switches import Wish
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world

POLICY = Policy(frozenset({ToolName("slow")}), limits=Limits(max_seconds=20), require_approval=False)


@dataclass
class Clock:
    """A wall clock that only stands further when something took its time: as code does that blocks the event loop."""

    now: int = 1_767_225_600_000

    def takes(self, seconds: int) -> None:
        """Somebody was busy for so long."""
        self.now += seconds * 1_000


def house(clock: Clock, place: str = ":memory:") -> Bridle:
    """A house with this clock, and a tool that blocks for as long as it is asked to."""
    b = Bridle(POLICY, place, world=World(now=lambda: Millis(clock.now)))

    @b.tool("slow", effect="read", timeout=5)
    async def slow(seconds: int) -> str:
        clock.takes(seconds)
        return "done"

    return b


def working(clock: Clock, seconds: int, then: str = "the answer") -> Flow:
    """A flow of one step that blocks."""
    flow = Flow("works", state=dict)

    @flow.step()
    async def work(run: Run, state: object) -> str:
        clock.takes(seconds)
        return then

    return flow


async def test_an_answer_after_the_deadline_is_a_partial_one() -> None:
    clock = Clock()
    async with house(clock) as b:
        in_time = await b.run(working(clock, 19), {}, key="a")
        assert (in_time.status, in_time.answer) == ("ok", "the answer")
        late = await b.run(working(clock, 20), {}, key="b")
        assert late.stop is not None
        assert (late.stop.reason, late.answer, late.partial) == (StopReason.MAX_SECONDS, None, "the answer")


async def test_an_answer_after_the_kill_switch_is_a_partial_one(tmp_path: Path) -> None:
    clock, flow = Clock(), Flow("works", state=dict)
    async with house(clock, f"sqlite:///{tmp_path}/b.db") as b:

        @flow.step()
        async def work(run: Run, state: object) -> str:
            wish = Wish("ann", "an incident", "ann", Millis(clock.now))
            b.store.switches.kill(KillLevel.ALL, Scope(flow="works"), wish)
            return "the answer"

        killed = await b.run(flow, {})
        assert killed.stop is not None
        assert (killed.stop.reason, killed.answer, killed.partial) == (StopReason.KILLED, None, "the answer")


@pytest.mark.parametrize(("seconds", "comes"), [(5, True), (6, False)])
async def test_what_a_read_returns_after_its_timeout_is_not_read(seconds: int, comes: bool) -> None:
    async with house(Clock()) as b, b.attach(agent="loop") as run:
        if comes:
            assert (await run.call("slow", {"seconds": seconds})).value == "done"
        else:
            with pytest.raises(Denied) as refused:
                await run.call("slow", {"seconds": seconds})
            assert refused.value.reason is StopReason.TOOL_UNAVAILABLE
            assert "its answer came 1 s after its time" in str(refused.value.detail["error"])
        run.finish("done")


def deaf(heard: list[str], began: asyncio.Event) -> Flow:
    """A flow of one step that does not stop when it is cancelled, and goes on calling, until it hears "over"."""
    flow = Flow("deaf", state=dict)

    @flow.step()
    async def work(run: Run, state: object) -> None:
        began.set()
        while "over" not in heard:
            try:
                await asyncio.get_running_loop().create_future()
            except BaseException:  # noqa: BLE001 - that is what this is about
                heard.append("cancelled")
            try:
                await run.call("slow", {"seconds": 0})
            except BaseException as refused:  # noqa: BLE001 - and this
                heard.append(type(refused).__name__)

    return flow


@pytest.mark.parametrize("ends_by", ["deadline", "cancel", "close"])
def test_a_step_that_does_not_stop_is_left_behind_and_may_call_nothing(ends_by: str) -> None:
    heard: list[str] = []

    async def story(loop: VirtualLoop) -> None:
        b = Bridle(POLICY, ":memory:", world=virtual_world(loop))
        b.tool("slow", effect="read")(lambda seconds: heard.append("called"))
        async with b:
            began = asyncio.Event()
            running = asyncio.create_task(b.run(deaf(heard, began), {}))
            await began.wait()
            (state,) = b.progress()
            if ends_by == "close":
                await b.close()
                await asyncio.gather(running, return_exceptions=True)
                heard.append("over")
                return
            if ends_by == "cancel":
                await b.cancel(state.run)
            result = await running
            assert result.stop is not None
            assert result.stop.reason == {"deadline": "max_seconds", "cancel": "cancelled"}[ends_by]
            assert loop.time() < 30
            heard.append("over")

    run_virtual(story)
    assert heard[0] == "cancelled"
    if ends_by != "close":  # which leaves it a moment to tidy up, with its calls
        assert "called" not in heard


async def test_a_run_that_is_cancelled_before_it_took_its_first_step_ends_too() -> None:
    async with house(Clock()) as b:
        running = asyncio.create_task(b.run(working(Clock(), 0), {}))
        await asyncio.sleep(0)
        (state,) = b.progress()
        assert (await b.cancel(state.run)).status == "cancelled"
        assert (await running).status == "cancelled"
        assert b.progress() == []
        running = asyncio.create_task(b.run(working(Clock(), 0), {"n": 2}))
        await asyncio.sleep(0)
        (state,) = b.progress()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()
        assert (await b.result(state.run)).status == "cancelled"


async def test_a_step_that_cancels_itself_is_broken() -> None:
    flow = Flow("self", state=dict)

    @flow.step()
    async def work(run: Run, state: object) -> None:
        raise asyncio.CancelledError

    async with house(Clock()) as b:
        result = await b.run(flow, {})
        assert result.stop is not None
        assert result.stop.reason is StopReason.INTERNAL_ERROR
        assert "cancelled from inside" in str(result.stop.detail["error"])


async def test_a_key_is_that_of_one_flow() -> None:
    clock, other = Clock(), Flow("other", state=dict)

    @other.step()
    async def answer(run: Run, state: object) -> str:
        return "another answer"

    async with house(clock) as b:
        first = await b.run(working(clock, 0), {}, key="order-7")
        assert (await b.run(working(clock, 0), {"n": 2}, key="order-7")).run_id == first.run_id
        with pytest.raises(KeyIsTaken, match=f"'order-7' is that of run {first.run_id} of the flow works") as taken:
            await b.run(other, {}, key="order-7")
        assert taken.value.run_id == first.run_id
        with pytest.raises(KeyIsTaken):
            async with b.attach(agent="works", key="order-7"):
                pass


@pytest.mark.parametrize("place", ["sqlite:", "sqlite:/b.db", "sqlite://b.db", "sqlite:///", "http://b.db"])
def test_what_is_meant_as_an_address_and_is_none_is_no_file(place: str) -> None:
    with pytest.raises(StoreUnusable, match="is no store"):
        Bridle(POLICY, place)


async def test_a_path_alone_is_a_store_too(tmp_path: Path) -> None:
    async with house(Clock(), str(tmp_path / "b.db")) as b:
        assert (await b.run(working(Clock(), 0), {})).status == "ok"
    assert (tmp_path / "b.db").exists()


def test_two_flows_of_one_name_and_version_are_one_too_many() -> None:
    b, other = house(Clock()), Flow("works", state=dict)

    @other.step()
    async def another(run: Run, state: object) -> str:
        return "another answer"

    b.register(working(Clock(), 0))
    b.register(working(Clock(), 1))  # the same steps, made anew: as in a function that makes its flow
    with pytest.raises(BadFlow, match="two flows works 1; give one another name or version"):
        b.register(other)
    b.register(Flow("works", "2", dict, other.start, other.steps))
