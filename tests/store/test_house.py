"""The chain of the house in a file: older files get one, and several processes may write it."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridle.rules.house import Matter, Note
from bridle.rules.names import Digest, Millis, RunId
from bridle.store import house
from bridle.store.audit import Audit, snapshot
from bridle.store.base import Grounds
from bridle.store.codec import BadRow
from bridle.store.opening import StoreUnusable, writing
from bridle.store.sqlite import SqliteStore
from tests.store.house_contract import turned
from tests.store.journals import T0
from tests.store.tampering import POLICY, digest_of, work_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


def made_older(path: Path) -> None:
    """A file as the schema before this chain left it."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE house; PRAGMA user_version = 5;")


def gaps(path: Path) -> list[str]:
    with snapshot(path) as db:
        return [f"{gap.where} {gap.what}" for gap in Audit(db).gaps()]


async def test_an_older_file_is_upgraded_with_a_chain_of_what_it_holds(path: Path) -> None:
    store = SqliteStore(path)
    await store.transact(lambda tx: tx.keep_policy(digest_of(POLICY), POLICY, T0))
    for number in range(5):
        await store.transact(work_of(f"r{number}", 2, stop=number != 3))
    await store.close()
    made_older(path)
    for _ in range(2):  # the second opening adds nothing
        store = SqliteStore(path)
        assert store.house().seq == 1 + 4
        await store.close()
    assert gaps(path) == []
    store = SqliteStore(path)
    await store.transact(work_of("later", 1, stop=True))
    assert store.house().seq == 6
    await store.close()
    assert gaps(path) == []


async def test_an_older_file_with_a_damaged_run_is_upgraded_too(path: Path) -> None:
    store = SqliteStore(path)
    await store.transact(work_of("r1", 2, stop=True))
    await store.transact(work_of("r2", 2, stop=True))
    await store.close()
    made_older(path)
    with closing(sqlite3.connect(path)) as db:
        db.executescript("UPDATE runs SET state = X'00' WHERE run = 'r1'; DELETE FROM events WHERE run_no = 1;")
    store = SqliteStore(path)
    assert (store.house().seq, store.recorded(RunId("r2")).state.calls) == (2, 2)
    await store.close()


async def test_an_upgrade_that_fails_leaves_the_older_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(path)
    await store.transact(work_of("r1", 2, stop=True))
    await store.close()
    made_older(path)
    with monkeypatch.context() as broken:
        broken.setattr(house, "write", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk full")))
        with pytest.raises(StoreUnusable, match="disk full"):
            SqliteStore(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (5,)
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'house'").fetchone() == (0,)
    await SqliteStore(path).close()
    assert gaps(path) == []


async def test_an_older_file_that_is_only_read_says_what_is_missing(path: Path) -> None:
    await SqliteStore(path).close()
    made_older(path)
    with pytest.raises(StoreUnusable, match=r"older bridle \(schema 5, this one reads 6\)"), snapshot(path):
        pass


async def test_another_process_may_write_an_entry_between_two_of_a_worker(path: Path) -> None:
    store = SqliteStore(path)
    store.crowd = 2
    for number in range(20):
        with writing(path) as db:
            db.execute("BEGIN IMMEDIATE")
            house.write(db, [Note(T0, Matter.SWITCH_TURNED, "house", {"level": f"writes {number}"})])
            db.execute("COMMIT")
        await asyncio.gather(*(store.transact(turned("all")) for _ in range(3)))
        await store.transact(work_of(f"r{number}", 1, stop=True))
        store.erase([RunId(f"r{number}")], Grounds(T0, "ann"))
    assert store.house().seq == 20 * 6
    await store.close()
    assert gaps(path) == []


def test_an_entry_comes_back_as_it_was() -> None:
    note = Note(Millis(7), Matter.DOUBT_RESOLVED, "r1 c3", {"verdict": "happened", "because": "ä\n\x00", "n": 2**60})
    assert house.decode(house.encode(note)) == note
    assert house.encode(Note(Millis(7), Matter.POLICY_KEPT, Digest("d"))) == b'[7,"policy_kept","d",{}]'


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[1,"perhaps","x",{}]', b'[1,"policy_kept","x",7]', b"\xff"])
def test_what_is_no_entry_is_a_sentence(body: bytes) -> None:
    with pytest.raises(BadRow, match="no entry of the house"):
        house.decode(body)
