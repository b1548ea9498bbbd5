"""Pydantic AI in the same world, made durable by DBOS on SQLite."""

from importlib.metadata import version
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID
from pydantic_ai import (
    Agent as PydanticAgent,
)
from pydantic_ai import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RunContext,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import UsageLimits

from bench.world.agent import MAX_MODEL_CALLS, MAX_TOOL_CALLS, TASK, Wire

WIRE: list[Wire] = []  # DBOS wants its workflows and steps at the top of a module, before anything is open
LIMITS = UsageLimits(request_limit=MAX_MODEL_CALLS, tool_calls_limit=MAX_TOOL_CALLS)


async def _say(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    parts = [part for message in messages if isinstance(message, ModelRequest) for part in message.parts]
    task = next(str(part.content) for part in parts if isinstance(part, UserPromptPart))
    told = [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]
    replies = sum(isinstance(message, ModelResponse) for message in messages)
    said = await WIRE[0].model(task.split()[0], replies, told)
    if isinstance(said, str):
        return ModelResponse([TextPart(said)])
    return ModelResponse([ToolCallPart(call.tool, dict(call.args), call.id) for call in said])


AGENT = PydanticAgent(FunctionModel(_say), name="refunds", deps_type=str, capabilities=[DBOSDurability()])


@AGENT.tool
@DBOS.step(retries_allowed=True)
async def search(context: RunContext[str], q: str) -> str:
    """Search for something."""
    return await WIRE[0].search(context.deps, q)


@AGENT.tool
@DBOS.step()
async def refund(context: RunContext[str], order: str, cents: int) -> str:
    """Refund an order."""
    return await WIRE[0].refund(order, cents, context.tool_call_id)


@DBOS.workflow()
async def refunds(key: str) -> str:
    """Do one run as a workflow, as the documentation of DBOSDurability says."""
    return (await AGENT.run(f"{key} {TASK}", deps=key, usage_limits=LIMITS)).output


class Agent:
    """An agent with DBOSDurability, its tools DBOS steps."""

    versions = f"pydantic-ai-slim {version('pydantic-ai-slim')}, dbos {version('dbos')}"
    settings = (
        f"`UsageLimits(request_limit={MAX_MODEL_CALLS}, tool_calls_limit={MAX_TOOL_CALLS})`; `DBOSDurability`, each "
        "tool a DBOS step, the read with `retries_allowed=True` and its defaults (3 attempts); what a "
        "tool raises ends the run, the default; DBOS recovers by "
        "itself after a restart, and the workflow id is the run key; the write sends its `tool_call_id` as key"
    )

    async def open(self, wire: Wire, folder: Path) -> None:
        """Launch DBOS, which recovers what an earlier process left."""
        WIRE[:] = [wire]
        config: DBOSConfig = {
            "name": "world",
            "system_database_url": f"sqlite:///{folder / 'dbos.db'}",
            "log_level": "CRITICAL",
            "application_version": "1",
        }
        DBOS(config=config)
        DBOS.launch()

    async def run(self, key: str) -> str:
        """Run the workflow of this key, or wait for the one that is there."""
        with SetWorkflowID(key):
            handle = await DBOS.start_workflow_async(refunds, key)
        await handle.get_result()
        return "answers"

    async def close(self) -> None:
        """Shut DBOS down."""
        DBOS.destroy()
