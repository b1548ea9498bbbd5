"""A support ticket goes through an explicit flow, and one question in it to a bounded investigation.

Code looks the order up and decides; only what code cannot answer is investigated, in the handbook beside this file, by
the embedded model, and answered with citations. When the limits of the investigation are used up, a person takes over.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from bridle import Bridle, Flow, Run
from bridle.bundled import documents

HANDBOOK = Path(__file__).with_name("handbook")
POLICY = {
    "tools": {"allow": ["orders.read", "search.read", "kb.read"]},
    "budgets": {"max_tool_calls": 10, "max_seconds": 30, "max_usd": "0.50"},
}


@dataclass
class Ticket:
    """What a customer wrote, and what the steps found on the way."""

    order: str
    question: str
    amount: int = 0  # cents
    charged: int = 0  # cents
    cause: str = ""


b = Bridle(POLICY, ":memory:")
documents(b, HANDBOOK)
triage = Flow("triage", version="1", state=Ticket, start="lookup")


@b.tool("orders.read", effect="read", source="trusted")
async def read_order(order: str) -> dict[str, int]:
    """The amount of an order and what was charged for it, in cents."""
    return {"A-1": {"amount": 4_000, "charged": 4_000}, "B-2": {"amount": 4_000, "charged": 8_000}}[order]


@triage.step(to=["all_is_well", "find_cause"])
async def lookup(run: Run, ticket: Ticket) -> str:
    """Plain code: it costs no tokens and always decides the same."""
    order = (await run.call("orders.read", {"order": ticket.order})).value
    ticket.amount, ticket.charged = order["amount"], order["charged"]
    return "all_is_well" if ticket.amount == ticket.charged else "find_cause"


@triage.step()
async def all_is_well(run: Run, ticket: Ticket) -> str:
    """An end without any model."""
    return f"Order {ticket.order} was charged as ordered: {ticket.charged / 100:.2f} euros."


triage.investigate(
    "find_cause",
    model="extractive",
    goal="{question}",
    tools=["search.read", "kb.read"],
    limits={"max_tool_calls": 5, "max_usd": "0.20"},
    into="cause",
    to={"found": "reply", "exhausted": "escalate"},
)


@triage.step()
async def reply(run: Run, ticket: Ticket) -> str:
    """What the investigation found."""
    return f"Order {ticket.order}: {ticket.cause.splitlines()[0]}"


@triage.step()
async def escalate(run: Run, ticket: Ticket) -> str:
    """A person takes over, with what was found until then."""
    return f"Order {ticket.order} goes to a person. So far: {ticket.cause}"


async def main() -> None:
    """Two tickets: one that code can answer, one that it cannot."""
    print(triage.mermaid())
    async with b:
        for ticket in (Ticket("A-1", "Is all well?"), Ticket("B-2", "Why is a customer charged twice?")):
            result = await b.run(triage, ticket, tenant="acme", by="user-5512")
            print(f"{result.status}: {result.answer}  ({result.tool_calls} tool calls)")


asyncio.run(main())
