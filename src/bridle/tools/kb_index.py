"""The index of a folder of documents: which files are in it as they were last seen, and the words of their passages."""

import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from bridle.rules.failure import CallFailed
from bridle.tools.passages import headings, lines_of, passages
from bridle.tools.paths import MAX_PARTS, MAX_PATH, read_inside

SUFFIXES = frozenset({".md", ".markdown", ".txt", ".rst"})
MAX_FILE = 2_000_000
MAX_FILES = 20_000
MAX_ENTRIES = 500_000  # of all kinds, looked at in one refresh
MAX_WORDS = 32
MAX_ROWS = 1_000  # looked through for passages that are not copies of each other
COMMIT_EVERY = 200  # documents: a build that is interrupted goes on where it was

_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID = 0x6272646C  # "brdl": what stands in the header of a file that is ours
_VERSION = 1
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
_SCHEMA = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
    "CREATE TABLE about (folder TEXT NOT NULL)",
    "CREATE TABLE docs (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, mtime_ns INTEGER NOT NULL,"
    " size INTEGER NOT NULL)",
    "CREATE TABLE places (id INTEGER PRIMARY KEY, doc INTEGER NOT NULL REFERENCES docs, line INTEGER NOT NULL)",
    "CREATE INDEX places_of_doc ON places (doc)",
    "CREATE VIRTUAL TABLE words USING fts5 (title, heading, text, tokenize = 'porter unicode61 remove_diacritics 2')",
)
_SEARCH = """
    SELECT docs.path, words.heading, places.line, words.text, -bm25(words, 2.0, 4.0, 1.0) AS score
    FROM words JOIN places ON places.id = words.rowid JOIN docs ON docs.id = places.doc
    WHERE words MATCH ? ORDER BY score DESC, docs.path, places.line LIMIT ?
"""
_WORD = re.compile(r"[^\W_]+")
# English, French, German, Spanish: words that are in most passages and tell none apart
_COMMON = """
    a an and are as at be by can do does for from has have how i if in is it me my of on or our that the this to
    was we what when where which who why will with you your au aux avec ce ces dans de des du elle en est et il je
    la le les leur mais ne nous ou par pas pour qui que quel quelle se son sur un une vous aber als am auch auf
    aus bei bin das dem den der die ein eine einer es für hat ich im ist kann man mein mit nicht oder sich sie
    sind und von was wenn wer wie wir zu zum zur al como con cual del el ella es esta este hay las lo los mi no
    not para pero por qué se si sin su una y
"""
_STOP_WORDS = frozenset(_COMMON.split())


class NotAnIndex(Exception):
    """The file that was named as the index is a database of someone else; it is not touched."""


@dataclass(frozen=True, slots=True)
class Match:
    """A passage that matches, best first; `score` grows with the match."""

    doc: str
    heading: str
    line: int
    text: str
    score: float


class Index:
    """The index of `root`, in the file `path` or in memory; not for two threads at once."""

    def __init__(self, root: Path, path: Path | None) -> None:
        self._root = root
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def refresh(self) -> None:
        """Bring the index in step with the files: new and changed ones are read, gone ones dropped.

        Raises OSError if the folder is not there, sqlite3.Error if the index fails, NotAnIndex.
        """
        there = dict(_files(self._root))
        connection = self._open()
        seen_before = connection.execute("SELECT path, mtime_ns, size FROM docs")
        known = {path: (mtime_ns, size) for path, mtime_ns, size in seen_before}
        stale = [path for path, seen in known.items() if there.get(path) != seen]
        fresh = [path for path, seen in there.items() if known.get(path) != seen]
        for some in _batches(stale):
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for path in some:
                    _drop(connection, path)
        for some in _batches(fresh):
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for path in some:
                    self._add(connection, path, there[path])

    def docs(self) -> Sequence[str]:
        """The ids of all documents, in order."""
        return [path for (path,) in self._open().execute("SELECT path FROM docs ORDER BY path")]

    def search(self, query: str, limit: int) -> Sequence[Match]:
        """The passages with all words of `query`, or, if there are none, with any; each text once."""
        words = _words(query)
        for joiner in (" AND ", " OR ") if words else ():
            asked = joiner.join(f'"{word}"' for word in words)
            found: dict[str, Match] = {}
            for row in self._open().execute(_SEARCH, (asked, MAX_ROWS)):
                each = Match(*row)
                found.setdefault(each.text, each)
                if len(found) == limit:
                    break
            if found:
                return list(found.values())
        return []

    def set_aside(self, failure: sqlite3.Error) -> bool:
        """Put a damaged index out of the way, so that the next `refresh` builds it anew; says whether it was damage."""
        code = getattr(failure, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind, the rest the detail
        if code not in _DAMAGE:
            return False
        self.close()
        if self._path is not None and self._path.exists():
            os.replace(self._path, self._path.with_name(f"{self._path.name}.damaged"))
            self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _open(self) -> sqlite3.Connection:
        """The connection, to an index of this folder and of this version; any other one of ours is emptied first."""
        if self._connection is None:
            if self._path is not None:
                _make_room(self._path)
            self._connection = sqlite3.connect(self._path or ":memory:", check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA synchronous = NORMAL")
            if not self._is_ours(self._connection):
                self._begin_anew(self._connection)
        return self._connection

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            return False
        (folder,) = connection.execute("SELECT folder FROM about").fetchone()
        return bool(folder == str(self._root))

    def _begin_anew(self, connection: sqlite3.Connection) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in ("words", "places", "docs", "about"):
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO about VALUES (?)", (str(self._root),))

    def _add(self, connection: sqlite3.Connection, path: str, seen: tuple[int, int]) -> None:
        """Index one file as it is now; one that cannot be read is not in the index."""
        _drop(connection, path)
        try:
            lines = lines_of(read_inside(self._root, path.split("/"), MAX_FILE))
        except CallFailed:
            return
        outline = headings(lines, PurePosixPath(path).suffix.lower())
        title = f"{outline[0].title if outline else ''} {path}"
        doc = connection.execute("INSERT INTO docs (path, mtime_ns, size) VALUES (?, ?, ?)", (path, *seen)).lastrowid
        for each in passages(lines, outline):
            place = connection.execute("INSERT INTO places (doc, line) VALUES (?, ?)", (doc, each.line)).lastrowid
            words = (place, title, each.heading, each.text)
            connection.execute("INSERT INTO words (rowid, title, heading, text) VALUES (?, ?, ?, ?)", words)


def _batches(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    return (paths[start : start + COMMIT_EVERY] for start in range(0, len(paths), COMMIT_EVERY))


def _drop(connection: sqlite3.Connection, path: str) -> None:
    of_doc = "(SELECT id FROM docs WHERE path = ?)"
    connection.execute(f"DELETE FROM words WHERE rowid IN (SELECT id FROM places WHERE doc = {of_doc})", (path,))  # noqa: S608 - a constant
    connection.execute(f"DELETE FROM places WHERE doc = {of_doc}", (path,))  # noqa: S608 - a constant
    connection.execute("DELETE FROM docs WHERE path = ?", (path,))


def _make_room(path: Path) -> None:
    """See to it that `path` is an index of ours, or nothing yet: what is no database is moved aside, never deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)  # it holds what the documents say
    with open(descriptor, "rb") as file:
        header = file.read(100)
    if header.startswith(_MAGIC):
        if header[68:72] != _APPLICATION_ID.to_bytes(
            4, "big"
        ):  # https://www.sqlite.org/fileformat2.html#application_id
            raise NotAnIndex(f"{path.name} is a database of another program; name another file for the index")
    elif header:
        os.replace(path, path.with_name(f"{path.name}.damaged"))
        _make_room(path)


def _files(root: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Path, and time and size, of the files to index, the nearest to `root` first. Raises OSError without `root`."""
    folders, looked_at, found = [""], 0, 0
    for folder in folders:  # grows while it is walked, by at most MAX_ENTRIES
        try:
            with os.scandir(root / folder) as entries:
                listed = sorted(islice(entries, MAX_ENTRIES - looked_at), key=lambda entry: entry.name)
        except OSError:
            if not folder:
                raise
            continue
        looked_at += len(listed)
        for entry in listed:
            path = f"{folder}{entry.name}"
            if entry.name.startswith(".") or not path.isprintable() or len(path) > MAX_PATH:
                continue
            if entry.is_dir(follow_symlinks=False) and path.count("/") < MAX_PARTS:
                folders.append(f"{path}/")
            elif PurePosixPath(path).suffix.lower() in SUFFIXES and (seen := _seen(entry)):
                yield path, seen
                found += 1
                if found == MAX_FILES:
                    return


def _seen(entry: "os.DirEntry[str]") -> tuple[int, int] | None:
    """When a file was changed and how large it is, or None for what is no file or too large."""
    try:
        facts = entry.stat(follow_symlinks=False)
    except OSError:  # gone meanwhile
        return None
    is_file = entry.is_file(follow_symlinks=False)
    return (facts.st_mtime_ns, facts.st_size) if is_file and facts.st_size <= MAX_FILE else None


def _words(query: str) -> Sequence[str]:
    """What to look for: no syntax, no stop words unless there is nothing else."""
    folded = unicodedata.normalize("NFKC", query[:2_000]).casefold()
    said = list(dict.fromkeys(_WORD.findall(folded)))
    return ([word for word in said if word not in _STOP_WORDS] or said)[:MAX_WORDS]
