"""The list of runs."""

import json
from pathlib import Path

from tests.cli.conftest import Bridled
from tests.cli.house import STARTED, House, busy, greedy


def test_the_newest_run_comes_first(bridle: Bridled, here: Path) -> None:
    house = House(here / "s.db")
    house.run(busy())
    house.clock.at += 1_000
    house.run(greedy())
    done = bridle("runs", "--store", "s.db")
    head, second, first, hint = done.out.splitlines()
    assert head.split() == ["run", "status", "reason", "flow", "calls", "spent", "age", "took", "tenant", "by"]
    assert second.split()[1:6] == ["stopped", "max_tool_calls", "greedy", "6", "$0.00"]
    assert first.split()[1:6] == ["ok", "ok", "busy", "4", "$0.00"]
    assert first.split()[-4:] == ["640", "ms", "default", "ann"]
    assert hint == "bridle show RUN --store s.db tells the story of one"
    assert len(bridle("runs", "--limit", "1", "--store", "s.db").out.splitlines()) == 3


def test_the_json_of_runs_has_stable_names(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(greedy())
    document = json.loads(bridle("runs", "--store", "s.db", "--json").out)
    assert document["store"] == "s.db"
    (line,) = document["runs"]
    assert line == {
        "run_id": "r-1m7xpe60000000001",
        "status": "stopped",
        "stop_reason": "max_tool_calls",
        "loop": "flow",
        "flow": "greedy",
        "version": "1",
        "tenant": "default",
        "by": "ann",
        "step": "more",
        "started_at_ms": STARTED,
        "updated_at_ms": STARTED + 120,
        "spent": line["spent"],
    }
    assert line["spent"]["tool_calls"] == 6


def test_a_store_without_runs_says_so(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    assert bridle("runs", "--open", "--store", "s.db").out == "There is no open run in s.db.\n"
    assert json.loads(bridle("runs", "--open", "--store", "s.db", "--json").out)["runs"] == []


def test_the_store_is_named_by_the_option_the_environment_or_the_folder(bridle: Bridled, here: Path) -> None:
    House(here / ".bridle" / "bridle.db").run(busy())
    assert "busy" in bridle("runs").out
    House(here / "other.db").run(greedy())
    assert "greedy" in bridle("runs", "--store", str(here / "other.db")).out
