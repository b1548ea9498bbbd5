"""The first five minutes: what `bridle init` writes works, and nothing is overwritten."""

import json
import os
from pathlib import Path

import pytest

from bridle.config import load_policy
from tests.cli.conftest import Bridled
from tests.cli.house import program

FILES = ("bridle.yaml", "flow.py", "docs/hello.md")


def test_the_three_next_commands_work(here: Path) -> None:
    first = program("init", "my-agent", folder=here)
    assert first.returncode == 0
    said = [line.strip() for line in first.stdout.splitlines()]
    assert "cd my-agent" in said
    folder = here / "my-agent"
    checked = program("check", "--app", "flow:b", folder=folder)
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "ok  Nothing to correct.")
    answered = program("run", "How does a run end?", "--app", "flow:b", folder=folder)
    assert answered.returncode == 0, answered.stderr
    assert "Every run ends with exactly one stop reason. [hello.md > Hello > How a run ends]" in answered.stdout
    shown = program("show", folder=folder)
    assert "answered after" in shown.stdout.splitlines()[0]
    for command in ("bridle check --app flow:b", 'bridle run "How does a run end?" --app flow:b', "bridle show"):
        assert any(line.startswith(command) for line in said)


def test_the_policy_is_the_safe_one_and_says_what_it_means(bridle: Bridled, here: Path) -> None:
    bridle("init")
    text = (here / "bridle.yaml").read_text("utf-8")
    policy = load_policy(here / "bridle.yaml").policy
    assert policy.require_approval
    assert policy.allow == {"search.read", "kb.read"}
    assert policy.limits.max_tool_calls == 15
    assert text.count("#") > 8
    assert len((here / "flow.py").read_text("utf-8").splitlines()) < 35


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_there_stays_as_it_is(name: str, bridle: Bridled, here: Path) -> None:
    mine = here / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine\n")
    done = bridle("init")
    assert done.code == 0
    assert mine.read_text() == "mine\n"
    assert f"kept   {name} (it was there already)" in done.out
    assert all((here / other).is_file() for other in FILES)


def test_what_is_in_the_way_is_named(bridle: Bridled, here: Path) -> None:
    (here / "docs").write_text("a file")
    done = bridle("init")
    assert done.code == 1
    assert done.err == "bridle: docs: this is in the way; move it, or name another folder\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(bridle: Bridled, here: Path) -> None:
    here.chmod(0o500)
    done = bridle("init")
    here.chmod(0o700)
    assert (done.code, done.err) == (1, "bridle: bridle.yaml: Permission denied; name a folder you may write to\n")


def test_the_schema_is_json(bridle: Bridled) -> None:
    assert "budgets" in json.loads(bridle("schema").out)["properties"]
