"""A process whose run has children dies at a commit.

As in `tests.runs.crashing_flow`: every tool adds a line to the world, and the process dies around its nth commit.
"""

import asyncio
from pathlib import Path

from bridle.bridle import Bridle
from bridle.rules.names import ToolName
from bridle.rules.policy import Limits, Policy
from bridle.runs.flow import Flow
from bridle.runs.run import Run
from bridle.store.sqlite import SqliteStore
from tests.runs.crashing_flow import World, die_at

POLICY = Policy(allow=frozenset({ToolName("kb.read")}), limits=Limits(max_tool_calls=60, max_steps=60))
PARENT, CHILD, BELOW = Flow("parent", state=dict), Flow("child", state=dict), Flow("below", state=dict)


@BELOW.step()
async def deepest(run: Run, state: object) -> object:
    """One read."""
    return (await run.call("kb.read", {"doc": 3})).value


@CHILD.step(to=["rest"])
async def first(run: Run, state: dict[str, object]) -> str:
    """One read, and a child of its own."""
    state["one"] = (await run.call("kb.read", {"doc": 2})).value
    state["below"] = (await run.child(BELOW, {}, budgets={"max_tool_calls": 9})).answer
    return "rest"


@CHILD.step()
async def rest(run: Run, state: dict[str, object]) -> object:
    """One more."""
    return [state["one"], state["below"], (await run.call("kb.read", {"doc": 4})).value]


@PARENT.step(to=["last"])
async def ask(run: Run, state: dict[str, object]) -> str:
    """A read before its child, and another child of the same kind after it."""
    await run.call("kb.read", {"doc": 1})
    budgets: dict[str, int | str] = {"max_tool_calls": 20, "max_usd": "0.30", "max_steps": 20}
    state["found"] = [(await run.child(CHILD, {}, budgets=budgets)).answer for _ in range(2)]
    return "last"


@PARENT.step()
async def last(run: Run, state: dict[str, object]) -> object:
    """The answer."""
    return state["found"]


def house(store: Path, world: Path) -> Bridle:
    """The house with its one tool."""
    outside = World(world)
    b = Bridle(POLICY, f"sqlite:///{store}")

    @b.tool("kb.read", effect="read", source="trusted", cost="$0.01")
    async def read(doc: int) -> str:
        outside.note(f"read {doc}")
        return f"text {doc}"

    return b


async def _asked(store: Path, world: Path, dies_at: int) -> None:
    b = house(store, world)
    await b.open()
    assert isinstance(b.store, SqliteStore)
    die_at(b.store, dies_at)
    await b.run(PARENT, {}, key="the only one")
    await b.close()


def life(store: Path, world: Path, dies_at: int) -> None:
    """Run the flow, or die."""
    asyncio.run(_asked(store, world, dies_at))
