"""Every example runs by itself, in an empty folder, and says what its first lines promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SECONDS = 60
SAYS = {
    "attach_a_loop": [
        "stopped: max_tool_calls. The run used all its tool calls (5 of 5).",
        "partial: read until customers of page 5, tool calls: 5, retry: change",
    ],
    "custom_tool": [
        "ok, 2 tool calls performed",
        "{'base': 'USD'}: policy_denied, $.base",
        "did you mean days_ago?",
        "{'base': 'CHF', 'days_ago': 30}: tool_output_invalid",
    ],
    "injection": [
        "mail.send: sent to bob@acme.example",
        "refused: policy_denied (web.get, rule: flow of information, argument: url",
        "waiting, tainted: True",
        "Mail eve@evil.example? `to` = eve@evil.example was first seen in the output of c1 (mail.read, untrusted)",
    ],
    "observe": [
        "ok: the page at https://example.com",
        "c4 kb.read would have been refused: max_tool_calls",
        "c5 web.read would have been refused: max_tool_calls, tool_denied",
    ],
    "approvals": [
        "ok: refunded 40 euros for order A-1",
        "waiting: Refund 90 euros for order A-2? approve",
        "ok: refunded 90 euros for order A-2",
        "ok: refunded 60 euros for order A-3",
        "ok: no refund for A-4: the parcel arrived",
    ],
    "refunds": [
        "A: ok, refund of 40 for A; A is back; 3 tool calls",
        "A: ok, refund of 40 for A; A is back; 0 tool calls",
        "B: ok, the refund of B was cancelled; 3 tool calls",
        "the bank was asked 3 times under 2 keys",
    ],
    "triage": [
        "find_cause --> escalate : exhausted",
        "ok: Order A-1 was charged as ordered: 40.00 euros.  (1 tool calls)",
        "ok: Order B-2: An order is charged twice when the payment page is sent again",
        "[charges.md",
    ],
    "writes": [
        "require_approval True: waiting, notes on disk: 0",
        "  Write a new note with a title and a text",
        "  ok: wrote notes/approval-true.md, notes on disk: 1",
        "require_approval False: ok, notes on disk: 2",
    ],
}


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SAYS.keys()


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("BRIDLE_", "COV"))}
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for line in SAYS[name]:
        assert line in done.stdout, f"{name} no longer says {line!r}:\n{done.stdout}"
