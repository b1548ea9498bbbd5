"""One turn with many calls, and many runs at one door: what is reserved, who waits, who is answered by whom."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bridle.bridle import Bridle
from bridle.gateway.outcome import Observation, Outcome, Refusal
from bridle.rules.events import CallAdmitted, CallRefused, CallReused, RunHalted
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import IN_FLIGHT, TOOL_CALLS, Millis, ToolName
from bridle.rules.policy import Limits
from bridle.rules.run import Phase
from bridle.rules.stop import StopReason
from bridle.rules.tool import ToolRule
from bridle.runs.signals import Stop
from bridle.testing.fake_tool import Fails, FakeTool, Returns
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.house import (
    TOOLS,
    allowing,
    answered,
    asking,
    at,
    furnished,
    journal,
    observations,
    refusals,
    virtually,
)

QUICK = Millis(1_000)
PAGES = tuple(Returns(f"page {n}", after=QUICK) for n in range(100))  # every result is news


def test_64_parallel_calls_against_a_limit_of_15_perform_15_and_reserve_all_of_them_first() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        seen: list[tuple[int, Phase]] = []

        @b.tool("kb.read", effect="read", concurrency=100)
        async def read(doc: int) -> int:
            admitted = sum(isinstance(event, CallAdmitted) for event in journal(b, run.id))
            seen.append((admitted, b.store.recorded(run.id).state.phase))
            await at(loop, 1)
            return doc

        async with b.attach(agent="a") as run:
            outcomes = await asking(run, *(f"kb.read doc={n}" for n in range(64)))
            assert [len(observations(outcomes)), len(refusals(outcomes))] == [15, 49]
            assert [isinstance(outcome, Observation) for outcome in outcomes] == [True] * 15 + [False] * 49
            assert seen == [(15, Phase.HALTED)] * 15
            assert all(refusal.halts for refusal in refusals(outcomes))
            with pytest.raises(Stop):
                await run.call("kb.read", {"doc": 99})
        assert run.result.stop is not None
        assert run.result.stop.reason is StopReason.MAX_TOOL_CALLS
        assert run.result.stop.detail == {"limit": 15, "used": 15}
        assert run.result.tool_calls == 15
        assert sum(isinstance(event, RunHalted) for event in journal(b, run.id)) == 1

    virtually(story, allowing("kb.read", limits=Limits()))


def test_twins_of_one_turn_are_one_call() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"doc": int}, Returns("text", after=QUICK))
        b.declare("kb.read", tool, effect="read")
        async with b.attach(agent="a") as run:
            outcomes = await asking(run, *["kb.read doc=1"] * 5, "kb.read doc=2")
            assert len(tool.calls) == 2
            assert [one.value for one in observations(outcomes)] == ["text"] * 6
            assert len({one.call for one in observations(outcomes)[:5]}) == 1
        assert run.result.tool_calls == 2

    virtually(story, allowing("kb.read"))


def test_a_twin_of_a_call_in_flight_waits_for_its_outcome() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"doc": int}, Returns("text", after=QUICK))
        b.declare("kb.read", tool, effect="read")
        async with b.attach(agent="a") as run:
            first = asyncio.create_task(run.call("kb.read", {"doc": 1}))
            await at(loop, 0.5)
            second = await run.call("kb.read", {"doc": 1})
            assert (loop.time(), len(tool.calls)) == (1.0, 1)
            assert second == await first

    virtually(story, allowing("kb.read"))


def test_a_failure_answers_the_twins_in_flight_and_is_not_reused_afterwards() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"doc": int}, Fails(FailureKind.REJECTED, after=QUICK), Returns("text"))
        b.declare("kb.read", tool, effect="read")
        async with b.attach(agent="a") as run:
            outcomes = await asking(run, "kb.read doc=1", "kb.read doc=1")
            assert [refusal.reason for refusal in refusals(outcomes)] == [StopReason.INPUT_REJECTED] * 2
            assert (await run.call("kb.read", {"doc": 1})).value == "text"
        assert len(tool.calls) == 2

    virtually(story, allowing("kb.read"))


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("ends_by", ["a failure", "a write beside it"])
def test_a_twin_that_comes_while_the_first_is_ending_gets_an_answer(turns: int, ends_by: str) -> None:
    """The decision to reuse was committed, and before it was heard of, there was nothing left to reuse."""

    async def story(b: Bridle, loop: VirtualLoop) -> None:
        begun, may_end, made = asyncio.Event(), asyncio.Event(), list[int]()

        @b.tool("kb.read", effect="read")
        async def read(doc: int) -> str:
            made.append(doc)
            begun.set()
            await may_end.wait()
            if ends_by == "a failure" and len(made) == 1:
                raise CallFailed(FailureKind.REJECTED, "no such document")
            return "text"

        @b.tool("mail.send", effect="write")
        async def send(to: str) -> str:
            await may_end.wait()
            return "sent"

        async with b.attach(agent="a") as run, b.attach(agent="company"):  # so that commits are waited for
            first = asyncio.gather(asking(run, "kb.read doc=1"), asking(run, "mail.send to=ann"))
            await begun.wait()
            second: asyncio.Task[list[Outcome]] | None = None
            for turn in range(12):
                if turn == turns:
                    may_end.set()
                if turn == 6:
                    second = asyncio.create_task(asking(run, "kb.read doc=1"))
                await asyncio.sleep(0)
            assert second is not None
            ((read_first,), _), (answer,) = await first, await second
            assert isinstance(read_first, Observation | Refusal)
            assert isinstance(answer, Observation | Refusal)

    virtually(story, allowing("kb.read", "mail.send"))


@pytest.mark.parametrize("seats", [1, 3])
def test_no_more_calls_are_in_flight_than_a_tool_has_seats_over_all_runs(seats: int) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"doc": int}, *PAGES)
        b.declare("kb.read", tool, effect="read", concurrency=seats)

        async def one(number: int) -> None:
            async with b.attach(agent=f"a{number}") as run:
                await asking(run, *(f"kb.read doc={number * 10 + n}" for n in range(4)))

        await asyncio.gather(*(one(number) for number in range(6)))
        assert (tool.most_in_flight, len(tool.calls)) == (seats, 24)
        assert loop.time() <= 24 / seats + 2  # seconds; nobody slept beside a free seat
        taken = [balance.reserved for account, balance in b.store.balances().items() if account.unit == IN_FLIGHT]
        assert not any(taken)

    virtually(story, allowing("kb.read"))


def test_who_waits_for_a_seat_is_served_in_the_order_of_asking() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"doc": int}, *(Returns(n, after=Millis(100)) for n in range(8)))
        b.declare("kb.read", tool, effect="read", concurrency=1)
        async with b.attach(agent="a") as run:
            await asking(run, *(f"kb.read doc={n}" for n in range(8)))
        assert [call["doc"] for call in tool.calls] == list(range(8))

    virtually(story, allowing("kb.read"))


def test_a_seat_whose_settlement_rides_is_given_on_without_a_pause() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        b.declare("kb.read", FakeTool({"doc": int}, Returns("text")), effect="read", concurrency=1)
        async with b.attach(agent="idle") as idle, b.attach(agent="busy") as busy:
            await idle.call("kb.read", {"doc": 1})
            before = loop.time()
            await busy.call("kb.read", {"doc": 2})
            assert loop.time() - before < 0.1

    virtually(story, allowing("kb.read"))


def test_waiting_for_a_seat_ends_at_the_deadline_of_the_run() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        b.declare("kb.read", FakeTool({"doc": int}, Returns("text", after=Millis(60_000))), effect="read",
                  concurrency=1, timeout="2m")  # fmt: skip
        async with b.attach(agent="a") as run:
            outcomes = await asking(run, *(f"kb.read doc={n}" for n in range(3)))
            assert loop.time() <= 92
            assert [one.value for one in observations(outcomes)] == ["text"]
            assert {refusal.reason for refusal in refusals(outcomes)} <= {
                StopReason.MAX_SECONDS, StopReason.TOOL_UNAVAILABLE,
            }  # fmt: skip

    virtually(story, allowing("kb.read"))


def test_who_stops_waiting_for_a_seat_takes_none() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"doc": int}, *PAGES)
        b.declare("kb.read", tool, effect="read", concurrency=1)
        async with b.attach(agent="a") as run:
            first = asyncio.create_task(run.call("kb.read", {"doc": 1}))
            await at(loop, 0.1)
            second = asyncio.create_task(run.call("kb.read", {"doc": 2}))
            await at(loop, 0.2)
            second.cancel()
            third = await run.call("kb.read", {"doc": 3})
            await first
            assert third.value == "page 1"
            assert loop.time() == pytest.approx(2.0, abs=0.05)
        assert [call["doc"] for call in tool.calls] == [1, 3]

    virtually(story, allowing("kb.read"))


@pytest.mark.parametrize(("most", "admitted_turns"), [(3, 3), (0, 0), (1, 1)])
def test_one_refusal_more_than_the_policy_bears_stops_the_run(most: int, admitted_turns: int) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        async with b.attach(agent="a") as run:
            for turn in range(admitted_turns):
                outcomes = await asking(run, f"page.get url=u{turn}")
                assert not refusals(outcomes)[0].halts
            (last,) = refusals(await asking(run, "page.get url=last"))
            assert last.halts
        assert run.result.stop is not None
        assert run.result.stop.reason is StopReason.TOOL_DENIED
        assert run.result.stop.detail["tool"] == "page.get"

    virtually(story, allowing("kb.read", max_refusals=most))


def test_refusals_are_counted_once_a_turn_and_tool() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        async with b.attach(agent="a") as run:
            await asking(run, *(f"page.get url=u{n}" for n in range(20)))
            assert b.store.recorded(run.id).state.refusals == 1
            await asking(run, "page.get url=a", "mail.send to=ann", "page.get url=b", "mail.send to=bob")
            assert b.store.recorded(run.id).state.refusals == 3
            assert (await run.call("kb.read", {"doc": 1})).value == {"doc": 1}
            outcomes = await asking(run, "page.get url=x", "kb.read doc=2")
            assert all(refusal.halts for refusal in refusals(outcomes))
            assert len(refusals(outcomes)) == 2

    virtually(story, allowing("kb.read", max_refusals=3))


Rewritten = Callable[[str], Awaitable[str]]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("page.get url=x", "refused: tool_denied (page.get, rule: allowlist). Do not repeat this call."),
        ("kb.raed doc=1", "refused: tool_denied (kb.raed, rule: unknown, error: there is no tool 'kb.raed'; "
                          "did you mean kb.read?). Do not repeat this call."),
        ("xyz", "refused: tool_denied (xyz, rule: unknown). Do not repeat this call."),
    ],
)  # fmt: skip
def test_a_refusal_is_one_compact_line_that_says_what_to_do(call: str, text: str) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> str:
        furnished(b)
        async with b.attach(agent="a") as run:
            (refusal,) = refusals(await asking(run, call))
            return refusal.text
        raise AssertionError

    assert virtually(story, allowing("kb.read", "mail.send", require_approval=True)) == text


def test_every_refusal_is_short_whatever_was_asked_for() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        async with b.attach(agent="a") as run:
            wild = "x" * 10_000
            for call in (f"{wild} q=1", f"search.read {wild}=1", f'search.read q=["{wild}"]', f"kb.read doc={wild}"):
                (refusal,) = refusals(await asking(run, call))
                assert len(refusal.text) < 700
                assert "\n" not in refusal.text
            rows = [entry.body for entry in b.store.journal(run.id)]
            assert max(map(len, rows)) < 2_000

    virtually(story, allowing(*TOOLS))


def test_a_policy_may_take_seats_away() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"doc": int}, *PAGES)
        b.declare("kb.read", tool, effect="read", concurrency=16)
        async with b.attach(agent="a") as run:
            await asking(run, *(f"kb.read doc={n}" for n in range(10)))
        state = b.store.recorded(run.id).state
        assert (dict(state.held), state.spent(TOOL_CALLS)) == ({}, 10)
        assert tool.most_in_flight == 2

    virtually(story, allowing("kb.read", tools={ToolName("kb.read"): ToolRule(concurrency=2)}))


def test_the_journal_tells_an_admission_from_a_reuse_and_a_refusal() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        async with b.attach(agent="a") as run:
            await asking(run, "kb.read doc=1", "kb.read doc=1", "page.get url=x")
            kinds = [type(event) for event in journal(b, run.id)]
            assert kinds[1:4] == [CallAdmitted, CallReused, CallRefused]
            assert answered(journal(b, run.id, 3)) == "refuse tool_denied allowlist"

    virtually(story, allowing("kb.read"))
