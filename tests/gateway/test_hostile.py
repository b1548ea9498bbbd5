"""Tools that misbehave: each one costs its own call, and never the engine."""

import asyncio
import math
import threading
from collections.abc import Callable

import pytest

from bridle.bridle import Bridle
from bridle.gateway.outcome import Refusal
from bridle.rules.events import CallInDoubt, CallSettled, RunStopped
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import BYTES_OBSERVED, Millis
from bridle.rules.stop import StopReason
from bridle.runs.flow import Flow
from bridle.runs.run import Run
from bridle.runs.signals import Denied, Stop
from bridle.testing.fake_tool import Fails, FakeTool, Returns
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.house import allowing, asking, at, journal, observations, refusals, virtually


class Odd:
    """Something that no JSON can say."""


class Silent(Exception):
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise ValueError("no")


class Foreign(BaseException):
    """What no `except Exception` catches, and what is none of ours."""


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def itself() -> object:
    value: list[object] = []
    value.append(value)
    return value


UNUSABLE: dict[str, Callable[[], object]] = {
    "an object": Odd,
    "a function": lambda: print,
    "NaN": lambda: math.nan,
    "infinity deep inside": lambda: {"a": [1, {"b": -math.inf}]},
    "100 MB": lambda: "x" * 100_000_000,
    "100 MB of bytes": lambda: b"x" * 100_000_000,
    "invalid UTF-8": lambda: b"\xff\xfe\x00",
    "a lone surrogate": lambda: "\ud800",
    "a NUL": lambda: "a\0b",
    "a key that is a number": lambda: {1: "x"},
    "depth 100,000": lambda: nested(100_000),
    "itself": itself,
    "a generator": lambda: (n for n in range(3)),
    "a number of 5,000 digits": lambda: 10**5_000,
    "many small things": lambda: [0] * 6_000_000,
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_an_output_that_is_not_usable_is_a_failure_of_the_tool(what: str) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        b.declare("odd.read", FakeTool({"n": int}, Returns(UNUSABLE[what]())), effect="read")
        b.declare("kb.read", FakeTool({"doc": int}, Returns("text")), effect="read")
        async with b.attach(agent="a") as run:
            with pytest.raises(Denied) as denied:
                await run.call("odd.read", {"n": 1})
            assert denied.value.reason is StopReason.TOOL_OUTPUT_INVALID
            assert len(str(denied.value)) < 500
            assert (await run.call("kb.read", {"doc": 1})).value == "text"
        assert run.result.stop is not None
        assert run.result.stop.reason is StopReason.OK
        (failure,) = [event.failure for event in journal(b, run.id) if isinstance(event, CallSettled) and event.failure]
        assert failure is FailureKind.INVALID_OUTPUT

    virtually(story, allowing("odd.read", "kb.read"))


def test_html_is_text_and_is_shown_as_text() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        html = "<html><script>alert(1)</script>" + "é" * 60_000 + "</html>"
        b.declare("page.read", FakeTool({"n": int}, Returns(html)), effect="read", show_bytes=2_000)
        async with b.attach(agent="a") as run:
            seen = await run.call("page.read", {"n": 1})
            assert (seen.value, seen.truncated) == (html, True)
            assert len(seen.text.encode()) <= 2_000
            assert seen.text.startswith("<html><script>")
            assert seen.handle in seen.text
        settled = next(event for event in journal(b, run.id) if isinstance(event, CallSettled))
        assert settled.used[BYTES_OBSERVED] > 120_000

    virtually(story, allowing("page.read"))


def test_an_output_of_another_form_than_was_declared_is_refused() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"n": int}, Returns({"total": "12"}), Returns({"total": 12}))
        schema = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
        b.declare("sum.read", tool, output=schema, effect="read")
        async with b.attach(agent="a") as run:
            (refusal,) = refusals(await asking(run, "sum.read n=1"))
            assert refusal.reason is StopReason.TOOL_OUTPUT_INVALID
            assert "total" in refusal.text
            assert (await run.call("sum.read", {"n": 1})).value == {"total": 12}

    virtually(story, allowing("sum.read"))


RAISED: dict[str, tuple[Callable[[], BaseException], StopReason]] = {
    "a ValueError": (lambda: ValueError("bad"), StopReason.TOOL_UNAVAILABLE),
    "an exception without words": (Silent, StopReason.TOOL_UNAVAILABLE),
    "ten million words": (lambda: ValueError("x" * 10_000_000), StopReason.TOOL_UNAVAILABLE),
    "ten million words of a failure": (
        lambda: CallFailed(FailureKind.REJECTED, "x" * 10_000_000), StopReason.INPUT_REJECTED,
    ),
    "a surrogate": (lambda: ValueError("bad \ud800 bytes"), StopReason.TOOL_UNAVAILABLE),
    "a surrogate in a failure": (lambda: CallFailed(FailureKind.REJECTED, "\ud800"), StopReason.INPUT_REJECTED),
    "a connection that broke": (lambda: ConnectionResetError("gone"), StopReason.TOOL_UNAVAILABLE),
    "no credentials": (lambda: CallFailed(FailureKind.CREDENTIALS, "401"), StopReason.CREDENTIALS_INVALID),
    "its own cancellation": (asyncio.CancelledError, StopReason.TOOL_UNAVAILABLE),
    "StopIteration": (StopIteration, StopReason.TOOL_UNAVAILABLE),
    "RecursionError": (RecursionError, StopReason.TOOL_UNAVAILABLE),
    "MemoryError": (MemoryError, StopReason.TOOL_UNAVAILABLE),
    "GeneratorExit": (GeneratorExit, StopReason.TOOL_UNAVAILABLE),
}  # fmt: skip


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("what", RAISED)
def test_whatever_a_tool_raises_is_a_refusal_and_the_run_ends_with_one_reason(what: str, is_async: bool) -> None:
    make, reason = RAISED[what]

    async def story(b: Bridle, loop: VirtualLoop) -> None:
        if is_async:

            @b.tool("odd.read", effect="read")
            async def odd(n: int) -> str:
                raise make()
        else:

            @b.tool("odd.read", effect="read")
            def sync_odd(n: int) -> str:
                raise make()

        with pytest.raises(Denied) as raised:
            async with b.attach(agent="a") as run:
                await run.call("odd.read", {"n": 1})
        assert raised.value.reason is reason
        assert len(str(raised.value)) < 600
        (line,) = b.store.runs()
        stops = [event for event in journal(b, line.state.run) if isinstance(event, RunStopped)]
        assert [stop.reason for stop in stops] == [reason]
        assert max(len(entry.body) for entry in b.store.journal(line.state.run)) < 2_000

    virtually(story, allowing("odd.read"))


def test_what_is_no_exception_comes_out_of_the_door_and_the_run_has_ended_all_the_same() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        flow = Flow("answers")

        @b.tool("odd.read", effect="read")
        async def odd(n: int) -> str:
            raise Foreign("out of the way")

        @flow.step()
        async def ask(run: Run, state: object) -> object:
            return (await run.call("odd.read", {"n": 1})).value

        with pytest.raises(Foreign):
            async with b.attach(agent="a") as run:
                await run.call("odd.read", {"n": 1})
        with pytest.raises(Foreign):
            await b.run(flow)
        ends = {line.state.loop: line.reason for line in b.store.runs()}
        assert ends == {"attach": StopReason.CANCELLED, "flow": StopReason.INTERNAL_ERROR}

    virtually(story, allowing("odd.read"))


def test_a_tool_that_never_returns_is_left_at_its_timeout() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        @b.tool("slow.read", effect="read", timeout="2s")
        async def slow(n: int) -> str:
            await asyncio.Event().wait()
            return "never"

        async with b.attach(agent="a") as run:
            (refusal,) = refusals(await asking(run, "slow.read n=1"))
            assert refusal.reason is StopReason.TOOL_UNAVAILABLE
            assert "no answer within 2 s" in refusal.text
            assert loop.time() < 3 * 2 + 2

    virtually(story, allowing("slow.read"))


def test_a_tool_that_swallows_its_cancellation_is_left_behind_and_its_late_answer_goes_unread() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        came_back = list[float]()

        @b.tool("deaf.read", effect="read", timeout="1s")
        async def deaf(n: int) -> str:
            for _ in range(4):
                try:
                    await at(loop, loop.time() + 3)
                except asyncio.CancelledError:
                    continue
            came_back.append(loop.time())
            return "too late"

        async with b.attach(agent="a") as run:
            outcomes = await asking(run, "deaf.read n=1")
            assert not observations(outcomes)
            assert not came_back
            seq = b.store.recorded(run.id).state.seq
            await at(loop, 40)
            assert came_back
            assert b.store.recorded(run.id).state.seq == seq

    virtually(story, allowing("deaf.read"))


def test_a_sync_tool_that_never_returns_holds_up_nobody_else() -> None:
    """Real time: a thread cannot be recalled, only left."""
    may_end = threading.Event()

    async def story() -> None:
        async with Bridle(allowing("stuck.read", "kb.read"), ":memory:") as b:

            @b.tool("stuck.read", effect="read", timeout="50ms")
            def stuck(n: int) -> str:
                may_end.wait(30)
                return "late"

            @b.tool("kb.read", effect="read", timeout="2s")
            def read(doc: int) -> str:
                return "text"

            try:
                async with b.attach(agent="a") as run:
                    outcomes = await asking(run, *(f"stuck.read n={n}" for n in range(40)))
                    assert len(refusals(outcomes)) == 40
                    assert (await run.call("kb.read", {"doc": 1})).value == "text"
            finally:
                may_end.set()

    asyncio.run(asyncio.wait_for(story(), 20))


WRITES: dict[str, tuple[object, bool]] = {
    "times out": (Returns("sent", after=Millis(60_000)), True),
    "breaks off": (Fails(FailureKind.UNAVAILABLE), True),
    "crashes": (Fails(FailureKind.CRASHED), True),
    "is rejected": (Fails(FailureKind.REJECTED), False),
    "is slowed down": (Fails(FailureKind.RATE_LIMITED, retry_after=Millis(10)), False),
    "certainly did not happen": (Fails(FailureKind.UNAVAILABLE, happened=False), False),
    "did happen and answers nonsense": (Returns(Odd()), False),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_write_is_never_sent_twice_and_its_unknown_end_is_in_doubt(what: str) -> None:
    turn, is_in_doubt = WRITES[what]
    is_missing = isinstance(turn, Fails) and turn.kind in (FailureKind.RATE_LIMITED, FailureKind.UNAVAILABLE)
    ends = StopReason.OK_DEGRADED if is_missing else StopReason.OK

    async def story(b: Bridle, loop: VirtualLoop) -> None:
        assert isinstance(turn, Returns | Fails)
        tool = FakeTool({"to": str}, turn)
        b.declare("mail.send", tool, effect="write", timeout="5s")
        b.declare("kb.read", FakeTool({"doc": int}, Returns("text")), effect="read")
        async with b.attach(agent="a") as run:
            (outcome,) = await asking(run, "mail.send to=ann")
            assert isinstance(outcome, Refusal)
            assert outcome.halts is is_in_doubt
            if is_in_doubt:
                with pytest.raises(Stop):
                    await run.call("kb.read", {"doc": 1})
            run.finish(answer="all is well")
        assert run.result.stop is not None
        assert run.result.stop.reason is (StopReason.WRITE_IN_DOUBT if is_in_doubt else ends)
        assert any(isinstance(event, CallInDoubt) for event in journal(b, run.id)) is is_in_doubt
        assert len(tool.calls) == 1
        assert (run.result.answer, run.result.partial) == (
            (None, "all is well") if is_in_doubt else ("all is well", None)
        )

    virtually(story, allowing("mail.send", "kb.read"))
