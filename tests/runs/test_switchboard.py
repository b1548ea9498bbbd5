"""The kill switch in a house: what ends, what does not even start, what may finish, and what a model is told of it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bridle import Bridle, Denied, Flow, NotStarted, Run, Stop
from bridle.models.scripted import ScriptedModel, Turn
from bridle.rules.events import CallRefused, RunHalted
from bridle.rules.names import Millis
from bridle.rules.policy import Enforcement, KillLevel, Limits
from bridle.rules.prompt import ModelReply, ModelRequest, ToolUse
from bridle.rules.stop import StopReason
from bridle.rules.switch import Scope
from bridle.store.switches import NotTurned, Wish
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world
from tests.gateway.house import TOOLS, allowing, asking, furnished, journal, virtually
from tests.store.journals import T0

BY = {"by": "ann", "because": "an incident"}
KILLED = {"level": "all", "scope": "house", "by": "ann"}


def behind(b: Bridle, level: str, scope: Scope = Scope()) -> None:  # noqa: B008 - it cannot be changed
    """Somebody turns the switch, and this house has not noticed yet."""
    b.store.switches.kill(KillLevel(level), scope, Wish("ann", "an incident", "root", T0))


def greeting() -> Flow:
    flow = Flow("greeting")

    @flow.step()
    async def only(run: Run, state: object) -> str:
        await run.call("search.read", {"q": "a"})
        return "hello"

    return flow


# What ends


def test_all_halts_a_run_that_is_open_and_it_has_no_last_word() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        async with b.attach(agent="a") as run:
            await asking(run, "search.read q=a")
            await b.kill("all", **BY)
            await run.call("search.read", {"q": "b"})
            raise AssertionError("the loop went on")
        assert run.result.stop is not None
        assert (run.result.stop.reason, dict(run.result.stop.detail)) == (StopReason.KILLED, KILLED)
        assert calls.made == ["search.read(a)"]
        assert [event.detail for event in journal(b, run.id) if isinstance(event, RunHalted)] == [KILLED]

    virtually(story, allowing(*TOOLS))


def test_the_next_admission_halts_a_run_of_a_house_that_has_not_noticed_yet() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        async with b.attach(agent="a") as run:
            behind(b, "all")
            with pytest.raises(Stop) as stopped:
                await run.call("search.read", {"q": "b"})
            assert dict(stopped.value.detail) == KILLED
        assert calls.made == []

    virtually(story, allowing(*TOOLS))


def test_a_step_is_not_entered_under_all() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        flow = Flow("two")

        @flow.step(to=["second"])
        async def first(run: Run, state: object) -> str:
            behind(b, "all", Scope(flow="two"))
            return "second"

        @flow.step()
        async def second(run: Run, state: object) -> str:
            raise AssertionError("this step was not to begin")

        result = await b.run(flow)
        assert result.stop is not None
        assert (result.stop.reason, result.stop.detail["scope"]) == (StopReason.KILLED, "flow two")

    virtually(story, allowing(*TOOLS))


def test_a_smaller_level_enters_steps_and_ends_runs_ok() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        for level in ("writes", "expensive", "egress"):
            await b.kill(level, **BY)
        assert (await b.run(greeting())).status == "ok"

    virtually(story, allowing(*TOOLS))


# What does not start


def test_no_run_is_started_under_all_and_the_same_key_starts_one_when_it_is_lifted() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        await b.kill("all", tenant="acme", **BY)
        result = await b.run(greeting(), tenant="acme", key="click-1")
        assert (result.run_id, result.status, result.head) == ("", "stopped", "")
        assert result.stop is not None
        assert result.stop.text() == "The kill switch is on (all, tenant acme)."
        assert (b.store.runs(), calls.made) == ([], [])
        assert (await b.run(greeting(), tenant="umbrella", key="click-1")).status == "ok"
        await b.unkill("all", tenant="acme", **BY)
        assert (await b.run(greeting(), tenant="acme", key="click-1")).status == "ok"

    virtually(story, allowing(*TOOLS))


def test_a_foreign_loop_is_told_before_it_begins() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        await b.kill("all", flow="support", **BY)
        with pytest.raises(NotStarted, match=r"is on \(all, flow support\). No run was started. Ask ann"):
            async with b.attach(agent="support"):
                raise AssertionError("the loop began")
        async with b.attach(agent="another"):
            pass
        assert [line.state.name for line in b.store.runs()] == ["another"]

    virtually(story, allowing(*TOOLS))


def test_an_input_that_does_not_fit_is_not_even_rejected() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        await b.kill("all", **BY)
        flow: Flow = Flow("typed", state=Limits)

        @flow.step()
        async def only(run: Run, state: Limits) -> str:
            return ""

        result = await b.run(flow, {"no": "such field"})
        assert result.stop is not None
        assert result.stop.reason is StopReason.KILLED

    virtually(story, allowing(*TOOLS))


def test_a_run_that_was_killed_is_not_joined_when_the_switch_is_lifted_but_its_key_names_it_for_ever() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        flow, kills = Flow("once"), iter((True, False, True))

        @flow.step()
        async def only(run: Run, state: object) -> str:
            if next(kills):
                await b.kill("all", **BY)
            await run.call("search.read", {"q": "a"})
            return "done"

        for key, again in ((None, "ok"), ("click", "stopped")):
            result = await b.run(flow, key=key)
            assert result.status == "stopped"
            await b.unkill(**BY)
            assert (await b.run(flow, key=key)).status == again

    virtually(story, allowing(*TOOLS))


async def test_a_run_whose_process_died_is_not_taken_up_under_all(tmp_path: Path) -> None:
    place, begun = f"sqlite:///{tmp_path / 's.db'}", asyncio.Event()

    def house() -> tuple[Bridle, Flow, list[str]]:
        b, flow, made = Bridle(allowing(*TOOLS), place), Flow("slow"), []

        @flow.step()
        async def only(run: Run, state: object) -> str:
            made.append("begun")
            begun.set()
            await asyncio.Event().wait()
            return ""

        b.register(flow)
        return b, flow, made

    b, flow, _ = house()
    await b.open()
    working = asyncio.create_task(b.run(flow))
    await begun.wait()
    run = b.store.runs()[0].state.run
    b.store._write.execute("PRAGMA query_only = ON")  # type: ignore[attr-defined]  # it dies: nothing is written any more
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await b.close()
    (tmp_path / "KILL").touch()
    again, _, made = house()
    async with again:
        result = await again.result(run)
    assert result.stop is not None
    assert (result.stop.reason, made) == (StopReason.KILLED, [])
    assert str(result.stop.detail["by"]).startswith("the KILL file")


# What may finish, and what is told of it


def test_a_call_in_flight_is_named_and_may_finish_and_its_run_ends_killed() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        sent, answer = asyncio.Event(), asyncio.Event()

        @b.tool("mail.slow", effect="write")
        async def slow(to: str) -> str:
            sent.set()
            await answer.wait()
            return "sent"

        flow, seen = Flow("mailing"), []

        @flow.step()
        async def only(run: Run, state: object) -> str:
            await run.call("search.read", {"q": "a"})
            seen.append((await run.call("mail.slow", {"to": "ann"})).value)
            return "done"

        working = asyncio.create_task(b.run(flow))
        await sent.wait()
        change, left = await b.kill("writes", **BY)
        assert change.is_new
        assert [(one.call, one.tool, one.effect) for one in left.in_flight] == [("c2", "mail.slow", "write")]
        _, left = await b.kill("all", **BY)
        assert [one.call for one in left.in_flight] == ["c2"], "the read has come back, and that was written down"
        assert left.open_runs == 1
        answer.set()
        result = await working
        assert result.stop is not None
        assert (result.stop.reason, seen) == (StopReason.KILLED, [])
        assert b.store.payload(result.run_id, "c2.result") == b'"sent"', "its receipt is kept"
        assert b.store.switches.aftermath(KillLevel.ALL, Scope()).in_flight == ()

    virtually(story, allowing(*TOOLS, "mail.slow"))


def test_a_model_that_is_switched_off_ends_the_run_and_a_tool_only_its_calls() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        async with b.attach(agent="a") as run:
            await b.kill(tool="search.read", **BY)
            with pytest.raises(Denied) as denied:
                await run.call("search.read", {"q": "a"})
            assert denied.value.detail == {**KILLED, "scope": "tool search.read", "tool": "search.read"}
            await run.call("kb.read", {"doc": 1})
        assert run.result.status == "ok"
        assert calls.made == ["kb.read(1)"]

    virtually(story, allowing(*TOOLS))


def test_without_a_level_it_is_the_one_of_the_policy() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        change, _ = await b.kill(**BY)
        assert change.switch.level is KillLevel.EXPENSIVE
        with pytest.raises(NotTurned, match="'off' is no level of the kill switch: it is one of writes, expensive"):
            await b.kill("off", **BY)

    virtually(story, allowing(*TOOLS, kill_level=KillLevel.EXPENSIVE))


async def test_a_house_that_is_not_open_says_so() -> None:
    with pytest.raises(NotTurned, match="not open"):
        await Bridle(store=":memory:").kill("all", **BY)


@pytest.mark.parametrize(
    ("wish", "others"),
    [
        ("mail.send to=ann", ("max_tool_calls", "tool_denied")),
        ("mail.send to=7", ("max_tool_calls", "tool_denied", "policy_denied")),
        ("kb.read doc=9", ("max_tool_calls",)),
    ],
)
def test_observe_mode_lets_nothing_pass_that_the_switch_refused_whatever_else_was_against_it(
    wish: str, others: tuple[str, ...]
) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        async with b.attach(agent="a") as run:
            for doc in (1, 2):
                await asking(run, f"kb.read doc={doc}")
            behind(b, "writes" if "mail" in wish else "all", Scope(tool=wish.split(maxsplit=1)[0]))
            seq = b.store.recorded(run.id).state.seq
            await asking(run, wish)
            (refused,) = (event for event in journal(b, run.id, seq) if isinstance(event, CallRefused))
            assert (refused.reason, refused.also) == (StopReason.KILLED, others)
        assert calls.made == ["kb.read(1)", "kb.read(2)"]

    policy = allowing("kb.read", limits=Limits(max_tool_calls=2), enforcement=Enforcement.OBSERVE)
    virtually(story, policy)


# What a model is offered


class Watching(ScriptedModel):
    """Notes what it is shown, and lets something happen before its nth reply."""

    def __init__(self, turns: list[Turn], happens: dict[int, Callable[[], Awaitable[object]]]) -> None:
        super().__init__(turns)
        self.happens = happens
        self.shown: list[tuple[list[str], str]] = []

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        self.shown.append(([tool.name for tool in request.offers], request.messages[0].text.rpartition("\n\n")[2]))
        if len(self.shown) in self.happens:
            await self.happens[len(self.shown)]()
        return await super().complete(request, timeout=timeout)


def test_a_tool_that_is_off_is_not_offered_and_the_model_is_told_in_one_line() -> None:
    model = Watching([Turn(uses=(ToolUse("", "kb.read", f'{{"doc": {doc}}}'),)) for doc in (1, 2)] + [Turn("two")], {})

    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        model.happens = {1: lambda: b.kill(tool="search.read", **BY), 2: lambda: b.unkill(tool="search.read", **BY)}
        flow = Flow("asks")
        flow.investigate("ask", model="scripted:m", goal="?", tools=["kb.read", "search.read"])
        assert (await b.run(flow)).status == "ok"

    async def told(loop: VirtualLoop) -> None:
        async with Bridle(allowing(*TOOLS), ":memory:", models={"scripted:m": model}, world=virtual_world(loop)) as b:
            await story(b, loop)

    run_virtual(told)
    (first, _), (second, note), (third, later) = model.shown
    assert (first, second, third) == (["kb.read", "search.read"], ["kb.read"], ["kb.read", "search.read"])
    assert note.startswith("Not offered now: search.read. Do without")
    assert "Not offered" not in later
