"""A process dies at any commit of a run with children; the next one finishes all of them, and none runs twice."""

import asyncio
from pathlib import Path

import pytest

from bridle.cli.books import Books
from bridle.rules.events import ChildClosed, ChildFunded, RunStopped
from bridle.rules.fold import fold
from bridle.rules.names import STEPS, TOOL_CALLS, USD_NANO
from bridle.runs.result import RunResult
from bridle.store.chain import verify
from bridle.store.sqlite import SqliteStore
from tests.runs.crashing_parent import PARENT, house, life
from tests.runs.lives import lived

MOST = 60  # commits of the story, twice; the last numbers let it end
ANSWER = ["text 2", "text 3", "text 4"]


async def resumed(store: Path, world: Path) -> RunResult:
    b = house(store, world)
    b.register(PARENT)  # its children's flows are known to its step alone
    async with b:
        return await asyncio.wait_for(b.run(PARENT, {}, key="the only one"), 20)


async def add_up(store: Path, root: str) -> None:
    """Every journal is whole, everything has ended, and each parent has paid its own calls and its children."""
    reader, books = SqliteStore(store, read_only=True), Books()
    lines = reader.runs()
    assert [line.state.name for line in lines if not line.state.parent] == ["parent"]
    assert sorted(line.state.name for line in lines) == ["below", "below", "child", "child", "parent"]
    for line in lines:
        run, recorded = line.state.run, reader.recorded(line.state.run)
        entries = reader.journal(run)
        events = [entry.event for entry in entries]
        assert verify(run, [(e.seq, e.body, e.hash) for e in entries], recorded.head) is None
        assert fold(events) == recorded.state
        assert sum(isinstance(event, RunStopped) for event in events) == 1
        assert (recorded.state.held, recorded.state.children, recorded.state.open_calls) == ({}, {}, {})
        closed = [event for event in events if isinstance(event, ChildClosed)]
        assert [e.child for e in closed] == [e.child for e in events if isinstance(e, ChildFunded)]
        for one in closed:
            assert one.used == reader.recorded(one.child).state.used
        books.post(reader, recorded.state, events)
    assert books.differences(reader.balances()) == []
    own = reader.recorded(lines[-1].state.run).state if not lines[-1].state.parent else None
    assert own is not None
    assert own.run == root
    assert own.used[STEPS] == 2 + 2 * (1 + 2 + 2)  # its own steps; for each child the spawn, its two, and one below
    await reader.close()


@pytest.mark.parametrize("first", range(1, 9))
async def test_a_run_with_children_killed_at_any_commit_ends_once_with_each_child_run_once(
    tmp_path: Path, first: int
) -> None:
    for number in range(first, MOST, 8):
        store, world = tmp_path / f"{number}.db", tmp_path / f"{number}.txt"
        world.touch()
        has_died = not await asyncio.to_thread(lived, life, store, world, number)
        result = await resumed(store, world)
        assert (result.status, result.answer) == ("ok", [ANSWER, ANSWER]), f"killed at {number}"
        await add_up(store, result.run_id)
        made = world.read_text().split("\n")[:-1]
        again = len(made) - 7
        assert 0 <= again <= has_died, f"killed at {number}: {made}"  # at most the call that was in flight
        assert result.spent[TOOL_CALLS] >= len(made)
        assert result.spent[USD_NANO] == result.spent[TOOL_CALLS] * 10_000_000
