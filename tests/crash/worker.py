"""A worker on a shared store: `python -m tests.crash.worker <store> <world> <gate> <runs> <flow> ...`.

It drives so many runs of the first flow, and whatever it takes over from others of the flows that it knows, until
SIGTERM tells it to drain. The world is a file outside of bridle to which its tool adds a line; the tool ends when the
gate, another file, is there.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bridle.bridle import Bridle
from bridle.rules.names import USD_NANO, ToolName, usd
from bridle.rules.policy import Cap, Level, Limits, Policy, Window
from bridle.runs.flow import Flow
from bridle.runs.run import Run

CENT = usd("0.01")  # of each call
POLICY = Policy(
    allow=frozenset({ToolName("look")}),
    limits=Limits(max_seconds=600),
    caps=(Cap(Level.HOUSE, USD_NANO, Window.DAY, usd(100)),),
)
DRAIN = 0.2  # seconds
FLOW, TEAM = Flow("shared", state=dict), Flow("team", state=dict)


@FLOW.step(to=["second"])
async def first(run: Run, state: object) -> str:
    """One call that is remembered by the step after it."""
    assert isinstance(state, dict)
    state["first"] = (await run.call("look", {"n": state["n"], "step": 1})).value
    return "second"


@FLOW.step()
async def second(run: Run, state: object) -> object:
    """One call that waits for the gate."""
    assert isinstance(state, dict)
    return [state["first"], (await run.call("look", {"n": state["n"], "step": 2})).value]


@TEAM.step()
async def whole(run: Run, state: object) -> object:
    """One call of its own, and a child that does the work."""
    assert isinstance(state, dict)
    await run.call("look", {"n": state["n"], "step": 0})
    return (await run.child(FLOW, state, budgets={"max_tool_calls": 5, "max_usd": "0.10", "max_steps": 4})).answer


def house(store: Path, world: Path, gate: Path, flows: Sequence[Flow] = (FLOW,)) -> Bridle:
    """A house that knows these flows."""
    b = Bridle(POLICY, f"sqlite:///{store}")
    for flow in flows:
        b.register(flow)

    @b.tool("look", effect="read", source="trusted", timeout=600, concurrency=1_000, cost="$0.01")
    async def look(n: int, step: int) -> str:
        with world.open("a") as file:
            file.write(f"{n}.{step} by {os.getpid()}\n")
        while step == 2 and not os.path.exists(gate):  # noqa: ASYNC110, ASYNC240 - another process opens the gate
            await asyncio.sleep(0.01)
        return f"{n}.{step}"

    return b


async def main() -> None:
    """Work until told to stop."""
    store, world, gate, runs, *names = sys.argv[1:]
    flows = [flow for name in names for flow in (FLOW, TEAM) if flow.name == name]
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    b = house(Path(store), Path(world), Path(gate), flows)
    await b.open()
    own = [asyncio.create_task(b.run(flows[0], {"n": n}, key=f"{n}")) for n in range(int(runs))]
    sys.stdout.write(f"{b.store.worker}\n")
    sys.stdout.flush()
    await told.wait()
    await b.close(drain=DRAIN)
    await asyncio.gather(*own, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
