"""What a bad disk does in the storm is really done to the store, and the store bears it."""

import random
from collections.abc import Iterator
from functools import partial

import pytest

from bench.storm.disk import Disk
from bench.storm.plan import PLANS
from bench.storm.storm import Order, chunk
from bench.storm.tally import EVERY_RUN
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import RunId
from bridle.store import sqlite
from bridle.store.sqlite import SqliteStore
from tests.store.contract import beginning, intact, keeping

LARGE = b"x" * 200_000


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk(True, random.Random(7), tears=True)
    yield disk
    disk.mend()
    disk.remove()


def opened(disk: Disk) -> SqliteStore:
    store = disk.open()
    assert isinstance(store, SqliteStore)
    store.enlist()
    return store


@pytest.mark.parametrize("trouble", ["fill", "lose_syncs"])
async def test_while_the_disk_fails_nothing_is_acknowledged_and_afterwards_nothing_is_missing(
    disk: Disk, trouble: str
) -> None:
    store = opened(disk)
    await store.transact(beginning("r1"))
    getattr(disk, trouble)()
    with pytest.raises(ControlUnavailable, match=r"full|disk I/O error"):
        await store.transact(keeping("r1", "c1", "n1", LARGE))
    disk.mend()
    await store.transact(keeping("r1", "c2", "n2", b"small"))
    await store.close()
    again = opened(disk)
    intact(again, "r1")
    assert (again.payload(RunId("r1"), "n1"), again.payload(RunId("r1"), "n2")) == (None, b"small")
    await again.close()


async def test_a_commit_during_which_the_power_goes_is_there_as_a_whole_or_not_at_all(disk: Disk) -> None:
    there = list[bool]()
    for number in range(12):
        store = opened(disk)
        run = f"r{number}"
        await store.transact(beginning(run))
        disk.dies_while_it_commits(store, 1, partial(disk.loses, store))
        await store.transact(keeping(run, "c1", "n1", LARGE))
        again = opened(disk)
        calls = intact(again, run).calls
        assert (again.payload(RunId(run), "n1") == LARGE) == (calls == 1)
        there.append(calls == 1)
        await again.close()
    assert not all(there)


async def test_a_commit_is_acknowledged_when_only_the_copying_of_the_log_fails(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(disk)
    await store.transact(beginning("r1"))
    monkeypatch.setattr(sqlite, "CHECKPOINT_AFTER", 1)
    with store._lock or pytest.fail("it has no lock"):
        store._write.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    disk.has_room_for(disk.path.stat().st_size if disk.path else 0)
    await store.transact(keeping("r1", "c1", "n1", b"x" * 20_000))
    disk.mend()
    assert intact(store, "r1").calls == 1
    await store.close()


def test_on_a_bad_disk_every_promise_holds() -> None:
    played = chunk(Order(7, "bad_disk", 100, 1), [0, 2])
    assert PLANS["bad_disk"].has_bad_disk
    assert not played.tally.violations
    assert played.tally.rows[EVERY_RUN].runs == 100
    assert played.tally.crashes > 0
