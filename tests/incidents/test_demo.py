"""The demo prints what happened: answers with citations, both incidents by the world's figures, a rejected write."""

import asyncio
import io
from pathlib import Path

import pytest

from bridle.cli.demo import Documents, documents_of, show_demo, show_write
from bridle.cli.exits import Failed
from bridle.cli.screen import Screen
from bridle.rules.stop import StopReason
from bridle.store.sqlite import SqliteStore


def shown(documents: Documents) -> str:
    stream = io.StringIO()
    asyncio.run(show_demo(Screen(stream, {}), documents))
    return stream.getvalue()


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDLE_STORE", raising=False)
    return tmp_path


def test_the_demo_shows_four_things_that_happened(empty_folder: Path) -> None:
    docs = empty_folder / "handbook"
    docs.mkdir()
    docs.joinpath("refunds.md").write_text("# Refunds\n\nA refund is approved by the finance team.\n")
    text = shown(documents_of(Path("handbook"), "Who approves a refund?"))
    for line in (
        "data in .bridle/bridle.db, no API key needed",
        "step plan",
        "step read",
        "| A refund is approved by the finance team. [refunds.md",
        "The run used all its tool calls (15 of 15).",
        "The other 2 presses joined the run that was open.",
        "The run answered without browser.open. Ask again later if what is missing matters.",
        "-> waits for a person until",
        "suspended: nothing goes on until a person has answered",
        "demo-approver said reject: order 88213 was refunded yesterday",
        "What the flow made of it: I wrote nothing (approval_denied): order 88213 was refunded yesterday",
        "Nothing was written: there is no .bridle/notes.",
        'bridle run "your question" --docs handbook',
    ):
        assert line in text
    rows = [line.split() for line in text.splitlines()]
    assert any(row[:6] == ["without", "brakes,", "pressed", "once", "140", "$73.83"] for row in rows)
    assert any(row[:5] == ["without", "brakes", "1,800", "48", "$1,290.21"] for row in rows)
    assert text.count("the same as what the simulated world billed") == 2
    assert "\x1b" not in text
    assert not empty_folder.joinpath(".bridle", "notes").exists()


def test_a_second_demo_asks_about_a_second_write(empty_folder: Path) -> None:
    stream = io.StringIO()
    for _ in range(2):
        asyncio.run(show_write(Screen(stream, {}), empty_folder / ".bridle"))
    store = SqliteStore(empty_folder / ".bridle" / "bridle.db", read_only=True)
    assert [line.reason for line in store.runs()] == [StopReason.OK] * 2
    asyncio.run(store.close())


def test_without_a_question_it_asks_after_the_first_heading(empty_folder: Path) -> None:
    empty_folder.joinpath("a.md").write_text("text\n# Refunds\n\nRefunds are paid on Fridays.\n")
    assert documents_of(empty_folder, "").questions == ("What is said about Refunds?",)


def test_the_documentation_of_bridle_is_what_it_reads_by_default() -> None:
    documents = documents_of(None, "")
    assert documents.folder.name == "docs"
    assert len(documents.questions) == 2


def test_a_folder_that_is_not_there_is_named(empty_folder: Path) -> None:
    with pytest.raises(Failed, match="nowhere: there is no such folder"):
        documents_of(Path("nowhere"), "")
    empty_folder.joinpath("plain.md").write_text("no heading\n")
    with pytest.raises(Failed, match="say what to ask with --question"):
        documents_of(empty_folder, "")
