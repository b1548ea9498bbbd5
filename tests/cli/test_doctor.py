"""The doctor recomputes everything, and says what is wrong in sentences."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bridle.store.opening import SCHEMA
from tests.cli.conftest import Bridled
from tests.cli.house import House, busy, greedy


def findings(bridle: Bridled, *more: str) -> dict[str, tuple[str, str]]:
    document = json.loads(bridle("doctor", "--store", "s.db", "--json", *more).out)
    assert set(document) == {"ok", "findings"}
    return {finding["name"]: (finding["state"], finding["text"]) for finding in document["findings"]}


@contextmanager
def tampered(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db:
        yield db
        db.commit()


def test_a_store_that_is_well(bridle: Bridled, here: Path) -> None:
    house = House(here / "s.db")
    house.run(busy())
    house.run(greedy())
    done = bridle("doctor", "--store", "s.db")
    assert (done.code, done.err) == (0, "")
    assert "2 runs: each row is the fold of its journal, each chain holds." in done.out
    assert "Every shared account is the sum over the journals." in done.out
    assert findings(bridle)["store"] == ("ok", f"s.db: schema {SCHEMA}, 2 runs.")


def test_an_edited_event_breaks_the_chain(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    with tampered(here / "s.db") as db:
        db.execute("UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'kb.read', 'kb.raed') AS BLOB)")
    done = bridle("doctor", "--store", "s.db")
    assert done.code == 2
    assert "r-1m7xpe60000000001: its hash chain breaks: event 3 was changed" in done.out


def test_a_row_that_is_not_the_fold_of_its_journal_is_found(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(greedy())
    with tampered(here / "s.db") as db:
        db.execute("UPDATE runs SET state = CAST(replace(CAST(state AS TEXT), '\"ann\"', '\"bob\"') AS BLOB)")
    state, text = findings(bridle)["journal"]
    assert (state, text) == ("bad", "r-1m7xpe60000000001: its row is not the fold of its journal: they differ in by")


def test_a_row_of_garbage_is_a_sentence_and_the_others_are_still_looked_at(bridle: Bridled, here: Path) -> None:
    house = House(here / "s.db")
    house.run(busy())
    house.run(greedy())
    with tampered(here / "s.db") as db:
        db.execute("UPDATE runs SET state = x'00ff' WHERE no = 1")
    done = bridle("doctor", "--store", "s.db")
    assert done.code == 2
    assert "r-1m7xpe60000000001: this is no run of bridle" in done.out
    assert "Traceback" not in done.out + done.err


def test_an_account_that_the_journals_do_not_add_up_to_is_found(bridle: Bridled, here: Path) -> None:
    policy = {
        "tools": {"allow": ["kb.read"], "kb.read": {"cost": "0.01"}},
        "tenants": {"default": {"max_tool_calls_per_day": 100}},
    }
    House(here / "s.db", policy).run(greedy())
    assert findings(bridle)["accounts"] == ("ok", "Every shared account is the sum over the journals.")
    with tampered(here / "s.db") as db:
        changed = db.execute("UPDATE accounts SET settled = settled - 1 WHERE settled > 0").rowcount
    assert changed
    state, text = findings(bridle)["accounts"]
    assert state == "bad"
    assert text.startswith("The account ")


def test_a_file_that_is_no_store_is_a_finding(bridle: Bridled, here: Path) -> None:
    (here / "s.db").write_bytes(b"garbage" * 1_000)
    done = bridle("doctor", "--store", "s.db")
    assert done.code == 2
    assert "bad   store     s.db: file is not a database" in done.out
    assert "Traceback" not in done.err


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that this user may not write, also for root."""
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)


def test_a_store_in_a_folder_that_may_not_be_written_is_read_and_not_called_damaged(
    bridle: Bridled, here: Path, closed: None
) -> None:
    House(here / "a #?%b.db").run(busy())
    before = sorted(path.name for path in here.iterdir())
    done = bridle("doctor", "--store", "a #?%b.db")
    assert f"ok    store     a #?%b.db: schema {SCHEMA}, 1 run." in done.out
    assert "backup" not in done.out
    assert bridle("show", "--store", "a #?%b.db").code == 0
    assert sorted(path.name for path in here.iterdir()) == before


@pytest.mark.usefixtures("closed")
def test_what_a_live_writer_has_not_checkpointed_is_seen_from_a_closed_folder(bridle: Bridled, here: Path) -> None:
    house = House(here / "s.db")
    house.run(greedy())
    with asyncio.Runner() as runner:
        b = house.opened()
        runner.run(b.open())
        runner.run(b.run(busy(), by="ann"))
        assert (here / "s.db-wal").exists()
        assert findings(bridle)["store"] == ("ok", f"s.db: schema {SCHEMA}, 2 runs.")
        runner.run(b.close())


def test_only_a_damaged_file_is_to_be_restored(bridle: Bridled, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    House(here / "s.db").run(busy())
    (here / "s.db").rename(here / "t.db")
    (here / "s.db").mkdir()
    done = bridle("doctor", "--store", "s.db")
    assert done.code == 2
    assert "unable to open database file" in done.out
    assert "Look at the permissions" in done.out
    assert "backup" not in done.out
    (here / "broken.db").write_bytes(b"garbage" * 1_000)
    assert "Restore the file from a backup" in bridle("doctor", "--store", "broken.db").out


def test_another_kind_of_database_is_a_finding(bridle: Bridled, here: Path) -> None:
    with tampered(here / "s.db") as db:
        db.execute("CREATE TABLE pets (name TEXT)")
    for command in ("doctor", "runs", "show"):
        done = bridle(command, "--store", "s.db")
        assert done.code == (2 if command == "doctor" else 1)
        assert "the database of something else" in done.out + done.err


@pytest.mark.parametrize("command", ["doctor", "runs", "show"])
def test_a_newer_schema_is_a_sentence(command: str, bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    with tampered(here / "s.db") as db:
        db.execute("PRAGMA user_version = 99")
    done = bridle(command, "--store", "s.db")
    assert done.code == (2 if command == "doctor" else 1)
    assert "written by a newer bridle (schema 99" in done.out + done.err


def test_a_store_that_is_written_now_may_be_looked_at(bridle: Bridled, here: Path) -> None:
    house = House(here / "s.db")
    house.run(busy())
    b = house.opened()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(b.open())
    try:
        assert findings(bridle)["workers"] == ("ok", f"1 worker may write it: {b.store.worker}.")
    finally:
        loop.run_until_complete(b.close())
        loop.close()
    assert findings(bridle)["workers"] == ("ok", "No worker has it open now.")


def test_no_store_and_no_policy_are_notes(bridle: Bridled) -> None:
    found = findings(bridle)
    assert found["store"] == ("note", "s.db: there is no store here yet.")
    assert found["policy"] == ("note", "There is no bridle.yaml here.")
    assert bridle("doctor", "--store", "s.db").code == 0


def test_a_policy_with_mistakes_is_a_finding(bridle: Bridled, here: Path) -> None:
    (here / "bridle.yaml").write_text("budgets:\n  max_step: 3\n")
    done = bridle("doctor", "--store", "s.db")
    assert done.code == 2
    assert "bridle.yaml: 1 mistake, the first: bridle.yaml:2:3: budgets.max_step is not a limit" in done.out


@pytest.mark.parametrize(("version", "said"), [((3, 51, 2), "WAL-reset bug"), ((3, 51, 3), "SQLite ")])
def test_a_sqlite_with_the_wal_reset_bug_is_named(
    version: tuple[int, int, int], said: str, bridle: Bridled, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    state, text = findings(bridle)["sqlite"]
    assert state == ("note" if version < (3, 51, 3) else "ok")
    assert bridle("doctor", "--store", "s.db").code == 0
    assert said in text
    assert ("WAL-reset" in text) == (version < (3, 51, 3))


def test_a_model_that_runs_asked_for_and_nobody_knows_the_price_of_is_found(bridle: Bridled, here: Path) -> None:
    flow = busy()
    flow.steps.clear()
    flow.start = ""
    flow.investigate("look", model="openai:nobody-knows-me", goal="Why?", tools=["kb.read"])
    House(here / "s.db").run(flow)
    state, text = findings(bridle)["prices"]
    assert state == "bad"
    assert text.startswith("No price: openai:nobody-knows-me (")
