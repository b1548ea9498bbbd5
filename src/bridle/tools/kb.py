"""Searches and reads a folder of Markdown and text: full text by SQLite FTS5, kept in step with the files."""

import asyncio
import difflib
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn, TypeVar

from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import MILLIS_PER_SECOND, Confidentiality, Effect, Source
from bridle.tools.kb_index import MAX_FILE, Index, NotAnIndex
from bridle.tools.passages import Heading, headings, lines_of, section
from bridle.tools.paths import MAX_PATH, read_inside

T = TypeVar("T")

LABELS: Mapping[str, Mapping[str, str | bool | int]] = {
    "kb.read": {
        "effect": Effect.READ,
        "source": Source.TRUSTED,
        "confidentiality": Confidentiality.PRIVATE,
        "expensive": False,
        "description": "Read one document of the knowledge base by its id, or one section of it by its heading.",
    },
    "search.read": {
        "effect": Effect.READ,
        "source": Source.TRUSTED,
        "confidentiality": Confidentiality.PRIVATE,
        "expensive": False,
        "description": "Search the knowledge base; returns passages with the ids of their documents.",
    },
}

MAX_HITS = 20
REFRESH_MS = 2_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found: `doc` is what `read` takes, `heading` a path, `line` counts from 1.

    `score` is BM25 with the sign turned: more is better, and comparable within one answer only.
    """

    doc: str
    heading: str
    line: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Document:
    """A document, or the section of it that was asked for."""

    doc: str
    title: str
    text: str


class Library:
    """The documents of one folder (.md .markdown .txt .rst), found by their relative path.

    `index` is a file for the index, or None for one in memory; it is a cache, rebuilt when it is damaged. The folder is
    looked through at most once in `refresh_ms`, by the clock `now` (seconds). Left out are hidden files, symbolic
    links, files over 2 MB, names with unprintable characters, and what comes after the first 20,000 files.
    """

    def __init__(
        self,
        folder: Path,
        index: Path | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        refresh_ms: int = REFRESH_MS,
    ) -> None:
        self._root = folder.resolve()
        self._index = Index(self._root, index)
        self._now = now
        self._refresh_s = refresh_ms / MILLIS_PER_SECOND
        self._looked_at: float | None = None
        self._lock = threading.Lock()  # one connection, used by one thread at a time

    async def search(self, query: str, limit: int = 5) -> list[Hit]:
        """The best passages for the words of `query`, at most `limit` (1 to 20); no words, no hits.

        Passages with all the words come first; if there are none, those with any. Raises `CallFailed` (unavailable)
        when the folder or the index cannot be read.
        """
        most = min(max(limit, 1), MAX_HITS)
        rows = await asyncio.to_thread(self._ask, lambda index: index.search(query, most))
        return [Hit(row.doc, row.heading, row.line, row.text, row.score) for row in rows]

    async def read(self, doc: str, section: str = "") -> Document:
        """The document with the id `doc`, exactly as a search returned it, or the section under one of its headings.

        Raises `CallFailed`: rejected, with the closest ids or headings, for what is not there; unavailable as above.
        """
        return await asyncio.to_thread(self._ask, lambda index: self._read(index.docs(), doc, section))

    def close(self) -> None:
        """Close the index; the next question opens it again."""
        with self._lock:
            self._index.close()

    def _ask(self, question: Callable[[Index], T]) -> T:
        """Answer from an index that is fresh enough; one that turns out to be damaged is built again, once."""
        with self._lock:
            try:
                try:
                    return question(self._fresh())
                except sqlite3.DatabaseError as failure:
                    if not self._index.set_aside(failure):
                        raise
                    self._looked_at = None
                    return question(self._fresh())
            except NotAnIndex as failure:
                raise CallFailed(FailureKind.REJECTED, f"{failure}.", happened=False) from failure
            except (sqlite3.Error, OSError) as failure:
                said = f"The knowledge base cannot be read: {type(failure).__name__}."
                raise CallFailed(FailureKind.UNAVAILABLE, said, happened=False) from failure

    def _fresh(self) -> Index:
        now = self._now()
        if self._looked_at is None or not 0 <= now - self._looked_at < self._refresh_s:
            self._index.refresh()
            self._looked_at = now
        return self._index

    def _read(self, docs: Sequence[str], doc: str, wanted: str) -> Document:
        if doc not in docs:
            _refuse_unknown("document", doc, docs)
        path = PurePosixPath(doc)
        lines = lines_of(read_inside(self._root, path.parts, MAX_FILE))
        outline = headings(lines, path.suffix.lower())
        title = outline[0].title if outline else path.stem
        if not wanted.strip():
            return Document(doc, title, "\n".join(lines))
        return Document(doc, title, section(lines, outline, _find(outline, wanted)))


def _find(outline: Sequence[Heading], wanted: str) -> Heading:
    """The heading that is meant by its title, or by its path as a hit says it."""
    folded = _folded(wanted)
    for heading in outline:
        if folded in (_folded(heading.title), _folded(heading.path)):
            return heading
    _refuse_unknown("section", wanted, [heading.title for heading in outline])


def _refuse_unknown(noun: str, said: str, known: Sequence[str]) -> NoReturn:
    """Say what is not there, and what is like it."""
    folded = {_folded(each): each for each in known}
    wanted = _folded(said[:MAX_PATH])
    name = PurePosixPath(wanted).name
    near = [each for key, each in folded.items() if name and name == PurePosixPath(key).name][:3]
    near = near or [folded[key] for key in difflib.get_close_matches(wanted[:200], folded, n=3, cutoff=0.5)]
    hint = f"did you mean {', '.join(near)}?" if near else "search first, and use what it returns."
    raise CallFailed(FailureKind.REJECTED, f"There is no {noun} {said[:80]!r}; {hint}", happened=False)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
