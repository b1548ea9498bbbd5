"""A tool of one's own: what it takes, what it returns, what it may do, and what the policy adds to that.

Its signature says what it takes, its output type what comes back, its labels what it may do; the policy has a rule for
one argument. A call that does not fit is never performed, and an output that is not what was declared never reaches the
flow: "explicit" must not become "explicitly wrong".
"""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from bridle import Bridle, CallContext, Denied, Flow, Run

POLICY = {
    "tools": {
        "allow": ["rates.read"],
        "rates.read": {"args": {"properties": {"base": {"enum": ["EUR", "CHF"]}}}},
    },
}


@dataclass
class Rate:
    """What one unit of a currency is worth in dollars."""

    base: str
    rate: Decimal


b = Bridle(POLICY, ":memory:")


async def read_rate(base: str, days_ago: int = 0, *, call: CallContext) -> object:
    """The exchange rate of a currency; `call` says for whom, and until when."""
    assert call.tenant == "acme"
    if days_ago > 7:
        return "<html>no rates that old</html>"  # what a far end says on a bad day
    return {"base": base, "rate": "1.08"}


b.declare("rates.read", read_rate, output=Rate, effect="read", source="trusted", timeout="5s", cost="$0.001")
rates = Flow("rates", start="ask")


@rates.step()
async def ask(run: Run, state: object) -> list[str]:
    """Four calls: one is right, three are wrong in their own ways."""
    lines = []
    for args in ({"base": "EUR"}, {"base": "USD"}, {"base": "EUR", "days": 3}, {"base": "CHF", "days_ago": 30}):
        try:
            lines.append(f"{args}: {(await run.call('rates.read', args)).text}")
        except Denied as denied:
            lines.append(f"{args}: {denied.reason}, {denied.detail.get('error', '')}")
    return lines


async def main() -> None:
    """Run once, print every answer."""
    async with b:
        result = await b.run(rates, tenant="acme")
        print(f"{result.status}, {result.tool_calls} tool calls performed")
        for line in result.answer:
            print(f"  {line}")


asyncio.run(main())
