"""An agent's process: `python -m bench.world.agent <adapter> <scenario> <url> <folder>` prints how its runs ended.

It is started again with the same words after a kill, and does whatever its framework does then.
"""

import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import httpx2

from bench.world.scenarios import BURST_RUNS, Scenario

TASK = "Order B-2 was charged twice. Do what is needed, then answer."
MAX_MODEL_CALLS = 30
MAX_TOOL_CALLS = 15
Body = dict[str, object]

ADAPTERS = {
    "bridle": "bench.world.bridle_agent",
    "bridle, its key declared": "bench.world.bridle_keyed_agent",
    "LangChain agent on LangGraph": "bench.world.langgraph_agent",
    "OpenAI Agents": "bench.world.openai_agent",
    "Pydantic AI on DBOS": "bench.world.pydantic_agent",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the model asks for."""

    id: str
    tool: str
    args: dict[str, str | int]


class Wire:
    """The way to the outside world that all adapters share; its client tries nothing again."""

    def __init__(self, url: str) -> None:
        """Open a client."""
        self._http = httpx2.AsyncClient(base_url=url, timeout=60, limits=httpx2.Limits(max_connections=200))

    async def model(self, run: str, replies: int, told: list[str]) -> list[Call] | str:
        """Ask the model, after so many replies of its own, with all tool results: it gives calls, or its answer."""
        said = await self._post("/model", {"run": run, "replies": replies, "told": told})
        calls = said["calls"]
        assert isinstance(calls, list)
        return [Call(**call) for call in calls] or str(said["answer"])

    async def search(self, run: str, q: str) -> str:
        """Search; raises HTTPStatusError when it is down."""
        return str((await self._post("/search", {"run": run, "q": q}))["found"])

    async def refund(self, order: str, cents: int, key: str | None) -> str:
        """Pay; raises RemoteProtocolError when the reply is lost."""
        headers = {"Idempotency-Key": key} if key else {}
        return str((await self._post("/refund", {"order": order, "cents": cents}, headers))["receipt"])

    async def _post(self, path: str, body: Body, headers: dict[str, str] | None = None) -> Body:
        answer = await self._http.post(path, json=body, headers=headers)
        answer.raise_for_status()
        said: Body = answer.json()
        return said

    async def aclose(self) -> None:
        """Close the client."""
        await self._http.aclose()


class Adapter(Protocol):
    """One framework, set up as its documentation says; a module of its own has it as `Agent`."""

    versions: str
    """What was run."""
    settings: str
    """What was set, and to what."""

    async def open(self, wire: Wire, folder: Path) -> None:
        """Open the store in the folder, and recover what an earlier process left there."""

    async def run(self, key: str) -> str:
        """Do the run of this key, or what is left of it, and say how it ended in the framework's own word."""

    async def close(self) -> None:
        """Close the store."""


def adapter(name: str) -> Adapter:
    """Import one adapter and no other."""
    found: Adapter = import_module(ADAPTERS[name]).Agent()
    return found


def _memory_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1e3
    raise AssertionError(field)


async def _ended(agent: Adapter, key: str) -> str:
    try:
        return await agent.run(key)
    except Exception as error:  # noqa: BLE001 - however a framework ends a run is what is asked
        return f"raises {type(error).__name__}"


async def main(name: str, scenario: str, url: str, folder: str) -> None:
    """Do the runs of a scenario."""
    agent, wire = adapter(name), Wire(url)
    await agent.open(wire, Path(folder))
    before = _memory_mb("VmRSS")
    runs = BURST_RUNS if scenario == Scenario.DOWN else 1
    ended = Counter(await asyncio.gather(*(_ended(agent, f"run-{n}") for n in range(runs))))
    grown = _memory_mb("VmHWM") - before
    print(json.dumps({"ended": ended, "grown_mb": round(grown)}), flush=True)
    await agent.close()
    await wire.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
