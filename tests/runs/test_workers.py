"""Several workers on one store: a run has one driver at a time, and always gets its end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bridle.bridle import Bridle
from bridle.gateway.live import Live
from bridle.gateway.world import World
from bridle.rules.events import CallSettled, RunResumed, RunStopped
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import Millis, RunId
from bridle.rules.policy import Policy
from bridle.rules.run import Phase
from bridle.rules.stop import StopReason
from bridle.runs import recovery
from bridle.runs.flow import Flow
from bridle.runs.journey import take_over
from bridle.runs.recovery import RESTARTS
from bridle.runs.run import Run
from bridle.store.base import Store
from tests.gateway.house import allowing, journal, seats
from tests.runs.crashing_flow import house
from tests.runs.test_resume import died

FLOW = Flow("waits", state=dict)


@FLOW.step()
async def wait(run: Run, state: object) -> object:
    """One read, which ends when the world says so."""
    return (await run.call("r", {})).value


class Place:
    """One store with as many workers as a story wants; their read ends when the gate is open."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/b.db"
        self.gate = asyncio.Event()
        self.reading = asyncio.Event()
        self.reads = 0

    def worker(self, policy: Policy | None = None, world: World | None = None) -> Bridle:
        b = Bridle(policy or allowing("r"), self.url, world=world)

        @b.tool("r", effect="read", source="trusted")
        async def read() -> str:
            self.reads += 1
            self.reading.set()
            await self.gate.wait()
            return "read"

        b.register(FLOW)
        return b


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def lost(b: Bridle, place: Place) -> RunId:
    """A run of this worker of which the process lost sight."""
    task = asyncio.create_task(b.run(FLOW, {}, key="k"))
    await place.reading.wait()
    (live,) = b.workroom.lives.values()
    live.is_handed_over = True
    b.workroom.working[live.run].cancel()
    await asyncio.gather(task, return_exceptions=True)
    return live.run


async def test_a_run_of_a_worker_whose_clock_was_ahead_is_taken_over_all_the_same(place: Place) -> None:
    """Found by the storm (seed 7, run 8474): its last event lay in the future, so it was never old enough."""
    ahead = World(now=lambda: Millis(World().now() + 600_000))
    async with place.worker(world=ahead) as one:
        run = await lost(one, place)
    async with place.worker() as other:
        assert [state.run for state in other.progress()] == [run]
        place.gate.set()
        assert (await other.result(run)).answer == "read"


async def test_a_request_for_a_run_of_another_worker_waits_for_its_end(place: Place) -> None:
    async with place.worker() as one, place.worker() as other:
        first = asyncio.create_task(one.run(FLOW, {}, key="k"))
        await place.reading.wait()
        second = asyncio.create_task(other.run(FLOW, {}, key="k"))
        await asyncio.sleep(0)
        place.gate.set()
        results = await asyncio.gather(first, second)
        assert [(result.run_id, result.answer) for result in results] == [(results[0].run_id, "read")] * 2
        assert not any(isinstance(event, RunResumed) for event in journal(one, results[0].run_id))
    assert place.reads == 1


async def test_a_run_is_cancelled_by_the_worker_that_drives_it(place: Place) -> None:
    async with place.worker() as one, place.worker() as other:
        running = asyncio.create_task(one.run(FLOW, {}, key="k"))
        await place.reading.wait()
        (line,) = other.store.runs(only_open=True)
        result = await other.cancel(line.state.run, "ann")
        assert result.stop is not None
        assert (result.stop.reason, result.stop.detail) == (StopReason.CANCELLED, {"by": "ann"})
        assert (await asyncio.gather(running, return_exceptions=True))[0] == result


async def test_a_worker_that_does_not_cancel_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridle.runs.workroom.CANCEL_SECONDS", 0.05)
    monkeypatch.setattr("bridle.runs.sweeper.SWEEP_SECONDS", 60)
    async with place.worker() as one, place.worker() as other:
        running = asyncio.create_task(one.run(FLOW, {}, key="k"))
        await place.reading.wait()
        (line,) = other.store.runs(only_open=True)
        with pytest.raises(ControlUnavailable, match="has not ended it within"):
            await other.cancel(line.state.run)
        place.gate.set()
        await running


async def test_what_a_worker_lost_sight_of_is_taken_up_by_its_sweeper(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridle.runs.sweeper.SWEEP_SECONDS", 0.01)
    async with place.worker() as b:
        run = await lost(b, place)
        place.gate.set()
        result = await asyncio.wait_for(b.workroom.recovery.wait_for(run), 20)
        assert (result.status, result.answer) == ("ok", "read")
        assert sum(isinstance(event, RunStopped) for event in journal(b, run)) == 1


async def test_a_run_of_ones_own_is_taken_up_only_when_two_sweeps_found_nobody_at_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridle.runs.sweeper.SWEEP_SECONDS", 60)
    async with place.worker() as b:
        run = await lost(b, place)
        await b.workroom.recovery.recover()
        assert b.store.recorded(run).state.epoch == 1  # it may have been opened a moment ago
        await b.workroom.recovery.recover()
        assert b.store.recorded(run).state.epoch == 2
        place.gate.set()
        assert (await b.result(run)).answer == "read"


@pytest.mark.parametrize("asks", ["run", "wait_for"])
async def test_who_asks_for_a_run_that_another_worker_took_over_a_moment_before_waits_for_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, asks: str
) -> None:
    monkeypatch.setattr("bridle.runs.sweeper.SWEEP_SECONDS", 60)
    async with place.worker() as one, place.worker() as other:
        run = await lost(one, place)
        asked = asyncio.Event()

        async def slow(store: Store, *more: Any, **named: Any) -> Live:
            if store is one.store and not asked.is_set():
                asked.set()
                await other.workroom.recovery.take_up(store.recorded(run).state)
                place.gate.set()
            return await take_over(store, *more, **named)

        monkeypatch.setattr("bridle.runs.journey.take_over", slow)
        again = one.run(FLOW, {}, key="k") if asks == "run" else one.workroom.recovery.wait_for(run, 0)
        result = await asyncio.wait_for(again, 20)
        assert (result.run_id, result.answer) == (run, "read")
        assert asked.is_set()
        assert sum(isinstance(event, RunResumed) for event in journal(one, run)) == 1


@pytest.mark.parametrize(("drain", "ends"), [(0.01, None), (20.0, StopReason.OK), (0.0, StopReason.CANCELLED)])
async def test_a_house_that_closes_gives_its_runs_time_and_then_away(
    place: Place, drain: float, ends: StopReason | None
) -> None:
    b = place.worker()
    await b.open()
    running = asyncio.create_task(b.run(FLOW, {}, key="k"))
    await place.reading.wait()
    closing = asyncio.create_task(b.close(drain=drain))
    if ends is StopReason.OK:
        place.gate.set()
    await closing
    await asyncio.gather(running, return_exceptions=True)
    place.gate.set()
    async with place.worker() as other:
        result = await asyncio.wait_for(other.run(FLOW, {}, key="k"), 20)
        assert result.stop is not None
        assert result.stop.reason is (ends or StopReason.OK)
        assert sum(isinstance(event, RunResumed) for event in journal(other, result.run_id)) == (ends is None)


async def test_a_step_that_loses_every_worker_is_not_started_for_ever(place: Place) -> None:
    async with place.worker() as b:
        run = await lost(b, place)
        policy = b._charter.kept(b.store, run)
        for _ in range(RESTARTS):
            await take_over(b.store, b._world, run, policy)
    async with place.worker() as b:
        result = await b.result(run)
        assert result.stop is not None
        assert (result.stop.reason, result.stop.detail) == (StopReason.WORKER_LOST, {"restarts": RESTARTS})
    assert place.reads == 1


async def test_seats_of_a_run_that_nobody_here_can_drive_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, world = tmp_path / "a.db", tmp_path / "a.txt"
    world.touch()
    assert await asyncio.to_thread(died, store, world, 4, False)
    async with house(store, world) as b:
        (state,) = b.store.orphans(Millis(0))
        assert (len(state.open_calls), seats(b)) == (1, 1)
        await b.workroom.recovery.recover()
        assert b.store.recorded(state.run).state == state  # its flow may still become known
        monkeypatch.setattr(recovery, "STRANGE", 0)
        for _ in range(3):
            await b.workroom.recovery.recover()
        state = b.store.recorded(state.run).state
        assert (state.epoch, state.phase, dict(state.open_calls), b.store.driver(state.run)) == (2, Phase.OPEN, {}, "")
        assert [type(event) for event in journal(b, state.run)][-2:] == [RunResumed, CallSettled]
        assert seats(b) == 0


async def test_a_run_is_taken_over_once_also_when_somebody_asks_for_it_meanwhile(place: Place) -> None:
    async with place.worker() as b:
        entered = b.attach(agent="a", key="k")
        run = (await entered.__aenter__()).id
        del b.workroom.lives[run]  # its process lost sight of it
        b.store.crowd = 4
        sweeping = asyncio.create_task(b.workroom.recovery.take_up(b.store.recorded(run).state))
        for _ in range(1_000):
            await asyncio.sleep(0)
            if b.store.recorded(run).state.epoch > 1:
                break
        assert not sweeping.done()
        assert await b.workroom.recovery.take_up(b.store.recorded(run).state) is None
        await sweeping
        events = journal(b, run)
        assert [sum(isinstance(event, kind) for event in events) for kind in (RunResumed, RunStopped)] == [1, 1]
