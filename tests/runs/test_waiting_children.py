"""A child that waits for a person: its parent waits too, and goes on when the child has ended."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.rules.names import Millis
from bridle.rules.policy import Policy
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.runs.signals import Held
from tests.runs.family import EQUAL_PARTS, POLICY, a_house, mails, parent_of, reads, settled_up


@pytest.fixture
async def b() -> AsyncIterator[Bridle]:
    async with a_house() as house:
        yield house


async def swept(b: Bridle, run: str) -> RunResult:
    """What comes of a run that nobody asks for, once the house has looked after what is due."""
    for _ in range(3):
        await b.workroom.recovery.recover()
        await asyncio.gather(*b.workroom.working.values())
    return await b.result(run)


async def test_a_parent_waits_with_its_child_for_a_person_and_both_go_on(b: Bridle) -> None:
    waiting = await b.run(parent_of(mails()), {})
    assert waiting.status == "waiting"
    assert waiting.approval is not None
    assert not waiting.approval.startswith(waiting.run_id)
    assert b.store.orphans(b._world.now()) == []  # nothing is due, and nobody looks at it every half second
    await b.approvals.answer(waiting.approval, "approve", by="bob")
    result = await swept(b, waiting.run_id)
    assert isinstance(result.answer, list)
    assert result.answer[1:] == ["ok", "ok", "sent ann"]
    settled_up(b)


async def test_a_child_that_nobody_answered_ends_and_its_parent_goes_on() -> None:
    policy = Policy(allow=POLICY.allow, limits=POLICY.limits, expire_after=Millis(-1))  # nobody can be as fast
    async with a_house(policy) as b:
        flow = parent_of(mails())
        await b.run(flow, {})
        result = await b.run(flow, {})
        assert isinstance(result.answer, list)
        assert result.answer[2] == "approval_expired"
        settled_up(b)


async def test_a_waiting_parent_that_is_cancelled_takes_its_child_along(b: Bridle) -> None:
    waiting = await b.run(parent_of(mails()), {})
    result = await b.cancel(waiting.run_id)
    assert result.status == "cancelled"
    settled_up(b)
    assert b.approvals.pending() == []


async def test_a_house_that_knows_only_the_parent_goes_on_with_the_child(tmp_path: Path) -> None:
    store, flow = f"sqlite:///{tmp_path / 'b.db'}", parent_of(mails())
    async with a_house(store=store) as b:
        waiting = await b.run(flow, {}, key="k")
        assert waiting.approval is not None
        await b.approvals.answer(waiting.approval, "approve", by="bob")
    b = a_house(store=store)
    b.register(flow)
    async with b:
        result = await swept(b, waiting.run_id)
        assert isinstance(result.answer, list)
        assert result.answer[1:] == ["ok", "ok", "sent ann"]
        settled_up(b)


async def test_two_children_of_which_one_waits_both_end(b: Bridle) -> None:
    flow, child, other = Flow("parent", state=dict), mails(), reads(2)

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> object:
        found = await asyncio.gather(
            run.child(child, {}, budgets=EQUAL_PARTS), run.child(other, {}, budgets=EQUAL_PARTS)
        )
        return [one.answer for one in found]

    waiting = await b.run(flow, {})
    assert waiting.status == "waiting"
    await b.approvals.answer(str((await b.result(waiting.run_id)).approval), "approve", by="bob")
    result = await b.run(flow, {})  # who asks again is told how it ended
    assert result.run_id == waiting.run_id
    assert result.answer == ["sent ann", [1, 2]]
    assert len(b.store.runs()) == 3
    settled_up(b)


async def test_a_waiting_child_is_ended_when_the_step_goes_on_without_it(b: Bridle) -> None:
    flow = Flow("parent", state=dict)

    @flow.step(to=["last"])
    async def first(run: Run, state: dict[str, object]) -> str:
        await asyncio.gather(run.child(mails(), {}), return_exceptions=True)  # it swallows that it is to wait
        return "last"

    @flow.step()
    async def last(run: Run, state: dict[str, object]) -> object:
        return (await run.call("kb.read", {"doc": 1})).value

    result = await b.run(flow, {})
    assert (result.status, result.answer) == ("ok", 1)
    settled_up(b)


async def test_a_branch_whose_child_ends_while_its_run_waits_is_told_that_it_waits(b: Bridle) -> None:
    flow, child, gate = Flow("parent", state=dict), Flow("child", state=dict), asyncio.Event()
    branches: list[asyncio.Future[RunResult]] = []

    @child.step()
    async def wait(run: Run, state: dict[str, object]) -> object:
        return await gate.wait()

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> object:
        branches.append(asyncio.ensure_future(run.child(child, {}, budgets=EQUAL_PARTS)))
        return [(await run.child(mails(), {}, budgets=EQUAL_PARTS)).answer, (await branches[-1]).answer]

    waiting = await b.run(flow, {})
    gate.set()
    (held,) = await asyncio.gather(*branches, return_exceptions=True)
    assert isinstance(held, Held)
    await b.approvals.answer(str(waiting.approval), "approve", by="bob")
    assert (await swept(b, waiting.run_id)).answer == ["sent ann", True]
    settled_up(b)


async def test_a_parent_that_waits_begins_no_other_child(b: Bridle) -> None:
    flow, gate, branches = Flow("parent", state=dict), asyncio.Event(), []

    @flow.step()
    async def ask(run: Run, state: dict[str, object]) -> object:
        async def later() -> object:
            await gate.wait()
            return await run.child(reads(1), {}, budgets=EQUAL_PARTS)

        branches.append(asyncio.ensure_future(later()))
        return (await run.child(mails(), {}, budgets=EQUAL_PARTS)).answer

    waiting = await b.run(flow, {})
    assert waiting.status == "waiting"
    gate.set()
    (held,) = await asyncio.gather(*branches, return_exceptions=True)
    assert isinstance(held, Held)
    assert len(b.store.runs()) == 2
    await b.cancel(waiting.run_id)
    settled_up(b)
