"""Bridle on the same work, every check on; a stub until the library exists, whose docstrings say what to fill in.

The run is an investigation whose model and tool are the ones of `bench.work`:

- the tool: `@b.tool("lookup", effect="read", ...)` on `async def lookup(run: str, n: int) -> str`, which returns
  `await self._worlds.lookup(run, n)`; plain annotations, no reuse (the arguments differ each turn anyway);
- the model: a port whose request handler returns `await self._worlds.model(key, asked)` as a tool call or an answer,
  where `key = key_in(task)` and `asked` is the number of observations so far, got without walking the prompt;
- the input of the run is `task_of(key)`, its run key is `key`, tenant "default";
- the policy turns nothing off: every limit is set, at numbers that 200 runs at once and one run of 1,100 tool turns
  do not reach (`max_tool_calls`, `max_seconds`, `in_flight`, tokens, dollars of tenant and house).

Nothing here may be cheaper than what a user of bridle gets by default: the same `Bridle(policy=..., store=...)`.
"""

import asyncio
from pathlib import Path

from bench.work import OnCall, Worlds


class BridlePeer:
    """Bridle as a contestant."""

    name = "bridle"
    version = "bridle 0"
    imports = "import bridle"
    is_durable = True

    def __init__(self) -> None:
        """Start closed."""
        self.db_path: Path | None = None
        self._worlds = Worlds()

    async def open(self, folder: Path | None) -> None:
        """Open `sqlite:///<folder>/bridle.db`, or ":memory:" without a folder, and declare the tool and the model."""
        raise NotImplementedError("bench/peers/bridle_peer.py waits for the library")

    async def one_run(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> int:
        """Do one governed run inside `self._worlds.enter(key, turns, park, on_call)`; return that world's `calls`."""
        raise NotImplementedError("bench/peers/bridle_peer.py waits for the library")

    async def close(self) -> None:
        """Close the store, the writer with it."""
        raise NotImplementedError("bench/peers/bridle_peer.py waits for the library")
