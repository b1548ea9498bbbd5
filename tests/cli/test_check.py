"""A policy is checked before anything runs: all mistakes at once, or all that it means."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Bridled

BRIEF = """\
mode:
  default: "explicit_flow"
autonomy:
  allowed_for: ["investigation_nodes"]
budgets:
  max_steps: 30
  max_seconds: 90
  max_tool_calls: 15
tools:
  allow: ["search.read", "kb.read", "http.get"]
writes:
  require_approval: true
"""
APP = """\
from bridle import Bridle, Flow

b = Bridle("bridle.yaml")


@b.tool("kb.read", effect="read", cost="$0.01")
async def read(doc: str) -> str:
    return doc


good = Flow("good")
good.investigate("look", model="extractive", goal="Why?", tools=["kb.read"])
"""


def test_a_good_policy_shows_every_setting_with_its_defaults_and_the_worst_case(bridle: Bridled, here: Path) -> None:
    (here / "bridle.yaml").write_text(BRIEF)
    done = bridle("check")
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["budgets.max_tool_calls", "15"] in lines
    assert ["budgets.max_usd", "$1.00", "default"] in lines
    assert ["house.max_usd_per_day", "$100.00", "default"] in lines
    assert "  One call of kb.read holds 1 tool call and $0.00 of max_usd $1.00." in done.out.splitlines()
    assert any(line.lstrip().startswith("One call of extractive holds") for line in done.out.splitlines())
    assert done.out.splitlines()[-1] == "ok  Nothing to correct."


def test_all_mistakes_come_at_once_with_line_and_column(bridle: Bridled, here: Path) -> None:
    (here / "bad.yaml").write_text("budgets:\n  max_tool_cals: 3\n  max_usd: -1\ntols: {}\n")
    done = bridle("check", "bad.yaml")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        "bad.yaml:2:3: error: budgets.max_tool_cals is not a limit; did you mean max_tool_calls?",
        "bad.yaml:3:3: error: budgets.max_usd is -1; write an amount of more than 0 dollars",
        "bad.yaml:4:1: error: tols is not a section of a policy; did you mean tools?",
        "3 mistakes in bad.yaml; no run starts under it.",
    ]
    document = json.loads(bridle("check", "bad.yaml", "--json").out)
    assert (document["ok"], document["mistakes"][0]) == (
        False,
        {
            "where": "bad.yaml:2:3",
            "path": "budgets.max_tool_cals",
            "severity": "error",
            "message": "is not a limit",
            "hint": "did you mean max_tool_calls?",
        },
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist"),
        ("a: [1\n", "bridle.yaml:"),
        ("tools: {allow: [a]}\ntools: {allow: [b]}\n", "bridle.yaml:2:1"),
        ("\x00", "bridle.yaml"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_mistake_like_others(
    text: str | None, said: str, bridle: Bridled, here: Path
) -> None:
    if text is not None:
        (here / "bridle.yaml").write_text(text)
    done = bridle("check")
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err


def test_what_is_worth_a_second_look_exits_2(bridle: Bridled, here: Path) -> None:
    (here / "bridle.yaml").write_text(BRIEF + "flows:\n  triage:\n    budgets:\n      max_steps: 99\n")
    done = bridle("check")
    assert done.code == 2
    assert done.out.splitlines()[-1].startswith(
        "bridle.yaml:16:7: note: flows.triage.budgets.max_steps is 99, more than"
    )
    document = json.loads(bridle("check", "--json").out)
    assert (document["ok"], len(document["mistakes"])) == (True, 1)
    assert set(document) == {"policy", "ok", "digest", "settings", "worst_case", "mistakes"}
    assert {"path": "budgets.max_usd", "value": "$1.00", "origin": "default"} in document["settings"]


def test_with_an_application_its_tools_and_flows_are_compared(bridle: Bridled, here: Path) -> None:
    (here / "bridle.yaml").write_text("tools:\n  allow: [kb.read]\n")
    (here / "app.py").write_text(APP)
    done = bridle("check", "--app", "app:b")
    assert done.code == 0, done.out + done.err
    assert "One call of kb.read holds 1 tool call and $0.01 of max_usd $1.00." in done.out
    assert "One call of extractive holds at most $0.00" in done.out


def test_an_argument_rule_that_names_no_argument_is_an_error(bridle: Bridled, here: Path) -> None:
    (here / "bridle.yaml").write_text(
        "tools:\n  allow: [kb.read]\n  kb.read:\n    args: {properties: {docs: {type: string}}}\n"
    )
    (here / "app.py").write_text(APP)
    done = bridle("check", "--app", "app:b")
    assert done.code == 1
    assert "error: tools.kb.read.args" in done.out
    assert "did you mean doc?" in done.out
    assert bridle("check").code == 2  # without the application it can only be noted


def test_tools_that_nobody_declared_and_flows_that_lead_nowhere_are_named(bridle: Bridled, here: Path) -> None:
    (here / "bridle.yaml").write_text("tools:\n  allow: [kb.read, kb.raed]\n")
    node = 'bad.investigate("look", model="extractive", goal="?", tools=["kb.raed"], to={"found": "away"})'
    wrong = f'bad = Flow("bad")\n{node}\n'
    (here / "app.py").write_text(APP + wrong)
    done = bridle("check", "--app", "app:b")
    assert done.code == 1
    assert "No tool kb.raed is declared, so a call of it is refused." in done.out
    assert "check --app" not in done.out
    assert "note: tools.allow allows kb.raed, which nobody declared; did you mean kb.read?" in done.out
    assert "error: bad bad: look leads to 'away', which is no step" in done.out
    assert "note: bad.look offers kb.raed, which nobody declared" in done.out


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("ap:b", "--app ap: there is no module ap in this folder or among the packages"),
        ("app:c", "--app app:c: there is no c in app; there are good, b"),
        ("app:goood", "did you mean good?"),
        ("app:Bridle", "--app app:Bridle is neither a Flow nor a Bridle"),
        (":b", "write module:name, as in flow:b"),
    ],
)
def test_an_application_that_is_not_there_is_a_sentence(app: str, said: str, bridle: Bridled, here: Path) -> None:
    (here / "bridle.yaml").write_text("tools:\n  allow: [kb.read]\n")
    (here / "app.py").write_text(APP)
    done = bridle("check", "--app", app)
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err
