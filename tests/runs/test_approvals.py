"""A write waits for a person: bound to what he saw, used once, in time, across restarts, and never by who asked."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.models.port import Model
from bridle.models.scripted import ScriptedModel, Turn
from bridle.rules.events import ApprovalAsked, CallAdmitted, RunResumed, RunStopped, RunSuspended
from bridle.rules.fold import fold
from bridle.rules.names import MODEL_CALLS, ToolName
from bridle.rules.policy import EXPIRES_AFTER, Limits, ModelPrice, Policy
from bridle.rules.prompt import ToolUse
from bridle.rules.stop import Status, StopReason
from bridle.rules.tool import ToolRule
from bridle.runs.approvals import BadAnswer
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.runs.signals import Denied
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world
from tests.gateway.house import allowing, at, journal

FLOW = Flow("refunds", state=dict)


@FLOW.step()
async def refund(run: Run, state: object) -> object:
    """A read, then a write that somebody has to see."""
    assert isinstance(state, dict)
    order = (await run.call("order.read", {"order": state["order"]})).value
    try:
        return (await run.call("refund.create", {"order": state["order"], "amount": state.get("amount", 40)})).value
    except Denied as denied:
        return f"{order}: {denied.reason}: {denied.detail.get('said', '')}"


POLICY = allowing("order.read", "refund.create", require_approval=True)
Story = Callable[["Desk"], Coroutine[object, object, None]]


class Desk:
    """A house with one write, and what reached its tools."""

    def __init__(
        self, loop: VirtualLoop, place: str = ":memory:", policy: Policy = POLICY, model: Model | None = None
    ) -> None:
        self.loop = loop
        self.made: list[str] = []
        self.b = Bridle(policy, place, world=virtual_world(loop), models={"m": model or ScriptedModel([])})
        self.b.register(FLOW)

        @self.b.tool("order.read", effect="read", source="trusted")
        async def order(order: str) -> str:
            self.made.append(f"read {order}")
            return f"order {order}"

        @self.b.tool("refund.create", effect="write", summary="Refund {amount} for order {order}")
        async def create(order: str, amount: int) -> str:
            self.made.append(f"refund {order} {amount}")
            return f"refunded {amount}"

    async def asked(self, **more: object) -> RunResult:
        """Ask for a refund of order 7, by eve."""
        return await self.b.run(FLOW, {"order": "7", **more}, by="eve", key="k")

    async def later_than(self, seconds: float) -> None:
        """Let the sweeper go round."""
        await at(self.loop, self.loop.time() + seconds)

    async def later(self) -> RunResult:
        """What has become of it, once the sweeper has been round."""
        await self.later_than(2)
        return await self.asked()


def tell(story: Story, place: str = ":memory:", policy: Policy = POLICY) -> None:
    """Play a story in an open house, in virtual time; every journal in it folds to its row."""

    async def told(loop: VirtualLoop) -> None:
        desk = Desk(loop, place, policy)
        async with desk.b:
            await story(desk)
            for line in desk.b.store.runs():
                assert fold(journal(desk.b, line.state.run)) == line.state

    run_virtual(told)


def test_a_write_waits_holds_nothing_and_is_made_once_when_it_is_approved() -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert (waiting.status, waiting.stop, waiting.answer) == (Status.WAITING, None, None)
        (question,) = desk.b.approvals.pending()
        assert (question.approval, question.summary) == (waiting.approval, "Refund 40 for order 7")
        assert (dict(question.arguments), question.by, question.until) == (
            {"order": "7", "amount": 40}, "eve", waiting.until,
        )  # fmt: skip
        state = desk.b.store.recorded(waiting.run_id).state
        assert (dict(state.held), desk.b.store.driver(waiting.run_id), desk.made) == ({}, "", ["read 7"])
        await desk.b.approvals.answer(question.approval, "approve", "ann")
        result = await desk.later()
        assert (result.run_id, result.status, result.answer) == (waiting.run_id, Status.OK, "refunded 40")
        assert desk.made == ["read 7", "refund 7 40"]  # the read was remembered
        kinds = [type(event) for event in journal(desk.b, result.run_id)]
        assert [kinds.count(kind) for kind in (ApprovalAsked, RunSuspended, RunResumed, RunStopped)] == [1, 1, 1, 1]
        (used,) = [e for e in journal(desk.b, result.run_id) if isinstance(e, CallAdmitted) and e.approval]
        assert f"{result.run_id}/{used.approval}" == question.approval
        assert desk.b.approvals.pending() == []

    tell(story)


@pytest.mark.parametrize(
    ("answer", "more", "came", "made"),
    [
        ("approve", {}, "refunded 40", ["refund 7 40"]),
        ("accept", {}, "refunded 40", ["refund 7 40"]),
        ("edit", {"arguments": {"order": "7", "amount": 25}}, "refunded 25", ["refund 7 25"]),
        ("reject", {"said": "not twice"}, "order 7: approval_denied: not twice", []),
        ("decline", {"said": "no"}, "order 7: approval_denied: no", []),
        ("cancel", {"said": "no"}, "order 7: approval_denied: no", []),
        ("respond", {"said": "paid by hand"}, "order 7: approval_denied: paid by hand", []),
    ],
)
def test_each_answer_has_its_end(answer: str, more: dict[str, object], came: str, made: list[str]) -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert waiting.approval is not None
        await desk.b.approvals.answer(waiting.approval, answer, "ann", **more)  # type: ignore[arg-type]  # as given
        assert ((await desk.later()).answer, desk.made) == (came, ["read 7", *made])

    tell(story)


@pytest.mark.parametrize(
    ("answer", "by", "more", "said"),
    [
        ("approve", "eve", {}, "eve asked for this run, so somebody else has to answer"),
        ("reject", "ann", {}, "say why"),
        ("perhaps", "ann", {}, "is no answer; one is approve, edit, reject, respond, accept"),
        ("edit", "ann", {}, "an edit comes with its arguments"),
        ("approve", "ann", {"arguments": {}}, "an edit comes with its arguments"),
        ("edit", "ann", {"arguments": {"order": "7", "amount": 41}}, "amount was 40 and would be 41"),
        ("edit", "ann", {"arguments": {"order": "7", "amount": -41}}, "amount was 40 and would be -41"),
        ("edit", "ann", {"arguments": {"order": "7", "amount": -40}}, "amount was 40 and would be -40"),
        ("edit", "ann", {"arguments": {"order": "7", "amount": "all"}}, "the tool does not take these arguments"),
        ("edit", "ann", {"arguments": {"order": "7"}}, "the tool does not take these arguments"),
        ("edit", "ann", {"arguments": {"order": float("nan"), "amount": 1}}, "the arguments are no JSON"),
    ],
)
def test_an_answer_that_is_not_taken_changes_nothing(answer: str, by: str, more: dict[str, object], said: str) -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert waiting.approval is not None
        before = journal(desk.b, waiting.run_id)
        with pytest.raises(BadAnswer, match=said):
            await desk.b.approvals.answer(waiting.approval, answer, by, **more)  # type: ignore[arg-type]  # as given
        assert journal(desk.b, waiting.run_id) == before
        assert (await desk.later()).status is Status.WAITING

    tell(story)


@pytest.mark.parametrize("named", ["nonsense", "r-1/c1", "/c1", ""])
def test_an_approval_that_is_not_there_is_a_sentence(named: str) -> None:
    async def story(desk: Desk) -> None:
        await desk.asked()
        with pytest.raises(BadAnswer, match=r"names no approval|there is no run"):
            await desk.b.approvals.answer(named, "approve", "ann")

    tell(story)


def test_who_clicks_twice_is_told_what_was_said_first() -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert waiting.approval is not None
        await desk.b.approvals.answer(waiting.approval, "reject", "ann", said="no")
        with pytest.raises(BadAnswer, match="answered before: reject by ann"):
            await desk.b.approvals.answer(waiting.approval, "approve", "bob")
        assert (await desk.later()).answer == "order 7: approval_denied: no"
        with pytest.raises(BadAnswer, match=r"nothing waits under .* The run has ended"):
            await desk.b.approvals.answer(waiting.approval, "approve", "bob")
        assert desk.made == ["read 7"]

    tell(story)


def test_a_question_that_nobody_answers_expires_and_its_run_goes_on_without() -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert waiting.until is not None
        await at(desk.loop, desk.loop.time() + EXPIRES_AFTER / 1_000 - 60)
        assert (await desk.asked()).status is Status.WAITING
        await at(desk.loop, desk.loop.time() + 62)
        result = await desk.asked()
        assert result.answer == "order 7: approval_expired: "
        assert desk.made == ["read 7"]
        assert desk.b.store.recorded(result.run_id).state.deadline > waiting.until  # waiting is not working

    tell(story)


def test_an_answer_that_comes_too_late_is_not_taken() -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert waiting.approval is not None
        for task in desk.b._tasks:  # they would be faster
            task.cancel()
        await at(desk.loop, desk.loop.time() + EXPIRES_AFTER / 1_000)
        with pytest.raises(BadAnswer, match="expired; the same request asks again"):
            await desk.b.approvals.answer(waiting.approval, "approve", "ann")

    tell(story)


def test_an_approval_survives_its_process(tmp_path: Path) -> None:
    place, run = f"sqlite:///{tmp_path}/b.db", list[RunResult]()

    async def asks(desk: Desk) -> None:
        run.append(await desk.asked())

    async def answers(desk: Desk) -> None:
        assert run[0].approval is not None
        await desk.b.approvals.answer(run[0].approval, "approve", "ann")
        result = await desk.later()
        assert (result.run_id, result.answer, desk.made) == (run[0].run_id, "refunded 40", ["refund 7 40"])

    tell(asks, place)
    tell(answers, place)


def test_what_is_made_is_what_was_shown_or_it_is_asked_again() -> None:
    """The step comes back with another amount after the approval of the first."""
    other = Flow("swaps", state=dict)
    amounts = iter([40, 99, 99])

    @other.step()
    async def swap(run: Run, state: object) -> object:
        return (await run.call("refund.create", {"order": "7", "amount": next(amounts)})).value

    async def story(desk: Desk) -> None:
        waiting = await desk.b.run(other, {}, by="eve", key="swap")
        assert waiting.approval is not None
        await desk.b.approvals.answer(waiting.approval, "approve", "ann")
        await at(desk.loop, desk.loop.time() + 2)
        again = await desk.b.run(other, {}, by="eve", key="swap")
        assert (again.status, desk.made) == (Status.WAITING, [])
        assert again.approval not in (None, waiting.approval)

    tell(story)


def test_an_approval_is_used_up_by_the_call_that_it_allowed() -> None:
    twice = Flow("twice", state=dict)

    @twice.step()
    async def both(run: Run, state: object) -> object:
        return [(await run.call("refund.create", {"order": "7", "amount": 1})).value for _ in range(2)]

    async def story(desk: Desk) -> None:
        for number in range(2):
            waiting = await desk.b.run(twice, {}, by="eve", key="t")
            assert waiting.approval is not None
            await desk.b.approvals.answer(waiting.approval, "approve", "ann")
            await at(desk.loop, desk.loop.time() + 2)
            assert len(desk.made) == number + 1
        assert (await desk.b.run(twice, {}, by="eve", key="t")).status is Status.OK

    tell(story)


def test_a_model_whose_write_waits_goes_on_where_it_was() -> None:
    asks = Flow("asks", state=dict)
    asks.investigate("ask", model="m", goal="Refund 7.", tools=["order.read", "refund.create"])
    uses = ToolUse("1", "order.read", '{"order": "7"}'), ToolUse("2", "refund.create", '{"order":"7","amount":3}')
    turns = [Turn(uses=uses), Turn("done")]
    policy = replace(POLICY, models={"m": ModelPrice(1, 1)})

    async def told(loop: VirtualLoop) -> None:
        desk = Desk(loop, policy=policy, model=ScriptedModel(turns))
        async with desk.b as b:
            waiting = await b.run(asks, {}, by="eve", key="i")
            assert (waiting.status, desk.made) == (Status.WAITING, ["read 7"])
            assert waiting.approval is not None
            await b.approvals.answer(waiting.approval, "approve", "ann")
            await at(loop, loop.time() + 2)
            result = await b.run(asks, {}, by="eve", key="i")
            assert (result.answer, desk.made) == ("done", ["read 7", "refund 7 3"])
            assert result.spent[MODEL_CALLS] == 2

    run_virtual(told)


def test_an_attached_loop_is_left_and_comes_back_with_its_key() -> None:
    async def story(desk: Desk) -> None:
        async with desk.b.attach(agent="theirs", by="eve", key="a") as run:
            await run.call("order.read", {"order": "7"})
            await run.call("refund.create", {"order": "7", "amount": 5})
            raise AssertionError("the call waits")
        assert (run.result.status, desk.made) == (Status.WAITING, ["read 7"])
        assert run.result.approval is not None
        await desk.b.approvals.answer(run.result.approval, "approve", "ann")
        still = await asyncio.wait_for(desk.b.workroom.recovery.wait_for(run.result.run_id), 20)
        assert still.status is Status.WAITING  # for its loop, which alone can go on
        async with desk.b.attach(agent="theirs", by="eve", key="a") as run:
            await run.call("order.read", {"order": "7"})
            done = await run.call("refund.create", {"order": "7", "amount": 5})
            run.finish(answer=done.value)
        assert (run.result.answer, desk.made) == ("refunded 5", ["read 7", "refund 7 5"])

    tell(story)


def test_a_run_that_waits_can_be_cancelled_and_its_question_goes_with_it() -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert waiting.approval is not None
        result = await desk.b.cancel(waiting.run_id, "ann")
        assert result.stop is not None
        assert result.stop.reason is StopReason.CANCELLED
        assert desk.b.approvals.pending() == []
        with pytest.raises(BadAnswer, match="The run has ended"):
            await desk.b.approvals.answer(waiting.approval, "approve", "ann")
        assert desk.made == ["read 7"]

    tell(story)


def test_a_rule_of_the_policy_says_which_arguments_a_person_sees() -> None:
    large = '{"properties":{"amount":{"exclusiveMinimum":50}},"required":["amount"]}'
    policy = Policy(
        allow=POLICY.allow, limits=Limits(max_tool_calls=9), require_approval=False,
        tools={ToolName("refund.create"): ToolRule(approval=large)},
    )  # fmt: skip

    async def story(desk: Desk) -> None:
        small = await desk.b.run(FLOW, {"order": "7", "amount": 50}, by="eve", key="small")
        assert small.answer == "refunded 50"
        assert (await desk.b.run(FLOW, {"order": "7", "amount": 51}, by="eve", key="large")).status is Status.WAITING

    tell(story, policy=policy)


async def test_two_people_who_answer_at_once_are_one_answer() -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        assert waiting.approval is not None
        answers = [desk.b.approvals.answer(waiting.approval, "approve", name) for name in ("ann", "bob", "cat")]
        told = await asyncio.gather(*answers, return_exceptions=True)
        assert sorted(type(error).__name__ for error in told) == ["BadAnswer", "BadAnswer", "str"]

    await asyncio.to_thread(tell, story)


def test_the_events_of_a_run_that_waits_end_and_go_on_after_the_answer() -> None:
    """Sabotage: let `followed` look only for the end, and this never ends."""

    async def story(desk: Desk) -> None:
        waiting = await desk.asked()
        async with asyncio.timeout(60):
            seen = [number async for number, _ in desk.b.events(waiting.run_id)]
        assert len(seen) == desk.b.store.recorded(waiting.run_id).state.seq
        assert waiting.approval is not None
        await desk.b.approvals.answer(waiting.approval, "approve", "ann")
        rest = [event async for _, event in desk.b.events(waiting.run_id, seen[-1])]
        assert isinstance(rest[-1], RunStopped)
        assert len(seen) + len(rest) == desk.b.store.recorded(waiting.run_id).state.seq

    tell(story)
