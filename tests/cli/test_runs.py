"""The list of runs."""

import json
from contextlib import suppress
from pathlib import Path

from bridle import Denied, Flow, Run
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
        "parent": None,
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


def test_children_are_marked_and_the_stories_of_both_name_each_other(bridle: Bridled, here: Path) -> None:
    flow, part = Flow("whole", state=dict), Flow("part", state=dict)

    @part.step()
    async def read(run: Run, state: object) -> object:
        return (await run.call("web.get", {"url": "a"})).text

    @flow.step()
    async def ask(run: Run, state: object) -> object:
        with suppress(Denied):
            await run.child(part, {}, budgets={"max_tool_calls": 7})
        return (await run.child(part, {}, budgets={"max_tool_calls": 2})).answer

    parent = House(here / "s.db").run(flow).run_id
    lines = json.loads(bridle("runs", "--store", "s.db", "--json").out)["runs"]
    (child,) = [line["run_id"] for line in lines if line["parent"] == parent]
    assert "part (child)" in bridle("runs", "--store", "s.db").out
    told = bridle("show", parent, "--store", "s.db").out
    assert "child of flow part refused (max_tool_calls)" in told
    assert f"child {child} of flow part (2 tool calls, $1.00 set aside)" in told
    assert f"child {child} ended ok, 2 tool calls" in told  # the second attempt came through
    told = bridle("show", child, "--store", "s.db").out
    assert f"child of {parent}, begun in its step ask" in told
    assert "max_tool_calls 2 2" in " ".join(told.split())
