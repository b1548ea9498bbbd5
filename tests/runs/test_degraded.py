"""Degraded runs: what is off is not offered, the model is told, and an answer without it says what is missing."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import pytest

from bridle.bridle import Bridle
from bridle.rules.events import CallRefused, Event, LadderMoved, ToolsWithheld
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.health import Rung
from bridle.rules.names import USD_NANO, Millis, TenantId, UsdNanos
from bridle.rules.policy import Cap, Enforcement, Level, ModelPrice, Policy, Window
from bridle.rules.prompt import Finish, ModelReply, ModelRequest, Role, ToolUse, Usage
from bridle.rules.stop import Status, StopReason
from bridle.runs.flow import Flow
from bridle.runs.pinned import WRAP_UP
from bridle.runs.result import RunResult
from bridle.testing.fake_tool import Fails, FakeTool, Returns
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world
from tests.gateway.house import allowing, asking, at, journal

NAME = "sim:m"
FREE = {NAME: ModelPrice(1, 1)}
DOWN = Fails(FailureKind.UNAVAILABLE)


@dataclass
class Asker:
    """A model that calls `first` so many times while it is offered, and then answers; it keeps what it saw."""

    first: str = "kb.read"
    times: int = 9
    name: str = NAME
    seen: list[ModelRequest] = field(default_factory=list)
    stubborn: bool = False

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        self.seen.append(request)
        asked = sum(message.role is Role.ASSISTANT for message in request.messages)
        offered = self.stubborn or self.first in [offer.name for offer in request.offers]
        if asked < self.times and offered:
            use = ToolUse("u", self.first, f'{{"n": {len(self.seen)}}}')
            return ModelReply("", (use,), Usage(10, 10), Finish.TOOL_CALLS)
        return ModelReply("what I have", (), Usage(10, 10))

    async def aclose(self) -> None:
        """Nothing to give back."""

    def offers(self) -> list[str]:
        """The tools of each request."""
        return [" ".join(offer.name for offer in request.offers) for request in self.seen]

    def notes(self) -> list[str]:
        """What stood below the pinned segment of each request."""
        return [request.messages[0].text.removeprefix(request.pinned).strip() for request in self.seen]


Story = Callable[[Bridle, VirtualLoop, Asker], Coroutine[object, object, None]]


def telling(story: Story, policy: Policy, model: Asker) -> None:
    """Tell a story of a house with this model, in virtual time."""

    async def told(loop: VirtualLoop) -> None:
        async with Bridle(policy, ":memory:", models={NAME: model}, world=virtual_world(loop)) as b:
            await story(b, loop, model)

    run_virtual(told)


async def looked(b: Bridle, number: int = 0, tenant: str = "acme", tools: str = "kb.read other.read") -> RunResult:
    """One run: an investigation with these tools."""
    flow = Flow("look")
    flow.investigate("look", model=NAME, goal="what? {n}", tools=tools.split())
    return await b.run(flow, {"n": number}, tenant=tenant)


def told(b: Bridle, result: RunResult) -> list[Event]:
    """What its journal says of the ladder."""
    return [event for event in journal(b, result.run_id) if isinstance(event, LadderMoved | ToolsWithheld)]


def declared(b: Bridle, tool: FakeTool, **labels: object) -> None:
    """The tool of the story, and one that is always well."""
    b.declare("kb.read", tool, effect="read", reuse="never", **labels)  # type: ignore[arg-type]  # as given
    b.declare("other.read", FakeTool({"n": int}, Returns("well")), effect="read")


READING = allowing("kb.read", "other.read", models=FREE)


def test_a_tool_that_went_down_is_not_offered_any_more_and_the_answer_is_degraded() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        tool = FakeTool({"n": int}, DOWN)
        declared(b, tool)
        result = await looked(b)
        assert len(tool.calls) == 5
        assert model.offers() == ["kb.read other.read"] * 4 + ["other.read"]
        assert model.notes()[:-1] == [""] * 4
        assert model.notes()[-1].startswith("Not offered now: kb.read (until 2026-01-01 00:01 UTC). Do without")
        assert len(model.notes()[-1].splitlines()) == 1
        assert (result.status, result.answer, result.partial) == (Status.OK, "what I have", None)
        assert result.stop is not None
        assert (result.stop.reason, dict(result.stop.detail)) == (StopReason.OK_DEGRADED, {"missing": "kb.read"})
        assert (result.missing, result.to_dict()["missing"]) == (("kb.read",), ["kb.read"])
        assert result.stop.text() == "The run answered without kb.read."
        moved, off = told(b, result)
        assert isinstance(moved, LadderMoved)
        assert (moved.dependency, moved.was, moved.now) == ("kb.read", Rung.NORMAL, Rung.READS_ONLY)
        assert isinstance(off, ToolsWithheld)
        assert off.off == {"kb.read": moved.until}

    telling(story, READING, Asker())


def test_the_runs_after_it_are_not_offered_it_from_the_start_and_other_tenants_are() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        tool = FakeTool({"n": int}, DOWN)
        declared(b, tool)
        await looked(b)
        model.seen.clear()
        result = await looked(b, 1)
        assert model.offers() == ["other.read"]
        assert (result.tool_calls, result.missing) == (0, ("kb.read",))
        model.seen.clear()
        await looked(b, 1, tenant="umbrella")
        assert model.offers()[0] == "kb.read other.read"

    telling(story, READING, Asker())


def test_after_a_minute_one_probe_brings_it_back_and_it_is_offered_in_the_very_next_request() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        declared(b, FakeTool({"n": int}, Fails(FailureKind.UNAVAILABLE, times=5), Returns("text")))
        await looked(b)
        model.seen.clear()
        await at(loop, 70)
        model.times = 2
        result = await looked(b, 1)
        assert model.offers() == ["kb.read other.read"] * 3
        assert model.notes() == [""] * 3
        assert result.stop is not None
        assert (result.stop.reason, result.missing) == (StopReason.OK, ())
        (moved,) = told(b, result)
        assert isinstance(moved, LadderMoved)
        assert (moved.was, moved.now) == (Rung.READS_ONLY, Rung.CAREFUL), "it is not expensive, so it goes on"
        await at(loop, 140)
        (moved,) = told(b, await looked(b, 2))
        assert isinstance(moved, LadderMoved)
        assert (moved.was, moved.now, moved.until) == (Rung.CAREFUL, Rung.NORMAL, 0)
        assert told(b, await looked(b, 3)) == []

    telling(story, READING, Asker())


def test_while_a_probe_is_out_nobody_else_is_offered_it() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        slow = Returns("text", after=Millis(5_000))
        declared(b, FakeTool({"n": int}, Fails(FailureKind.UNAVAILABLE, times=5), slow))
        await looked(b)
        await at(loop, 70)
        model.seen.clear()
        model.times = 1
        probe = asyncio.create_task(looked(b, 1))
        await at(loop, 72)
        await looked(b, 2)
        assert model.offers() == ["kb.read other.read", "other.read"]
        await probe

    telling(story, READING, Asker())


def test_what_the_policy_says_stands_in_front_unchanged_while_tools_come_and_go() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        declared(b, FakeTool({"n": int}, DOWN))
        await looked(b)
        assert len({request.pinned for request in model.seen}) == 1
        assert "Tools: kb.read, other.read." in model.seen[-1].pinned

    telling(story, READING, Asker())


def test_a_model_that_asks_for_what_it_is_not_offered_is_refused() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        tool = FakeTool({"n": int}, DOWN)
        declared(b, tool)
        result = await looked(b)
        assert len(tool.calls) == 5
        refused = [event for event in journal(b, result.run_id) if isinstance(event, CallRefused)]
        assert {event.reason for event in refused} == {StopReason.TOOL_UNAVAILABLE}
        assert result.missing == ("kb.read",)

    telling(story, READING, Asker(stubborn=True))


def test_what_is_slow_and_expensive_is_left_alone_for_a_minute() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        usual, slow = Returns("text", times=20), Returns("text", after=Millis(8_000))
        declared(b, FakeTool({"n": int}, usual, slow), expensive=True)
        async with b.attach(agent="teacher", tenant="acme") as run:
            await asking(run, *(f"kb.read n={n}" for n in range(20)))
            await asking(run, "kb.read n=20", "kb.read n=21")
        result = await looked(b)
        assert model.offers() == ["other.read"]
        assert result.missing == ("kb.read",)
        await at(loop, loop.time() + 60)
        model.seen.clear()
        await looked(b, 1)
        both = "kb.read other.read"  # twice: how a read ended is written with the request after it
        assert model.offers()[:3] == [both, both, "other.read"], "the first answer was slow again"

    telling(story, READING, Asker())


def test_a_tenant_near_the_end_of_its_day_only_reads_and_is_told_to_finish() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        declared(b, FakeTool({"n": int}, Returns("x" * 40_000)))
        b.declare("note.write", FakeTool({"n": int}, Returns("text")), effect="write")
        b.declare("page.get", FakeTool({"n": int}, Returns("text")), effect="egress")
        tools = "kb.read note.write page.get"
        b.declare("pay.read", FakeTool({"n": int}, Returns("text")), effect="read", cost="$0.50")
        async with b.attach(agent="spender", tenant="acme") as run:
            await asking(run, "pay.read n=1", "pay.read n=2")
            await asking(run, "other.read n=2", "pay.read n=3")
        result = await looked(b, tools=tools)
        assert model.offers()[0] == "kb.read"
        assert WRAP_UP not in model.notes()[0], "its first admission is what tells"
        assert "note.write (until 2026-01-01 00:01 UTC), page.get (until" in model.notes()[0]
        assert WRAP_UP in model.notes()[1]
        assert len(model.seen[1].messages[-1].text) < 5_000, "a quarter of an observation is shown"
        assert result.missing == ("note.write", "page.get")
        moved = [event for event in journal(b, run.id) if isinstance(event, LadderMoved)]
        assert [(event.dependency, event.now) for event in moved] == [("", Rung.READS_ONLY)]
        model.seen.clear()
        await looked(b, 1, tenant="umbrella", tools=tools)
        assert model.offers()[0] == tools

    caps = (Cap(Level.TENANT, USD_NANO, Window.DAY, UsdNanos(1_040_000_000), "acme"),)
    allowed = allowing("kb.read", "other.read", "note.write", "page.get", "pay.read", models=FREE, caps=caps)
    telling(story, allowed, Asker(times=2))


def test_in_observe_mode_nothing_is_withheld() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        tool = FakeTool({"n": int}, DOWN)
        declared(b, tool)
        await looked(b)
        assert set(model.offers()) == {"kb.read other.read"}
        assert set(model.notes()) == {""}

    observing = allowing("kb.read", "other.read", models=FREE, enforcement=Enforcement.OBSERVE)
    telling(story, observing, Asker())


@pytest.mark.parametrize("patience", ["soon", -(10**9), 10**30, 1.5, True, None])
def test_whatever_a_tool_says_of_its_patience_the_run_goes_on(patience: object) -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        async def read(n: int) -> str:
            raise CallFailed(FailureKind.RATE_LIMITED, "slow down", retry_after=patience)  # type: ignore[arg-type]  # a tool's own words

        b.declare("kb.read", read, effect="read")
        async with b.attach(agent="a", tenant="acme") as run:
            (outcome,) = await asking(run, "kb.read n=1")
            assert getattr(outcome, "reason", None) is StopReason.RATE_LIMITED
        health = b.store.health(TenantId("acme"), "kb.read")
        assert health.rung(b.store.recorded(run.id).state.last_at) is Rung.NORMAL
        assert health.failures == 0
        assert loop.time() < 60

    telling(story, READING, Asker())


def test_a_step_that_finds_another_way_answers_degraded_too() -> None:
    async def story(b: Bridle, loop: VirtualLoop, model: Asker) -> None:
        declared(b, FakeTool({"n": int}, Fails(FailureKind.CRASHED), Returns("text")))
        async with b.attach(agent="a") as run:
            await asking(run, "kb.read n=1")
            run.finish(answer="without it")
        assert (run.result.status, run.result.missing) == (Status.OK, ("kb.read",))
        async with b.attach(agent="a") as run:
            await asking(run, "kb.read n=2")
            run.finish(answer="with it")
        assert run.result.stop is not None
        assert (run.result.stop.reason, run.result.missing) == (StopReason.OK, ())

    telling(story, READING, Asker())
