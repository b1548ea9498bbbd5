"""Real processes on one store are killed, paused and told to stop, and every run has one end."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.cli.books import Books
from bridle.rules.events import ChildClosed, ChildFunded, RunResumed, RunStopped
from bridle.rules.fold import fold
from bridle.rules.names import USD_NANO
from bridle.runs.flow import Flow
from bridle.runs.journey import take_over
from bridle.store.chain import verify
from bridle.store.sqlite import SqliteStore
from tests.crash.worker import CENT, FLOW, TEAM, house
from tests.gateway.house import journal, seats

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds
RUNS = 6


class Shared:
    """A store, a world and a gate, with the workers of a story."""

    def __init__(self, folder: Path) -> None:
        self.store, self.world, self.gate = folder / "b.db", folder / "world", folder / "gate"
        self.world.touch()
        self.workers: list[subprocess.Popen[str]] = []
        self.names: dict[int, str] = {}  # on the roll, by process

    async def worker(self, runs: int = 0, *flows: Flow) -> "subprocess.Popen[str]":
        """Another worker, when it is at work; it knows these flows, and begins runs of the first."""
        command = [sys.executable, "-m", "tests.crash.worker", str(self.store), str(self.world), str(self.gate)]
        process = await asyncio.to_thread(
            subprocess.Popen, [*command, str(runs), *(flow.name for flow in flows or (FLOW,))],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.workers.append(process)
        assert process.stdout is not None
        name = await asyncio.to_thread(process.stdout.readline)
        assert name
        self.names[process.pid] = name.strip()
        return process

    def seen(self) -> list[str]:
        """What the world saw: `run.step`."""
        return [line.split(" ")[0] for line in self.world.read_text().splitlines()]

    async def until(self, lines: int) -> None:
        """The world has seen so many calls."""
        await until(lambda: len(self.seen()) >= lines)


async def until(holds: Callable[[], bool]) -> None:
    """It is so: another process has seen to it."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # ends: PATIENCE  # noqa: ASYNC110 - nothing in this process is told of it
            await asyncio.sleep(0.02)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    shared = Shared(tmp_path)
    yield shared
    for process in shared.workers:
        process.kill()
        process.communicate()


async def ended(shared: Shared, b: Bridle, flow: Flow = FLOW) -> list[int]:
    """Wait for the end of every run, and hold each to account; how often each was resumed comes back."""
    shared.gate.touch()
    resumed = []
    for n in range(RUNS):
        result = await asyncio.wait_for(b.run(flow, {"n": n}, key=f"{n}"), PATIENCE)
        assert result.answer == [f"{n}.1", f"{n}.2"]
        events, recorded = journal(b, result.run_id), b.store.recorded(result.run_id)
        entries = [(entry.seq, entry.body, entry.hash) for entry in b.store.journal(result.run_id)]
        assert fold(events) == recorded.state
        assert verify(result.run_id, entries, recorded.head) is None
        assert sum(isinstance(event, RunStopped) for event in events) == 1
        assert not recorded.state.open_calls
        resumed.append(sum(isinstance(event, RunResumed) for event in events))
    assert not any(balance.reserved for balance in b.store.balances().values())
    assert b.store.runs(only_open=True) == []
    await b.gateway.pending.write_all()
    assert seats(b) == 0
    return resumed


async def test_the_runs_of_a_killed_worker_are_finished_by_another(shared: Shared) -> None:
    killed = await shared.worker(RUNS)
    await shared.worker()
    await shared.until(2 * RUNS)
    killed.kill()
    killed.wait()
    await shared.until(3 * RUNS)  # the other one is at it, without being asked
    async with house(shared.store, shared.world, shared.gate) as b:
        assert await ended(shared, b) == [1] * RUNS
    assert sorted(shared.seen()) == sorted([f"{n}.{step}" for n in range(RUNS) for step in (1, 2, 2)])
    by = re.findall(r"\.2 by (\d+)", shared.world.read_text())
    assert {int(pid) for pid in by} == {process.pid for process in shared.workers}


async def test_a_worker_that_was_paused_and_replaced_writes_nothing_when_it_comes_back(shared: Shared) -> None:
    paused = await shared.worker(RUNS)
    await shared.until(2 * RUNS)
    paused.send_signal(signal.SIGSTOP)
    async with house(shared.store, shared.world, shared.gate) as b:
        lines = b.store.runs(only_open=True)
        assert len(lines) == RUNS
        assert b.store.orphans(lines[0].state.last_at) == []  # it is not dead
        for line in lines:  # somebody decides that it is
            await take_over(b.store, b._world, line.state.run, b._charter.kept(b.store, line.state.run))
        heads = {line.state.run: b.store.recorded(line.state.run).head for line in lines}
        shared.gate.touch()
        paused.send_signal(signal.SIGCONT)
        paused.send_signal(signal.SIGTERM)
        await asyncio.to_thread(paused.wait, PATIENCE)
        assert {run: b.store.recorded(run).head for run in heads} == heads
        assert await ended(shared, b) == [2] * RUNS


async def test_a_worker_that_is_told_to_stop_gives_its_runs_away(shared: Shared) -> None:
    told = await shared.worker(RUNS)
    await shared.until(2 * RUNS)
    told.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(told.wait, PATIENCE) == 0
    async with house(shared.store, shared.world, shared.gate) as b:
        assert await ended(shared, b) == [1] * RUNS


async def test_two_workers_that_are_killed_in_turn_lose_nothing(shared: Shared) -> None:
    for number in range(1, 4):
        worker = await shared.worker(RUNS if number == 1 else 0)
        await shared.until((number + 1) * RUNS)
        worker.kill()
        worker.wait()
    async with house(shared.store, shared.world, shared.gate) as b:
        assert await ended(shared, b) == [3] * RUNS
    assert shared.seen().count("0.1") == 1


def money_is_whole(b: Bridle, made: int) -> None:
    """Each child ended once and was paid for once, and the house has paid every call that the world saw."""
    books, lines = Books(), b.store.runs()
    for line in lines:
        events, state = journal(b, line.state.run), b.store.recorded(line.state.run).state
        assert sum(isinstance(event, RunStopped) for event in events) == 1
        assert (dict(state.held), dict(state.children)) == ({}, {})
        closed = {event.child: event.used for event in events if isinstance(event, ChildClosed)}
        assert closed == {run: b.store.recorded(run).state.used for run in closed}
        assert list(closed) == [event.child for event in events if isinstance(event, ChildFunded)]
        assert len(closed) == (state.name == TEAM.name)
        books.post(b.store, state, events)
    assert books.differences(b.store.balances()) == []
    assert len(lines) == 2 * RUNS
    paid = sum(line.state.used[USD_NANO] for line in lines if not line.state.parent)
    assert paid == made * CENT == sum(one.settled for of, one in b.store.balances().items() if of.unit == USD_NANO)


@pytest.mark.parametrize("who", ["nobody drives", "another worker drives"])
async def test_the_children_of_a_killed_worker_end_in_another_process_than_their_parents(
    shared: Shared, who: str
) -> None:
    killed = await shared.worker(RUNS, TEAM, FLOW)
    await shared.until(3 * RUNS)
    children = await shared.worker(0, FLOW)
    killed.kill()
    killed.wait()
    await shared.until(4 * RUNS)  # the children are at it again, and their parents are nobody's
    reader = SqliteStore(shared.store, read_only=True)
    drives = {line.state.run: reader.driver(line.state.run) for line in reader.runs()}
    assert {drives[line.state.run] for line in reader.runs() if line.state.parent} == {shared.names[children.pid]}
    if who == "another worker drives":
        parents = await shared.worker(0, TEAM)  # it joins the children that it does not drive
        own = [line.state.run for line in reader.runs() if not line.state.parent]
        await until(lambda: {reader.driver(run) for run in own} == {shared.names[parents.pid]})
        parents.kill()
        parents.wait()
    else:
        shared.gate.touch()
        await until(lambda: not any(line.state.parent for line in reader.runs(only_open=True)))
    async with house(shared.store, shared.world, shared.gate, [TEAM]) as b:
        assert await ended(shared, b, TEAM) == [1 + (who != "nobody drives")] * RUNS
        money_is_whole(b, 4 * RUNS)
    await reader.close()
    assert sorted(shared.seen()) == sorted(f"{n}.{step}" for n in range(RUNS) for step in (0, 1, 2, 2))
