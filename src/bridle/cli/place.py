"""The store, open to look at, and which run somebody means."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from difflib import get_close_matches
from pathlib import Path

from bridle.cli.exits import Failed
from bridle.rules.names import RunId
from bridle.store.base import UnknownRun
from bridle.store.opening import cause, for_reading
from bridle.store.sqlite import SqliteStore

MOST_NAMED = 5  # runs that a message names
MOST_LOOKED_AT = 10_000
_IDS = "SELECT run FROM runs WHERE run >= ? AND run < ? ORDER BY no DESC LIMIT ?"
_LAST = "\U0010ffff"  # sorts after every id


@contextmanager
def reading(path: Path) -> Iterator[SqliteStore]:
    """The store, open for reading only; any process may look at any time. Raises StoreUnusable, and Failed."""
    try:
        store = SqliteStore(path, read_only=True)
    except sqlite3.Error as error:
        raise Failed(f"{path}: {error}. {cause(path)}") from error
    try:
        yield store
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise Failed(f"{path}: this is no bridle store; name another file with --store") from error
        raise
    finally:
        asyncio.run(store.close())


def ids(path: Path, prefix: str = "", limit: int = MOST_LOOKED_AT) -> list[RunId]:
    """The ids of runs that begin with `prefix`, the newest first; also where the rows themselves are damaged."""
    with closing(sqlite3.connect(for_reading(path), uri=True)) as db:
        return [RunId(run) for (run,) in db.execute(_IDS, (prefix, prefix + _LAST, limit))]


def meant(store: SqliteStore, text: str) -> RunId:
    """The run that is meant by its id, by an unambiguous beginning of it, or by `last`. Raises Failed."""
    assert store.path is not None, "a store that is read has a file"
    if text == "last":
        newest = ids(store.path, limit=1)
        if not newest:
            raise Failed(f"there is no run in {store.path} yet; `bridle run` makes one")
        return newest[0]
    try:
        return store.recorded(RunId(text)).state.run
    except UnknownRun:
        pass
    found = ids(store.path, text, MOST_NAMED + 1) or ids(store.path, f"r-{text}", MOST_NAMED + 1)
    if len(found) == 1:
        return found[0]
    if found:
        more = " and more" if len(found) > MOST_NAMED else ""
        raise Failed(f"{text} may be {', '.join(found[:MOST_NAMED])}{more}; write more of the id")
    near = get_close_matches(text, ids(store.path), n=1, cutoff=0.7)
    hint = f"; did you mean {near[0]}?" if near else "; `bridle runs` lists them"
    raise Failed(f"there is no run {text} in {store.path}{hint}")
