"""Three shapes of the same agent in LangGraph: as in its tutorials, with plain nodes, and with its functional API."""

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.pregel import Pregel

from bench.work import TOOL, TOOL_DOES, Proposal, Worlds, key_in

Agent = Pregel[Any, None, Any, Any]  # what the two interfaces have in common
Built = StateGraph[MessagesState, None, MessagesState, MessagesState]
Update = dict[str, list[BaseMessage]]
Saver = BaseCheckpointSaver[Any]  # the library's own parameter: the type of a version number


async def _say(worlds: Worlds, messages: Sequence[BaseMessage]) -> AIMessage:
    said = await worlds.model(key_in(str(messages[0].content)), len(messages) // 2)
    if isinstance(said, Proposal):
        return AIMessage("", tool_calls=[ToolCall(name=TOOL, args=said.args, id=said.id)])
    return AIMessage(said)


class ScriptedChat(BaseChatModel):
    """The scripted model behind LangChain's own interface, as a provider's package would put it."""

    worlds: Any  # pydantic would want to validate it

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("the benchmark is async")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=await _say(self.worlds, messages))])

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Bind the tools' schemas to each request, as every provider's package does."""
        return self.bind(tools=[convert_to_openai_tool(each) for each in tools], **kwargs)


def tutorial(worlds: Worlds, saver: Saver | None) -> Agent:
    """Build the graph of the tutorials: a chat model with bound tools, and ToolNode."""

    @tool(TOOL, description=TOOL_DOES)
    async def lookup(run: str, n: int) -> str:
        return await worlds.lookup(run, n)

    model = ScriptedChat(worlds=worlds).bind_tools([lookup])

    async def ask(state: MessagesState) -> Update:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("model", ask).add_node("tools", ToolNode([lookup]))
    return _loop(graph).compile(checkpointer=saver)


def plain_nodes(worlds: Worlds, saver: Saver | None) -> Agent:
    """Build the cheapest graph: two plain functions as nodes, no chat model, no tool wrapper."""

    async def ask(state: MessagesState) -> Update:
        return {"messages": [await _say(worlds, state["messages"])]}

    async def perform(state: MessagesState) -> Update:
        last = state["messages"][-1]
        assert isinstance(last, AIMessage)
        calls = last.tool_calls
        return {"messages": [ToolMessage(await worlds.lookup(**c["args"]), tool_call_id=c["id"]) for c in calls]}

    graph = StateGraph(MessagesState).add_node("model", ask).add_node("tools", perform)
    return _loop(graph).compile(checkpointer=saver)


def functional(worlds: Worlds, saver: Saver | None) -> Agent:
    """Write the loop as a function whose calls are tasks; their results are written behind, nobody waits for them."""

    @task
    async def ask(messages: list[BaseMessage]) -> AIMessage:
        return await _say(worlds, messages)

    @task
    async def perform(call: ToolCall) -> ToolMessage:
        return ToolMessage(await worlds.lookup(**call["args"]), tool_call_id=call["id"])

    @entrypoint(checkpointer=saver)
    async def agent(state: MessagesState) -> AIMessage:
        messages: list[BaseMessage] = [*state["messages"]]
        said = await ask(messages)
        while said.tool_calls:
            found = await asyncio.gather(*(perform(call) for call in said.tool_calls))
            messages = [*messages, said, *found]
            said = await ask(messages)
        return said

    return agent


def _loop(graph: Built) -> Built:
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    return graph.add_edge("tools", "model")
