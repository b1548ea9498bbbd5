"""A run is cancelled, whoever works on it."""

import json
from pathlib import Path

from tests.cli.conftest import Bridled
from tests.cli.house import House, busy, process, program
from tests.cli.test_run import APP


def test_a_run_of_another_process_is_cancelled_by_it(here: Path) -> None:
    (here / "app.py").write_text(APP)
    running = process("run", "--app", "app:waiting", "--input", '{"seconds": 60}', folder=here)
    assert running.stderr is not None
    assert any("step once" in line for line in running.stderr)
    (line,) = json.loads(program("runs", "--open", "--json", folder=here).stdout)["runs"]
    done = program("cancel", line["run_id"][:12], "--by", "ann", folder=here)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{line['run_id']} ended after ")
    assert done.stdout.endswith(": cancelled  The run was cancelled. By ann.\n")
    assert done.stderr == "another process works on this run; it is asked to end it\n"
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "The run was cancelled. By ann." in out


def test_a_run_that_nobody_works_on_is_cancelled_here(here: Path) -> None:
    (here / "app.py").write_text(APP)
    running = process("run", "--app", "app:waiting", "--input", '{"seconds": 60}', folder=here)
    assert running.stderr is not None
    assert any("step once" in line for line in running.stderr)
    running.kill()
    running.communicate()
    done = program("cancel", "last", "--json", folder=here, USER="bob")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["was_open"]) == ("cancelled", True)
    shown = json.loads(program("show", "--json", folder=here).stdout)
    assert shown["detail"] == {"by": "bob"}


def test_a_run_that_has_ended_stays_as_it_is(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    before = bridle("show", "--store", "s.db").out
    done = bridle("cancel", "last", "--store", "s.db")
    assert (done.code, done.out) == (0, "r-1m7xpe60000000001 had ended already: ok  The run answered.\n")
    assert bridle("show", "--store", "s.db").out == before


def test_a_run_that_is_not_there_is_a_sentence(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    done = bridle("cancel", "nobody", "--store", "s.db")
    assert (done.code, done.err) == (1, "bridle: there is no run nobody in s.db; `bridle runs` lists them\n")
