"""Several processes on one file: what one commits the others see, and the kernel tells who died."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridle.rules.approval import Answer
from bridle.rules.budget import Balance
from bridle.rules.events import ApprovalAsked, ApprovalDecided, RunSuspended
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import CallId, Digest, Millis, RunId
from bridle.rules.run import Phase
from bridle.store import lock
from bridle.store.base import Fenced, Transaction
from bridle.store.lock import WriterLock
from bridle.store.roll import Roll
from bridle.store.sqlite import SqliteStore
from tests.store.contract import adding, beginning, intact, money
from tests.store.journals import READ, T0, admitted

ROOT = Path(__file__).resolve().parents[2]
COUNTS = """
import asyncio, sys
from pathlib import Path
from bridle.store.sqlite import SqliteStore
from tests.store.contract import money

def one_more(tx):
    balance = tx.balance(money, 10**9)
    tx.set_balance(money, balance.reserve(1))

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    store.crowd = int(sys.argv[3])
    await asyncio.gather(*(store.transact(one_more) for _ in range(int(sys.argv[2]))))
    await store.close()

asyncio.run(main())
"""
DIES = """
import asyncio, sys
from pathlib import Path
from bridle.store.sqlite import SqliteStore
from tests.store.contract import beginning

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    store.enlist()
    await store.transact(beginning("r1"))
    print(store.worker, flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bridle.db"


@pytest.fixture
async def two(path: Path) -> AsyncIterator[tuple[SqliteStore, SqliteStore]]:
    """Two workers, as two processes would open them."""
    stores = SqliteStore(path), SqliteStore(path)
    for store in stores:
        store.enlist()
    yield stores
    for store in stores:
        await store.close()


def started(command: list[str]) -> "subprocess.Popen[str]":
    """A process of its own."""
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


Two = tuple[SqliteStore, SqliteStore]


async def test_what_one_commits_the_other_sees_in_its_next_transaction(two: Two) -> None:
    one, other = two
    await one.transact(beginning("r1"))
    for number in range(1, 6):
        await two[number % 2].transact(lambda tx: tx.set_balance(money, tx.balance(money, 100).reserve(1)))
        await two[number % 2].transact(adding("r1", 1, [admitted(f"c{number}", turn=number)]))
    assert await other.transact(lambda tx: tx.balance(money, 100)) == Balance(100, 0, 5)
    assert intact(one, "r1") == intact(other, "r1")
    assert intact(one, "r1").calls == 5


async def test_four_processes_lose_no_count(path: Path) -> None:
    await SqliteStore(path).close()
    commands = [[sys.executable, "-c", COUNTS, str(path), "60", str(crowd)] for crowd in (1, 1, 9, 9)]
    running = [await asyncio.to_thread(started, command) for command in commands]
    for process in running:
        await asyncio.to_thread(process.communicate)
    assert [process.returncode for process in running] == [0, 0, 0, 0]
    store = SqliteStore(path)
    assert store.balances()[money].reserved == 240
    await store.close()


async def test_who_cannot_have_the_lock_gets_a_sentence_and_has_written_nothing(
    two: Two, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.02)
    stuck = WriterLock(path)
    with stuck, pytest.raises(ControlUnavailable, match="another process has been writing for"):
        await two[0].transact(beginning("r1"))
    stuck.close()
    assert two[0].runs() == []
    await two[0].transact(beginning("r1"))


async def test_a_run_is_driven_by_the_worker_that_started_it_for_as_long_as_that_lives(path: Path) -> None:
    command = [sys.executable, "-c", DIES, str(path)]
    process = await asyncio.to_thread(started, command)
    with process:
        assert process.stdout is not None
        worker = (await asyncio.to_thread(process.stdout.readline)).strip()
        store = SqliteStore(path)
        store.enlist()
        assert (store.driver(RunId("r1")), store.orphans(T0)) == (worker, [])
        assert store.workers() == sorted([worker, store.worker])
        process.kill()
    assert store.driver(RunId("r1")) == ""
    assert [state.run for state in store.orphans(T0)] == ["r1"]
    assert store.workers() == [store.worker]
    await store.transact(lambda tx: tx.take_over(RunId("r1"), T0))
    assert store.driver(RunId("r1")) == store.worker
    await store.close()


async def test_of_two_that_take_a_run_over_the_later_is_fenced_off(two: Two) -> None:
    async def taken(store: SqliteStore) -> bool:
        def fn(tx: Transaction) -> None:
            if tx.state(RunId("r1")).epoch != 1:
                raise Fenced("too late")
            tx.take_over(RunId("r1"), T0)

        try:
            await store.transact(fn)
        except Fenced:
            return False
        return True

    await two[0].transact(beginning("r1"))
    assert sorted(await asyncio.gather(*(taken(store) for store in two))) == [False, True]
    with pytest.raises(Fenced):
        await two[0].transact(adding("r1", 1, [admitted("c1")]))
    assert intact(two[1], "r1").epoch == 2


async def test_a_run_that_is_given_away_is_anybodys(two: Two) -> None:
    await two[0].transact(beginning("r1"))
    assert two[1].orphans(T0) == []
    await two[0].transact(lambda tx: tx.take_over(RunId("r1"), T0, drives=False))
    assert [store.driver(RunId("r1")) for store in two] == ["", ""]
    assert [[state.run for state in store.orphans(T0)] for store in two] == [["r1"], ["r1"]]


async def test_a_run_that_waits_is_nobodys_until_its_time_or_its_answer(two: Two) -> None:
    run, asks = RunId("r1"), ApprovalAsked(T0, CallId("c1"), READ, Digest("a"), Digest("b"), Millis(T0 + 9))
    await two[0].transact(beginning("r1"))

    def waits(tx: Transaction) -> None:
        tx.append(run, 1, [asks, RunSuspended(T0, Millis(T0 + 9))])
        tx.let_go(run)

    await two[0].transact(waits)
    assert [store.driver(run) for store in two] == ["", ""]
    for store in two:
        assert store.orphans(Millis(T0 + 8)) == []
        assert [state.run for state in store.orphans(Millis(T0 + 9))] == ["r1"]
    await two[1].transact(adding("r1", 1, [ApprovalDecided(T0, CallId("c1"), Answer.APPROVE, "ann")]))
    assert [[state.run for state in store.orphans(T0)] for store in two] == [["r1"], ["r1"]]
    assert intact(two[0], "r1").asked[0].by == "ann"


async def test_a_worker_that_closes_its_store_leaves_its_runs_to_the_others(path: Path) -> None:
    one, other = SqliteStore(path), SqliteStore(path)
    one.enlist()
    other.enlist()
    await one.transact(beginning("r1"))
    assert other.orphans(T0) == []
    await one.close()
    assert [state.phase for state in other.orphans(T0)] == [Phase.OPEN]
    await other.close()


async def test_a_wish_is_found_by_the_worker_that_drives_the_run(two: Two) -> None:
    await two[0].transact(beginning("r1"))
    two[1].ask_to_cancel(RunId("r1"), "ann", T0)
    assert two[1].wishes() == []
    assert two[0].wishes() == [("r1", "ann")]
    assert two[0].wishes() == []


def test_the_file_of_a_dead_worker_is_removed(path: Path) -> None:
    path.touch()
    living, dead = Roll(path), Roll(path)
    names = living.enlist(), dead.enlist()
    assert living.living() == sorted(names)
    dead.close()
    assert [living.is_alive(name) for name in (*names, "", "w1-nobody")] == [True, False, False, False]
    assert [file.name for file in path.with_name("bridle.db.workers").iterdir()] == [names[0]]
    living.close()
