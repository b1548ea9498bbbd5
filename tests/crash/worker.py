"""A worker on a shared store: `python -m tests.crash.worker <store> <world> <gate> [<runs>]`.

It drives so many runs of one flow, and whatever it takes over from others, until SIGTERM tells it to drain. The world
is a file outside of bridle to which its tool adds a line; the tool ends when the gate, another file, is there.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from bridle.bridle import Bridle
from bridle.rules.names import ToolName
from bridle.rules.policy import Limits, Policy
from bridle.runs.flow import Flow
from bridle.runs.run import Run

POLICY = Policy(allow=frozenset({ToolName("look")}), limits=Limits(max_seconds=600))
DRAIN = 0.2  # seconds
FLOW = Flow("shared", state=dict)


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


def house(store: Path, world: Path, gate: Path) -> Bridle:
    """A house that knows the flow."""
    b = Bridle(POLICY, f"sqlite:///{store}")
    b.register(FLOW)

    @b.tool("look", effect="read", source="trusted", timeout=600, concurrency=1_000)
    async def look(n: int, step: int) -> str:
        with world.open("a") as file:
            file.write(f"{n}.{step} by {os.getpid()}\n")
        while step == 2 and not os.path.exists(gate):  # noqa: ASYNC110, ASYNC240 - another process opens the gate
            await asyncio.sleep(0.01)
        return f"{n}.{step}"

    return b


async def main() -> None:
    """Work until told to stop."""
    store, world, gate, *runs = sys.argv[1:]
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    b = house(Path(store), Path(world), Path(gate))
    await b.open()
    own = [asyncio.create_task(b.run(FLOW, {"n": n}, key=f"{n}")) for n in range(int(runs[0]) if runs else 0)]
    sys.stdout.write(f"{b.store.worker}\n")
    sys.stdout.flush()
    await told.wait()
    await b.close(drain=DRAIN)
    await asyncio.gather(*own, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
