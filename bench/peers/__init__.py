"""Everyone who takes part, by the name of their column, in the order of the table."""

from importlib import import_module

from bench.contestant import Contestant

ROSTER = {
    "bridle": ("bench.peers.bridle_peer", "BridlePeer"),
    "LangGraph": ("bench.peers.langgraph_peer", "LangGraph"),
    "LangGraph, functional API": ("bench.peers.langgraph_peer", "FunctionalLangGraph"),
    "LangGraph, plain nodes, no checkpointer": ("bench.peers.langgraph_peer", "BareLangGraph"),
    "OpenAI Agents": ("bench.peers.openai_agents_peer", "OpenAIAgents"),
    "Pydantic AI": ("bench.peers.pydantic_ai_peer", "PydanticAI"),
    "DBOS on SQLite": ("bench.peers.dbos_peer", "DBOSOnSQLite"),
    "DBOS on Postgres": ("bench.peers.dbos_peer", "DBOSOnPostgres"),
    "hand-written loop": ("bench.peers.floor", "Floor"),
}


def contestant(name: str) -> Contestant:
    """Import one contestant and no other, so that a process of its own holds nobody else's memory."""
    module, kind = ROSTER[name]
    found: Contestant = getattr(import_module(module), kind)()
    assert found.name == name
    return found
