"""LangGraph on the same work: as its tutorials show it, at its fastest durable, and keeping nothing."""

import asyncio
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import MessagesState

from bench.contestant import Contestant
from bench.peers.langgraph_shapes import Saver, functional, plain_nodes, tutorial
from bench.work import OnCall, Worlds, task_of

IMPORTS = """
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
"""
FUNCTIONAL_IMPORTS = """
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
"""


class LangGraph(Contestant):
    """LangGraph as its tutorials show it: AsyncSqliteSaver with durability "sync", or InMemorySaver."""

    name = "LangGraph"
    version = f"langgraph {version('langgraph')}"
    imports = IMPORTS
    is_durable = True
    keeps = True
    build = staticmethod(tutorial)

    def __init__(self) -> None:
        """Start closed."""
        self.db_path: Path | None = None
        self._worlds = Worlds()
        self._open = AsyncExitStack()

    async def open(self, folder: Path | None) -> None:
        """Open the checkpointer and build the agent on it."""
        self.db_path = folder and folder / "langgraph.db"
        saver: Saver | None = InMemorySaver() if self.keeps else None
        if self.db_path is not None:
            saver = await self._open.enter_async_context(AsyncSqliteSaver.from_conn_string(str(self.db_path)))
        self._agent = self.build(self._worlds, saver)

    async def one_run(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> int:
        """Do one run on a thread of its own."""
        config: RunnableConfig = {"configurable": {"thread_id": key}, "recursion_limit": 2 * turns + 2}
        start: MessagesState = {"messages": [HumanMessage(task_of(key))]}
        with self._worlds.enter(key, turns, park, on_call) as world:
            await self._agent.ainvoke(start, config, durability="sync" if self.db_path else None)
            return world.calls

    async def close(self) -> None:
        """Close the checkpointer."""
        await self._open.aclose()


class FunctionalLangGraph(LangGraph):
    """LangGraph at its fastest with a checkpointer: one superstep a run, so one checkpoint of the conversation."""

    name = "LangGraph, functional API"
    imports = FUNCTIONAL_IMPORTS
    build = staticmethod(functional)


class BareLangGraph(LangGraph):
    """LangGraph that keeps nothing at all: no journal, no resume."""

    name = "LangGraph, plain nodes, no checkpointer"
    is_durable = False
    keeps = False
    build = staticmethod(plain_nodes)
