"""Errors are sentences, exit codes mean something, and what is heavy is not imported for nothing."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Bridled
from tests.cli.house import House, busy, program

HEAVY = ("httpx2", "genai_prices", "pydantic", "jsonschema_rs")
COMMANDS = (
    "demo",
    "init",
    "check",
    "schema",
    "run",
    "runs",
    "top",
    "show",
    "approvals",
    "approve",
    "edit",
    "reject",
    "respond",
    "cancel",
    "doubts",
    "resolve",
    "doctor",
)


def imported(code: str, folder: Path) -> set[str]:
    """Which of the heavy packages a process has imported at its end."""
    told = f"{code}\nimport json, sys\nsys.stderr.write('\\n' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", told], cwd=folder, capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("tokens", [["--help"], ["--version"], ["runs"], ["top"], ["show"], ["cancel", "last"]])
def test_what_must_be_quick_imports_nothing_heavy(tokens: list[str], here: Path) -> None:
    House(here / ".bridle" / "bridle.db").run(busy())
    assert imported(f"from bridle.cli.app import started\nassert started({tokens!r}) == 0", here) == set()


def test_the_heavy_ones_are_found_where_they_are_needed(here: Path) -> None:
    assert "pydantic" in imported("from bridle.cli.app import started\nassert started(['schema']) == 0", here)


def test_without_a_command_the_commands_are_listed(bridle: Bridled) -> None:
    for done in (bridle(), bridle("--help")):
        assert done.code == 0
        words = done.out.split()
        assert all(command in words for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, bridle: Bridled) -> None:
    done = bridle(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: bridle {command}" in done.out


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["shwo"], 'Did you mean "show"?'),
        (["show", "--jsn"], "Did you mean --json?"),
        (["runs", "--limit", "many"], "many"),
        (["cancel"], "RUN"),
        (["runs", "--limit", "0"], "--limit is between 1 and 10,000, not 0"),
        (["runs", "--store", "http://x"], "'http://x' is no store: write a path, or sqlite:///path"),
        (["runs", "--store", ":memory:"], "a store in memory ends with its process"),
        (["runs", "--store", "no.db"], "no.db: there is no store here yet; `bridle run` makes one"),
    ],
)
def test_a_wrong_line_is_one_sentence_and_exits_1(tokens: list[str], said: str, bridle: Bridled) -> None:
    done = bridle(*tokens)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert done.err.startswith("bridle: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("tokens", "help_of"),
    [
        (["shwo"], ""),
        (["shwo", "run"], ""),
        (["show", "--jsn"], "show "),
        (["cancel"], "cancel "),
        (["audit", "export", "--jsn"], "audit export "),
        (["audit", "exprt"], "audit "),
        (["--josn", "runs"], "runs "),
        (["--store", "s.db", "runs"], "runs "),
        (["--josn"], ""),
    ],
)
def test_a_wrong_line_names_the_help_of_its_command(tokens: list[str], help_of: str, bridle: Bridled) -> None:
    done = bridle(*tokens)
    assert done.code == 1
    assert done.err.endswith(f" `bridle {help_of}--help` lists what there is.\n")
    if tokens[0].startswith("--") and help_of:
        assert done.err.startswith(f"bridle: {tokens[0]} stands before the command, and options stand behind it.")


def test_bridle_debug_shows_where_an_error_came_from(bridle: Bridled, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in bridle("runs", "--store", "no.db").err
    monkeypatch.setenv("BRIDLE_DEBUG", "1")
    assert "Traceback" in bridle("runs", "--store", "no.db").err


def test_what_nobody_planned_is_one_sentence_that_names_the_line(here: Path) -> None:
    (here / "app.py").write_text("x = 1\nraise LookupError('no such \\x1b[2J thing')\n")
    done = program("run", "x", "--app", "app:b", folder=here)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"bridle: LookupError: no such ␛[2J thing ({here / 'app.py'}:2)." in done.stderr
    assert "Traceback" in program("run", "x", "--app", "app:b", folder=here, BRIDLE_DEBUG="1").stderr


def test_a_pipe_that_nobody_reads_is_no_error(here: Path) -> None:
    House(here / "s.db").run(busy())
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        command = [str(Path(sys.executable).with_name("bridle")), "show", "--json", "--store", "s.db"]
        done = subprocess.run(command, cwd=here, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stream_that_knows_only_ascii_gets_escapes(here: Path) -> None:
    House(here / "s.db").run(busy())
    done = program("show", "--store", "s.db", folder=here, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "\\u241b[31mred" in done.stdout


@pytest.mark.parametrize(
    "tokens",
    [
        ("runs",), ("top",), ("show",), ("approvals",), ("approve", "last"), ("doubts",), ("kill", "--list"),
        ("kill", "--because", "x"), ("unkill", "--because", "x"), ("audit", "verify"), ("audit", "head"), ("doctor",),
        ("resolve", "last", "happened", "--because", "x"), ("audit", "erase", "last"), ("cancel", "last"),
    ],
)  # fmt: skip
def test_a_store_of_an_older_bridle_is_a_sentence(bridle: Bridled, here: Path, tokens: tuple[str, ...]) -> None:
    House(here / "s.db").run(busy())
    with closing(sqlite3.connect(here / "s.db")) as db:
        db.executescript("DROP TABLE switch_changes; DROP TABLE intents; DROP TABLE house; PRAGMA user_version = 3;")
    done = bridle(*tokens, "--store", "s.db")
    assert done.code in (1, 2)
    assert "s.db: written by an older bridle (schema 3, this one reads 6)" in done.out + done.err
    assert "no such table" not in done.out + done.err
