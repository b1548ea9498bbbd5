"""Pydantic AI on the same work: alone in memory, and on disk with the durability that its documentation puts first."""

import asyncio
from importlib.metadata import version
from pathlib import Path

from dbos import DBOS, SetWorkflowID
from pydantic_ai import Agent, ModelMessage, ModelRequest, ModelResponse, TextPart, Tool, ToolCallPart, UserPromptPart
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage, UsageLimits

from bench.contestant import Contestant
from bench.peers.dbos_peer import launch_on_sqlite, shut_down
from bench.work import TOOL, TOOL_DOES, OnCall, Proposal, Worlds, key_in, task_of

IMPORTS = (
    "from pydantic_ai import Agent\nfrom pydantic_ai.durable_exec.dbos import DBOSDurability\nfrom dbos import DBOS"
)
WORLDS = Worlds()


async def _say(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    first = messages[0]
    assert isinstance(first, ModelRequest)
    task = next(str(part.content) for part in first.parts if isinstance(part, UserPromptPart))
    said = await WORLDS.model(key_in(task), len(messages) // 2)
    usage = RequestUsage(input_tokens=100, output_tokens=20)
    if isinstance(said, Proposal):
        return ModelResponse([ToolCallPart(TOOL, said.args, said.id)], usage=usage)
    return ModelResponse([TextPart(said)], usage=usage)


async def lookup(run: str, n: int) -> str:
    """Perform the tool."""
    return await WORLDS.lookup(run, n)


PLAIN = Agent(FunctionModel(_say), name="work", tools=[Tool(lookup, name=TOOL, description=TOOL_DOES)])
DURABLE = Agent(
    FunctionModel(_say),
    name="durable_work",
    tools=[Tool(DBOS.step()(lookup), name=TOOL, description=TOOL_DOES)],
    capabilities=[DBOSDurability()],
)


@DBOS.workflow()
async def durable_run(task: str, turns: int) -> None:
    """Do one run as a workflow: each model request a step, and the tool a step by its own decorator."""
    await DURABLE.run(task, usage_limits=UsageLimits(request_limit=turns + 1))


class PydanticAI(Contestant):
    """Pydantic AI: the agent alone in memory; on disk DBOSDurability on SQLite, see `bench.peers.dbos_peer`."""

    name = "Pydantic AI"
    version = f"pydantic-ai-slim {version('pydantic-ai-slim')} (durable on dbos {version('dbos')})"
    imports = IMPORTS
    is_durable = True
    is_alone = True

    def __init__(self) -> None:
        """Start closed."""
        self.db_path: Path | None = None

    async def open(self, folder: Path | None) -> None:
        """Launch DBOS, if durable."""
        self.db_path = folder and folder / "dbos.db"
        if self.db_path is not None:
            launch_on_sqlite(self.db_path)

    async def one_run(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> int:
        """Do one run."""
        with WORLDS.enter(key, turns, park, on_call) as world:
            if self.db_path is None:
                await PLAIN.run(task_of(key), usage_limits=UsageLimits(request_limit=turns + 1))
            else:
                with SetWorkflowID(key):
                    await durable_run(task_of(key), turns)
            return world.calls

    async def close(self) -> None:
        """Shut DBOS down, if durable."""
        if self.db_path is not None:
            shut_down()
