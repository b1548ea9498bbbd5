"""kill -9 around a write: at every commit, before and after the effect, and again during the recovery."""

import asyncio
from pathlib import Path

import pytest

from bridle.rules.effect import IntentStatus
from bridle.rules.events import ApprovalDecided, CallAdmitted, RunStopped
from bridle.rules.fold import fold
from bridle.rules.names import TenantId, ToolName
from bridle.rules.stop import StopReason
from bridle.runs.result import RunResult
from bridle.store.chain import verify
from tests.runs.dying_writes import FLOW, SEEN, asked, effects, house, life
from tests.runs.lives import lived

KINDS = ("key", "natural", "none", "probe")
MOMENTS = ("before effect", "after effect", *map(str, range(1, 9)))


async def resumed(store: Path, world: Path, kind: str) -> tuple[RunResult, IntentStatus | None, int]:
    """The last life: the result, what the row says, and how often the write was admitted."""
    async with house(store, world, kind) as b:
        result = await asyncio.wait_for(asked(b), 20)
        entries, recorded = b.store.journal(result.run_id), b.store.recorded(result.run_id)
        assert verify(result.run_id, [(e.seq, e.body, e.hash) for e in entries], recorded.head) is None
        assert fold(entry.event for entry in entries) == recorded.state
        assert sum(isinstance(entry.event, RunStopped) for entry in entries) == 1
        assert not recorded.state.open_calls
        row = await b.store.transact(lambda tx: tx.intent(TenantId("default"), ToolName("refund.create"), "refund:A1"))
        assert [intent.status for intent in b.store.doubts()] == ([row.status] if row and is_doubt(result) else [])
        admitted = [at for at, entry in enumerate(entries) if isinstance(entry.event, CallAdmitted)]
        said = [at for at, entry in enumerate(entries) if isinstance(entry.event, ApprovalDecided)]
        assert (len(said) >= 1 and said[0] < admitted[0]) if kind.startswith(SEEN) else not said
        return result, row.status if row else None, len(admitted)


def is_doubt(result: RunResult) -> bool:
    return result.stop is not None and result.stop.reason is StopReason.WRITE_IN_DOUBT


def held(world: Path, kind: str, result: RunResult, status: IntentStatus | None, about: str) -> None:
    """The journal against the far end's own file."""
    took = effects(world)
    assert len(took) <= 1, f"{about}: {world.read_text()}"
    if not kind.endswith("none"):
        assert (result.status, result.answer, status, len(took)) == (
            "ok", "receipt of default/refund.create/refund:A1", IntentStatus.CONFIRMED, 1,
        ), about  # fmt: skip
    elif is_doubt(result):
        assert status is IntentStatus.IN_DOUBT, about
        assert world.read_text().count("sent") <= 1 if world.exists() else True, about
    else:
        assert (result.status, len(took)) == ("ok", 1), about


@pytest.mark.parametrize("kind", [*KINDS, *(SEEN + kind for kind in KINDS)])
@pytest.mark.parametrize("dies", MOMENTS)
async def test_a_write_takes_effect_once_whenever_its_process_is_killed(tmp_path: Path, kind: str, dies: str) -> None:
    """Sabotage: let `none` be known again, or recover without the door (no claim), and the file has two effects."""
    store, world = tmp_path / "a.db", tmp_path / "a.txt"
    await asyncio.to_thread(lived, life, store, world, kind, dies)
    result, status, admitted = await resumed(store, world, kind)
    held(world, kind, result, status, f"{kind}, killed at {dies}")
    assert admitted <= 3
    if kind == "none" and dies in ("before effect", "after effect"):
        assert is_doubt(result)


@pytest.mark.parametrize("kind", ["key", "probe", "none"])
@pytest.mark.parametrize("again", [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
async def test_a_second_kill_during_the_recovery_changes_nothing(tmp_path: Path, kind: str, again: int) -> None:
    store, world = tmp_path / "a.db", tmp_path / "a.txt"
    assert not await asyncio.to_thread(lived, life, store, world, kind, "after effect")
    await asyncio.to_thread(lived, life, store, world, kind, str(again))
    result, status, _ = await resumed(store, world, kind)
    held(world, kind, result, status, f"{kind}, killed again at {again}")


async def test_a_person_settles_what_a_crash_left_and_the_key_is_free_again(tmp_path: Path) -> None:
    store, world = tmp_path / "a.db", tmp_path / "a.txt"
    assert not await asyncio.to_thread(lived, life, store, world, "none", "before effect")
    await resumed(store, world, "none")
    b = house(store, world, "none")
    async with b:
        (doubt,) = b.doubts()
        assert await b.resolve(doubt.write, happened=False, by="ann", because="the bank has nothing of it")
        second = await b.run(FLOW, {}, key="another")
    assert (second.status, len(effects(world))) == ("ok", 1)
