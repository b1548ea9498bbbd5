"""The floor: an agent loop written by hand over sqlite3, which keeps every call and governs none."""

import asyncio
import json
import sqlite3
from pathlib import Path

from bench.contestant import Contestant
from bench.work import OnCall, Proposal, Worlds, key_in, task_of

SCHEMA = """
CREATE TABLE IF NOT EXISTS step (
    run TEXT NOT NULL, step INTEGER NOT NULL, request TEXT NOT NULL, reply TEXT NOT NULL,
    PRIMARY KEY (run, step)
) WITHOUT ROWID
"""

Message = dict[str, object]


class Steps:
    """The journal: one row and one commit (an fsync, if on disk) for every call."""

    def __init__(self, path: Path | None) -> None:
        """Open the one connection that all runs share."""
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(SCHEMA)

    def replies(self, run: str) -> list[Message]:
        """Read what a run has been told so far; empty for a new one."""
        rows = self._db.execute("SELECT reply FROM step WHERE run = ? ORDER BY step", (run,))
        return [json.loads(reply) for (reply,) in rows]

    def keep(self, run: str, step: int, request: Message, reply: Message) -> None:
        """Write one call; the request is what is new in it, not the whole conversation again."""
        row = (run, step, json.dumps(request), json.dumps(reply))
        self._db.execute("INSERT INTO step VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


async def run(steps: Steps, worlds: Worlds, task: str, turns: int) -> str:
    """Take a run to its answer, one kept call after another, from where its journal ends."""
    key = key_in(task)
    messages: list[Message] = [{"role": "user", "content": task}, *steps.replies(key)]
    for step in range(len(messages), 2 * turns + 2):
        request = messages[-1]
        reply = await _model(worlds, messages) if step % 2 else await _tool(worlds, request)
        steps.keep(key, step, request, reply)
        messages.append(reply)
    return str(messages[-1]["content"])


async def _model(worlds: Worlds, messages: list[Message]) -> Message:
    said = await worlds.model(key_in(str(messages[0]["content"])), len(messages) // 2)
    if isinstance(said, Proposal):
        return {"role": "assistant", "content": "", "call": {"id": said.id, "args": said.args}}
    return {"role": "assistant", "content": said}


async def _tool(worlds: Worlds, request: Message) -> Message:
    call = request["call"]
    assert isinstance(call, dict)
    return {"role": "tool", "call_id": call["id"], "content": await worlds.lookup(**call["args"])}


class Floor(Contestant):
    """The hand-written loop as a contestant."""

    name = "hand-written loop"
    version = f"SQLite {sqlite3.sqlite_version}"
    imports = "import asyncio, json, sqlite3"
    is_durable = True

    def __init__(self) -> None:
        """Start closed."""
        self.db_path: Path | None = None
        self._worlds = Worlds()

    async def open(self, folder: Path | None) -> None:
        """Open the journal."""
        self.db_path = folder and folder / "floor.db"
        self._steps = Steps(self.db_path)

    async def one_run(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> int:
        """Do one run."""
        with self._worlds.enter(key, turns, park, on_call) as world:
            await run(self._steps, self._worlds, task_of(key), turns)
            return world.calls

    async def close(self) -> None:
        """Close the journal."""
        self._steps.close()
