"""Who cancels, joins or leaves at a bad moment loses no money, keeps no seat, and leaves no run open."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.rules.events import RunResumed, RunStopped
from bridle.rules.failure import BridleError
from bridle.rules.names import NANOS_PER_USD, USD_NANO, Millis
from bridle.rules.policy import Cap, Level, Limits, Window
from bridle.rules.stop import StopReason
from bridle.runs.flow import Flow
from bridle.runs.run import Run
from bridle.testing.fake_tool import FakeTool, Returns
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.house import allowing, at, journal, seats, virtually

TENTH = NANOS_PER_USD // 10


def ends(b: Bridle, run: str) -> list[StopReason]:
    """The reasons of all terminal events; there should be one."""
    (line,) = [line for line in b.store.runs() if line.state.run == run]
    return [event.reason for event in journal(b, line.state.run) if isinstance(event, RunStopped)]


async def turned(turns: int) -> None:
    """Let the loop go round."""
    for _ in range(turns):
        await asyncio.sleep(0)


# Money and seats


@pytest.mark.parametrize("turns", range(8))
def test_what_the_world_bills_for_a_write_whose_run_ends_under_it_stands_in_the_ledger(turns: int) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        bills = []

        @b.tool("w", effect="write", cost="$0.10", concurrency=1_000)
        async def write(n: int) -> int:
            bills.append(TENTH)
            return n

        async with b.attach(agent="company"):  # so that commits are waited for
            calls = []
            for number in range(30):
                async with b.attach(agent="x") as run:
                    calls.append(asyncio.create_task(run.call("w", {"n": number})))
                    await turned(turns)
                assert len(ends(b, run.id)) == 1
            await asyncio.gather(*calls, return_exceptions=True)
            await at(loop, 2)
        (money,) = [balance for account, balance in b.store.balances().items() if account.unit == USD_NANO]
        assert (money.settled, money.reserved) == (sum(bills), 0)
        assert sum(bills) <= NANOS_PER_USD
        assert seats(b) == 0

    virtually(story, allowing("w", caps=(Cap(Level.HOUSE, USD_NANO, Window.DAY, NANOS_PER_USD),)))


@pytest.mark.parametrize("company", [0, 2])
@pytest.mark.parametrize("turns", range(10))
def test_a_call_that_is_cancelled_while_it_is_admitted_gives_its_seat_back(turns: int, company: int) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"n": int}, Returns(1, after=Millis(10)))
        b.declare("a.read", tool, effect="read", concurrency=1, reuse="never")
        others = [b.attach(agent=f"company {number}") for number in range(company)]
        for other in others:
            await other.__aenter__()
        async with b.attach(agent="a") as run:
            for number in range(6):
                call = asyncio.create_task(run.call("a.read", {"n": number}))
                await turned(turns)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            await at(loop, 2)
            assert tool.in_flight == 0
            assert (seats(b), dict(b.store.recorded(run.id).state.open_calls)) == (0, {})
            assert (await run.call("a.read", {"n": 99})).value == 1
        for other in others:
            await other.__aexit__(None, None, None)
        assert tool.most_in_flight == 1

    virtually(story, allowing("a.read"))


def test_steps_that_time_out_at_any_moment_of_an_admission_on_disk_leave_no_seat_taken(tmp_path: Path) -> None:
    async def story() -> None:
        flow, gate, over = Flow("f"), asyncio.Event(), asyncio.Semaphore(0)

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            assert isinstance(state, dict)
            call = asyncio.create_task(run.call("a.read", {"n": 1}))
            await turned(state["turns"])
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            over.release()
            await gate.wait()
            return None

        async with Bridle(allowing("a.read"), f"sqlite:///{tmp_path}/b.db") as b:

            @b.tool("a.read", effect="read", concurrency=1, reuse="never")
            async def read(n: int) -> int:
                return n

            runs = [asyncio.create_task(b.run(flow, {"turns": turns})) for turns in range(20)]
            for _ in runs:
                await over.acquire()
            await b.gateway.pending.write_all()
            opened = [line.state for line in b.store.runs(only_open=True)]
            assert (len(opened), seats(b), [call for state in opened for call in state.open_calls]) == (20, 0, [])
            gate.set()
            assert {result.status for result in await asyncio.gather(*runs)} == {"ok"}

    asyncio.run(asyncio.wait_for(story(), 20))


# Opening, and joining


@pytest.mark.parametrize("turns", range(6))
def test_whoever_goes_away_while_a_run_is_opened_leaves_none_open(turns: int) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        flow = Flow("f")

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            return 1

        async def use() -> None:
            async with b.attach(agent="x", key="order-7"):
                pass

        async with b.attach(agent="a") as one, b.attach(agent="b") as other:  # so that commits are waited for
            for task in (asyncio.create_task(use()), asyncio.create_task(b.run(flow, {"a": 1}))):
                await turned(turns)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await at(loop, 2)
            assert {line.state.run for line in b.store.runs(only_open=True)} == {one.id, other.id}
            with suppress(BridleError):  # the key may be used up; it is not open
                await use()
            assert {line.state.run for line in b.store.runs(only_open=True)} == {one.id, other.id}
            assert (await b.run(flow, {"a": 1})).stop is not None
        assert all(len(ends(b, line.state.run)) == 1 for line in b.store.runs())

    virtually(story, allowing())


def test_who_joined_a_run_is_given_a_result_when_its_leader_goes_away() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        b.declare("r", FakeTool({"n": int}, Returns(1, after=Millis(5_000))), effect="read")
        flow = Flow("f")

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            return (await run.call("r", {"n": 1})).value

        leader = asyncio.create_task(b.run(flow, {"q": 1}))
        await at(loop, 1)
        joined = asyncio.create_task(b.run(flow, {"q": 1}))
        await at(loop, 2)
        leader.cancel()
        result = await joined
        assert leader.cancelled() or leader.done()
        assert result.stop is not None
        assert (result.status, result.stop.reason, loop.time()) == ("cancelled", StopReason.CANCELLED, 2)
        assert ends(b, result.run_id) == [StopReason.CANCELLED]
        with pytest.raises(asyncio.CancelledError):
            await leader

    virtually(story, allowing("r"))


def test_who_joined_and_goes_away_does_not_end_the_run_of_its_leader() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        b.declare("r", FakeTool({"n": int}, Returns(1, after=Millis(5_000))), effect="read")
        flow = Flow("f")

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            return (await run.call("r", {"n": 1})).value

        leader = asyncio.create_task(b.run(flow, {"q": 1}))
        await at(loop, 1)
        joined = asyncio.create_task(b.run(flow, {"q": 1}))
        await at(loop, 2)
        joined.cancel()
        assert (await leader).answer == 1
        assert joined.cancelled()

    virtually(story, allowing("r"))


# After a crash: the files as they were at that moment


class Crash:
    """A flow of a read and a write in houses on copies of one store; the first house never gets past its read."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.made: list[str] = []
        self.flow = Flow("f")
        self.gate = asyncio.Event()
        self.reading = asyncio.Event()

        @self.flow.step()
        async def both(run: Run, state: object) -> object:
            await run.call("r", {"n": 1})
            await run.call("w", {"n": 1})
            return "done"

    def house(self, name: str, during: Callable[[], None] | None = None, concurrency: int = 8) -> Bridle:
        """A house; `during` is called by its read, which then never returns."""
        b = Bridle(allowing("r", "w"), f"sqlite:///{self.place}/{name}/b.db")

        @b.tool("r", effect="read", concurrency=concurrency, reuse="never")
        async def read(n: int) -> int:
            self.made.append("r")
            if during is not None:
                during()
                await asyncio.Event().wait()
            self.reading.set()
            await self.gate.wait()
            return n

        @b.tool("w", effect="write")
        async def write(n: int) -> int:
            self.made.append("w")
            await turned(20)
            return n

        return b

    async def happen(self) -> None:
        """A process that dies in the read: the second place holds what the disk held."""
        (self.place / "before").mkdir()
        died = asyncio.Event()

        def copied() -> None:
            shutil.copytree(self.place / "before", self.place / "after")
            died.set()

        async with self.house("before", copied) as b:
            task = asyncio.create_task(b.run(self.flow, {"q": 1}))
            await died.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.made.clear()


@pytest.mark.parametrize("late", [False, True])
def test_an_orphan_that_three_users_ask_for_at_once_is_taken_up_once(tmp_path: Path, late: bool) -> None:
    async def story() -> None:
        crash = Crash(tmp_path)
        await crash.happen()
        async with (
            crash.house("after") as b, b.attach(agent="one"), b.attach(agent="two"),
        ):  # fmt: skip
            asked = [asyncio.create_task(b.run(crash.flow, {"q": 1})) for _ in range(2 if late else 3)]
            if late:
                await crash.reading.wait()
                asked.append(asyncio.create_task(b.run(crash.flow, {"q": 1})))
            crash.gate.set()
            results = await asyncio.gather(*asked)
            assert [(result.status, result.answer) for result in results] == [("ok", "done")] * 3
            (run,) = {result.run_id for result in results}
            assert ends(b, run) == [StopReason.OK]
            assert sum(isinstance(event, RunResumed) for event in journal(b, results[0].run_id)) == 1
        assert crash.made == ["r", "w"]

    asyncio.run(asyncio.wait_for(story(), 20))


def test_an_orphan_that_is_cancelled_gives_back_no_seat_that_another_run_holds(tmp_path: Path) -> None:
    async def story() -> None:
        crash = Crash(tmp_path)
        await crash.happen()
        async with crash.house("after", concurrency=2) as b:
            (orphan,) = b.store.runs(only_open=True)
            assert seats(b) == 1  # it holds its own until somebody takes it over
            running = asyncio.create_task(b.run(crash.flow, {"q": 2}))
            await crash.reading.wait()
            assert seats(b) == 2
            assert (await b.cancel(orphan.state.run)).status == "cancelled"
            assert seats(b) == 1
            crash.gate.set()
            assert (await running).status == "ok"
            await b.gateway.pending.write_all()
            assert seats(b) == 0

    asyncio.run(asyncio.wait_for(story(), 20))


# Limits


def test_a_stop_inside_a_task_group_of_a_step_ends_the_run_with_its_reason() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        b.declare("r", FakeTool({"n": int}, Returns(1)), effect="read")
        stopped, denied = Flow("stopped"), Flow("denied")

        @stopped.step()
        async def many(run: Run, state: object) -> object:
            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(run.call("r", {"n": number}))
            return "never"

        @denied.step()
        async def unknown(run: Run, state: object) -> object:
            async with asyncio.TaskGroup() as group:
                group.create_task(run.call("nope"))
            return "never"

        for flow, wanted in ((stopped, StopReason.MAX_TOOL_CALLS), (denied, StopReason.TOOL_DENIED)):
            result = await b.run(flow, {})
            assert result.stop is not None
            assert (result.status, result.stop.reason) == ("stopped", wanted)
            assert ends(b, result.run_id) == [wanted]

    virtually(story, allowing("r", limits=Limits(max_tool_calls=3)))


def test_max_seconds_bounds_a_step_that_waits_for_what_never_comes() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        flow = Flow("f")

        @flow.step()
        async def wait(run: Run, state: object) -> object:
            await loop.create_future()
            return "never"

        result = await b.run(flow, {})
        assert result.stop is not None
        assert (result.status, result.stop.reason, loop.time()) == ("stopped", StopReason.MAX_SECONDS, 1)
        assert ends(b, result.run_id) == [StopReason.MAX_SECONDS]

    virtually(story, allowing(limits=Limits(max_seconds=1)))


def test_a_timeout_of_a_step_itself_is_not_taken_for_the_end_of_its_time() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        flow = Flow("f")

        @flow.step()
        async def wait(run: Run, state: object) -> object:
            raise TimeoutError("its own")

        result = await b.run(flow, {})
        assert result.stop is not None
        assert result.stop.reason is StopReason.INTERNAL_ERROR

    virtually(story, allowing(limits=Limits(max_seconds=1)))
