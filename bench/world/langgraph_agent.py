"""LangChain's agent in the same world: `create_agent` on LangGraph, with AsyncSqliteSaver and its own limits."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware, ToolCallLimitMiddleware, ToolRetryMiddleware
from langchain.tools import ToolRuntime, tool
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from bench.world.agent import MAX_MODEL_CALLS, MAX_TOOL_CALLS, TASK, Wire


class OutsideChat(BaseChatModel):
    """The model of the outside world behind LangChain's interface."""

    wire: Any  # pydantic would want to validate it

    @property
    def _llm_type(self) -> str:
        return "outside"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("this world is asynchronous")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        replies = sum(isinstance(message, AIMessage) for message in messages)
        told = [str(message.content) for message in messages if isinstance(message, ToolMessage)]
        said = await self.wire.model(str(messages[0].content).split()[0], replies, told)
        if isinstance(said, str):
            message = AIMessage(said)
        else:
            message = AIMessage("", tool_calls=[ToolCall(name=c.tool, args=c.args, id=c.id) for c in said])
        return ChatResult(generations=[ChatGeneration(message=message)])

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Bind the tools' schemas, as a provider's package does."""
        return self.bind(tools=[convert_to_openai_tool(each) for each in tools], **kwargs)


class Agent:
    """`create_agent` with the middleware that its documentation offers for limits and for retries of reads."""

    versions = (
        f"langchain {version('langchain')}, langgraph {version('langgraph')}, "
        f"langgraph-checkpoint-sqlite {version('langgraph-checkpoint-sqlite')}"
    )
    settings = (
        f'`durability="sync"`; `ToolCallLimitMiddleware(run_limit={MAX_TOOL_CALLS})`, '
        f"`ModelCallLimitMiddleware(run_limit={MAX_MODEL_CALLS})`, both with their default exit; "
        '`ToolRetryMiddleware(tools=["search"])` with its defaults (2 retries, then the model is told); '
        "what the write raises ends the run, the default; after a restart `ainvoke(None)` on the same thread; "
        "the write sends its `tool_call_id` as key"
    )

    def __init__(self) -> None:
        """Start closed."""
        self._open = AsyncExitStack()

    async def open(self, wire: Wire, folder: Path) -> None:
        """Open the checkpointer and build the agent on it."""
        path = str(folder / "langgraph.db")
        saver = await self._open.enter_async_context(AsyncSqliteSaver.from_conn_string(path))

        @tool
        async def search(q: str, runtime: ToolRuntime) -> str:
            """Search for something."""
            return await wire.search(str(runtime.config["configurable"]["thread_id"]), q)

        @tool
        async def refund(order: str, cents: int, runtime: ToolRuntime) -> str:
            """Refund an order."""
            return await wire.refund(order, cents, runtime.tool_call_id)

        self._agent = create_agent(
            OutsideChat(wire=wire),
            [search, refund],
            checkpointer=saver,
            middleware=[
                ToolCallLimitMiddleware(run_limit=MAX_TOOL_CALLS),
                ModelCallLimitMiddleware(run_limit=MAX_MODEL_CALLS),
                ToolRetryMiddleware(tools=["search"], retry_on=(httpx2.HTTPError,)),
            ],
        )

    async def run(self, key: str) -> str:
        """Run on the thread of this key, from where it stands."""
        config: RunnableConfig = {"configurable": {"thread_id": key}}
        stands = await self._agent.aget_state(config)
        start: Any = None if stands.next else {"messages": [HumanMessage(f"{key} {TASK}")]}
        ended = await self._agent.ainvoke(start, config, durability="sync")
        last = str(ended["messages"][-1].content)
        return "answers" if last.startswith(("done", "gave up")) else f'answers "{last[:60]}"'

    async def close(self) -> None:
        """Close the checkpointer."""
        await self._open.aclose()
