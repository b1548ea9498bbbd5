"""A process that makes one write, which a person may have to allow, and dies at a commit or in the far end.

The world is the far end's own file, a line for each request and each effect. The kind of the write is key, natural,
none, or probe (none, with a probe), and `approved` stands before it where it waits for a person. The process dies at
the number of a commit as in `crashing_flow`, or `before effect`, `after effect`; 0 means never.
"""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

from bridle.bridle import Bridle
from bridle.gateway.context import CallContext
from bridle.gateway.labels import Labels
from bridle.rules.names import ToolName
from bridle.rules.policy import Limits, Policy
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.store.sqlite import SqliteStore
from tests.runs.crashing_flow import die_at

SEEN = "approved "
QUESTIONS = 2  # about one write, at most
FLOW = Flow("refunds", state=dict)
POLICY = Policy(
    allow=frozenset({ToolName("refund.create")}),
    limits=Limits(max_tool_calls=30, max_seconds=3_600),
    require_approval=False,
)


@FLOW.step(to=["tell"])
async def pay(run: Run, state: object) -> str:
    """The write."""
    assert isinstance(state, dict)
    state["receipt"] = (await run.call("refund.create", {"order": "A1"})).value
    return "tell"


@FLOW.step()
async def tell(run: Run, state: object) -> object:
    """The answer."""
    assert isinstance(state, dict)
    return state["receipt"]


def note(world: Path, line: str) -> None:
    """What the far end was sent, or did."""
    with world.open("a") as file:
        file.write(line + "\n")


def effects(world: Path) -> list[str]:
    """The keys that took effect, once for each time."""
    lines = world.read_text().splitlines() if world.exists() else []
    return [line.removeprefix("effect ") for line in lines if line.startswith("effect ")]


def house(store: Path, world: Path, kind: str, dies: str = "0") -> Bridle:
    """The house with its one tool; the far end of `key` and `natural` does a thing once."""
    is_seen, kind = kind.startswith(SEEN), kind.removeprefix(SEEN)
    b = Bridle(replace(POLICY, require_approval=is_seen), f"sqlite:///{store}")
    b.register(FLOW)
    idempotency = "none" if kind == "probe" else kind
    labels = Labels(effect="write", idempotency=idempotency, key="refund:{order}", lands_within="1ms")

    async def probe(key: str) -> str | None:
        note(world, f"asked {key}")
        return f"receipt of {key}" if key in effects(world) else None

    if kind == "probe":
        labels["probe"] = probe

    @b.tool("refund.create", **labels)
    async def refund(order: str, *, call: CallContext) -> str:
        note(world, f"sent {call.key}")
        if dies == "before effect":
            os.kill(os.getpid(), signal.SIGKILL)
        if idempotency == "none" or call.key not in effects(world):
            note(world, f"effect {call.key}")
        if dies == "after effect":
            os.kill(os.getpid(), signal.SIGKILL)
        return f"receipt of {call.key}"

    return b


async def asked(b: Bridle) -> RunResult:
    """The end of the one run; where a person has to allow its write, he does."""
    result = await b.run(FLOW, {}, key="the only one")
    for _ in range(QUESTIONS):
        if result.approval is not None:
            await b.approvals.answer(result.approval, "approve", by="ann")
            result = await b.run(FLOW, {}, key="the only one")
    return result


async def _lived(store: Path, world: Path, kind: str, dies: str) -> None:
    b = house(store, world, kind, dies)
    await b.open()
    await asked(b)
    await b.close()


def life(store: Path, world: Path, kind: str, dies: str) -> None:
    """Run the flow, or die."""
    if dies.isdigit():
        dying_from_its_opening(int(dies))
    asyncio.run(_lived(store, world, kind, dies))


def dying_from_its_opening(number: int) -> None:
    """The commits are counted from the opening of the store: those of a recovery are among them."""
    opened = SqliteStore.__init__

    def counted(self: SqliteStore, *args: object, **named: object) -> None:
        opened(self, *args, **named)  # type: ignore[arg-type]  # as they came
        die_at(self, number)

    SqliteStore.__init__ = counted  # type: ignore[method-assign]  # the only place before recovery
