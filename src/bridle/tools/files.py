"""Reads files of one folder, and writes notes into it: the smallest write that is worth governing."""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import Confidentiality, Effect, Source
from bridle.tools.paths import open_folder, parts_of, read_inside

LABELS: Mapping[str, Mapping[str, str | bool | int]] = {
    "files.read": {
        "effect": Effect.READ,
        "source": Source.UNTRUSTED,  # notes stand in the same folder: what a tainted run wrote must not come back clean
        "confidentiality": Confidentiality.PRIVATE,
        "expensive": False,
        "description": "Read one text file of the working folder by its relative path.",
    },
    "notes.write": {
        "effect": Effect.WRITE,
        "source": Source.TRUSTED,
        "confidentiality": Confidentiality.PRIVATE,
        "expensive": False,
        "idempotency": "natural",  # the same title and text again is the same note
        "description": "Write a new note with a title and a text; an existing note is never changed.",
    },
}

NOTES = "notes"
MAX_TITLE = 200
MAX_SLUG = 80


@dataclass(frozen=True, slots=True)
class NoteWritten:
    """A note on disk: its path relative to the folder, and its length."""

    path: str
    bytes: int


class Folder:
    """One folder to read from, and `notes/` in it to write to; files over `max_bytes` are neither read nor written."""

    def __init__(self, root: Path, max_bytes: int = 1_000_000) -> None:
        self._root = root.resolve()
        self._max_bytes = max_bytes

    async def read(self, path: str) -> str:
        """The text of the file at `path`, as UTF-8; bytes that are none become U+FFFD.

        Raises `CallFailed` (rejected): no such file, too large, not text, hidden, or a path that leaves the folder.
        """
        parts = parts_of(path)
        data = await asyncio.to_thread(read_inside, self._root, parts, self._max_bytes)
        if b"\0" in data:
            raise CallFailed(FailureKind.REJECTED, "This file cannot be read: it is not a text file.", happened=False)
        return data.decode("utf-8-sig", "replace")

    async def write_note(self, title: str, text: str) -> NoteWritten:
        """Write `text` under `title` to notes/<slug>.md, whole or not at all; the same note again changes nothing.

        Raises `CallFailed`: rejected if another note stands at this name already or a value is not writable as text,
        unavailable if the disk fails; `happened` is False whenever it is certain that there is no new note.
        """
        content = _content(title, text, self._max_bytes)
        return await asyncio.to_thread(self._write, f"{_slug(title)}.md", content)

    def _write(self, name: str, content: bytes) -> NoteWritten:
        linked = False
        try:
            root = open_folder(self._root)
            try:
                notes = _notes(root)
            finally:
                os.close(root)
            try:
                if not _link_new(notes, name, content):
                    _check_identical(notes, name, content)
                linked = True
                os.fsync(notes)
            finally:
                os.close(notes)
        except OSError as failure:
            said = f"This note cannot be written: {os.strerror(failure.errno or 0)}."
            raise CallFailed(FailureKind.UNAVAILABLE, said, happened=None if linked else False) from failure
        return NoteWritten(f"{NOTES}/{name}", len(content))


def _slug(title: str) -> str:
    """A file name for a title: ASCII letters, digits and dashes; a title that has none is named by its digest."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode("ascii").lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_SLUG].strip("-")
    return slug or f"note-{hashlib.sha256(title.encode()).hexdigest()[:12]}"


def _content(title: str, text: str, max_bytes: int) -> bytes:
    """The bytes of the file, after everything that could be wrong with them was refused."""
    if not title.strip() or len(title) > MAX_TITLE or not title.isprintable():
        _refuse(f"a title is one line of 1 to {MAX_TITLE} printable characters")
    try:
        content = f"# {title.strip()}\n\n{text.rstrip()}\n".encode()
    except UnicodeEncodeError:
        _refuse("the text has half a character in it (a lone surrogate)")
    if len(content) > max_bytes or b"\0" in content:
        _refuse(f"a note is text of at most {max_bytes} bytes")
    return content


def _notes(root: int) -> int:
    """A descriptor of the folder for notes, which is made when it is missing and never followed when it is a link."""
    try:
        os.mkdir(NOTES, 0o700, dir_fd=root)
        os.fsync(root)
    except FileExistsError:
        pass
    return open_folder(root, (NOTES,))


def _link_new(notes: int, name: str, content: bytes) -> bool:
    """Put a complete file at `name` unless there is one; says whether it did.

    A link is used and not os.replace(): both are atomic, but only a link never takes the place of another note.
    """
    draft = f".{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, 0o600, dir_fd=notes)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.link(draft, name, src_dir_fd=notes, dst_dir_fd=notes, follow_symlinks=False)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(OSError):  # a draft that stays is hidden, and no reason to doubt the note
            os.unlink(draft, dir_fd=notes)
    return True


def _check_identical(notes: int, name: str, content: bytes) -> None:
    """Refuse to write where something else stands already."""
    try:
        there = read_inside(notes, (name,), len(content))
    except CallFailed:  # longer, a link, a folder: in any case not this note
        there = b""
    if there != content:
        _refuse(f"there is another note at {NOTES}/{name}; choose another title")


def _refuse(why: str) -> NoReturn:
    raise CallFailed(FailureKind.REJECTED, f"This note cannot be written: {why}.", happened=False)
