"""One SQLite file: who may write it, who may look, and the sentence that everybody else gets."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bridle.rules.budget import Account, Balance
from bridle.rules.failure import BridleError, ControlUnavailable
from bridle.rules.health import Health
from bridle.rules.names import IN_FLIGHT, Digest, RunId
from bridle.rules.policy import KillLevel, Level, Window
from bridle.rules.switch import Scope
from bridle.store import sqlite
from bridle.store.base import Transaction
from bridle.store.chain import verify
from bridle.store.codec import BadRow
from bridle.store.sqlite import SCHEMA, SqliteStore, StoreUnusable
from bridle.store.switches import Wish
from tests.store.contract import adding, beginning, intact, keeping, money, rows
from tests.store.journals import T0, TENANT, admitted, begin

LOOKS = """
import asyncio
import sys
from pathlib import Path
from bridle.store.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), read_only=True)
store.runs()
asyncio.run(store.close())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bridle.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    store.crowd = 2
    yield store
    await store.close()


def change(path: Path, statement: str, *values: object) -> None:
    """What somebody else does to the file with a tool of their own."""
    with sqlite3.connect(path) as db:
        db.execute(statement, values)
    db.close()


def setting(account: Account, balance: Balance) -> Callable[[Transaction], None]:
    return lambda tx: tx.set_balance(account, balance)


# Who may write, and who may look


async def test_a_store_that_was_closed_can_be_opened_again(path: Path) -> None:
    for number in range(3):
        store = SqliteStore(path)
        await store.transact(beginning(f"r{number}"))
        await store.close()
        await store.close()
    reader = SqliteStore(path, read_only=True)
    assert [line.state.run for line in reader.runs()] == ["r2", "r1", "r0"]
    await reader.close()


async def test_a_reader_beside_a_writer_sees_what_is_committed(store: SqliteStore, path: Path) -> None:
    await store.transact(beginning("r1"))
    reader = SqliteStore(path, read_only=True)
    for number in range(5):
        await store.transact(keeping("r1", f"c{number}", f"n{number}", b"x"))
        assert intact(reader, "r1").calls == number + 1
        assert reader.payload(RunId("r1"), f"n{number}") == b"x"
    with pytest.raises(ControlUnavailable, match="reading only"):
        await reader.transact(beginning("r2"))
    await reader.close()
    await store.transact(beginning("r2"))


async def test_a_reader_may_leave_a_wish_and_the_writer_finds_it(store: SqliteStore, path: Path) -> None:
    reader = SqliteStore(path, read_only=True)
    reader.ask_to_cancel(RunId("r1"), "ann", T0)
    assert store.wishes() == [("r1", "ann")]
    assert store.wishes() == []
    await reader.close()


async def test_wishes_can_be_left_and_found_while_batches_are_committed(store: SqliteStore, path: Path) -> None:
    reader, found = SqliteStore(path, read_only=True), list[str]()
    batches = asyncio.gather(*(store.transact(beginning(f"r{n}")) for n in range(1_500)))
    for number in range(200):
        reader.ask_to_cancel(RunId(f"w{number}"), "ann", T0)
        found += [run for run, _ in store.wishes()]
        await asyncio.sleep(0)
    await batches
    found += [run for run, _ in store.wishes()]
    assert sorted(found) == sorted(f"w{n}" for n in range(200))
    assert len(store.runs(limit=2_000)) == 1_500
    await reader.close()


async def test_a_switch_that_another_process_turned_is_read_by_the_next_transaction(
    store: SqliteStore, path: Path
) -> None:
    async def on() -> list[tuple[str, str]]:
        return [(one.level, str(one.scope)) for one in await store.transact(lambda tx: tx.switches())]

    other = SqliteStore(path, read_only=True)
    ann, bob = (Wish(name, "an incident", "root", T0) for name in ("ann", "bob"))
    assert await on() == []
    other.switches.kill(KillLevel.EXPENSIVE, Scope("acme"), ann)
    assert await on() == [("expensive", "tenant acme")]
    other.switches.kill(KillLevel.ALL, Scope(), bob)
    assert sorted(await on()) == [("all", "house"), ("expensive", "tenant acme")]
    other.switches.unkill(None, Scope(), ann)
    assert await on() == [("expensive", "tenant acme")]
    await other.close()


async def test_a_wish_that_is_granted_lets_go_of_no_lock_so_that_who_looks_deletes_no_journal_in_use(
    store: SqliteStore, path: Path
) -> None:
    store.ask_to_cancel(RunId("r1"), "ann", T0)
    assert store.wishes() == [("r1", "ann")]
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", LOOKS, str(path)], check=True)
    assert path.with_name(path.name + "-wal").exists(), "the last one out deletes it, and this one was not the last"
    await store.transact(beginning("r2"))
    reader = SqliteStore(path, read_only=True)
    assert [line.state.run for line in reader.runs()] == ["r2"]
    await reader.close()


# What is no store


def not_a_database(path: Path) -> None:
    path.write_bytes(b"To whom it may concern. " * 400)


def a_directory(path: Path) -> None:
    path.mkdir()


def somebody_elses(path: Path) -> None:
    change(path, "CREATE TABLE accounts (iban TEXT)")


def newer(path: Path) -> None:
    change(path, f"PRAGMA user_version = {SCHEMA + 1}")


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (not_a_database, "file is not a database. Is it a bridle store"),
        (a_directory, "unable to open database file"),
        (newer, rf"written by a newer bridle \(schema {SCHEMA + 1}, this one knows {SCHEMA}\); upgrade bridle"),
        (somebody_elses, "is the database of something else"),
    ],
)
def test_what_is_no_store_is_left_alone_and_named(
    path: Path, make: Callable[[Path], None], sentence: str, read_only: bool
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreUnusable, match=sentence) as raised:
        SqliteStore(path, read_only=read_only)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not path.is_file() or path.read_bytes() == before
    with pytest.raises(StoreUnusable, match=sentence):  # and the lock was let go of
        SqliteStore(path, read_only=read_only)


def test_a_reader_of_a_store_that_is_not_there_makes_none(path: Path) -> None:
    with pytest.raises(StoreUnusable, match="no store here yet; `bridle run` makes one"):
        SqliteStore(path, read_only=True)
    assert not path.exists()


@pytest.mark.parametrize("place", ["/proc/bridle.db", "/proc/bridle/bridle.db", "/dev/null/bridle.db"])
def test_a_place_where_nothing_can_be_written_is_named_with_the_cure(place: str) -> None:
    with pytest.raises(StoreUnusable, match="Choose another place with `store=` or BRIDLE_STORE"):
        SqliteStore(Path(place))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into a read-only folder all the same")
def test_a_read_only_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreUnusable, match=r"Permission denied\. Choose another place"):
        SqliteStore(tmp_path / "bridle.db")
    tmp_path.chmod(0o700)


# What was damaged


@pytest.mark.parametrize(
    ("damage", "look"),
    [
        ("UPDATE runs SET state = X'5B5D'", lambda store: store.recorded(RunId("r1"))),
        ("UPDATE runs SET state = X'FF00'", lambda store: store.runs()),
        ("UPDATE runs SET reason = 'because'", lambda store: store.runs()),
        ("UPDATE events SET body = X'7B7D' WHERE seq = 1", lambda store: store.journal(RunId("r1"))),
        ("UPDATE events SET body = X'FF' WHERE seq = 1", lambda store: store.journal(RunId("r1"))),
        ("UPDATE events SET body = '[]' WHERE seq = 1", lambda store: store.journal(RunId("r1"))),
        ("UPDATE accounts SET level = 'galaxy'", lambda store: store.balances()),
    ],
)
async def test_a_damaged_row_is_named_in_a_sentence(
    path: Path, damage: str, look: Callable[[SqliteStore], object]
) -> None:
    store = SqliteStore(path)
    await store.transact(beginning("r1"))
    await store.transact(lambda tx: tx.set_balance(money, Balance(1, 1, 0)))
    await store.close()
    change(path, damage.replace("'[]'", "X'5B5D'"))
    store = SqliteStore(path)
    with pytest.raises(BadRow, match="this is no "):
        look(store)
    await store.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE runs SET state = X'5B5D'",
        "UPDATE health SET body = X'5B317D'",
        "INSERT INTO switches VALUES ('acme', '', '', 'perhaps', 1, 'ann', 'why', 0)",
    ],
)
async def test_a_transaction_that_meets_a_damaged_row_fails_alone(path: Path, damage: str) -> None:
    store = SqliteStore(path)
    await store.transact(beginning("r1"))
    await store.transact(lambda tx: tx.set_health(TENANT, "kb", Health(failures=2)))
    await store.close()
    change(path, damage)
    store = SqliteStore(path)
    store.crowd = 2

    def look(tx: Transaction) -> object:
        return tx.recorded(RunId("r1")), tx.health(TENANT, "kb"), tx.switches()

    jobs: list[Callable[[Transaction], object]] = [beginning("r2"), look, beginning("r3")]
    found = await asyncio.gather(*(store.transact(job) for job in jobs), return_exceptions=True)
    assert isinstance(found[1], BridleError)
    assert intact(store, "r2").seq == intact(store, "r3").seq == 1
    await store.close()


async def test_a_file_with_a_torn_page_gives_a_sentence_and_no_traceback(path: Path) -> None:
    store = SqliteStore(path)
    for number in range(200):
        await store.transact(beginning(f"r{number}"))
    await store.close()
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(os.urandom(200_000))
    with pytest.raises(BridleError, match=r"bridle\.db"):  # noqa: PT012 - whoever notices first
        store = SqliteStore(path)
        try:
            store.runs()
            store.journal(RunId("r1"))
        finally:
            await store.close()


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        ("UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'ann', 'eve') AS BLOB) WHERE seq = 1", 1),
        ("DELETE FROM events WHERE seq = 2", 2),
        ("DELETE FROM events WHERE seq = 3", 3),
        ("UPDATE events SET seq = CASE seq WHEN 12 THEN 3 WHEN 13 THEN 2 ELSE 1 END", 2),
        ("UPDATE events SET hash = X'00' WHERE seq = 3", 3),
        ("UPDATE runs SET head = X'00'", 4),
    ],
)
async def test_who_edits_the_file_with_another_tool_is_found(path: Path, edit: str, where: int) -> None:
    store = SqliteStore(path)
    await store.transact(beginning("r1"))
    await store.transact(adding("r1", 1, [admitted("c1"), admitted("c2", turn=1)]))
    await store.close()
    if "CASE" in edit:  # the primary key holds at every row: go around it
        change(path, "UPDATE events SET seq = seq + 10")
    change(path, edit)
    reader = SqliteStore(path, read_only=True)
    found = verify(RunId("r1"), rows(reader, "r1"), reader.recorded(RunId("r1")).head)
    assert found is not None
    assert found.seq == where
    await reader.close()


async def test_seats_are_not_forgotten_however_many_accounts_are_touched(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "CACHED_ACCOUNTS", 10)
    seat = Account(Level.TENANT, "acme/kb.read", IN_FLIGHT, Window.NONE, 0)
    await store.transact(lambda tx: tx.set_balance(seat, Balance(1, 0, 1)))
    for number in range(30):
        other = Account(Level.AGENT, f"a{number}", money.unit, Window.DAY, number)
        await store.transact(setting(other, Balance(9, 1, 0)))
    assert (await store.transact(lambda tx: tx.balance(seat, 1))).available == 0
    assert len(store.balances()) >= 30


async def test_digests_of_policies_and_runs_are_read_back_after_a_restart(path: Path) -> None:
    store = SqliteStore(path)
    await store.transact(lambda tx: tx.keep_policy(Digest("d"), b"{}", T0))
    await store.transact(lambda tx: begin(tx, "r1", key="k"))
    await store.transact(lambda tx: tx.set_balance(money, Balance(10, 3, 2)))
    await store.close()
    store = SqliteStore(path)
    assert store.policy(Digest("d")) == b"{}"
    assert await store.transact(lambda tx: tx.balance(money, 10)) == Balance(10, 3, 2)
    assert intact(store, "r1").run == "r1"
    await store.close()


async def test_a_new_store_is_its_owners_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "bridle.db")
    await store.transact(lambda tx: tx.keep_policy(Digest("d"), b"{}", T0))
    rights = rights_in(tmp_path)
    assert rights == dict.fromkeys(("bridle.db", "bridle.db-wal", "bridle.db.lock"), "0o600")
    await store.close()


def rights_in(folder: Path) -> dict[str, str]:
    """Who may read what, as octal numbers; the shared memory beside a store holds none of its content."""
    return {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir() if "shm" not in file.name}
