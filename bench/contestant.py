"""What the benchmark asks of everyone who takes part."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

from bench.work import OnCall


class Contestant(Protocol):
    """One way to run the work; a class without arguments, opened on a folder (durable) or on None (in memory)."""

    name: str
    """Its column in the table."""
    version: str
    """What was measured, package and version."""
    imports: str
    """The import statements that its ordinary user writes, for the import row."""
    is_durable: bool
    """Whether it can be opened on a folder; if not, it takes part in the in-memory rows only."""
    is_in_memory: bool = True
    """Whether it can be opened on None; if not, it takes part in the durable rows only."""
    is_alone: bool = False
    """Whether a process holds only one of its kind: then it is opened for its own samples, not beside the others."""
    db_path: Path | None
    """The SQLite file of the open store, None in memory and on a server."""

    async def open(self, folder: Path | None) -> None:
        """Open a fresh store in the folder, with a commit that survives power loss, or in memory."""

    async def one_run(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> int:
        """Do one run of so many tool turns and return the calls that its world saw, model and tool."""

    async def close(self) -> None:
        """Close the store, so that its file can be weighed."""

    def kept_bytes(self) -> int:
        """Weigh what the closed store keeps."""
        assert self.db_path is not None
        return db_bytes(self.db_path)


def db_bytes(path: Path) -> int:
    """Weigh a closed SQLite file after a truncating checkpoint, what is left of its log included."""
    with closing(sqlite3.connect(path)) as db:
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy, f"{path.name} is still in use"
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)
