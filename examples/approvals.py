"""A refund above an amount waits for a person; a smaller one is made at once.

The policy says how much needs nobody: `require_approval: {above: {amount: 50}}`. A person approves the first large one,
makes the second one smaller, and rejects the third, and the flow tells the customer what became of it. Nothing waits in
memory: the same key goes on with the run, in this process or in another one.
"""

import asyncio

from bridle import Bridle, Denied, Flow, Run

POLICY = {
    "tools": {"allow": ["refund.create"], "refund.create": {"require_approval": {"above": {"amount": 50}}}},
    "writes": {"require_approval": False},  # of the house; what a tool's own settings want is not lifted by it
    "approvals": {"expire_after": "4h"},
}
ANSWERS = {
    "A-2": ("approve", {}),
    "A-3": ("edit", {"arguments": {"order": "A-3", "amount": 60}}),
    "A-4": ("reject", {"said": "the parcel arrived"}),
}
refunds = Flow("refunds", start="refund")


@refunds.step()
async def refund(run: Run, state: dict[str, object]) -> str:
    """One refund."""
    try:
        return (await run.call("refund.create", {"order": state["order"], "amount": state["amount"]})).value
    except Denied as denied:
        return f"no refund for {state['order']}: {denied.detail.get('said')}"


async def main() -> None:
    """Four customers."""
    async with Bridle(POLICY, ":memory:") as b:

        @b.tool("refund.create", effect="write", summary="Refund {amount} euros for order {order}")
        async def create(order: str, amount: int) -> str:
            return f"refunded {amount} euros for order {order}"

        for number, amount in enumerate((40, 90, 90, 90), start=1):
            order = f"A-{number}"
            given = {"order": order, "amount": amount}
            result = await b.run(refunds, given, by="shop", key=order)
            for question in b.approvals.pending():
                answer, more = ANSWERS[order]
                print(f"waiting: {question.summary}? {answer}")
                await b.approvals.answer(question.approval, answer, by="ann", **more)
                result = await b.run(refunds, given, by="shop", key=order)
            print(f"{result.status}: {result.answer}")


asyncio.run(main())
