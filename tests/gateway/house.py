"""A house for the tests of the door: tools with a counter, a store in memory, virtual time, stories as tables."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TypeVar

from bridle.bridle import Bridle
from bridle.gateway.outcome import Observation, Outcome, Refusal
from bridle.gateway.proposal import ToolWish
from bridle.rules.events import ApprovalAsked, CallAdmitted, CallRefused, CallReused, Event, RunHalted
from bridle.rules.flow_of_information import FlowRule, When
from bridle.rules.names import IN_FLIGHT, RunId, ToolName
from bridle.rules.policy import Limits, Policy
from bridle.runs.run import Run
from bridle.store.memory import MemoryStore
from bridle.store.sqlite import SqliteStore
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world

T = TypeVar("T")
UNGUARDED = FlowRule(when=When.NEVER)


def allowing(*tools: str, limits: Limits | None = None, **rest: object) -> Policy:
    """A policy with these tools, room for many refusals, and writes and egress that ask nobody, whoever steers them."""
    known: dict[str, object] = {"require_approval": False, "max_refusals": 1_000, "flow_rule": UNGUARDED} | rest
    allow = frozenset(ToolName(tool) for tool in tools)
    return Policy(allow=allow, limits=limits or Limits(max_tool_calls=1_000), **known)  # type: ignore[arg-type]  # as given


@dataclass
class Calls:
    """What reached the tools of a house, in order."""

    made: list[str] = field(default_factory=list)

    def count(self, tool: str) -> int:
        """How often a tool was really called."""
        return sum(call.split("(")[0] == tool for call in self.made)


def furnished(b: Bridle) -> Calls:
    """A house with the tools that the stories are about."""
    calls = Calls()

    @b.tool("search.read", effect="read")
    async def search(q: str, limit: int = 5) -> str:
        calls.made.append(f"search.read({q})")
        return f"found {q}"

    @b.tool("kb.read", effect="read", max_calls=4)
    async def read(doc: int) -> dict[str, object]:
        calls.made.append(f"kb.read({doc})")
        return {"doc": doc}

    @b.tool("poll.read", effect="read", reuse="never")
    async def poll(job: str) -> int:
        calls.made.append(f"poll.read({job})")
        return calls.count("poll.read")

    @b.tool("news.read", effect="read", reuse="10s")
    async def news(topic: str) -> int:
        calls.made.append(f"news.read({topic})")
        return calls.count("news.read")

    @b.tool("mail.send", effect="write")
    async def send(to: str, text: str = "") -> str:
        calls.made.append(f"mail.send({to})")
        return "sent"

    @b.tool("page.get", effect="egress", expensive=True, cost="$0.10")
    async def get(url: str) -> str:
        calls.made.append(f"page.get({url})")
        return f"page {url}"

    return calls


TOOLS = ("search.read", "kb.read", "poll.read", "news.read", "mail.send", "page.get")


def virtually(
    story: Callable[[Bridle, VirtualLoop], Coroutine[object, object, T]], policy: Policy, store: str = ":memory:"
) -> T:
    """Tell a story in an open house, in virtual time."""

    async def told(loop: VirtualLoop) -> T:
        async with Bridle(policy, store, world=virtual_world(loop)) as b:
            return await story(b, loop)

    return run_virtual(told)


async def at(loop: VirtualLoop, seconds: float) -> None:
    """Let virtual time pass until so many seconds after the beginning."""
    come = asyncio.Event()
    loop.call_later(max(seconds - loop.time(), 0), come.set)
    await come.wait()


def journal(b: Bridle, run: RunId, after: int = 0) -> list[Event]:
    """What happened in a run."""
    return [entry.event for entry in b.store.journal(run, after)]


def answered(events: list[Event]) -> str:
    """The decision on one proposal, in the words of a table."""
    words = ""
    for event in events:
        match event:
            case CallAdmitted():
                words = "admit"
            case CallReused():
                words = "reuse"
            case ApprovalAsked():
                words = "ask"
            case CallRefused(reason=reason, detail=detail):
                words = " ".join(["refuse", reason, *([str(detail["rule"])] if "rule" in detail else [])])
            case RunHalted(reason=reason):
                words = f"halt {reason}"
    return words


def wish(text: str) -> ToolWish:
    """A call as a table writes it: `search.read q=berlin limit=3`."""
    name, *given = text.split()
    args = dict(part.split("=", 1) for part in given)
    return ToolWish(ToolName(name), {key: _value(value) for key, value in args.items()})


def _value(text: str) -> object:
    return json.loads(text) if text[0] in "0123456789[{" else text


def tell(table: str, policy: Policy, before: Callable[[Bridle], Awaitable[None]] | None = None) -> Calls:
    """Play a table in one attached run, and hold every answer to its last column; what reached the tools comes back."""
    head, *lines = [line for line in table.splitlines() if line.strip()]
    call_at, answer_at = head.index("call"), head.index("answer")

    async def story(b: Bridle, loop: VirtualLoop) -> Calls:
        calls = furnished(b)
        if before is not None:
            await before(b)
        async with b.attach(agent="teller") as run:
            for line in lines:
                await at(loop, float(line[:call_at].strip().removesuffix("s")))
                seq = b.store.recorded(run.id).state.seq
                await run.acted([wish(line[call_at:answer_at].strip())])
                said = answered(journal(b, run.id, seq))
                assert said == line[answer_at:].strip(), f"{line.strip()}: the answer was {said}"
        return calls

    return virtually(story, policy)


def observations(outcomes: list[Outcome]) -> list[Observation]:
    """Those that came to something."""
    return [outcome for outcome in outcomes if isinstance(outcome, Observation)]


def refusals(outcomes: list[Outcome]) -> list[Refusal]:
    """Those that did not."""
    return [outcome for outcome in outcomes if isinstance(outcome, Refusal)]


async def asking(run: Run, *calls: str) -> list[Outcome]:
    """One turn with these calls."""
    return await run.acted([wish(call) for call in calls])


def seats(b: Bridle) -> int:
    """How many seats are taken in this house."""
    if isinstance(b.store, SqliteStore):
        (taken,) = b.store._read.execute("SELECT total(reserved) FROM accounts WHERE unit = ?", (IN_FLIGHT,)).fetchone()
        return int(taken)
    assert isinstance(b.store, MemoryStore)
    return sum(balance.reserved for account, balance in b.store._accounts.items() if account.unit == IN_FLIGHT)
