"""OpenAI Agents on the same work: its runner alone in memory, with its SQLiteSession on disk."""

import asyncio
import json
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

from agents import (
    Agent,
    AgentOutputSchemaBase,
    Handoff,
    Model,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    RunConfig,
    Runner,
    SQLiteSession,
    Tool,
    TResponseInputItem,
    Usage,
    function_tool,
)
from agents.items import TResponseStreamEvent
from agents.testing import assistant_message, function_call

from bench.contestant import Contestant
from bench.work import TOOL, TOOL_DOES, OnCall, Proposal, Worlds, key_in, task_of

IMPORTS = "from agents import Agent, Runner, SQLiteSession, function_tool"


class ScriptedResponses(Model):
    """The scripted model behind the SDK's own interface, as a provider would be."""

    def __init__(self, worlds: Worlds) -> None:
        """Answer from these worlds."""
        self._worlds = worlds

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],  # noqa: A002 - the interface's word
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        **_: object,
    ) -> ModelResponse:
        """Ask for the next call, or answer."""
        task = input if isinstance(input, str) else str(dict(input[0])["content"])
        asked = 0 if isinstance(input, str) else len(input) // 2  # the task, then a call and its output a turn
        said = await self._worlds.model(key_in(task), asked)
        usage = Usage(requests=1, input_tokens=100, output_tokens=20, total_tokens=120)
        if isinstance(said, Proposal):
            return ModelResponse([function_call(TOOL, json.dumps(said.args), call_id=said.id)], usage, None)
        return ModelResponse([assistant_message(said)], usage, None)

    def stream_response(self, *args: object, **kwargs: object) -> AsyncIterator[TResponseStreamEvent]:
        """Stream nothing: the benchmark does not."""
        raise NotImplementedError("the benchmark does not stream")


class OpenAIAgents(Contestant):
    """OpenAI Agents, without its tracing (which would send each run away).

    Durable is a SQLiteSession a run on one file, which keeps the conversation: WAL, and SQLite's own default of FULL,
    so a commit survives power loss. Its twin, AsyncSQLiteSession, says "database is locked" at 200 runs at once.
    """

    name = "OpenAI Agents"
    version = f"openai-agents {version('openai-agents')}"
    imports = IMPORTS
    is_durable = True

    def __init__(self) -> None:
        """Start closed."""
        self.db_path: Path | None = None
        self._worlds = Worlds()

    async def open(self, folder: Path | None) -> None:
        """Build the agent; a session opens its own connection."""
        self.db_path = folder and folder / "openai_agents.db"

        @function_tool(name_override=TOOL, description_override=TOOL_DOES)
        async def lookup(run: str, n: int) -> str:
            return await self._worlds.lookup(run, n)

        self._agent = Agent("work", model=ScriptedResponses(self._worlds), tools=[lookup])
        self._config = RunConfig(tracing_disabled=True)

    async def one_run(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> int:
        """Do one run in a session of its own."""
        session = SQLiteSession(key, self.db_path) if self.db_path else None
        with self._worlds.enter(key, turns, park, on_call) as world:
            await Runner.run(self._agent, task_of(key), max_turns=turns + 1, session=session, run_config=self._config)
        if session is not None:
            session.close()
        return world.calls

    async def close(self) -> None:
        """Nothing is left open."""
