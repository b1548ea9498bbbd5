"""Bridle on the same work, every check on."""

import asyncio
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.contestant import Contestant
from bench.work import TOOL, TOOL_DOES, OnCall, Proposal, Worlds, key_in, task_of
from bridle import Bridle, Flow
from bridle.rules.names import Millis
from bridle.rules.prompt import Finish, ModelReply, ModelRequest, Role, ToolUse, Usage

POLICY = {
    "budgets": {
        "max_steps": 10_000,
        "max_seconds": 3_600,
        "max_model_calls": 10_000,
        "max_tool_calls": 10_000,
        "max_tokens": 10_000_000_000,
        "max_usd": "1000000.00",
    },
    "house": {"max_usd_per_day": "10000000.00", "max_tool_calls_per_day": 1_000_000_000},
    "tools": {"allow": [TOOL]},
    "models": {"worlds": {"usd_per_million_in": "1.00", "usd_per_million_out": "4.00", "context_tokens": 10**9}},
}


@dataclass
class Question:
    """The state of the flow."""

    task: str


class WorldsModel:
    """The scripted model behind bridle's port."""

    name = "worlds"

    def __init__(self, worlds: Worlds) -> None:
        """Answer from these worlds."""
        self._worlds = worlds

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        """Ask for the next call, or answer."""
        asked = (len(request.messages) - 2) // 2  # the pinned policy, the task, then a call and its observation a turn
        said = await self._worlds.model(key_in(request.messages[1].text), asked)
        if isinstance(said, Proposal):
            use = ToolUse(said.id, TOOL, f'{{"run": "{said.run}", "n": {said.n}}}')
            return ModelReply("", (use,), Usage(100, 20), Finish.TOOL_CALLS)
        assert request.messages[-1].role is Role.TOOL
        return ModelReply(said, (), Usage(100, 20))

    async def aclose(self) -> None:
        """Nothing to close."""


class BridlePeer(Contestant):
    """Bridle as a contestant."""

    name = "bridle"
    imports = "from bridle import Bridle"  # the package alone fetches nothing
    is_durable = True

    def __init__(self) -> None:
        """Start closed."""
        self.db_path: Path | None = None
        self.version = _version()
        self._worlds = Worlds()
        self._flow = Flow("work", state=Question)
        self._flow.investigate("answer", model="worlds", goal="{task}", tools=[TOOL])

    async def open(self, folder: Path | None) -> None:
        """Open the house and declare the tool."""
        self.db_path = folder and folder / "bridle.db"
        store = f"sqlite:///{self.db_path}" if folder else ":memory:"
        self._house = Bridle(POLICY, store, models={"worlds": WorldsModel(self._worlds)})

        @self._house.tool(TOOL, effect="read", source="trusted", concurrency=2_000, description=TOOL_DOES, timeout=600)
        async def lookup(run: str, n: int) -> str:
            return await self._worlds.lookup(run, n)

        await self._house.open()

    async def one_run(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> int:
        """Do one governed run."""
        with self._worlds.enter(key, turns, park, on_call) as world:
            result = await self._house.run(self._flow, Question(task_of(key)), key=key)
            assert result.status == "ok", result
            return world.calls

    async def close(self) -> None:
        """Close the house, the store with it."""
        await self._house.close()


def _version() -> str:
    try:
        return f"bridle {version('bridle')}"
    except PackageNotFoundError:
        return "bridle, from its source"
