"""Running a flow: its typed state, its steps, its limits, its keys, and the one reason with which it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from bridle.bridle import Bridle
from bridle.gateway.world import World
from bridle.rules.events import CallInDoubt, RunStopped
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import STEPS, Millis
from bridle.rules.policy import Limits, Policy
from bridle.rules.stop import StopReason
from bridle.runs.flow import Flow
from bridle.runs.run import Run
from bridle.runs.signals import Denied, Stop
from bridle.testing.fake_tool import FakeTool, Returns
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.house import TOOLS, allowing, at, furnished, journal, virtually

DAY = 86_400_000  # milliseconds


@dataclass
class Question:
    """What a run is asked."""

    text: str
    depth: int = 1
    found: list[str] = field(default_factory=list)


def one_step(name: str = "answers") -> Flow:
    flow = Flow(name, state=Question)

    @flow.step()
    async def ask(run: Run, state: object) -> object:
        assert isinstance(state, Question)
        return (await run.call("search.read", {"q": state.text})).value

    return flow


def reason(b: Bridle, run: str) -> StopReason | None:
    return next(line.reason for line in b.store.runs() if line.state.run == run)


def test_a_typed_state_goes_from_step_to_step_and_is_kept() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        flow = Flow("answers", state=Question)

        @flow.step(to=["look", "end"], visits=3)
        async def look(run: Run, state: object) -> str:
            assert isinstance(state, Question)
            state.found.append(str((await run.call("search.read", {"q": f"{state.text}{len(state.found)}"})).value))
            return "end" if len(state.found) == state.depth else "look"

        @flow.step()
        async def end(run: Run, state: object) -> object:
            assert isinstance(state, Question)
            return {"found": state.found}

        result = await b.run(flow, {"text": "q", "depth": 2})
        assert result.answer == {"found": ["found q0", "found q1"]}
        assert (result.status, result.tool_calls, result.spent[STEPS]) == ("ok", 2, 3)
        kept = [b.store.payload(result.run_id, f"state.{n}") for n in (1, 2, 3)]
        assert [body is not None and body.count(b"found q") for body in kept] == [0, 1, 2]
        again = await b.run(flow, {"text": "q", "depth": 9})
        assert again.stop is not None
        assert (again.stop.reason, again.stop.detail) == (StopReason.NO_PROGRESS, {"tool": "look", "limit": 3})

    virtually(story, allowing(*TOOLS))


ODD: list[object] = [{}, {"text": 7}, {"text": "x", "size": 1}, "text", [1], {"text": "\ud800"}, object()]


@pytest.mark.parametrize("given", ODD)
def test_an_input_of_another_type_ends_the_run_before_its_first_step(given: object) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        result = await b.run(one_step(), given)
        if result.status == "ok":
            assert given == {"text": "x", "size": 1}  # pydantic leaves out what a dataclass does not have
            return
        assert result.stop is not None
        assert result.stop.reason is StopReason.INPUT_REJECTED
        assert calls.made == []
        assert reason(b, result.run_id) is StopReason.INPUT_REJECTED

    virtually(story, allowing(*TOOLS))


def test_a_denial_that_nobody_catches_ends_the_run_with_its_reason_and_one_that_is_caught_does_not() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        flow = Flow("answers")

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            assert isinstance(state, dict)
            try:
                await run.call("page.get", {"url": "x"})
            except Denied as denied:
                if state["catches"]:
                    return {"instead": denied.reason.value, "retryable": denied.retryable}
                raise
            return None

        caught, uncaught = await b.run(flow, {"catches": True}), await b.run(flow, {"catches": False})
        assert caught.answer == {"instead": "tool_denied", "retryable": False}
        assert uncaught.stop is not None
        assert (uncaught.status, uncaught.stop.reason) == ("stopped", StopReason.TOOL_DENIED)
        assert uncaught.stop.detail["tool"] == "page.get"

    virtually(story, allowing("kb.read"))


ANSWERS: dict[str, tuple[object, StopReason]] = {
    "text": ("x", StopReason.OK),
    "nothing": (None, StopReason.OK),
    "an object": (object(), StopReason.ANSWER_INVALID),
    "NaN": (float("nan"), StopReason.ANSWER_INVALID),
    "half a character": ("\ud800", StopReason.ANSWER_INVALID),
    "100 MB": ("x" * 100_000_000, StopReason.ANSWER_INVALID),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_whatever_a_step_returns_the_run_ends_once(what: str) -> None:
    said, wanted = ANSWERS[what]

    async def story(b: Bridle, loop: VirtualLoop) -> None:
        flow = Flow("answers")

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            return said

        result = await b.run(flow)
        assert result.stop is not None
        assert result.stop.reason is wanted
        assert sum(isinstance(event, RunStopped) for event in journal(b, result.run_id)) == 1

        async with b.attach(agent="a") as run:
            run.finish(answer=said)
        assert run.result.stop is not None
        assert run.result.stop.reason is wanted

    virtually(story, allowing())


class Mute(Exception):
    """It cannot even say what it is."""

    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    "error", [ValueError("bug"), ValueError("\ud800"), KeyError("x" * 10_000), Mute(), StopIteration()]
)
def test_whatever_a_step_raises_the_run_ends_as_an_internal_error_with_an_incident(error: Exception) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        flow = Flow("answers")

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            raise error

        result = await b.run(flow)
        assert result.stop is not None
        assert result.stop.reason is StopReason.INTERNAL_ERROR
        assert str(result.stop.detail["incident_id"]).startswith(result.run_id)
        assert len(str(result.stop.detail["error"])) <= 300

    virtually(story, allowing())


def test_a_step_that_goes_where_no_edge_leads_ends_the_run_as_not_valid() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        flow = Flow("answers")

        @flow.step(to=["end"])
        async def ask(run: Run, state: object) -> object:
            return "ende"

        @flow.step()
        async def end(run: Run, state: object) -> object:
            return None

        result = await b.run(flow)
        assert result.stop is not None
        assert result.stop.reason is StopReason.CONFIG_INVALID
        assert "'ende'" in str(result.stop.detail["error"])

    virtually(story, allowing())


def walking(b: Bridle, policy_of_step: int = 0) -> Flow:
    flow = Flow("walks")

    @flow.step(to=["walk"], visits=1_000)
    async def walk(run: Run, state: object) -> object:
        await run.call("slow.read", {"n": len(journal(b, run.id))})
        return "walk"

    return flow


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        (Limits(max_steps=4), StopReason.MAX_STEPS),
        (Limits(max_seconds=4), StopReason.MAX_SECONDS),
        (Limits(max_tool_calls=4), StopReason.MAX_TOOL_CALLS),
    ],
)
def test_a_flow_without_end_is_ended_by_its_limits(limits: Limits, wanted: StopReason) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        pages = [Returns(f"page {n}", after=Millis(1_000)) for n in range(100)]
        b.declare("slow.read", FakeTool({"n": int}, *pages), effect="read")
        result = await b.run(walking(b))
        assert result.stop is not None
        assert (result.stop.reason, result.stop.detail["limit"]) == (wanted, 4)
        assert loop.time() <= 6
        assert result.tool_calls == 4

    virtually(story, allowing("slow.read", limits=limits))


# Keys, and joining


@dataclass
class Clock:
    """A clock that is set by hand: nobody has to live through the days."""

    now: int = 1_767_225_600_000


def by_clock(story: Callable[[Bridle, Clock], Awaitable[None]], policy: Policy) -> None:
    async def told() -> None:
        clock = Clock()
        async with Bridle(policy, ":memory:", world=World(now=lambda: Millis(clock.now))) as b:
            await story(b, clock)

    asyncio.run(told())


def test_the_same_key_is_the_same_run_for_ever() -> None:
    async def story(b: Bridle, clock: Clock) -> None:
        calls, flow = furnished(b), one_step()
        first = await b.run(flow, {"text": "x"}, key="order-7")
        again = await b.run(flow, {"text": "something else"}, key="order-7")
        clock.now += 40 * DAY
        much_later = await b.run(flow, {"text": "x"}, key="order-7")
        assert first == again == much_later
        assert (await b.run(flow, {"text": "x"}, key="order-7", tenant="umbrella")).run_id != first.run_id
        assert calls.count("search.read") == 2

    by_clock(story, allowing(*TOOLS))


def test_the_same_request_joins_a_run_that_is_open_and_starts_anew_after_an_answer() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"q": str}, Returns("x", after=Millis(1_000)))
        b.declare("search.read", tool, effect="read")
        flow = one_step()
        results = await asyncio.gather(*(b.run(flow, {"text": "x"}) for _ in range(5)), b.run(flow, {"text": "y"}))
        assert len({result.run_id for result in results}) == 2
        assert len(tool.calls) == 2
        assert (await b.run(flow, {"text": "x"})).run_id not in {result.run_id for result in results}

    virtually(story, allowing("search.read"))


@pytest.mark.parametrize(("hours", "is_joined"), [(1, True), (23, True), (25, False)])
def test_for_24_hours_a_request_that_could_not_go_better_is_answered_by_the_run_before(
    hours: int, is_joined: bool
) -> None:
    async def story(b: Bridle, clock: Clock) -> None:
        furnished(b)
        first = await b.run(one_step(), {"text": "x"})
        assert first.stop is not None
        assert first.stop.reason is StopReason.TOOL_DENIED
        clock.now += hours * 3_600_000
        assert ((await b.run(one_step(), {"text": "x"})).run_id == first.run_id) is is_joined

    by_clock(story, allowing("kb.read"))


# Cancelling


@pytest.mark.parametrize("how", ["b.cancel", "the task that waits"])
@pytest.mark.parametrize(("effect", "wanted"), [("read", "cancelled"), ("write", "write_in_doubt")])
def test_a_run_that_is_cancelled_in_flight_ends_once_and_a_write_is_in_doubt(
    how: str, effect: str, wanted: str
) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"q": str}, Returns("x", after=Millis(20_000)))
        b.declare("search.read", tool, effect=effect)
        waiting = asyncio.create_task(b.run(one_step(), {"text": "x"}))
        await at(loop, 5)
        (open_run,) = b.store.runs(only_open=True)
        run = open_run.state.run
        assert b.awaiting(run) != []
        if how == "b.cancel":
            assert (await b.cancel(run, by="ann")).stop == (await waiting).stop
        else:
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert loop.time() < 6
        result = await b.result(run)
        assert result.stop is not None
        assert result.stop.reason.value == wanted
        state = b.store.recorded(run).state
        assert (dict(state.open_calls), dict(state.held)) == ({}, {})
        assert any(isinstance(event, CallInDoubt) for event in journal(b, run)) is (effect == "write")
        await at(loop, 60)
        assert sum(isinstance(event, RunStopped) for event in journal(b, run)) == 1
        assert len(tool.calls) == 1

    virtually(story, allowing("search.read"))


def test_without_a_journal_a_run_ends_control_unavailable_for_its_caller() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        flow = Flow("answers")

        async def broken(fn: object) -> object:
            raise ControlUnavailable("the disk is gone")

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            b.store.transact = broken  # type: ignore[method-assign, assignment]  # the disk goes away
            await run.call("search.read", {"q": "x"})
            return "never"

        whole = b.store.transact
        result = await b.run(flow)
        b.store.transact = whole  # type: ignore[method-assign]  # and comes back
        assert result.stop is not None
        assert (result.status, result.stop.reason) == ("failed", StopReason.CONTROL_UNAVAILABLE)
        assert calls.made == []

    virtually(story, allowing(*TOOLS))


def test_stop_crosses_what_catches_every_exception() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        flow, swallowed = Flow("answers"), list[str]()

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            for number in range(10):
                try:
                    await run.call("search.read", {"q": f"w{number}"})
                except Exception as error:  # noqa: BLE001 - as foreign code does
                    swallowed.append(repr(error))
            return "never"

        result = await b.run(flow)
        assert result.stop is not None
        assert (result.stop.reason, result.tool_calls, swallowed) == (StopReason.MAX_TOOL_CALLS, 3, [])
        assert issubclass(Stop, BaseException)
        assert not issubclass(Stop, Exception)

    virtually(story, Policy(allow=allowing(*TOOLS).allow, limits=Limits(max_tool_calls=3)))
