"""The benchmark as far as it can be read without its peers, whose packages are not in this environment."""

import ast
from pathlib import Path

import pytest

from bench import measure
from bench.contestant import db_bytes
from bench.peers import ROSTER
from bench.rows import HOP, HOP_US, LINES
from bench.work import ANSWER, Proposal, Worlds, calls_of

ROOT = Path(__file__).resolve().parent.parent.parent


def names_of(module: str) -> dict[str, str]:
    """What each class of a module says its column is called."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    named: dict[str, str] = {}
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for line in kind.body:
            match line:
                case ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(name))):
                    named[kind.name] = name
    return named


@pytest.mark.parametrize("column", ROSTER)
def test_a_column_of_the_benchmark_is_a_class_of_that_name(column: str) -> None:
    module, kind = ROSTER[column]
    assert names_of(module).get(kind) == column


async def test_the_scripted_model_asks_for_its_turns_and_then_answers() -> None:
    worlds = Worlds()
    with worlds.enter("run-1", turns=2) as world:
        said = [await worlds.model("run-1", asked) for asked in range(3)]
        found = [await worlds.lookup(each.run, each.n) for each in said if isinstance(each, Proposal)]
    assert said[-1] == ANSWER
    assert [len(each) for each in found] == [200, 200]
    assert world.calls == calls_of(2) == 5


def test_a_file_that_nobody_wrote_to_weighs_nothing(tmp_path: Path) -> None:
    assert db_bytes(tmp_path / "empty.db") == 0


async def test_whoever_is_slow_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PATIENCE", -1.0)

    async def take(name: str) -> float:
        return float(len(name))

    assert await measure.interleaved(3, ["a", "bb"], take) == {"a": [1.0], "bb": [2.0]}


@pytest.mark.parametrize(("us", "holds"), [(180.0, "should"), (180.1, "must"), (320.0, "must"), (320.1, "no")])
def test_a_bound_in_processor_time_is_counted_in_hops_of_the_same_run(us: float, holds: str) -> None:
    samples = {"bridle": [us], HOP: [1.0, 2.0 * HOP_US, 10_000.0]}
    assert LINES["memory"].verdict("bridle", samples) == holds
    assert LINES["memory"].goal(160, samples) == "<= 160 us; 320 us here"


def test_a_line_without_hops_has_its_bound_as_it_was_set() -> None:
    assert LINES["memory"].verdict("bridle", {"bridle": [160.1]}) == "no"
    assert LINES["memory"].goal(160, {"bridle": [1.0]}) == "<= 160 us"
