"""A refund that takes effect once: under its key, after a lost answer, in another run; and a step that undoes.

The bank is a dictionary. It loses the answer to the first request, and knows a key when it sees it again; the shop's
stock system knows no keys, so that bridle asks it with a probe.
"""

import asyncio

from bridle import Bridle, CallFailed, Denied, FailureKind, Flow, Run
from bridle.gateway.context import CallContext

POLICY = {
    "tools": {"allow": ["refund.create", "refund.cancel", "stock.return"]},
    "writes": {"require_approval": "when_tainted"},
}
bank: dict[str, str] = {}  # receipts by key
stock: dict[str, str] = {}
requests: list[str] = []  # what reached the bank

b = Bridle(POLICY, ":memory:")
give_back = Flow("give_back", start="refund_first")


STEERED = {"order": ["user"]}  # whatever was read since: only who asked says which order


@b.tool(
    "refund.create", effect="write", source="trusted", idempotency="key", key="refund:{order}", sinks=STEERED,
    summary="Refund order {order}",
)  # fmt: skip
async def refund(order: str, amount: int, *, call: CallContext) -> str:
    """Refund an order."""
    requests.append(call.key)
    receipt = bank.setdefault(call.key, f"refund of {amount} for {order}")
    if len(requests) == 1:
        raise CallFailed(FailureKind.TIMEOUT, "the answer was lost")
    return receipt


@b.tool("refund.cancel", effect="write", source="trusted", idempotency="key", key="cancel:{order}", sinks=STEERED)
async def cancel(order: str) -> str:
    """Undo a refund."""
    return f"the refund of {order} was cancelled"


async def in_stock(key: str) -> str | None:
    """Whether the stock system has it: the receipt, or None."""
    return stock.get(key)


@b.tool(
    "stock.return", effect="write", source="trusted", key="return:{order}", sinks=STEERED, probe=in_stock,
    lands_within="2s",
)  # fmt: skip
async def take_back(order: str, *, call: CallContext) -> str:
    """Book the goods back. Order B is none that the stock system knows."""
    if order == "B":
        raise CallFailed(FailureKind.REJECTED, "there is no such order")
    stock[call.key] = f"{order} is back"
    raise CallFailed(FailureKind.UNAVAILABLE, "the connection broke behind the booking")


@give_back.step(to=["goods"])
async def refund_first(run: Run, order: dict[str, str]) -> str:
    """The money."""
    order["receipt"] = (await run.call("refund.create", {"order": order["order"], "amount": 40})).value
    return "goods"


@give_back.step(to=["undo", "done"])
async def goods(run: Run, order: dict[str, str]) -> str:
    """The goods; when they cannot be booked, the money is taken back."""
    try:
        order["goods"] = (await run.call("stock.return", {"order": order["order"]})).value
    except Denied:
        return "undo"
    return "done"


@give_back.step()
async def undo(run: Run, order: dict[str, str]) -> str:
    """Compensation is a step like any other: a write, under its own key, in the journal."""
    return (await run.call("refund.cancel", {"order": order["order"]})).value


@give_back.step()
async def done(run: Run, order: dict[str, str]) -> str:
    """Both are there."""
    return f"{order['receipt']}; {order['goods']}"


async def main() -> None:
    """Order A twice, as a user who presses twice; then order B, which has to be undone."""
    async with b:
        for order, key in (("A", "click 1"), ("A", "click 2"), ("B", "click 3")):
            result = await b.run(give_back, {"order": order}, key=key)
            print(f"{order}: {result.status}, {result.answer}; {result.tool_calls} tool calls")
    print(f"the bank was asked {len(requests)} times under {len(bank)} keys")


asyncio.run(main())
