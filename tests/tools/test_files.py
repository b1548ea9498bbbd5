"""Tests of reading files and writing notes: inside the folder, whole or not at all, never over something else."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from bridle.rules.failure import CallFailed, FailureKind
from bridle.tools.files import LABELS, Folder, NoteWritten


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("hello")
    (folder / "sub" / "b.txt").write_bytes(b"caf\xc3\xa9 \xff")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def test_what_is_left_open_is_closed(root: Path) -> None:
    folder = Folder(root)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0

    async def use() -> None:
        for path in ("a.txt", "sub", "gone", "sub/b.txt", "a.txt/x"):
            with contextlib.suppress(CallFailed):
                await folder.read(path)
        for text in ("x", "x", "y"):
            with contextlib.suppress(CallFailed):
                await folder.write_note("t", text)

    asyncio.run(use())
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after == before


async def test_a_file_is_read_as_text(root: Path) -> None:
    assert await Folder(root).read("a.txt") == "hello"
    assert await Folder(root).read("sub/b.txt") == "café \ufffd"


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "../secret.txt",
        "sub/../../secret.txt",
        "sub/../a.txt",
        "/etc/passwd",
        "//etc/passwd",
        "./a.txt",
        "sub//b.txt",
        "sub/",
        "a.txt/",
        "a.txt\0",
        "a.txt\n",
        "..\\secret.txt",
        "sub",
        "gone.txt",
        "gone/a.txt",
        "a.txt/b",
        "link.txt",
        "linked/secret.txt",
        "inner.txt",
        ".env",
        "sub/.git/config",
        "pipe",
        "x" * 300,
        "x" * 5_000,
        "/".join("x" * 100),
        "\ud800",
        "binary.bin",
        "large.txt",
    ],
)
async def test_what_is_not_a_text_file_of_the_folder_is_rejected(root: Path, path: str) -> None:
    (root / "link.txt").symlink_to(root.parent / "secret.txt")
    (root / "inner.txt").symlink_to(root / "a.txt")
    (root / "linked").symlink_to(root.parent)
    (root / ".env").write_text("KEY=1")
    (root / "binary.bin").write_bytes(b"a\0b")
    (root / "large.txt").write_bytes(b"x" * 1_001)
    os.mkfifo(root / "pipe")
    with pytest.raises(CallFailed) as caught:
        await Folder(root, max_bytes=1_000).read(path)
    assert (caught.value.kind, caught.value.happened) == (FailureKind.REJECTED, False)
    assert str(root) not in caught.value.message


async def test_a_device_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(CallFailed, match="not a file"):
        await Folder(Path("/dev")).read("null")


async def test_a_note_is_written_once_and_again_is_the_same_note(root: Path) -> None:
    folder = Folder(root)
    note = await folder.write_note("Refunds: what's due?", "Five days.")
    assert note == NoteWritten("notes/refunds-what-s-due.md", len("# Refunds: what's due?\n\nFive days.\n"))
    before = (root / note.path).stat()
    assert await folder.write_note("Refunds: what's due?", "Five days.") == note
    after = (root / note.path).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert await folder.read(note.path) == "# Refunds: what's due?\n\nFive days.\n"
    assert os.listdir(root / "notes") == ["refunds-what-s-due.md"]


@pytest.mark.parametrize(
    ("title", "text"), [("Plan", "other"), ("plan", "text"), ("Plan!", "text"), ("Plan", "text and more")]
)
async def test_another_note_is_never_overwritten(root: Path, title: str, text: str) -> None:
    folder = Folder(root)
    await folder.write_note("Plan", "text")
    with pytest.raises(CallFailed, match="choose another title") as caught:
        await folder.write_note(title, text)
    assert (caught.value.kind, caught.value.happened) == (FailureKind.REJECTED, False)
    assert (root / "notes" / "plan.md").read_text() == "# Plan\n\ntext\n"
    assert os.listdir(root / "notes") == ["plan.md"]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc/passwd", "etc-passwd.md"),
        ("/etc/cron.d/x", "etc-cron-d-x.md"),
        (".bashrc", "bashrc.md"),
        ("CON", "con.md"),
        ("a" * 200, "a" * 80 + ".md"),
        ("Émile Zola", "emile-zola.md"),
        ("..", "note-5ec1f7e700f3.md"),
    ],
)
async def test_a_title_never_leads_out_of_the_notes(root: Path, title: str, name: str) -> None:
    assert (await Folder(root).write_note(title, "x")).path == f"notes/{name}"
    assert os.listdir(root / "notes") == [name]


async def test_titles_without_latin_letters_get_names_of_their_own(root: Path) -> None:
    paths = {(await Folder(root).write_note(title, "x")).path for title in ("退款", "退貨", "!?", "…")}
    assert len(paths) == 4


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("", "x"),
        ("   ", "x"),
        ("a\nb", "x"),
        ("a\0", "x"),
        ("\ud800", "x"),
        ("a" * 201, "x"),
        ("ok", "a\0b"),
        ("ok", "\ud800"),
        ("ok", "x" * 1_001),
    ],
)
async def test_what_cannot_be_a_note_is_rejected_and_nothing_is_made(root: Path, title: str, text: str) -> None:
    with pytest.raises(CallFailed) as caught:
        await Folder(root, max_bytes=1_000).write_note(title, text)
    assert (caught.value.kind, caught.value.happened) == (FailureKind.REJECTED, False)
    assert not (root / "notes").exists()


async def test_notes_that_are_a_link_are_not_followed(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "notes").symlink_to(outside)
    with pytest.raises(CallFailed) as caught:
        await Folder(root).write_note("a", "b")
    assert caught.value.happened is False
    assert os.listdir(outside) == []


async def test_a_link_where_the_note_would_stand_is_not_followed(root: Path) -> None:
    (root / "notes").mkdir()
    (root / "notes" / "a.md").symlink_to(root.parent / "secret.txt")
    with pytest.raises(CallFailed, match="another note"):
        await Folder(root).write_note("a", "b")
    assert (root.parent / "secret.txt").read_text() == "secret"


async def test_a_folder_that_is_gone_is_unavailable_and_nothing_happened(tmp_path: Path) -> None:
    with pytest.raises(CallFailed) as caught:
        await Folder(tmp_path / "gone").write_note("a", "b")
    assert (caught.value.kind, caught.value.happened) == (FailureKind.UNAVAILABLE, False)


async def test_a_full_disk_leaves_nothing_half_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        if not os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CallFailed, match="No space left") as caught:
        await Folder(root).write_note("a", "b")
    assert caught.value.happened is False
    assert os.listdir(root / "notes") == []


async def test_a_note_whose_folder_cannot_be_synced_may_have_happened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "notes").mkdir()
    synced: list[int] = []

    def second_fails(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(CallFailed) as caught:
        await Folder(root).write_note("a", "b")
    assert caught.value.happened is None


async def test_of_many_writers_with_one_title_one_wins_and_the_others_are_told(root: Path) -> None:
    folder = Folder(root)
    writes = [folder.write_note("race", f"text {at % 4}") for at in range(20)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    written = (root / "notes" / "race.md").read_text()
    for at, result in enumerate(results):
        mine = written == f"# race\n\ntext {at % 4}\n"
        assert isinstance(result, NoteWritten) if mine else isinstance(result, CallFailed) and result.happened is False
    assert os.listdir(root / "notes") == ["race.md"]


def test_a_note_is_a_write_that_may_be_sent_again() -> None:
    assert (LABELS["notes.write"]["effect"], LABELS["notes.write"]["idempotency"]) == ("write", "natural")


def test_what_a_run_wrote_does_not_come_back_as_trusted() -> None:
    assert LABELS["files.read"]["source"] == "untrusted"
