"""The kill switch from the command line: from another process, without an owner, and when the store is no help."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest

from bridle.cli.kill import WAITS_MS
from bridle.cli.where import user
from bridle.store.opening import lock_beside
from bridle.store.roll import Roll
from bridle.store.switches import account
from tests.cli.conftest import Bridled
from tests.cli.house import House, busy, greedy, process, program
from tests.cli.test_run import APP

PATIENT = """
import asyncio
from pathlib import Path

from bridle import Bridle, Flow

b = Bridle({"tools": {"allow": ["wait.read"]}})
patient = Flow("patient")


@b.tool("wait.read", effect="read")
async def wait() -> str:
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    return "gone"


@patient.step()
async def once(run, state):
    return (await run.call("wait.read")).value
"""
WHY = ("--because", "vendor incident")


@pytest.fixture
def store(here: Path) -> Path:
    """A store with a run in it that nobody works on."""
    House(here / "s.db").run(busy())
    return here / "s.db"


def test_a_running_house_acknowledges_and_what_is_in_flight_is_named(here: Path) -> None:
    (here / "app.py").write_text(PATIENT)
    running = process("run", "--app", "app:patient", folder=here)
    assert running.stderr is not None
    assert any("step once" in line for line in running.stderr)
    (line,) = json.loads(program("runs", "--open", "--json", folder=here).stdout)["runs"]
    done = program("kill", "all", *WHY, "--by", "ann", "--json", folder=here)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (worker,) = told["workers"]
    assert worker["worker"].startswith(f"w{running.pid}-")
    assert 0 <= worker["acknowledged_at_ms"] - told["at_ms"] < WAITS_MS
    (call,) = told["in_flight"]
    assert (call["run_id"], call["call"], call["tool"], call["effect"]) == (line["run_id"], "c1", "wait.read", "read")
    assert (told["open_runs"], told["level"], told["is_new"]) == (1, "all", True)
    (here / "go").touch()
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 3
    assert "killed: The kill switch is on (all, house)." in out
    assert "Ask ann, who set it" in out
    assert json.loads(program("kill", "--list", "--json", folder=here).stdout)["workers"] == []


def test_a_store_that_nobody_works_on_is_killed_for_whoever_opens_it(here: Path, bridle: Bridled, store: Path) -> None:
    done = bridle("kill", "all", *WHY, "--by", "ann", "--store", "s.db")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("everything is off for the house (change 1, ")
    assert lines[1:] == [
        "  by ann: vendor incident",
        "  no process works on this store; whoever opens it reads the switch first",
        "  nothing of it is in flight",
        "  undo: bridle unkill all --store s.db --because ...",
    ]
    (here / "app.py").write_text(APP)
    refused = program("run", "--app", "app:waiting", "--input", '{"seconds": 0}', "--store", "s.db", folder=here)
    assert refused.returncode == 3
    assert "The kill switch is on (all, house)." in refused.stdout
    assert "bridle show" not in refused.stdout, "there is no run to show"
    told = program("run", "--app", "app:waiting", "--input", "{}", "--store", "s.db", "--json", folder=here)
    assert json.loads(told.stdout)["run_id"] == ""
    assert len(json.loads(program("runs", "--store", "s.db", "--json", folder=here).stdout)["runs"]) == 1


@pytest.mark.parametrize(
    ("given", "taken", "undo"),
    [
        ((), "writes are off for the house", "writes"),
        (("writes",), "writes are off for the house", "writes"),
        (("--level", "expensive"), "writes and expensive tools are off for the house", "expensive"),
        (("egress", "--tenant", "acme"), "writes and egress are off for tenant acme", "egress --tenant acme"),
        (("--tool", "mail.send"), "everything is off for tool mail.send", "all --tool mail.send"),
        (
            ("all", "--tenant", "a b", "--flow", "f"),
            "everything is off for tenant a b, flow f",
            "all --tenant 'a b' --flow f",
        ),
    ],
)
def test_the_level_and_the_scope_are_said_with_how_to_undo_it(
    bridle: Bridled, store: Path, given: tuple[str, ...], taken: str, undo: str
) -> None:
    done = bridle("kill", *given, *WHY, "--store", "s.db")
    assert done.out.startswith(f"{taken} (change 1, ")
    assert f"  undo: bridle unkill {undo} --store s.db --because ...\n" in done.out


def test_the_policy_of_the_newest_run_says_which_level_is_meant(bridle: Bridled, here: Path) -> None:
    House(here / "s.db", policy={"kill_switch": {"mode_when_enabled": "disable_all"}}).run(greedy())
    assert bridle("kill", *WHY, "--store", "s.db").out.startswith("everything is off for the house")


def test_a_second_kill_changes_nothing_and_says_whose_it_is(bridle: Bridled, store: Path) -> None:
    bridle("kill", "all", *WHY, "--by", "ann", "--store", "s.db")
    again = bridle("kill", "all", "--because", "me too", "--by", "bob", "--store", "s.db")
    assert again.code == 0
    assert again.out.startswith("everything is off for the house already (change 1, ")
    assert "  by ann: vendor incident\n" in again.out


def test_who_set_it_may_not_lift_it_where_there_are_two(bridle: Bridled, store: Path) -> None:
    bridle("kill", "writes", "--tenant", "acme", *WHY, "--by", "bob", "--store", "s.db")
    bridle("kill", "all", *WHY, "--by", "ann", "--store", "s.db")
    own = bridle("unkill", "--because", "over", "--by", "ann", "--store", "s.db")
    assert (own.code, own.err) == (
        1,
        "bridle: ann set it, so somebody else lifts it: bob, or whoever else is there\n",
    )
    other = bridle("unkill", "--because", "over", "--by", "bob", "--store", "s.db")
    assert (other.code, other.out) == (0, "all is given back to the house (change 3)\n")
    twice = bridle("unkill", "--because", "over", "--by", "bob", "--store", "s.db")
    assert (twice.code, twice.err) == (1, "bridle: no switch is on for house; on is: writes (tenant acme)\n")


def test_the_list_shows_what_is_on_and_how_it_came_to_that(bridle: Bridled, store: Path) -> None:
    assert bridle("kill", "--list", "--store", "s.db").out == "No switch is on in s.db.\n"
    bridle("kill", "writes", "--flow", "busy", *WHY, "--by", "ann", "--store", "s.db")
    bridle("kill", "all", *WHY, "--by", "bob", "--store", "s.db")
    bridle("unkill", "all", "--because", "over", "--by", "ann", "--store", "s.db")
    lines = bridle("kill", "--list", "--store", "s.db").out.splitlines()
    assert lines[0].startswith("writes for flow busy, by ann, ")
    assert lines[0].endswith(" ago, change 1")
    assert lines[1:3] == ["  vendor incident", "  in flight: 0 calls in 0 open runs"]
    assert [line.partition("UTC  ")[2] for line in lines[3:]] == [
        "unkill all for the house by ann: over",
        "kill all for the house by bob: vendor incident",
        "kill writes for flow busy by ann: vendor incident",
    ]
    told = json.loads(bridle("kill", "--list", "--store", "s.db", "--json").out)
    assert [(one["level"], one["scope"]["flow"], one["open_runs"]) for one in told["on"]] == [("writes", "busy", 0)]
    assert [one["generation"] for one in told["history"]] == [3, 2, 1]


def test_a_kill_file_stands_in_the_list_and_outlives_an_unkill(bridle: Bridled, store: Path, here: Path) -> None:
    (here / "KILL").write_text("egress")
    bridle("kill", "all", *WHY, "--store", "s.db")
    listed = bridle("kill", "--list", "--store", "s.db").out
    assert listed.startswith(f"egress for the house, by the KILL file {here / 'KILL'}, ")
    lifted = bridle("unkill", "--because", "over", "--store", "s.db").out
    assert lifted.endswith(f"still on: egress by the KILL file {here / 'KILL'}; remove the file to lift it\n")


@pytest.mark.parametrize("command", ["kill", "unkill"])
def test_a_reason_is_asked_for(bridle: Bridled, store: Path, command: str) -> None:
    done = bridle(command, "all", "--store", "s.db")
    assert (done.code, done.err) == (1, 'bridle: a switch is turned for a reason: write --because "..."\n')


def test_a_level_that_is_none_is_a_sentence(bridle: Bridled, store: Path) -> None:
    done = bridle("kill", "of", *WHY, "--store", "s.db")
    assert done.code == 1
    assert "writes" in done.err
    assert "Traceback" not in done.err


def resort(here: Path) -> str:
    return f"On this machine, `touch {here / 'KILL'}` takes everything away without the store."


@pytest.mark.parametrize("command", [("kill", "all"), ("unkill",), ("kill", "--list")])
def test_a_store_that_is_not_there_is_not_made(bridle: Bridled, here: Path, command: tuple[str, ...]) -> None:
    done = bridle(*command, *WHY, "--store", "s.db")
    assert (done.code, done.err) == (
        1,
        f"bridle: s.db: there is no store here; name it with --store. {resort(here)}\n",
    )
    assert not (here / "s.db").exists()


def test_what_is_no_store_is_a_sentence(bridle: Bridled, here: Path) -> None:
    (here / "s.db").write_text("This is a letter to my aunt, and long enough to be one." * 10)
    done = bridle("kill", "all", *WHY, "--store", "s.db")
    assert (done.code, done.err) == (
        1,
        f"bridle: s.db: file is not a database. Nothing was turned. {resort(here)}\n",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into what is closed to others")
def test_a_store_that_may_only_be_read_is_a_sentence(bridle: Bridled, store: Path, here: Path) -> None:
    store.chmod(0o400)
    done = bridle("kill", "all", *WHY, "--store", "s.db")
    assert done.code == 1
    assert done.err.startswith("bridle: s.db: attempt to write a readonly database. Nothing was turned.")
    assert bridle("kill", "--list", "--store", "s.db").code == 0


def test_a_store_that_is_held_by_somebody_is_a_sentence(
    bridle: Bridled, store: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridle.store.opening.BUSY_MS", 50)
    with closing(sqlite3.connect(store, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        done = bridle("kill", "all", *WHY, "--store", "s.db")
    assert (done.code, done.err) == (1, f"bridle: s.db: database is locked. Nothing was turned. {resort(here)}\n")
    assert bridle("kill", "all", *WHY, "--store", "s.db").code == 0


def test_a_store_whose_writer_is_stopped_is_a_sentence_that_names_the_last_resort(
    bridle: Bridled, store: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridle.store.lock.PATIENCE", 0.05)
    lock = lock_beside(store)
    with lock:
        done = bridle("kill", "all", *WHY, "--store", "s.db")
    lock.close()
    why = "s.db: another process has been writing for 0.05 s; is it stopped?"
    assert (done.code, done.err) == (1, f"bridle: {why} Nothing was turned. {resort(here)}\n")


def test_what_cannot_be_looked_at_afterwards_takes_no_switch_back(
    bridle: Bridled, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("bridle.store.switches.SwitchBook.aftermath", broken)
    done = bridle("kill", "writes", *WHY, "--store", "s.db")
    assert done.err.startswith("bridle: s.db: disk I/O error. Change 1 holds; who has seen it is not known.")
    assert done.code == 1


def test_a_reader_that_has_seen_enough_is_no_fault_of_the_store(
    bridle: Bridled, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("bridle.cli.kill._listed", closed)
    monkeypatch.setattr("bridle.cli.app._unread", lambda: 0)
    assert bridle("kill", "--list", "--store", "s.db").code == 0


def test_a_worker_that_does_not_answer_is_named_and_one_that_died_is_not_waited_for(
    bridle: Bridled, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridle.cli.kill.WAITS_MS", 20)
    (store.with_name("s.db.workers") / "w1-dead").touch()
    died = bridle("kill", "writes", *WHY, "--store", "s.db")
    assert (died.code, "no process works on this store" in died.out) == (0, True)
    roll = Roll(store)
    name = roll.enlist()
    mute = bridle("kill", "all", *WHY, "--store", "s.db")
    listed = bridle("kill", "--list", "--store", "s.db")
    roll.close()
    assert mute.code == 2
    assert f"  not acknowledged by worker {name}; its next admission reads the switch\n" in mute.out
    assert f"worker {name}: behind\n" in listed.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--tenant", "defualt"), "tenant defualt; did you mean default?"),
        (("--tenant", "zeta9"), "tenant zeta9; is it spelled like this?"),
        (("--flow", "bussy"), "flow bussy; did you mean busy?"),
        (("--tool", "kb.raed"), "tool or model kb.raed; did you mean kb.read?"),
    ],
)
def test_a_name_that_the_store_never_heard_of_is_switched_off_with_a_warning(
    bridle: Bridled, store: Path, given: tuple[str, str], said: str
) -> None:
    done = bridle("kill", "all", *given, *WHY, "--store", "s.db")
    assert done.code == 0
    assert f"\n  warning: no recent run and no policy of this store names the {said}\n" in done.out
    told = json.loads(bridle("kill", "all", *given, *WHY, "--store", "s.db", "--json").out)
    (unknown,) = told["unknown"]
    assert (f"--{unknown['kind']}", unknown["name"]) == given
    assert given[1] in bridle("kill", "--list", "--store", "s.db").out


@pytest.mark.parametrize(
    "given",
    [("--tenant", "default"), ("--flow", "busy"), ("--tool", "kb.read"), ("--tool", "notes.write"),
     ("--tool", "mail.send"), ()],
)  # fmt: skip
def test_a_name_that_a_run_or_a_policy_has_is_no_reason_for_a_warning(
    bridle: Bridled, store: Path, given: tuple[str, ...]
) -> None:
    """`notes.write` was never called, and no policy speaks of `mail.send`."""
    assert "warning" not in bridle("kill", "all", *given, *WHY, "--store", "s.db").out
    assert json.loads(bridle("kill", "all", *given, *WHY, "--store", "s.db", "--json").out)["unknown"] == []


def test_who_signs_is_the_same_for_every_command_and_the_account_stands_beside_it(
    bridle: Bridled, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = account()
    assert user() == mine
    monkeypatch.setenv("LOGNAME", "bob")
    assert user() == "bob"
    monkeypatch.setenv("USER", "ann")
    assert user() == "ann"
    told = json.loads(bridle("kill", "all", *WHY, "--store", "s.db", "--json").out)
    assert (told["by"], told["account"]) == ("ann", mine)


def test_a_user_without_a_name_is_local(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    assert user() == "local"


@pytest.mark.parametrize("module", ["answer", "audit", "cancel", "doubts", "kill", "run"])
def test_every_command_that_signs_asks_the_same_function(module: str) -> None:
    assert import_module(f"bridle.cli.{module}").user is user


def test_the_doctor_names_what_is_off(bridle: Bridled, store: Path) -> None:
    bridle("kill", "writes", "--tenant", "acme", *WHY, "--by", "ann", "--store", "s.db")
    done = bridle("doctor", "--store", "s.db")
    assert "note  switch    writes (tenant acme) by ann" in done.out


def test_nothing_heavy_is_imported_to_turn_a_switch(here: Path, store: Path) -> None:
    code = (
        "import sys; from bridle.cli.app import started;"
        "started(['kill', 'all', '--because', 'x', '--store', 's.db']);"
        "heavy = {'asyncio', 'pydantic', 'httpx2', 'rich', 'bridle.bridle', 'bridle.gateway'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
