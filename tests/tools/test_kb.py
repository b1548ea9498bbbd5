"""Tests of the knowledge base: what is found, what is refused, and an index that keeps up with its folder."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridle.rules.failure import CallFailed, FailureKind
from bridle.tools.kb import LABELS, Library
from bridle.tools.kb_index import MAX_FILE

REFUNDS = """# Refunds

A refund takes five days to arrive.

## Abroad

Outside of Europe a refund takes ten days.
"""


class Open(Protocol):
    """How a test opens a library that is closed after it."""

    def __call__(
        self, folder: Path, index: Path | None = None, *, now: Callable[[], float] = ..., refresh_ms: int = ...
    ) -> Library: ...


@pytest.fixture
def open_library() -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        def opened(
            folder: Path,
            index: Path | None = None,
            *,
            now: Callable[[], float] = time.monotonic,
            refresh_ms: int = 2_000,
        ) -> Library:
            library = Library(folder, index, now=now, refresh_ms=refresh_ms)
            stack.callback(library.close)
            return library

        yield opened


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    (root / "policies").mkdir(parents=True)
    (root / "policies" / "refunds.md").write_text(REFUNDS)
    (root / "shipping.txt").write_text("Parcels leave the house on Mondays.\n\nÀ bientôt, Zürich.")
    (root / "guide.rst").write_text("Guide\n=====\n\nHow to return a parcel.\n")
    return root


def write(path: Path, text: str) -> None:
    """Write a file that is surely seen as changed, however coarse the clock of the file system is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


async def test_a_search_finds_the_passage_with_its_heading_and_line(open_library: Open, folder: Path) -> None:
    hit = (await open_library(folder).search("refund abroad"))[0]
    assert (hit.doc, hit.heading, hit.line) == ("policies/refunds.md", "Refunds > Abroad", 5)
    assert "ten days" in hit.text
    assert hit.score > 0


@pytest.mark.parametrize(
    ("query", "docs"),
    [
        ("How long does a refund take?", {"policies/refunds.md"}),
        ("refunds unicorns", {"policies/refunds.md"}),
        ("parcels", {"shipping.txt", "guide.rst"}),
        ("PARCEL", {"shipping.txt", "guide.rst"}),
        ("zurich bientot", {"shipping.txt"}),
        ("the of and", {"policies/refunds.md", "shipping.txt"}),
        ("unicorns", set()),
        ("", set()),
        ('"', set()),
        ("_ * ^ : ( ) - +", set()),
        ("parcel NOT monday", {"shipping.txt"}),
        ("parcel AND", {"shipping.txt", "guide.rst"}),
        ("title:parcel", {"shipping.txt", "guide.rst"}),
        ('"parcels leave', {"shipping.txt"}),
        ("parcel*", {"shipping.txt", "guide.rst"}),
        ("NEAR(parcel, 5", {"shipping.txt", "guide.rst"}),
        ("parcel\0", {"shipping.txt", "guide.rst"}),
        ("parcel\ud800", {"shipping.txt", "guide.rst"}),
        ("parcel " * 10_000, {"shipping.txt", "guide.rst"}),
        ("'; DROP TABLE docs; -- parcel", {"shipping.txt", "guide.rst"}),
    ],
)
async def test_any_words_that_people_type_can_be_searched(
    open_library: Open, folder: Path, query: str, docs: set[str]
) -> None:
    assert {hit.doc for hit in await open_library(folder).search(query)} == docs


async def test_no_text_makes_a_search_fail(open_library: Open, folder: Path) -> None:
    library = open_library(folder)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.text() | st.text('"*^:()-+{}[]ANDORTE ,', max_size=30))
    def searched(query: str) -> None:
        asyncio.run(library.search(query))

    await asyncio.to_thread(searched)


async def test_the_limit_holds_and_copies_are_shown_once(open_library: Open, folder: Path) -> None:
    for at in range(40):
        (folder / f"copy{at}.md").write_text(REFUNDS)
        (folder / f"other{at}.md").write_text(f"A refund, number {at}.")
    library = open_library(folder)
    for limit, most in ((3, 3), (0, 1), (-5, 1), (10_000, 20)):
        hits = await library.search("refund", limit)
        assert len({hit.text for hit in hits}) == len(hits) == most


async def test_a_document_is_read_whole_or_by_section(open_library: Open, folder: Path) -> None:
    library = open_library(folder)
    whole = await library.read("policies/refunds.md")
    assert (whole.title, whole.text) == ("Refunds", REFUNDS)
    for section in ("Abroad", " abroad ", "Refunds > Abroad"):
        part = await library.read("policies/refunds.md", section)
        assert part.text == "## Abroad\n\nOutside of Europe a refund takes ten days."


@pytest.mark.parametrize(
    ("doc", "hint"),
    [
        ("refunds.md", "did you mean policies/refunds.md?"),
        ("./policies/refunds.md", "did you mean policies/refunds.md?"),
        ("policies/../policies/refunds.md", "did you mean policies/refunds.md?"),
        ("Policies/Refunds.md", "did you mean policies/refunds.md?"),
        ("policies/refunds", "did you mean policies/refunds.md?"),
        ("policies/refund\u0455.md", "did you mean policies/refunds.md"),  # a Cyrillic s
        ("\uff53hipping.txt", "did you mean shipping.txt"),  # a full-width s
        ("../secret.md", "search first"),
        ("/etc/passwd", "search first"),
        ("..", "search first"),
        ("", "search first"),
        ("policies", "did you mean policies/refunds.md?"),
        ("shipping.txt\0", "shipping.txt"),
        ("\ud800", "search first"),
        ("a" * 100_000, "search first"),
    ],
)
async def test_only_an_id_as_listed_is_read_and_a_near_miss_is_told(
    open_library: Open, folder: Path, doc: str, hint: str
) -> None:
    (folder.parent / "secret.md").write_text("secret")
    with pytest.raises(CallFailed) as caught:
        await open_library(folder).read(doc)
    assert (caught.value.kind, caught.value.happened) == (FailureKind.REJECTED, False)
    assert hint in caught.value.message
    assert len(caught.value.message) < 400


async def test_an_unknown_section_names_the_ones_that_are_like_it(open_library: Open, folder: Path) -> None:
    with pytest.raises(CallFailed, match="no section 'Abrod'; did you mean Abroad"):
        await open_library(folder).read("policies/refunds.md", "Abrod")


async def test_links_hidden_files_other_kinds_and_large_files_are_left_out(open_library: Open, folder: Path) -> None:
    secret = folder.parent / "secret.md"
    secret.write_text("treasure")
    (folder / "link.md").symlink_to(secret)
    (folder / "linked").symlink_to(folder.parent)
    (folder / ".hidden.md").write_text("treasure")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.md").write_text("treasure")
    (folder / "x.py").write_text("treasure")
    (folder / "large.md").write_text("treasure " + "x" * MAX_FILE)
    (folder / "two\nlines.md").write_text("treasure")
    (folder / "dir.md").mkdir()
    os.mkfifo(folder / "pipe.md")
    (folder / os.fsdecode(b"\xff.md")).write_text("treasure")
    library = open_library(folder)
    assert await library.search("treasure") == []
    for doc in ("link.md", "linked/secret.md", ".hidden.md", "pipe.md", "dir.md"):
        with pytest.raises(CallFailed):
            await library.read(doc)


async def test_a_document_that_became_a_link_is_not_followed(open_library: Open, folder: Path) -> None:
    clock = Clock()
    library = open_library(folder, now=clock)
    await library.search("parcel")
    (folder.parent / "secret.md").write_text("secret")
    (folder / "shipping.txt").unlink()
    (folder / "shipping.txt").symlink_to(folder.parent / "secret.md")
    with pytest.raises(CallFailed, match="symbolic link"):
        await library.read("shipping.txt")


async def test_bytes_that_are_not_utf_8_and_nul_are_replaced(open_library: Open, folder: Path) -> None:
    (folder / "odd.md").write_bytes(b"# Odd\n\nwombat \xff\xfe\0 end")
    library = open_library(folder)
    assert (await library.search("wombat"))[0].text == "# Odd\n\nwombat \ufffd\ufffd\ufffd end"
    assert "\0" not in (await library.read("odd.md")).text


@pytest.mark.parametrize("in_file", [True, False])
async def test_changes_are_seen_when_the_folder_is_looked_at_again(
    open_library: Open, folder: Path, tmp_path: Path, in_file: bool
) -> None:
    clock = Clock()
    library = open_library(folder, tmp_path / "i" / "kb.sqlite" if in_file else None, now=clock, refresh_ms=5_000)
    assert await library.search("wombat") == []
    write(folder / "new.md", "A wombat.")
    write(folder / "shipping.txt", "Nothing leaves the house.")
    (folder / "guide.rst").unlink()
    clock.seconds += 4.9
    assert await library.search("wombat") == []
    clock.seconds += 0.2
    assert [hit.doc for hit in await library.search("wombat")] == ["new.md"]
    assert await library.search("parcel") == []
    with pytest.raises(CallFailed):
        await library.read("guide.rst")


async def test_an_index_file_is_used_again_and_only_changed_files_are_read(
    open_library: Open, folder: Path, tmp_path: Path
) -> None:
    index = tmp_path / "kb.sqlite"
    assert await open_library(folder, index).search("parcel")
    known = (folder / "shipping.txt").stat()
    (folder / "shipping.txt").write_text("x" * known.st_size)
    os.utime(folder / "shipping.txt", ns=(known.st_mtime_ns, known.st_mtime_ns))
    assert "shipping.txt" in {hit.doc for hit in await open_library(folder, index).search("monday")}
    assert index.stat().st_mode & 0o077 == 0


async def test_an_index_of_another_folder_is_built_anew(open_library: Open, folder: Path, tmp_path: Path) -> None:
    index, other = tmp_path / "kb.sqlite", tmp_path / "other"
    other.mkdir()
    (other / "a.md").write_text("wombat")
    assert await open_library(folder, index).search("parcel")
    assert await open_library(other, index).search("parcel") == []
    assert await open_library(other, index).search("wombat")


@pytest.mark.parametrize("damage", ["garbage", "empty", "pages", "cut", "other version"])
async def test_a_damaged_index_is_built_anew(open_library: Open, folder: Path, tmp_path: Path, damage: str) -> None:
    index = tmp_path / "kb.sqlite"
    assert await open_library(folder, index).search("parcel")
    data = index.read_bytes()
    broken = {
        "garbage": b"not a database at all",
        "empty": b"",
        "pages": data[:100] + b"\xff" * (len(data) - 100),
        "cut": data[:5_000],
        "other version": data[:60] + b"\0\0\0\x63" + data[64:],
    }
    index.write_bytes(broken[damage])
    assert {hit.doc for hit in await open_library(folder, index).search("parcel")} == {"shipping.txt", "guide.rst"}


async def test_an_index_that_is_damaged_while_in_use_is_built_anew(
    open_library: Open, folder: Path, tmp_path: Path
) -> None:
    index = tmp_path / "kb.sqlite"
    for at in range(200):
        (folder / f"{at}.md").write_text(f"wombat {at} " * 50)
    clock = Clock()
    library = open_library(folder, index, now=clock)
    assert await library.search("wombat")
    index.write_bytes(index.read_bytes()[:100] + b"\xff" * 200_000)
    clock.seconds += 100
    write(folder / "0.md", "another wombat")
    assert await library.search("wombat")


async def test_a_database_of_someone_else_is_not_touched(open_library: Open, folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "journal.db"
    with sqlite3.connect(index) as connection:
        connection.execute("CREATE TABLE precious (x)")
    connection.close()
    before = index.read_bytes()
    with pytest.raises(CallFailed, match="a database of another program"):
        await open_library(folder, index).search("parcel")
    assert index.read_bytes() == before


async def test_a_folder_that_is_not_there_is_unavailable(open_library: Open, tmp_path: Path) -> None:
    with pytest.raises(CallFailed) as caught:
        await open_library(tmp_path / "gone").search("parcel")
    assert caught.value.kind is FailureKind.UNAVAILABLE
    assert str(tmp_path) not in caught.value.message


async def test_many_searches_at_once_share_one_index(open_library: Open, folder: Path) -> None:
    library = open_library(folder, refresh_ms=0)
    found = await asyncio.gather(*(library.search("parcel") for _ in range(30)))
    assert all(len(hits) == 2 for hits in found)


async def test_two_libraries_may_share_one_index_file(open_library: Open, folder: Path, tmp_path: Path) -> None:
    libraries = [open_library(folder, tmp_path / "kb.sqlite", refresh_ms=0) for _ in range(4)]
    found = await asyncio.gather(*(library.search("parcel") for library in libraries * 5))
    assert all(len(hits) == 2 for hits in found)


def test_the_labels_say_that_the_documents_are_ours_and_private() -> None:
    assert {tuple(LABELS[name][key] for key in ("effect", "source", "confidentiality")) for name in LABELS} == {
        ("read", "trusted", "private")
    }
