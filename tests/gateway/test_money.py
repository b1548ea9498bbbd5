"""Accounts that many runs share, and models that cost: nothing is spent that was not reserved."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridle.bridle import Bridle
from bridle.rules.events import CallSettled
from bridle.rules.names import TOKENS_IN, USD_NANO, Millis, usd
from bridle.rules.policy import Cap, Level, Limits, ModelPrice, Window
from bridle.rules.prompt import Finish, ModelReply, ModelRequest, ToolUse, Usage
from bridle.rules.stop import StopReason
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.testing.fake_tool import FakeTool, Returns
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world
from tests.gateway.house import allowing, asking, journal, virtually

CENT = usd("0.01")


@settings(max_examples=25)
@given(
    cap=st.integers(1, 30),
    runs=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=8),
    pauses=st.lists(st.integers(0, 900), min_size=1, max_size=8),
)
def test_the_money_of_the_house_is_never_overspent(cap: int, runs: list[list[int]], pauses: list[int]) -> None:
    shared = (Cap(Level.HOUSE, USD_NANO, Window.DAY, cap * CENT),)
    policy = allowing("page.get", caps=shared, limits=Limits(max_tool_calls=100, max_usd=usd(100)))

    async def story(b: Bridle, loop: VirtualLoop) -> None:
        pages = [Returns(f"page {n}", after=Millis(pauses[n % len(pauses)])) for n in range(200)]
        tool = FakeTool({"n": int}, *pages)
        b.declare("page.get", tool, effect="egress", cost="$0.01", concurrency=100)

        async def one(turns: list[int], first: int) -> RunResult:
            async with b.attach(agent="a") as run:
                for turn, size in enumerate(turns):
                    await asking(run, *(f"page.get n={first + 10 * turn + n}" for n in range(size)))
            return run.result

        results = await asyncio.gather(*(one(turns, 1_000 * number) for number, turns in enumerate(runs)))
        assert len(tool.calls) == min(cap, sum(map(sum, runs)))
        (balance,) = [kept for account, kept in b.store.balances().items() if account.unit == USD_NANO]
        assert (balance.settled, balance.reserved) == (len(tool.calls) * CENT, 0)
        stops = {result.stop.reason for result in results if result.stop is not None}
        assert stops <= {StopReason.OK, StopReason.ACCOUNT_BUDGET}
        assert (StopReason.ACCOUNT_BUDGET in stops) is (sum(map(sum, runs)) > cap)

    virtually(story, policy)


def test_each_tenant_and_each_agent_draws_on_an_account_of_its_own() -> None:
    caps = (
        Cap(Level.TENANT, USD_NANO, Window.DAY, 2 * CENT, "acme"),
        Cap(Level.TENANT, USD_NANO, Window.DAY, 3 * CENT, "other"),
        Cap(Level.AGENT, USD_NANO, Window.DAY, 4 * CENT, "busy"),
    )

    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"n": int}, *(Returns(f"page {n}") for n in range(40)))
        b.declare("page.get", tool, effect="egress", cost="$0.01")
        made = {}
        for number, (tenant, agent) in enumerate([("acme", "a"), ("other", "a"), ("else", "busy"), ("else", "a")]):
            before = len(tool.calls)
            async with b.attach(agent=agent, tenant=tenant) as run:
                for n in range(6):
                    await asking(run, f"page.get n={10 * number + n}")
            made[tenant, agent] = len(tool.calls) - before
        assert made == {("acme", "a"): 2, ("other", "a"): 3, ("else", "busy"): 4, ("else", "a"): 6}
        spent = {account.of: kept.settled for account, kept in b.store.balances().items() if account.unit == USD_NANO}
        assert spent == {"acme": 2 * CENT, "other": 3 * CENT, "busy": 4 * CENT}

    virtually(story, allowing("page.get", caps=caps, limits=Limits(max_tool_calls=100, max_usd=usd(100))))


LITTLE = Usage(10, 10)


class Says:
    """A model that says what a test wants, and counts how often it was asked."""

    def __init__(self, *replies: ModelReply) -> None:
        self.name = "m"
        self.replies = replies
        self.asked: list[ModelRequest] = []

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        self.asked.append(request)
        return self.replies[min(len(self.asked), len(self.replies)) - 1]

    async def aclose(self) -> None:
        """Nothing to give back."""


def uses(*calls: tuple[str, str]) -> ModelReply:
    return ModelReply("", tuple(ToolUse("same", name, args) for name, args in calls), Usage(10, 10), Finish.TOOL_CALLS)


def said(text: str, usage: Usage | None = LITTLE, finish: Finish = Finish.STOP) -> ModelReply:
    return ModelReply(text, (), usage, finish)


def investigated(model: Says, **rest: object) -> tuple[RunResult, Bridle, FakeTool]:
    """One investigation with this model, under prices of a policy."""
    prices = {"m": ModelPrice(1_000, 1_000, max_output=100)}
    known: dict[str, object] = {"models": prices, "limits": Limits(max_usd=usd(1))} | rest
    policy = allowing("kb.read", **known)  # type: ignore[arg-type]  # as given
    tool = FakeTool({"doc": int}, *(Returns(f"text {n}") for n in range(100)))

    async def story(loop: VirtualLoop) -> tuple[RunResult, Bridle]:
        async with Bridle(policy, ":memory:", models={"m": model}, world=virtual_world(loop)) as b:
            b.declare("kb.read", tool, effect="read", concurrency=100)
            flow = Flow("answers")
            flow.investigate("ask", model="m", goal="?", tools=["kb.read"])
            result = await b.run(flow)
            model_calls = [event for event in journal(b, result.run_id) if isinstance(event, CallSettled)]
            assert model_calls or result.spent.get(TOKENS_IN, 0) == 0
            return result, b

    result, b = run_virtual(story)
    return result, b, tool


def why(result: RunResult) -> StopReason:
    assert result.stop is not None
    return result.stop.reason


def test_a_model_without_a_price_is_not_asked() -> None:
    model = Says(said("hello"))
    result, _, _ = investigated(model, models={})
    assert (why(result), model.asked) == (StopReason.PRICE_UNKNOWN, [])


def test_a_model_that_does_not_say_what_it_used_is_paid_its_whole_hold() -> None:
    model = Says(said("hello", usage=None))
    result, _, _ = investigated(model)
    (request,) = model.asked
    assert why(result) is StopReason.OK
    assert result.spent[USD_NANO] == (request.size + request.max_output) * 1_000


def test_a_model_that_takes_more_than_its_bound_is_paid_in_full_and_halts_the_run() -> None:
    model = Says(said("hello", usage=Usage(10, 1_000_000)))
    result, _, _ = investigated(model)
    assert why(result) is StopReason.PRICE_UNKNOWN
    assert result.spent[USD_NANO] == 1_000_010_000
    assert len(model.asked) == 1


def test_a_model_that_took_more_than_its_bound_is_asked_by_no_other_run() -> None:
    model = Says(said("hello", usage=Usage(10, 1_000_000)))
    policy = allowing(models={"m": ModelPrice(1_000, 1_000, max_output=100)})
    flow = Flow("answers")
    flow.investigate("ask", model="m", goal="?", tools=[])

    async def story(loop: VirtualLoop) -> list[StopReason]:
        async with Bridle(policy, ":memory:", models={"m": model}, world=virtual_world(loop)) as b:
            return [why(await b.run(flow, {"n": n})) for n in range(3)]

    assert run_virtual(story) == [StopReason.PRICE_UNKNOWN] * 3
    assert len(model.asked) == 1


def test_a_run_that_finishes_is_shown_a_quarter_of_what_tools_say() -> None:
    policy = allowing("kb.read", limits=Limits(max_tool_calls=10))

    async def story(b: Bridle, loop: VirtualLoop) -> None:
        b.declare("kb.read", FakeTool({"doc": int}, *(Returns(f"{n}" * 8_000) for n in range(10))), show_bytes=4_000,
                  effect="read")  # fmt: skip
        async with b.attach(agent="a") as run:
            sizes = [len((await run.call("kb.read", {"doc": n})).text.encode()) for n in range(10)]
            assert all(3_000 < size <= 4_000 for size in sizes[:7])
            assert all(500 < size <= 1_000 for size in sizes[8:])

    virtually(story, policy)


@pytest.mark.parametrize("calls", [30, 64])
def test_parallel_calls_of_a_reply_with_one_id_against_15_perform_15(calls: int) -> None:
    model = Says(uses(*(("kb.read", f'{{"doc": {n}}}') for n in range(calls))), said("partly"))
    result, _, tool = investigated(model)
    assert (why(result), result.tool_calls, len(tool.calls)) == (StopReason.MAX_TOOL_CALLS, 15, 15)
    assert result.partial == "partly"
    answers = [message.answers for message in model.asked[-1].messages if message.answers]
    assert len(set(answers)) == len(answers) == calls


@pytest.mark.parametrize(
    "arguments", ['{"doc": 1', "[1]", '{"doc": 1, "doc": 2}', "[" * 100_000, '{"doc": NaN}', "\ud800"]
)
def test_malformed_arguments_are_told_to_the_model_which_may_do_better(arguments: str) -> None:
    model = Says(uses(("kb.read", arguments)), uses(("kb.read", '{"doc": 1}')), said("done"))
    result, _, tool = investigated(model)
    assert (why(result), result.answer, len(tool.calls)) == (StopReason.OK, "done", 1)
    told = [message.text for message in model.asked[1].messages if message.answers]
    assert told[0].startswith("refused: policy_denied (kb.read, rule: arguments, error: ")
    assert len(told[0]) < 700


@pytest.mark.parametrize("name", ["kb.raed", "x" * 100_000, "\ud800", "a\nb", ""])
def test_an_unknown_tool_is_told_to_the_model_which_may_do_better(name: str) -> None:
    model = Says(uses((name, "{}")), said("done"))
    result, _, tool = investigated(model)
    assert (why(result), result.answer, tool.calls) == (StopReason.OK, "done", [])


def test_an_empty_answer_may_be_put_right_once() -> None:
    assert investigated(Says(said(""), said("better")))[0].answer == "better"
    model = Says(said(" "))
    assert why(investigated(model)[0]) is StopReason.ANSWER_INVALID
    assert len(model.asked) == 3  # once, once more, and the last word


def test_a_model_that_refuses_ends_the_run_and_is_not_asked_again() -> None:
    model = Says(said("", finish=Finish.REFUSED))
    assert (why(investigated(model)[0]), len(model.asked)) == (StopReason.MODEL_REFUSED, 1)


@pytest.mark.parametrize("cycle", [[1], [1, 2]])
def test_a_model_that_loops_is_found_within_three_repeats(cycle: list[int]) -> None:
    calls = [uses(("kb.read", f'{{"doc": {n}}}')) for n in cycle * 10]
    model = Says(*calls)
    result, _, tool = investigated(model)
    assert why(result) is StopReason.NO_PROGRESS
    assert len(tool.calls) == len(cycle)
    assert len(model.asked) <= 3 * len(cycle) + 1


def test_half_a_character_of_a_model_is_replaced_and_the_run_goes_on() -> None:
    assert investigated(Says(said("caf\ud800")))[0].answer == "caf?"


def test_at_80_percent_the_model_is_told_to_finish_and_afterwards_has_the_last_word() -> None:
    calls = [uses(("kb.read", f'{{"doc": {n}}}')) for n in range(5)]
    model = Says(*calls, uses(("kb.read", '{"doc": 9}')), said("this far"))
    result, _, tool = investigated(model, limits=Limits(max_tool_calls=5, max_usd=usd(1)))
    noted = ["Most of the budget is used" in request.messages[0].text for request in model.asked]
    assert noted == [False] * 4 + [True] * 2 + [False]
    assert (why(result), result.partial, len(tool.calls)) == (StopReason.MAX_TOOL_CALLS, "this far", 5)
    assert model.asked[-1].offers == ()
