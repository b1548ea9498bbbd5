"""What a write would change is shown to who approves it, and the approval holds for exactly that."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bridle.gateway.context import CallContext
from bridle.rules.names import Millis, ToolName
from bridle.rules.policy import Limits, Policy
from bridle.rules.stop import Status
from bridle.rules.tool import ToolRule
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.runs.signals import Denied
from bridle.testing.virtual_time import VirtualLoop, run_virtual
from tests.gateway.house import allowing
from tests.runs.test_approvals import Desk, tell

PAY = Flow("pay", state=dict)


@PAY.step()
async def pay(run: Run, state: object) -> object:
    """One payment, which is shown before it is made."""
    try:
        return (await run.call("pay", {"order": "7", "amount": 40})).value
    except Denied as denied:
        return f"{denied.reason}: {denied.detail.get('error', denied.detail.get('rule', ''))}"


class Account:
    """What `pay` draws on, and how often its preview was asked."""

    def __init__(self, desk: Desk, *, is_async: bool = True, shown: Callable[[], object] | None = None) -> None:
        self.balance, self.asked, self.contexts = 100, 0, list[CallContext]()
        self.desk = desk

        def looked(order: str, amount: int, call: CallContext) -> object:
            self.asked += 1
            self.contexts.append(call)
            return shown() if shown is not None else {"balance": self.balance, "after": self.balance - amount}

        async def looked_async(order: str, amount: int, *, call: CallContext) -> object:
            found = looked(order, amount, call)
            return await found if isinstance(found, asyncio.Future) else found

        @desk.b.tool("pay", effect="write", preview=looked_async if is_async else looked)
        async def paid(order: str, amount: int) -> str:
            self.balance -= amount
            desk.made.append(f"paid {amount}")
            return f"paid {amount}"

        desk.b.register(PAY)

    async def request(self) -> RunResult:
        """Ask for the payment, by eve."""
        return await self.desk.b.run(PAY, {}, by="eve", key="k", tenant="acme")


POLICY = allowing("pay", require_approval=True)


@pytest.mark.parametrize("is_async", [True, False])
async def test_who_approves_is_shown_what_would_change(is_async: bool) -> None:
    async def story(desk: Desk) -> None:
        account = Account(desk, is_async=is_async)
        waiting = await account.request()
        (question,) = desk.b.approvals.pending()
        assert question.preview == {"balance": 100, "after": 60}
        assert [(context.run, context.tenant) for context in account.contexts] == [(waiting.run_id, "acme")]
        await desk.b.approvals.answer(question.approval, "approve", "ann")
        await desk.later_than(2)
        assert ((await account.request()).answer, account.balance, desk.made) == ("paid 40", 60, ["paid 40"])

    await asyncio.to_thread(tell, story, policy=POLICY)


def test_where_the_world_is_another_one_by_then_the_person_is_asked_anew() -> None:
    async def story(desk: Desk) -> None:
        account = Account(desk)
        first = await account.request()
        assert first.approval is not None
        await desk.b.approvals.answer(first.approval, "approve", "ann")
        account.balance = 30
        await desk.later_than(2)
        (question,) = desk.b.approvals.pending()
        assert (question.preview, desk.made) == ({"balance": 30, "after": -10}, [])
        assert question.approval != first.approval
        await desk.b.approvals.answer(question.approval, "approve", "ann")
        await desk.later_than(2)
        assert ((await account.request()).answer, desk.made) == ("paid 40", ["paid 40"])

    tell(story, policy=POLICY)


def raises() -> object:
    """The order does not exist."""
    raise ConnectionError("bank is closed")


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        (raises, "unavailable"),
        (object, "object"),
        (lambda: "x" * 70_000, "64,000"),
    ],
)
def test_what_cannot_be_shown_is_not_asked_about(shown: Callable[[], object], says: str) -> None:
    async def story(desk: Desk) -> None:
        account = Account(desk, shown=shown)
        result = await account.request()
        assert isinstance(result.answer, str)
        assert "cannot be shown to who approves" in result.answer
        assert says in result.answer
        assert (desk.b.approvals.pending(), desk.made) == ([], [])

    tell(story, policy=POLICY)


def test_a_preview_that_never_answers_ends_with_the_timeout_of_its_tool() -> None:
    policy = Policy(
        allow=POLICY.allow, limits=Limits(max_tool_calls=9), tools={ToolName("pay"): ToolRule(timeout=Millis(1_000))}
    )  # fmt: skip

    async def story(desk: Desk) -> None:
        never = asyncio.get_running_loop().create_future()
        account = Account(desk, shown=lambda: never)
        result = await account.request()
        assert isinstance(result.answer, str)
        assert "no answer within 1 s" in result.answer

    tell(story, policy=policy)


@pytest.mark.parametrize(
    "policy", [allowing("order.read"), allowing("pay", require_approval=True, limits=Limits(max_tool_calls=0))]
)
def test_nothing_is_looked_up_for_a_call_that_is_refused_anyway(policy: Policy) -> None:
    async def story(desk: Desk) -> None:
        account = Account(desk)
        result = await account.request()
        assert result.status is not Status.WAITING
        assert account.asked == 0

    tell(story, policy=policy)


def test_a_kill_switch_stands_before_the_preview_too() -> None:
    async def story(desk: Desk) -> None:
        account = Account(desk)
        await desk.b.kill("writes", by="ann", because="looks wrong")
        assert "killed" in str((await account.request()).answer)
        assert account.asked == 0

    tell(story, policy=POLICY)


def test_a_write_that_was_made_as_somebody_changed_it_is_not_made_again_after_a_crash(tmp_path: Path) -> None:
    """Its step proposes the first arguments again, and the world that the preview shows is another one by now."""
    flow, gate = Flow("slow", state=dict), [asyncio.Event()]

    @flow.step()
    async def slow(run: Run, state: object) -> object:
        """Pays, and then takes its time."""
        paid = (await run.call("pay", {"order": "7", "amount": 40})).value
        await gate[0].wait()
        return paid

    place = f"sqlite:///{tmp_path}/b.db"

    async def told(loop: VirtualLoop) -> None:
        first = Desk(loop, place, POLICY)
        account = Account(first)
        first.b.register(flow)
        await first.b.open()
        waiting = await first.b.run(flow, {}, by="eve", key="k")
        assert waiting.approval is not None
        await first.b.approvals.answer(waiting.approval, "edit", "ann", arguments={"order": "7", "amount": 25})
        await first.later_than(2)
        assert first.made == ["paid 25"]
        await first.b.close(drain=0.01)

        second = Desk(loop, place, POLICY)
        again = Account(second)
        again.balance = account.balance
        second.b.register(flow)
        async with second.b:
            gate[0].set()
            result = await second.b.run(flow, {}, by="eve", key="k")
            assert (result.answer, second.made, second.b.approvals.pending()) == ("paid 25", [], [])

    run_virtual(told)
