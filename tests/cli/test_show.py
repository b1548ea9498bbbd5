"""The story of a run, as people and programs read it."""

import json
import sqlite3
import unicodedata
from pathlib import Path

import pytest

from bridle import Flow, Run
from bridle.cli.outcome import MOST_ERROR, why
from bridle.rules.stop import StopNote, StopReason
from tests.cli.conftest import Bridled
from tests.cli.house import HOSTILE, House, broken, busy, greedy

SEEN = "␛[31mred␛]0;owned␇ \\u202egnp.exe\\u2066 \\x9b31m ␡"  # the hostile text, as people see it
ESCAPED = "\\u001b[31mred\\u001b]0;owned\\u0007 \\u202egnp.exe\\u2066 \\x9b31m ␡"  # and inside JSON
NAMED = "no.such?[31mred?]0;owned? ?gnp.exe? ?31m ?"  # a name is made printable before it is written down
BUSY = f"""\
r-1m7xpe60000000001 answered after 640 ms, 4 tool calls, 0 model calls, 1 reused result, 2 refused calls, \
1 failed call, 1 retry and $0.00
  flow busy 1, for default, by ann, 2026-11-21 00:00:00 UTC
  asked: {{}}

    0.00 s  started: flow busy, for default, by ann
    0.00 s  step plan
    0.00 s    c1   kb.read {{"doc":"a.md"}} -> 62 B (20 ms)
    0.02 s  step work
    0.02 s    c2   web.get {{"url":"https://example.org/{ESCAPED}"}} -> failed: the far end is not well (300 ms)
    0.32 s    c3   web.get {{"url":"https://example.org/{ESCAPED}"}} [attempt 2] -> 77 B (300 ms)
    0.62 s    c4   kb.read {{"doc":"b.md"}} -> 62 B (20 ms)
    0.64 s    c5   kb.read {{"doc":"b.md"}} = the result of c4, reused
    0.64 s    c6   mail.send {{"text":"x"}} -> refused: tool_denied. The tool mail.send is not allowed here. \
(also: approval_required)
    0.64 s    c7   {NAMED} {{"q":"y"}} -> refused: tool_denied. No tool {NAMED} is declared here.
    0.64 s  stopped: ok

  spent            used   limit
  max_steps        2      30
  max_model_calls  0      30
  max_tool_calls   4      6
  max_tokens       0      500,000
  max_usd          $0.00  $1.00
  max_seconds      0.6    90
  tracked  tool_calls_per_run 4, tokens_per_request 0, stop_reason ok, latency 640 ms, spend $0.00

why  ok  The run answered.
now  Nothing to do.

the answer
  It is so. {SEEN}
  It has read untrusted text, and may say what somebody else wanted said.
"""
GREEDY_END = """\
why  stopped  max_tool_calls: The run used all its tool calls (6 of 6).
now  Use the partial result, or raise the limit in the policy if the work was worth it. (agent owner)
     The same request needs a change first.

how far it came
  I got this far.
"""


def test_the_story_of_a_run_begins_with_a_sentence_and_ends_with_its_answer(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    done = bridle("show", "--store", "s.db")
    assert (done.out, done.err, done.code) == (BUSY, "", 0)


def test_a_refusal_says_the_error_that_it_came_from(bridle: Bridled, here: Path) -> None:
    wrong = Flow("wrong")

    @wrong.step()
    async def ask(run: Run, state: object) -> None:
        await run.call("kb.read", {"dok": "a.md"})

    House(here / "s.db").run(wrong)
    out = bridle("show", "--store", "s.db").out
    (refused,) = [line for line in out.splitlines() if "-> refused" in line]
    (why,) = [line for line in out.splitlines() if line.startswith("why")]
    assert '{"dok":"a.md"} -> refused' in refused
    assert "doc" in refused.replace("dok", "").split("refused")[1]
    assert "doc" in why.replace("dok", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("`doc` is missing", "The policy refused a call of a (mine): `doc` is missing."),
        ("mine", "The policy refused a call of a (mine)."),
        ("x" * 999, f"The policy refused a call of a (mine): {'x' * (MOST_ERROR - 3)}..."),
    ],
)
def test_an_error_is_said_once_and_not_at_length(error: str, said: str) -> None:
    stop = StopNote(StopReason.POLICY_DENIED, {"tool": "a", "rule": "mine", "error": error})
    assert why(stop) == said


def test_a_stopped_run_tells_why_what_to_do_and_how_far_it_came(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(greedy())
    done = bridle("show", "last", "--store", "sqlite:///s.db")
    assert done.out.endswith(GREEDY_END)
    assert done.out.splitlines()[0].endswith("was stopped (max_tool_calls) after 120 ms, 6 tool calls, 0 model calls, "
                                             "1 refused call and $0.00")  # fmt: skip


def test_a_failed_run_says_whose_fault_it_was(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(broken())
    out = bridle("show", "--store", "s.db").out
    assert f"why  failed  internal_error: The code of the run failed (RuntimeError: {SEEN})." in out
    assert "Look for incident r-1m7xpe60000000001." in out


def test_nothing_that_a_tool_said_reaches_the_terminal_as_it_came(bridle: Bridled, here: Path) -> None:
    house = House(here / "s.db")
    for flow in (busy(), greedy(), broken()):
        house.run(flow)
    for run in (line["run_id"] for line in json.loads(bridle("runs", "--store", "s.db", "--json").out)["runs"]):
        for done in (bridle("show", run, "--store", "s.db"), bridle("show", run, "--store", "s.db", "--json")):
            raw = {char for char in done.out if unicodedata.category(char) in ("Cc", "Cf")} - {"\n"}
            assert not raw


def test_the_json_of_a_story_has_stable_names(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    story = json.loads(bridle("show", "--store", "s.db", "--json").out)
    assert set(story) == {
        "run_id", "status", "stop_reason", "stop_text", "detail", "retry", "who", "message_key", "answer", "spent",
        "head", "advice", "loop", "flow", "version", "parent", "tenant", "by", "policy", "started_at_ms",
        "updated_at_ms", "input", "counts", "limits", "tracked", "events", "missing", "tainted",
    }  # fmt: skip
    assert story["answer"] == f"It is so. {HOSTILE}"
    assert story["counts"] == {"tool_calls": 4, "model_calls": 0, "reused": 1, "refused": 2, "failed": 1}
    assert story["limits"]["max_tool_calls"] == 6
    assert story["limits"]["max_usd_nano"] == 1_000_000_000
    assert [event["seq"] for event in story["events"]] == list(range(1, len(story["events"]) + 1))
    (refused, _) = [event for event in story["events"] if event["event"] == "CallRefused"]
    assert refused["text"] == "The tool mail.send is not allowed here."
    assert refused["arguments"] == {"text": "x"}
    assert story["tracked"] == {
        "tool_calls_per_run": 4, "tokens_per_request": 0, "stop_reason": "ok", "latency_ms": 640, "spend_usd_nanos": 0
    }  # fmt: skip
    admitted = next(event for event in story["events"] if event["event"] == "CallAdmitted")
    assert (admitted["tool"], admitted["arguments"], admitted["at_ms"]) == ("kb.read", {"doc": "a.md"}, 1795219200000)


def test_a_run_is_found_by_the_beginning_of_its_id(bridle: Bridled, here: Path) -> None:
    house = House(here / "s.db")
    house.run(busy())
    house.clock.at += 86_400_000
    house.run(greedy())
    assert bridle("show", "r-1m7xpe6", "--store", "s.db").out == BUSY
    assert bridle("show", "1m7xpe6", "--store", "s.db").out == BUSY


def test_an_id_that_may_be_several_or_none_is_answered_with_those_that_it_may_be(bridle: Bridled, here: Path) -> None:
    house = House(here / "s.db")
    house.run(busy())
    house.run(greedy())
    both = bridle("show", "r-1m7", "--store", "s.db")
    assert both.code == 1
    assert both.err.startswith("bridle: r-1m7 may be r-1m7xpe")
    assert both.err.endswith("; write more of the id\n")
    near = bridle("show", "r-1m7xpe60000000002", "--store", "s.db")
    assert near.err == "bridle: there is no run r-1m7xpe60000000002 in s.db; did you mean r-1m7xpe60000000001?\n"
    none = bridle("show", "zzz", "--store", "s.db")
    assert none.err == "bridle: there is no run zzz in s.db; `bridle runs` lists them\n"


def test_what_monitoring_track_does_not_choose_is_not_shown(bridle: Bridled, here: Path) -> None:
    policy = {"tools": {"allow": ["kb.read"]}, "monitoring": {"track": ["stop_reason"]}}
    House(here / "s.db", policy).run(greedy())
    out = bridle("show", "--store", "s.db").out
    assert "  tracked  stop_reason max_tool_calls\n" in out
    assert "tokens_per_request" not in out


def test_a_damaged_row_is_a_sentence(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    with sqlite3.connect(here / "s.db") as db:
        db.execute("UPDATE runs SET state = x'00ff'")
    db.close()
    for command in (("show",), ("runs",)):
        done = bridle(*command, "--store", "s.db")
        assert done.code == 1
        assert done.err.startswith("bridle: this is no run of bridle")
        assert "Traceback" not in done.err


def test_a_damaged_journal_is_a_sentence(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    with sqlite3.connect(here / "s.db") as db:
        db.execute("DELETE FROM events WHERE seq = 3")
    db.close()
    done = bridle("show", "--store", "s.db")
    assert done.code == 1
    assert "r-1m7xpe60000000001: its journal is damaged ('c1'); `bridle doctor` says where" in done.err
    assert "its hash chain breaks: event 3 is missing" in bridle("doctor", "--store", "s.db").out


def test_a_damaged_event_is_named_with_its_run_and_what_to_do_now(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    with sqlite3.connect(here / "s.db") as db:
        db.execute("UPDATE events SET body = CAST('[1' AS BLOB) WHERE seq = 4")
        db.execute("UPDATE events SET body = CAST('[\"CallAdmitted\",' AS BLOB) WHERE seq = 3")
    db.close()
    for command in (("show",), ("explain",), ("top", "--since", "9999d")):
        done = bridle(*command, "--store", "s.db")
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("bridle: event 3 of r-1m7xpe60000000001 is damaged: this is no event of bridle: b'[")
        assert done.err.endswith("; `bridle audit verify` and `bridle doctor` name what else does not hold\n")
    assert "bad   journal   r-1m7xpe60000000001: event 3 of" in bridle("doctor", "--store", "s.db").out
