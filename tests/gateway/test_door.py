"""One door: nothing is performed before a decision is durable, and one decision is one call."""

import asyncio
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.gateway.perform import Permit, PermitUsed, perform
from bridle.rules.events import CallAdmitted, CallSettled
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import CallId, Effect, Millis, ToolName
from bridle.rules.policy import Enforcement, Limits, Policy
from bridle.rules.stop import StopReason
from bridle.runs.run import Run
from bridle.runs.signals import Denied
from bridle.store.base import Transaction
from bridle.store.memory import MemoryStore
from bridle.store.sqlite import SqliteStore
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.house import TOOLS, allowing, asking, furnished, journal, observations, refusals, virtually


@pytest.mark.parametrize("effect", ["read", "egress", "write"])
@pytest.mark.parametrize("company", [0, 3])
async def test_a_decision_is_durable_before_the_body_of_a_tool_runs(tmp_path: Path, effect: str, company: int) -> None:
    """Seen by another reader of the file, from inside the tool."""
    path, seen = tmp_path / "bridle.db", list[CallAdmitted]()

    async with Bridle(allowing("any.thing"), f"sqlite:///{path}") as b:

        @b.tool("any.thing", effect=effect)
        async def thing(n: int) -> int:
            reader = SqliteStore(path, read_only=True)
            for line in reader.runs():
                seen.extend(event for event in journal_of(reader, line.state.run) if isinstance(event, CallAdmitted))
            await reader.close()
            return n

        async def one(number: int) -> None:
            async with b.attach(agent="a") as run:
                await run.call("any.thing", {"n": number})
                assert any(event.call == "c1" and event.effect is Effect(effect) for event in seen)

        await asyncio.gather(*(one(number) for number in range(1 + company)))
        assert all(event.schema and event.args and event.hold for event in seen)


async def all_of(run: Run, calls: list[str]) -> None:
    for call in calls:
        await asking(run, call)


def journal_of(store: SqliteStore, run: object) -> list[object]:
    return [entry.event for entry in store.journal(run)]  # type: ignore[arg-type]  # a run id


async def test_a_permit_opens_the_door_once() -> None:
    permit, made = Permit(CallId("c1"), Millis(1_000)), list[int]()

    async def work() -> object:
        made.append(1)
        return "done"

    assert (await perform(permit, work, Millis(0))).value == "done"
    with pytest.raises(PermitUsed, match="c1"):
        await perform(permit, work, Millis(0))
    assert made == [1]


@pytest.mark.parametrize("tool", ["kb.read", "mail.send"])
def test_without_a_journal_nothing_is_performed(tool: str) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)

        async def broken(fn: object) -> object:
            raise ControlUnavailable("the disk is gone")

        async with b.attach(agent="a") as run:
            whole = b.store.transact
            b.store.transact = broken  # type: ignore[method-assign, assignment]  # the disk goes away
            with pytest.raises(ControlUnavailable):
                await asking(run, "kb.read doc=1" if tool == "kb.read" else "mail.send to=ann")
            b.store.transact = whole  # type: ignore[method-assign]  # and comes back
            assert calls.made == []
            await asking(run, "kb.read doc=2")
        assert calls.made == ["kb.read(2)"]

    virtually(story, allowing(*TOOLS))


async def test_a_disk_that_is_full_stops_the_next_call_and_not_the_process(tmp_path: Path) -> None:
    """SQLite's own limit on the size of a file stands for the disk."""
    async with Bridle(allowing(*TOOLS), f"sqlite:///{tmp_path / 'bridle.db'}") as b:
        calls = furnished(b)
        assert isinstance(b.store, SqliteStore)
        async with b.attach(agent="a") as run:
            await run.call("kb.read", {"doc": 1})
            pages = b.store._write.execute("PRAGMA page_count").fetchone()[0]
            b.store._write.execute(f"PRAGMA max_page_count = {pages}")
            fill = [f"search.read q={'x' * 3_000}{number}" for number in range(200)]
            with pytest.raises(ControlUnavailable, match="full"):
                await all_of(run, fill)
            made = len(calls.made)
            with pytest.raises(ControlUnavailable):
                await asking(run, f"mail.send to={'y' * 3_000}")
            assert len(calls.made) == made
            b.store._write.execute("PRAGMA max_page_count = 1000000")
            await asking(run, "mail.send to=ann")
            assert calls.made[-1] == "mail.send(ann)"
        assert run.result.stop is not None
        assert run.result.stop.reason is StopReason.OK


def test_a_check_that_cannot_be_evaluated_is_a_refusal() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)

        def damage(tx: Transaction) -> None:
            raise ValueError("not a level")

        async with b.attach(agent="a") as run:
            await b.kill("writes", by="ann", because="an incident")
            assert isinstance(b.store, MemoryStore)
            with b.store.switches._writing() as db:
                db.execute("UPDATE switches SET level = 'perhaps'")
            with pytest.raises(Exception, match="perhaps"):
                await asking(run, "kb.read doc=1")
            with b.store.switches._writing() as db:
                db.execute("DELETE FROM switches")
            with pytest.raises(ValueError, match="not a level"):
                await b.store.transact(damage)
        assert calls.made == []

    virtually(story, allowing(*TOOLS))


def observing(policy: Policy) -> Policy:
    return allowing(*policy.allow, limits=policy.limits, enforcement=Enforcement.OBSERVE, require_approval=True)


def test_observe_mode_lets_pass_and_writes_down_what_it_would_have_refused() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        async with b.attach(agent="a") as run:
            for call in ("kb.read doc=1", "page.get url=x", "mail.send to=ann"):
                assert observations(await asking(run, call)), call
            passed = [event.also for event in journal(b, run.id) if isinstance(event, CallAdmitted)]
            assert passed == [(), ("tool_denied",), ("approval_required",)]
        assert len(calls.made) == 3

    virtually(story, observing(allowing("kb.read", "mail.send")))


@pytest.mark.parametrize("call", ["no.such_tool n=1", "kb.raed doc=1", "zzzz", "kb.read doc=one", "kb.read"])
def test_observe_mode_cannot_perform_what_is_not_there_or_does_not_fit(call: str) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        async with b.attach(agent="a") as run:
            assert refusals(await asking(run, call))
            assert observations(await asking(run, "kb.read doc=1"))
        assert calls.made == ["kb.read(1)"]

    virtually(story, observing(allowing("kb.read")))


def test_observe_mode_counts_and_pays_beyond_the_limits() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        async with b.attach(agent="a") as run:
            outcomes = await asking(run, *(f"search.read q=w{n}" for n in range(6)))
            assert len(observations(outcomes)) == 6
        assert run.result.tool_calls == 6
        assert run.result.stop is not None
        assert run.result.stop.reason is StopReason.OK

    virtually(story, observing(allowing("search.read", limits=Limits(max_tool_calls=2))))


def test_a_write_counts_as_one_under_a_policy_that_narrows_its_tool() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        async with b.attach(agent="a") as run:
            with pytest.raises(Denied, match="policy_denied"):
                await run.call("mail.send", {"to": "ann"})
            settled = [event for event in journal(b, run.id) if isinstance(event, CallSettled)]
            assert settled == []

    virtually(story, Policy(allow=frozenset({ToolName("mail.send")})))
