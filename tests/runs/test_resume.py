"""A process dies at any of its commits; the next one finishes the run, and repeats nothing that is remembered."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridle.rules.events import CallAdmitted, CallSettled, RunResumed, RunStopped
from bridle.rules.fold import fold
from bridle.rules.stop import StopReason
from bridle.runs.result import RunResult
from bridle.store.chain import verify
from bridle.store.sqlite import SqliteStore
from tests.runs.crashing_flow import FLOW, house

ROOT = Path(__file__).resolve().parents[2]
MOST = 28  # commits of the flow, twice; the last numbers let it end


def died(store: Path, world: Path, number: int, writes: bool) -> bool:
    command = [sys.executable, "-m", "tests.runs.crashing_flow", str(store), str(world), str(number)]
    env = {**os.environ, "WRITES": "1"} if writes else dict(os.environ)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode != 0


async def resumed(store: Path, world: Path) -> RunResult:
    """What the next process makes of it: it knows the flow before it opens, and the user asks again."""
    b = house(store, world)
    b.register(FLOW)
    async with b:
        return await asyncio.wait_for(b.run(FLOW, {}, key="the only one"), 20)


def held_to_account(store: Path, result: RunResult) -> list[object]:
    """The journal, whole: one end, an intact chain, the row equal to the fold, nothing left open."""
    reader = SqliteStore(store, read_only=True)
    entries, recorded = reader.journal(result.run_id), reader.recorded(result.run_id)
    events: list[object] = [entry.event for entry in entries]
    assert verify(result.run_id, [(e.seq, e.body, e.hash) for e in entries], recorded.head) is None
    assert fold(entry.event for entry in entries) == recorded.state
    assert sum(isinstance(event, RunStopped) for event in events) == 1
    assert not recorded.state.open_calls
    assert not recorded.state.held
    assert not any(balance.reserved for balance in reader.balances().values())
    assert len(reader.runs()) == 1
    asyncio.get_running_loop().create_task(reader.close())
    return events


@pytest.mark.parametrize("first", range(1, 9))
async def test_a_run_killed_at_any_commit_is_finished_and_repeats_no_call_it_remembers(
    tmp_path: Path, first: int
) -> None:
    for number in range(first, MOST, 8):
        store, world = tmp_path / f"{number}.db", tmp_path / f"{number}.txt"
        world.touch()
        has_died = await asyncio.to_thread(died, store, world, number, False)
        result = await resumed(store, world)
        assert (result.stop and result.stop.reason, result.answer) == (
            StopReason.OK, {"read": ["text 1", "text 2"], "found": "three"},
        ), f"killed at {number}"  # fmt: skip
        events = held_to_account(store, result)
        made = world.read_text().split("\n")[:-1]
        admitted = [event for event in events if isinstance(event, CallAdmitted) and event.tool == "kb.read"]
        assert len(made) <= len(admitted)  # the world never saw a call that the journal did not admit
        for doc in (1, 2, 3):
            assert 1 <= made.count(f"read {doc}") <= 2, f"killed at {number}: {made}"
        lost = [e for e in events if isinstance(e, CallSettled) and e.failure is not None]
        assert len(made) - 3 <= len(lost)  # only a call whose end was not yet written down is made again
        assert sum(isinstance(event, RunResumed) for event in events) <= has_died


@pytest.mark.parametrize("first", range(1, 9))
async def test_a_write_that_was_open_when_its_process_died_is_in_doubt_and_not_sent_again(
    tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRITES", "1")
    for number in range(first, MOST, 8):
        store, world = tmp_path / f"{number}.db", tmp_path / f"{number}.txt"
        world.touch()
        await asyncio.to_thread(died, store, world, number, True)
        result = await resumed(store, world)
        assert result.stop is not None
        sent = world.read_text().count("sent ann")
        events = held_to_account(store, result)
        admitted = [event for event in events if isinstance(event, CallAdmitted) and event.tool == "mail.send"]
        assert sent <= len(admitted) == 1, f"killed at {number}"
        settled = any(isinstance(e, CallSettled) and e.call == admitted[0].call for e in events)
        assert result.stop.reason is (StopReason.OK if settled else StopReason.WRITE_IN_DOUBT), f"killed at {number}"
        assert sent == 1 or not settled


async def test_a_flow_that_nobody_registered_stays_open_until_somebody_asks_for_it(tmp_path: Path) -> None:
    store, world = tmp_path / "a.db", tmp_path / "a.txt"
    world.touch()
    assert await asyncio.to_thread(died, store, world, 8, False)
    async with house(store, world) as b:
        assert [line.reason for line in b.store.runs(only_open=True)] == [None]
    assert (await resumed(store, world)).status == "ok"
