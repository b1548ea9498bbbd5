"""OpenAI Agents in the same world, with its SQLiteSession."""

import json
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

from agents import (
    Agent as OpenAIAgent,
)
from agents import (
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    SQLiteSession,
    TResponseInputItem,
    Usage,
    function_tool,
)
from agents.items import TResponseStreamEvent
from agents.testing import assistant_message, function_call
from agents.tool_context import ToolContext

from bench.world.agent import MAX_MODEL_CALLS, TASK, Wire


class OutsideResponses(Model):
    """The model of the outside world behind the SDK's interface."""

    def __init__(self, wire: Wire) -> None:
        """Ask over this wire."""
        self._wire = wire

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],  # noqa: A002 - the interface's word
        *_: object,
        **__: object,
    ) -> ModelResponse:
        """Ask once."""
        items: list[dict[str, object]]
        items = [{"role": "user", "content": input}] if isinstance(input, str) else [dict(item) for item in input]
        told = [str(item["output"]) for item in items if item.get("type") == "function_call_output"]
        said = await self._wire.model(str(items[0]["content"]).split()[0], _replies(items), told)
        usage = Usage(requests=1, input_tokens=100, output_tokens=20, total_tokens=120)
        if isinstance(said, str):
            return ModelResponse([assistant_message(said)], usage, None)
        calls = [function_call(call.tool, json.dumps(call.args), call_id=call.id) for call in said]
        return ModelResponse(list(calls), usage, None)

    def stream_response(self, *args: object, **kwargs: object) -> AsyncIterator[TResponseStreamEvent]:
        """Stream nothing: nobody asks for it here."""
        raise NotImplementedError("nothing is streamed here")


class Agent:
    """Its runner with its defaults; what a tool raises is told to the model."""

    versions = f"openai-agents {version('openai-agents')}"
    settings = (
        f"`SQLiteSession`, `max_turns={MAX_MODEL_CALLS}` (there is no limit of tool calls), tracing off; "
        "what a tool raises is told to the model, the default; "
        "after a restart `Runner.run` with the same session and the same input; "
        "the write sends its `tool_call_id` as key"
    )

    async def open(self, wire: Wire, folder: Path) -> None:
        """Build the agent; a session opens its own connection."""
        self._path = folder / "openai_agents.db"

        @function_tool
        async def search(context: ToolContext[str], q: str) -> str:
            """Search for something."""
            return await wire.search(context.context, q)

        @function_tool
        async def refund(context: ToolContext[str], order: str, cents: int) -> str:
            """Refund an order."""
            return await wire.refund(order, cents, context.tool_call_id)

        self._agent = OpenAIAgent[str]("refunds", model=OutsideResponses(wire), tools=[search, refund])

    async def run(self, key: str) -> str:
        """Run in the session of this key."""
        session = SQLiteSession(key, self._path)
        try:
            await Runner.run(
                self._agent,
                f"{key} {TASK}",
                context=key,
                max_turns=MAX_MODEL_CALLS,
                session=session,
                run_config=RunConfig(tracing_disabled=True),
            )
        finally:
            session.close()
        return "answers"

    async def close(self) -> None:
        """Nothing is left open."""


def _replies(items: list[dict[str, object]]) -> int:
    """Count the model's replies: calls that stand next to each other were one."""
    kinds = [str(item.get("type") or item.get("role")) for item in items]
    return sum(kind == "function_call" and before != kind for before, kind in zip(["", *kinds], kinds, strict=False))
