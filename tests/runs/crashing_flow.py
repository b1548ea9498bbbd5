"""A process that runs one flow and dies at a commit: `python -m tests.runs.crashing_flow <store> <world> <dies at>`.

The world is a file outside of bridle to which every tool adds a line; `dies at` is the number of the commit before
which (odd) or after which (even) the process kills itself with -9; 0 means never.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bridle.bridle import Bridle
from bridle.models.scripted import ScriptedModel, Turn
from bridle.rules.flow_of_information import FlowRule, When
from bridle.rules.names import ToolName
from bridle.rules.policy import Limits, Policy
from bridle.rules.prompt import ToolUse
from bridle.runs.flow import Flow
from bridle.runs.run import Run
from bridle.store.sqlite import SqliteStore

FLOW = Flow("answers", state=dict)
POLICY = Policy(
    allow=frozenset({ToolName("kb.read"), ToolName("mail.send")}),
    limits=Limits(max_tool_calls=30, max_seconds=3_600),
    require_approval=False,
    flow_rule=FlowRule(when=When.NEVER),
)


@FLOW.step(to=["ask"])
async def gather(run: Run, state: object) -> str:
    """Two reads."""
    assert isinstance(state, dict)
    state["read"] = [(await run.call("kb.read", {"doc": n})).value for n in (1, 2)]
    return "ask"


FLOW.investigate("ask", model="scripted:m", goal="What is in 3?", tools=["kb.read"], into="found", to={"found": "send"})


@FLOW.step()
async def send(run: Run, state: object) -> object:
    """A write, if the story has one."""
    assert isinstance(state, dict)
    if os.environ.get("WRITES"):
        await run.call("mail.send", {"to": "ann"})
    return {"read": state["read"], "found": state["found"]}


@dataclass
class World:
    """What happened outside."""

    path: Path
    made: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Durable for our purposes: the process dies, the kernel does not."""
        with self.path.open("a") as file:
            file.write(line + "\n")


def house(store: Path, world: Path) -> Bridle:
    """The house with its tools and its model."""
    outside = World(world)
    script = [Turn(uses=(ToolUse("", "kb.read", '{"doc": 3}'),)), Turn("three")]
    b = Bridle(POLICY, f"sqlite:///{store}", models={"scripted:m": ScriptedModel(script)})

    @b.tool("kb.read", effect="read")
    async def read(doc: int) -> str:
        outside.note(f"read {doc}")
        return f"text {doc}"

    @b.tool("mail.send", effect="write")
    async def send_mail(to: str) -> str:
        outside.note(f"sent {to}")
        return "sent"

    return b


def die_at(store: SqliteStore, number: int) -> None:
    """Kill this process around its nth commit."""
    commit: Callable[[list[object]], None] = store._writer._commit  # type: ignore[assignment]  # the last place before the disk
    seen = 0

    def counted(batch: list[object]) -> None:
        nonlocal seen
        seen += 1
        if 2 * seen - 1 == number:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(batch)
        if 2 * seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    store._writer._commit = counted  # type: ignore[assignment]  # see above


async def main() -> None:
    """Run the flow, or die."""
    store, world, number = sys.argv[1:]
    b = house(Path(store), Path(world))
    await b.open()
    assert isinstance(b.store, SqliteStore)
    die_at(b.store, int(number))
    result = await b.run(FLOW, {}, key="the only one")
    await b.close()
    sys.stdout.write(result.status)


if __name__ == "__main__":
    asyncio.run(main())
