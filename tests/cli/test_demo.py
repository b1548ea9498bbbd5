"""What the demo tells a newcomer to type can be typed."""

import asyncio
import io
import sys
from pathlib import Path

import pytest

from bridle.cli.demo import Documents, show_demo
from bridle.cli.screen import Screen


@pytest.mark.parametrize("is_found", [True, False])
def test_the_next_commands_name_a_program_that_is_found(
    is_found: bool, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(sys.executable).with_name("bridle")
    monkeypatch.setenv("PATH", str(own.parent) if is_found else "")
    (here / "a.md").write_text("# Refunds\n\nA refund is approved by the finance team.\n")
    stream = io.StringIO()
    asyncio.run(show_demo(Screen(stream, {}), Documents(here, "docs", ("Who approves a refund?",))))
    shown = stream.getvalue()
    after = shown[shown.index("Next:") :].splitlines()[1:]
    assert [line.split()[0] for line in after] == ["bridle" if is_found else str(own)] * 3
    assert shown.count("how each press ended") == 2
    assert "a run has 15 tool calls, 90 s and $8.00" in shown
    assert "Each of the 12 requests of the outage was pressed 3 times." in shown
    assert shown.count("demo-approver said reject: order 88213 was refunded yesterday") == 1
