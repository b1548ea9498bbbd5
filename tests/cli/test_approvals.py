"""A person answers from the command line: what he is shown, what he may say, and who goes on with the run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bridle import Flow, Run
from bridle.cli import answer
from bridle.cli.screen import OUT
from bridle.rules.policy import EXPIRES_AFTER
from bridle.runs.result import RunResult
from tests.cli.conftest import Bridled
from tests.cli.house import HOSTILE, Clock, House, program

NOW = 1_795_219_200_000
FIRST = "r-1m7xpe60000000001/c1"
SHOP = """\
import sys

from bridle import Bridle, Denied, Flow

b = Bridle({"tools": {"allow": ["refund.create"]}})


@b.tool("refund.create", effect="write", summary="Refund {amount} euros for order {order}")
async def refund(order: str, amount: int) -> str:
    with open("refunded", "a") as ledger:
        ledger.write(f"{order} {amount}\\n")
    return f"refunded {amount}"


refunds = Flow("refunds")


@refunds.step()
async def create(run, state):
    try:
        return (await run.call("refund.create", {"order": "A-7", "amount": 40})).value
    except Denied as denied:
        return f"not refunded: {denied.detail.get('said')}"
"""
WORKER = """\
import asyncio
import sys

from shop import b, refunds


async def main():
    b.register(refunds)
    async with b:
        print("here", flush=True)
        await asyncio.to_thread(sys.stdin.readline)


asyncio.run(main())
"""


@pytest.fixture
def shop(here: Path) -> Path:
    (here / "shop.py").write_text(SHOP)
    (here / "worker.py").write_text(WORKER)
    return here


@pytest.fixture(autouse=True)
def at_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that run in this process read the clock of the house."""
    for module in ("approvals", "answer", "show", "runs"):
        monkeypatch.setattr(f"bridle.cli.{module}.now", lambda: NOW + 60_000)


def noting(**arguments: object) -> Flow:
    flow = Flow("noting")

    @flow.step()
    async def note(run: Run, state: object) -> object:
        return (await run.call("notes.write", arguments)).value

    return flow


def waiting(here: Path, *, at: int = NOW, **arguments: object) -> RunResult:
    return House(here / "s.db", clock=Clock(at)).run(noting(**(arguments or {"text": "x"})))


@pytest.fixture
def asked(here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A note that waits since now, as the commands of this process see it."""
    monkeypatch.setattr("bridle.cli.answer.World", lambda: Clock(NOW + 60_000).world)
    monkeypatch.setattr(answer, "PATIENCE_SECONDS", 0.0)
    approval = waiting(here).approval
    assert approval == FIRST
    return approval


def test_a_card_has_everything_in_it_and_the_commands_to_answer(bridle: Bridled, here: Path, asked: str) -> None:
    done = bridle("approvals", "--store", "s.db")
    assert (done.code, done.err) == (0, "")
    assert (
        done.out
        == f"""\
{asked}  notes.write
  call     notes.write, for default, asked by ann 1 min ago
  text: "x"
  until    2026-11-22 00:00:00 UTC, 23 h 59 min left
  bridle approve {asked} --store s.db
  bridle edit {asked} --args '{{"text": "x"}}' --store s.db
  bridle reject {asked} --because "..." --store s.db
  bridle respond {asked} --text "..." --store s.db

"""
    )


def test_nothing_in_an_argument_hides(bridle: Bridled, here: Path) -> None:
    waiting(here, text=f"p\u0430y {HOSTILE} a\u200db")
    out = bridle("approvals", "--store", "s.db").out
    assert not {"\x1b", "\u202e", "\x07", "\x7f"} & set(out)
    assert "\\u0430y \\u001b[31mred" in out, "a letter of another alphabet is told by its number"
    assert "a\\u200db" in out


def test_the_json_of_approvals_has_stable_names(bridle: Bridled, here: Path, asked: str) -> None:
    document = json.loads(bridle("approvals", "--json", "--store", "s.db").out)
    assert document == {
        "store": "s.db",
        "approvals": [
            {
                "approval": asked, "run_id": asked[:-3], "call": "c1", "tool": "notes.write",
                "summary": "notes.write", "arguments": {"text": "x"}, "preview": None, "why": [], "tenant": "default",
                "by": "ann", "asked_at_ms": NOW, "until_ms": NOW + EXPIRES_AFTER, "is_late": False,
            }
        ],
    }  # fmt: skip


def test_where_nothing_waits_that_is_said(bridle: Bridled, here: Path) -> None:
    waiting(here)
    bridle("cancel", "last", "--store", "s.db")
    assert bridle("approvals", "--store", "s.db").out == "Nothing waits for a person in s.db.\n"
    done = bridle("approve", "last", "--store", "s.db")
    assert (done.code, done.err) == (1, "bridle: nothing waits for a person in s.db\n")


def test_show_and_runs_tell_a_run_that_waits(bridle: Bridled, here: Path, asked: str) -> None:
    shown = bridle("show", "--store", "s.db").out
    assert "is waiting in step note since 1 min 00 s" in shown
    assert 'c1   notes.write {"text":"x"} -> waits for a person until 2026-11-22 00:00 UTC' in shown
    assert f"  bridle approve {asked} --store s.db\n" in shown
    story = json.loads(bridle("show", "--json", "--store", "s.db").out)
    assert (story["status"], story["approval"], story["until"]) == ("waiting", asked, NOW + EXPIRES_AFTER)
    listed = bridle("runs", "--open", "--store", "s.db").out
    assert "waiting  approval of notes.write" in listed
    assert listed.endswith("bridle approvals --store s.db lists what waits for a person\n")
    (line,) = json.loads(bridle("runs", "--json", "--store", "s.db").out)["runs"]
    assert (line["status"], line["approval"], line["until"]) == ("waiting", asked, NOW + EXPIRES_AFTER)


def test_an_answer_is_shown_with_what_it_is_about_and_with_who_goes_on(bridle: Bridled, here: Path, asked: str) -> None:
    done = bridle("approve", asked, "--by", "bob", "--store", "s.db")
    assert (done.code, done.err) == (0, "")
    assert '  text: "x"\n' in done.out
    told, _, receipt = done.out.rpartition("  receipt: ")
    assert told.endswith(
        f"{asked}: bob said approve\n  No worker lives. The same request goes on with it, or the next start of a "
        f"process that has the flow noting 1. `bridle show {asked[:-3]} --store s.db` tells.\n"
    )
    assert bridle("audit", "head", asked[:-3], "--store", "s.db").out.split()[-1] == receipt.strip()
    assert "waiting  a worker" in bridle("runs", "--store", "s.db").out
    assert "approved" not in bridle("approvals", "--store", "s.db").out
    bridle("cancel", asked[:-3], "--store", "s.db")
    assert bridle("audit", "verify", "--head", receipt.strip(), "--store", "s.db").code == 0, "a receipt lasts"


def test_an_edit_shows_what_it_changes(bridle: Bridled, here: Path, asked: str) -> None:
    done = bridle("edit", "last", "--args", '{"text": "y"}', "--by", "bob", "--store", "s.db")
    assert (done.code, done.err) == (0, "")
    assert '  text: "x" -> "y"\n' in done.out
    assert f"{asked}: bob said edit\n" in done.out


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["approve", FIRST], "ann asked for this run, so somebody else has to answer"),
        (["approve", f"{FIRST}0", "--by", "bob"], f"nothing waits under {FIRST}0."),
        (["approve", "r-9", "--by", "bob"], "there is no run r-9 in s.db"),
        (["reject", FIRST, "--because", " ", "--by", "bob"], "to reject a call, say why"),
        (["edit", FIRST, "--args", "{", "--by", "bob"], "--args is not JSON"),
        (["edit", FIRST, "--args", "[]", "--by", "bob"], "--args is one JSON object"),
        (["edit", FIRST, "--args", "{}", "--by", "bob"], "this changes nothing; `bridle approve"),
        (["edit", FIRST, "--args", '{"more": 1}', "--by", "bob"], "the tool does not take these arguments"),
        (["edit", FIRST, "--args", '{"text": 1}', "--by", "bob"], "the tool does not take these arguments"),
        (["edit", FIRST, "--args", '{"text": "a", "text": "b"}', "--by", "bob"], "--args is not JSON"),
    ],
)
def test_an_answer_that_cannot_be_taken_is_a_sentence(
    tokens: list[str], said: str, bridle: Bridled, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ann")
    done = bridle(*tokens, "--store", "s.db")
    assert done.code == 1
    assert done.err.startswith(f"bridle: {said}")
    assert done.err.count("\n") == 1
    assert json.loads(bridle("approvals", "--json", "--store", "s.db").out)["approvals"], f"{asked} still waits"


def test_who_answers_second_is_told_who_was_first(bridle: Bridled, here: Path, asked: str) -> None:
    assert bridle("reject", asked, "--because", "no", "--by", "bob", "--store", "s.db").code == 0
    done = bridle("approve", asked, "--by", "cat", "--store", "s.db")
    assert (done.code, done.err) == (1, f"bridle: {asked} was answered before: reject by bob\n")


def test_a_beginning_that_may_be_several_is_answered_with_those(bridle: Bridled, here: Path, asked: str) -> None:
    second = House(here / "s.db", clock=Clock(NOW, given=50)).run(noting(text="y"), key="2").approval
    done = bridle("approve", "r-1m7", "--by", "bob", "--store", "s.db")
    assert (done.code, done.err) == (1, f"bridle: r-1m7 may be {asked}, {second}; write more of it\n")
    assert second is not None
    assert bridle("respond", second[2:-2], "--text", "later", "--by", "bob", "--store", "s.db").code == 0


def test_a_late_question_has_no_commands(bridle: Bridled, here: Path) -> None:
    approval = waiting(here, at=NOW - EXPIRES_AFTER).approval
    assert approval is not None
    out = bridle("approvals", "--store", "s.db").out
    assert "until    expired 1 min ago" in out
    assert "bridle approve" not in out
    done = bridle("approve", approval, "--by", "bob", "--store", "s.db")
    assert (done.code, done.err) == (1, f"bridle: {approval} expired; the same request asks again\n")


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_on_a_terminal_one_is_asked(
    typed: str, code: int, bridle: Bridled, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return typed

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(type(OUT), "is_terminal", property(lambda screen: True))
    done = bridle("approve", asked, "--by", "bob", "--store", "s.db")
    assert done.code == code
    assert "approve? [y/N] " in done.out
    assert done.err.endswith("" if code == 0 else "nothing was written; it still waits\n")
    if code:
        assert bridle("approve", asked, "--by", "bob", "--yes", "--store", "s.db").code == 0


def test_a_run_waits_is_approved_by_another_process_and_goes_on_with_the_same_request(shop: Path) -> None:
    ask = ("run", "--app", "shop:refunds")
    first = program(*ask, folder=shop, USER="eve")
    assert first.returncode == 3, first.stderr
    assert "suspended: nothing goes on until a person has answered" in first.stderr
    assert "waiting  The run waits for a person, and holds nothing meanwhile." in first.stdout
    assert "Refund 40 euros for order A-7" in first.stdout
    result = json.loads(program(*ask, "--json", folder=shop, USER="eve").stdout)
    assert (result["status"], result["until"] > 0) == ("waiting", True)
    assert f"bridle approve {result['approval']}" in first.stdout
    assert program("approve", "last", folder=shop, USER="eve").returncode == 1, "who asked may not approve"
    done = program("approve", result["approval"], folder=shop, USER="ann")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ann said approve" in done.stdout
    again = program(*ask, folder=shop, USER="eve")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "refunded 40"), again.stderr
    assert (shop / "refunded").read_text() == "A-7 40\n"
    assert program(*ask, "--key", "other", "--json", folder=shop, USER="eve").returncode == 3


@pytest.mark.parametrize(
    ("tokens", "ledger", "answer"),
    [
        (("edit", "last", "--args", '{"amount": 25}'), "A-7 25\n", "refunded 25"),
        (("reject", "last", "--because", "paid by hand"), None, "not refunded: paid by hand"),
    ],
)
def test_a_worker_that_lives_goes_on_with_it(
    tokens: tuple[str, ...], ledger: str | None, answer: str, shop: Path
) -> None:
    worker = subprocess.Popen(
        [sys.executable, "worker.py"], cwd=shop, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "here\n"
        first = program("run", "--app", "shop:refunds", "--key", "k", "--json", folder=shop, USER="eve")
        assert first.returncode == 3, first.stderr
        done = program(*tokens, folder=shop, USER="ann")
        assert done.returncode == 0, done.stderr
        assert "goes on with it now" in done.stdout or "took it up, and the run has ended" in done.stdout
        last = program("run", "--app", "shop:refunds", "--key", "k", "--json", folder=shop, USER="eve")
        assert json.loads(last.stdout)["answer"] == answer
        assert ((shop / "refunded").read_text() if (shop / "refunded").exists() else None) == ledger
    finally:
        worker.communicate("\n", timeout=30)
