"""Opens the file of a store: one writer at a time, a schema that this bridle knows, or a sentence."""

import fcntl
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from bridle.rules.failure import BridleError
from bridle.store.statements import SQL

SCHEMA = 2
BUSY_MS = 5_000  # how long it waits for another process to finish its transaction


class StoreUnusable(BridleError):
    """The file cannot be a store of this bridle; the message says why and what to do."""


class StoreBusy(StoreUnusable):
    """Another process writes this store."""


def take_lock(path: Path) -> int:
    """An flock beside the file, held as long as this process lives; the kernel lets go of it when the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnusable(f"{path}: {error.strerror}. Choose another place with `store=` or BRIDLE_STORE.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreBusy(
            f"{path}: another process writes this store; stop it, or give this one a store of its own"
        ) from error
    return lock


def connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection to a file of this schema, which is made where there is none.

    Raises StoreUnusable before anything of a file is touched that is not ours to write, and sqlite3.Error.
    """
    if read_only and not path.exists():
        raise StoreUnusable(f"{path}: there is no store here yet; `bridle run` makes one")
    if not read_only:
        _make_private(path)
    place = for_reading(path) if read_only and not _is_writable(path) else _uri(path)
    db = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1_000, uri=True)
    try:
        db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        _look_at(db, path, read_only)
        if read_only:
            db.execute("PRAGMA query_only = ON")
            return db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def in_memory() -> sqlite3.Connection:
    """A database of this schema that ends with its connection."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _migrate(db)
    return db


def _make_private(path: Path) -> None:
    """A new store is its owner's alone: it holds inputs, results and salts. SQLite gives the `-wal` the same rights.

    A file that is there is never opened here: to close it would drop the locks that SQLite holds on it in this process
    (https://sqlite.org/howtocorrupt.html, 2.2), and the next process to close it would delete a journal in use.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError:
        return  # what is wrong with the file, SQLite says a line further


def for_reading(path: Path) -> str:
    """The URI under which SQLite only reads a file (https://sqlite.org/uri.html).

    A file in WAL mode needs its `-shm` beside it. Where that cannot be made and no `-wal` says that somebody writes,
    the file is read as one that does not change.
    """
    is_still = not _is_writable(path) and not path.with_name(path.name + "-wal").exists()
    return f"{_uri(path)}?mode=ro{'&immutable=1' if is_still else ''}"


def _uri(path: Path) -> str:
    return f"file:{quote(os.fsencode(path.absolute()))}"


def _is_writable(path: Path) -> bool:
    """Whether SQLite may make its files beside this one."""
    return os.access(path.absolute().parent, os.W_OK)


def _look_at(db: sqlite3.Connection, path: Path, read_only: bool) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA:
        raise StoreUnusable(
            f"{path}: written by a newer bridle (schema {found}, this one knows {SCHEMA}); upgrade bridle"
        )
    if found == 0 and db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None:
        raise StoreUnusable(f"{path}: this is the database of something else; choose another place with `store=`")
    if found == 0 and read_only:
        raise StoreUnusable(f"{path}: there is no store here yet; `bridle run` makes one")


def _migrate(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    for number in range(found + 1, SCHEMA + 1):
        db.executescript(f"BEGIN IMMEDIATE;{SQL[f'migration_{number:04}']};PRAGMA user_version = {number};COMMIT;")


def path_of(place: str) -> Path | None:
    """The file that "sqlite:///path" names; None for ":memory:". Raises StoreUnusable for anything else."""
    if place == ":memory:":
        return None
    if place.startswith("sqlite:///") and len(place) > len("sqlite:///"):
        return Path(place.removeprefix("sqlite:///"))
    raise StoreUnusable(f"{place!r} is no store: write sqlite:///path/to/file.db or :memory:")
