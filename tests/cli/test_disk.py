"""A disk that is full, a folder that nobody may write, and files that others may read are said as such."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import Bridled
from tests.cli.house import House, busy
from tests.cli.test_doctor import findings

WHY = ("--because", "x")
KB, MB = 1_000, 1_000_000


@pytest.fixture
def store(here: Path) -> Path:
    House(here / "s.db").run(busy())
    return here / "s.db"


def left(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """The disk has so many bytes left."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))


@pytest.mark.parametrize(
    ("free", "state", "said"),
    [
        (0, "bad", "The disk is full: 0 kB free at "),
        (999 * KB, "bad", "The disk is full: 999 kB free at "),
        (2 * MB, "note", "Only 2 MB free at "),
        (100 * MB, "ok", "100 MB free at "),
    ],
)
def test_the_doctor_says_how_much_room_there_is(
    bridle: Bridled, store: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str, said: str
) -> None:
    left(monkeypatch, free)
    found, text = findings(bridle)["disk"]
    assert (found, text.startswith(said)) == (state, True), text
    assert bridle("doctor", "--store", "s.db").code == (2 if state == "bad" else 0)


def test_a_log_that_does_not_fit_on_the_disk_any_more_is_bad(
    bridle: Bridled, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(monkeypatch, 2 * MB)
    real = Path.stat
    large = os.stat_result((0o100600, 0, 0, 1, 0, 0, 3 * MB, 0, 0, 0))
    monkeypatch.setattr(Path, "stat", lambda path, **more: large if path.name == "s.db-wal" else real(path, **more))
    state, text = findings(bridle)["disk"]
    assert (state, text.endswith("; s.db-wal has 3 MB.")) == ("bad", True), text


@pytest.mark.parametrize("command", [("runs",), ("top",), ("doubts",), ("kill", "--list"), ("kill", "all", *WHY)])
def test_what_sqlite_cannot_open_on_a_full_disk_is_said_to_be_the_disk(
    bridle: Bridled, store: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("bridle.store.opening._look_at", broken)
    left(monkeypatch, MB)
    assert "disk is full" not in bridle(*command, "--store", "s.db").err
    left(monkeypatch, 60 * KB)
    done = bridle(*command, "--store", "s.db")
    assert done.code == 1
    assert f"s.db: disk I/O error. The disk is full: make room at {store.parent}." in done.err
    assert "Is it a bridle store" not in done.err
    assert "Make room on the disk" in bridle("doctor", "--store", "s.db").out


def test_where_no_kill_file_can_be_written_the_other_place_is_named(
    bridle: Bridled, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "BRIDLE_HOME" not in bridle("kill", "all", *WHY, "--store", "s.db").err
    monkeypatch.setattr(os, "access", lambda *_: False)
    bare = bridle("kill", "all", *WHY, "--store", "s.db").err
    assert bare.endswith("$BRIDLE_HOME/KILL is looked at, too, where the workers were started with it.\n")
    monkeypatch.setenv("BRIDLE_HOME", str(here / "home"))
    named = bridle("kill", "all", *WHY, "--store", "s.db").err
    assert named.endswith(f"$BRIDLE_HOME/KILL is looked at, too ({here / 'home' / 'KILL'}).\n")


def test_a_store_that_others_may_read_is_worth_a_note(bridle: Bridled, store: Path) -> None:
    assert "privacy" not in findings(bridle)
    store.chmod(0o644)
    assert findings(bridle)["privacy"] == ("note", "Others may read or write the store: s.db has mode 0644.")
    assert "chmod 600 s.db" in bridle("doctor", "--store", "s.db").out
