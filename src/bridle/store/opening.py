"""Opens the file of a store: a schema that this bridle knows, or a sentence."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from bridle.rules.failure import BridleError, ControlUnavailable
from bridle.store import house
from bridle.store.lock import WriterLock
from bridle.store.statements import SQL
from bridle.store.switches import changes, note_of

SCHEMA = 6
FIRST_WITH_A_HOUSE = 6
FULL_BELOW = 64 * 1_024  # bytes that are free; SQLite then says no more than "disk I/O error"
FULL = "The disk is full"
BUSY_MS = 5_000  # how long it waits for another process to finish its transaction


class StoreUnusable(BridleError):
    """The file cannot be a store of this bridle; the message says why and what to do."""


def lock_beside(path: Path) -> WriterLock:
    """The lock of the file's writers. Raises StoreUnusable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return WriterLock(path)
    except OSError as error:
        raise StoreUnusable(f"{path}: {error.strerror}. Choose another place with `store=` or BRIDLE_STORE.") from error


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
        db.execute("PRAGMA wal_autocheckpoint = 0")  # done under the writer's lock instead
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def cause(path: Path) -> str:
    """What to look at first when SQLite cannot open a file."""
    if is_full(path):
        return f"{FULL}: make room at {path.absolute().parent}."
    return "Is it a bridle store, and may this process read it?"


def is_full(path: Path) -> bool:
    """Whether nothing more fits beside this file."""
    try:
        return shutil.disk_usage(path.absolute().parent).free < FULL_BELOW
    except OSError:
        return False


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of one's own to a file that is there, for one transaction while no other process writes.

    Raises ControlUnavailable, and StoreUnusable.
    """
    if not path.exists():
        raise ControlUnavailable(f"{path}: the file is gone")  # and is not made again by who looks for it
    lock = lock_beside(path)
    try:
        with lock, closing(connect(path, False)) as db:
            yield db
    except sqlite3.Error as error:
        raise ControlUnavailable(f"{path}: {error}{f'. {cause(path)}' if is_full(path) else ''}") from error
    finally:
        lock.close()


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
    if found < SCHEMA and read_only:
        raise StoreUnusable(
            f"{path}: written by an older bridle (schema {found}, this one reads {SCHEMA});"
            " `bridle run`, or the next start of a program that uses it, brings it up to date"
        )


def _begin_house(db: sqlite3.Connection) -> None:
    """The chain of a store that had none: its policies, its runs that have ended, and its turns of the switch."""
    house.fill(db)
    house.write(db, [note_of(row) for row in changes(db)])


def _migrate(db: sqlite3.Connection) -> None:
    """Bring a file to this schema, each migration in a transaction; another process may have been faster."""
    while db.execute("PRAGMA user_version").fetchone()[0] < SCHEMA:  # ends: every turn raises it, or raises
        db.execute("BEGIN IMMEDIATE")
        try:
            number = db.execute("PRAGMA user_version").fetchone()[0] + 1
            if number <= SCHEMA:
                _migrated(db, number)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def _migrated(db: sqlite3.Connection, number: int) -> None:
    for statement in _statements(SQL[f"migration_{number:04}"]):
        db.execute(statement)
    if number == FIRST_WITH_A_HOUSE:
        _begin_house(db)
    db.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """The statements of a migration, one by one; a `;` inside a trigger ends none."""
    begun = ""
    for piece in script.rstrip("; \n").split(";"):
        begun += piece + ";"
        if sqlite3.complete_statement(begun):
            yield begun
            begun = ""


def path_of(place: str) -> Path | None:
    """The file that "sqlite:///path", or a plain path, names; None for ":memory:". Raises StoreUnusable otherwise."""
    if place == ":memory:":
        return None
    name = place.removeprefix("sqlite:///")
    if not name or "://" in name or name.startswith("sqlite:"):
        raise StoreUnusable(f"{place!r} is no store: write sqlite:///path/to/file.db, its path alone, or :memory:")
    return Path(name)
