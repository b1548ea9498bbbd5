"""bridle in the same world: a flow with one investigation, on SQLite."""

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx2

from bench.world.agent import MAX_MODEL_CALLS, MAX_TOOL_CALLS, TASK, Wire
from bridle import Bridle, CallContext, CallFailed, FailureKind, Flow
from bridle.gateway.labels import Labels
from bridle.rules.names import Millis
from bridle.rules.prompt import Finish, ModelReply, ModelRequest, Role, ToolUse, Usage

SEARCH = Labels(effect="read", source="trusted")
REFUND = Labels(effect="write", source="trusted")
POLICY = {
    "tools": {"allow": ["search", "refund"]},
    "writes": {"require_approval": False},
    "budgets": {"max_model_calls": MAX_MODEL_CALLS, "max_tool_calls": MAX_TOOL_CALLS},
    "models": {"outside": {"usd_per_million_in": 0, "usd_per_million_out": 0, "context_tokens": 128_000}},
}


@dataclass
class Question:
    """The state of the flow; the key tells the model whose run it is."""

    key: str
    task: str


class OutsideModel:
    """The model of the outside world behind bridle's port."""

    name = "outside"

    def __init__(self, wire: Wire) -> None:
        """Ask over this wire."""
        self._wire = wire

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        """Ask once."""
        replies = sum(message.role is Role.ASSISTANT for message in request.messages)
        told = [message.text for message in request.messages if message.role is Role.TOOL]
        task = next(message.text for message in request.messages if message.role is Role.USER)
        said = await self._wire.model(task.split()[0], replies, told)
        if isinstance(said, str):
            return ModelReply(said, (), Usage(100, 20))
        uses = tuple(ToolUse(call.id, call.tool, json.dumps(call.args)) for call in said)
        return ModelReply("", uses, Usage(100, 20), Finish.TOOL_CALLS)

    async def aclose(self) -> None:
        """The wire is closed by its owner."""


class Agent:
    """bridle with its defaults, writes without approval."""

    refund = REFUND

    def __init__(self) -> None:
        """Start closed."""
        self.settings = (
            f"`max_model_calls` {MAX_MODEL_CALLS}, `max_tool_calls` {MAX_TOOL_CALLS} (both are bridle's defaults), "
            "`require_approval: false`; its tools say `CallFailed(UNAVAILABLE)` for a 503 and for a broken connection; "
            "the run key is the same after a restart; the write is declared as "
            f"`{json.dumps(self.refund)}` and sends `call.key` as key"
        )
        self.versions = f"bridle {_version()}"
        self._flow = Flow("refunds", state=Question)
        self._flow.investigate("settle", model="outside", goal="{key} {task}", tools=["search", "refund"])

    async def open(self, wire: Wire, folder: Path) -> None:
        """Open the house; it resumes what it finds open."""
        self._house = Bridle(POLICY, f"sqlite:///{folder / 'bridle.db'}", models={"outside": OutsideModel(wire)})

        @self._house.tool("search", **SEARCH)
        async def search(q: str, *, call: CallContext) -> str:
            try:
                return await wire.search(str(call.run), q)
            except httpx2.HTTPStatusError as error:
                raise CallFailed(FailureKind.UNAVAILABLE, str(error)) from error

        @self._house.tool("refund", **self.refund)
        async def refund(order: str, cents: int, *, call: CallContext) -> str:
            try:
                return await wire.refund(order, cents, call.key)
            except httpx2.TransportError as error:
                raise CallFailed(FailureKind.UNAVAILABLE, str(error)) from error

        self._house.register(self._flow)
        await self._house.open()

    async def run(self, key: str) -> str:
        """Run the flow, or wait for the end of the run of this key."""
        result = await self._house.run(self._flow, Question(key, TASK), key=key)
        assert result.stop is not None
        return f"`{result.stop.reason}`"

    async def close(self) -> None:
        """Close the house."""
        await self._house.close()


def _version() -> str:
    try:
        return version("bridle")
    except PackageNotFoundError:
        return "0.1.0, from its source"
