"""A house whose runs have children, and what is true of all of them in the end."""

import asyncio

from bridle.bridle import Bridle
from bridle.rules.events import ChildClosed, RunStopped
from bridle.rules.fold import fold
from bridle.rules.names import RunId, ToolName
from bridle.rules.policy import Limits, Policy
from bridle.rules.tool import ToolRule
from bridle.runs.flow import Flow
from bridle.runs.run import Run

POLICY = Policy(
    allow=frozenset({ToolName("kb.read"), ToolName("web.read"), ToolName("mail.send")}),
    limits=Limits(max_tool_calls=10, max_steps=12, max_seconds=60),
    tools={ToolName("web.read"): ToolRule(max_calls=3)},
)

EQUAL_PARTS: dict[str, int | str] = {
    "max_tool_calls": 4, "max_steps": 1, "max_model_calls": 1, "max_tokens": 1, "max_usd": "0.04",
}  # fmt: skip


def a_house(policy: Policy = POLICY, store: str = ":memory:", began: asyncio.Event | None = None) -> Bridle:
    """A read that costs a cent, one of the web, and a write; `began` is set when a read hangs."""
    b = Bridle(policy, store)

    @b.tool("kb.read", effect="read", source="trusted", confidentiality="public", cost="$0.01", reuse="never")
    async def read(doc: int) -> int:
        if began is not None and doc < 0:
            began.set()
            await asyncio.Event().wait()
        return doc

    @b.tool("web.read", effect="read", source="untrusted", confidentiality="private", reuse="never")
    async def web(doc: int) -> int:
        return doc

    @b.tool("mail.send", effect="write")
    async def send(to: str) -> str:
        return "sent " + to

    return b


def reads(count: int, tool: str = "kb.read", name: str = "reads") -> Flow:
    """So many reads, one after the other."""
    flow = Flow(name, state=dict)

    @flow.step()
    async def read(run: Run, state: dict[str, object]) -> object:
        return [(await run.call(tool, {"doc": n + 1})).value for n in range(count)]

    return flow


def parent_of(child: Flow, **budgets: int | str) -> Flow:
    """A parent of one child; its answer is its id, status, reason and answer."""
    flow = Flow("parent", state=dict)

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> object:
        result = await run.child(child, {}, budgets=budgets)
        return [result.run_id, result.status, str(result.stop and result.stop.reason), result.answer]

    return flow


def told(b: Bridle, run: str) -> list[object]:
    """The journal of a run, which makes its row."""
    entries = b.store.journal(RunId(run))
    assert fold(entry.event for entry in entries) == b.store.recorded(RunId(run)).state
    return [entry.event for entry in entries]


def settled_up(b: Bridle) -> None:
    """Nothing is held, nothing is open, and the parent has paid for its children what they used."""
    assert b.progress() == []  # nobody works on anything
    for line in b.store.runs():
        events = told(b, line.state.run)
        assert not line.state.held
        assert not line.state.children
        assert sum(isinstance(event, RunStopped) for event in events) == 1
        for closed in (event for event in events if isinstance(event, ChildClosed)):
            assert closed.used == b.store.recorded(closed.child).state.used
    assert not any(balance.reserved for balance in b.store.balances().values())


def slow() -> Flow:
    """A flow whose one call never returns."""
    flow = Flow("slow", state=dict)

    @flow.step()
    async def wait(run: Run, state: dict[str, object]) -> object:
        return (await run.call("kb.read", {"doc": -1})).value

    return flow


def mails() -> Flow:
    """A flow whose one write waits for a person."""
    flow = Flow("mails", state=dict)

    @flow.step()
    async def send(run: Run, state: dict[str, object]) -> object:
        return (await run.call("mail.send", {"to": "ann"})).value

    return flow
