"""What the benchmark asks of everyone who takes part."""

import asyncio
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
    db_path: Path | None
    """The SQLite file of the open store, None in memory."""

    async def open(self, folder: Path | None) -> None:
        """Open a fresh store in the folder, with a commit that survives power loss, or in memory."""

    async def one_run(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> int:
        """Do one run of so many tool turns and return the calls that its world saw, model and tool."""

    async def close(self) -> None:
        """Close the store, so that its file can be weighed."""
