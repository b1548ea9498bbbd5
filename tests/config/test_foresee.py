"""The worst case of one call, and policies under which no run can do its work."""

from textwrap import dedent

import pytest

from bridle.config import load_policy, problems, worst_case
from bridle.rules.names import Effect, ToolName, usd
from bridle.rules.policy import Policy
from bridle.rules.tool import Tool

GPT = '{"openai:gpt-5": {usd_per_million_in: 1.25, usd_per_million_out: 10, context_tokens: 400000}}'
SMALL = "{usd_per_million_in: 1.25, usd_per_million_out: 10, context_tokens: 9000}"
FREE = "{usd_per_million_in: 0, usd_per_million_out: 0, context_tokens: 9000}"


def test_a_model_call_holds_its_window_and_its_longest_reply() -> None:
    policy = load_policy(f"models: {GPT}\n").policy
    case = worst_case(policy, "openai:gpt-5")
    assert case.hold == {
        "steps": 1, "model_calls": 1, "tokens_in": 400_000, "tokens_out": 4_096, "usd_nano": usd("0.54096"),
    }  # fmt: skip
    assert case.fits
    assert case.sentence == (
        "One call of openai:gpt-5 holds at most $0.54096 of max_usd $1.00 and 404,096 of max_tokens 500,000 "
        "(400,000 tokens in, 4,096 out)."
    )


def test_a_tool_call_holds_its_declared_ceiling() -> None:
    policy = load_policy("tools: {allow: [a], a: {cost: $0.25}}\n").policy
    case = worst_case(policy, Tool(ToolName("a"), effect=Effect.READ, cost=usd("0.01")))
    assert case.hold == {"tool_calls": 1, "usd_nano": usd("0.25")}
    assert case.sentence == "One call of a holds 1 tool call and $0.25 of max_usd $1.00."
    write = worst_case(Policy(), Tool(ToolName("b"), cost=usd("1.01")))
    assert write.hold == {"tool_calls": 1, "usd_nano": usd("1.01"), "writes": 1}
    assert not write.fits


def test_a_model_without_a_price_has_no_worst_case() -> None:
    with pytest.raises(LookupError, match="the policy has no price for gpt; put it under `models:`"):
        worst_case(Policy(), "gpt")


PROBLEMS = [
    ("{}",),
    (f"models: {GPT}",),
    ("budgets: {max_steps: 2, max_seconds: 10, max_model_calls: 2, max_tool_calls: 1}",),
    (
        "budgets: {max_steps: 1, max_seconds: 9, max_model_calls: 1}",
        "error policy:1:11: budgets.max_steps is 1, and a run keeps 1 of it for its last call; write at least 2",
        "error policy:1:25: budgets.max_seconds is 9, and a run keeps 5 of it for its last call; write at least 10",
        "error policy:1:41: budgets.max_model_calls is 1, and a run keeps 1 of it for its last call; write at least 2",
    ),
    (
        "tenants: {a: {budgets: {max_steps: 1}}}\n"
        "flows: {f: {budgets: {max_seconds: 9}}}\n"
        "nodes: {n: {budgets: {max_steps: 1}}}",
        "error policy:1:25: tenants.a.budgets.max_steps is 1, and a run keeps 1 of it for its last call; "
        "write at least 2",
        "warning policy:2:23: flows.f.budgets.max_seconds is 9, and a run keeps 5 of it for its last call; "
        "write at least 10",
        "error policy:3:23: nodes.n.budgets.max_steps is 1, and a run keeps 1 of it for its last call; "
        "write at least 2",
    ),
    (
        f"budgets: {{max_usd: 0.07}}\nmodels: {{m: {SMALL}}}",
        "error policy:1:11: budgets.max_usd is $0.07, and a run keeps $0.03512 of it for its last call; "
        "write at least $0.07024",
    ),
    (
        f"budgets: {{max_usd: 0.07}}\nmodels: {{m: {SMALL}, n: {FREE}}}",
        "warning policy:1:11: budgets.max_usd is $0.07, and a run keeps up to $0.03512 of it for its last call; "
        "write at least $0.07024",
    ),
    (
        f"budgets: {{max_tokens: 20000}}\nmodels: {{m: {FREE}}}",
        "error policy:1:11: budgets.max_tokens is 20,000, and a run keeps 24,512 of it for its last call; "
        "write at least 49,024",
    ),
    (
        "models: {m: {usd_per_million_in: 15, usd_per_million_out: 75}}",
        "warning policy:1:10: models.m may hold more in one call than a run has. One call of m holds at most $2.2272 "
        "of max_usd $1.00 and 132,096 of max_tokens 500,000 (128,000 tokens in, 4,096 out); "
        "lower context_tokens or max_output, or raise the limit",
    ),
    (
        "tools: {allow: [t], t: {cost: 2}}",
        "warning policy:1:25: tools.t.cost is $2.00, more than max_usd $1.00: no call of it is ever admitted; "
        "lower it, or raise budgets.max_usd",
    ),
]


@pytest.mark.parametrize("row", PROBLEMS, ids=lambda row: row[0])
def test_limits_that_leave_no_room_are_named(row: tuple[str, ...]) -> None:
    loaded = load_policy(dedent(row[0]) + "\n")
    found = problems(loaded.policy, loaded.positions)
    assert [f"{problem.severity} {problem}" for problem in found] == list(row[1:])


def test_the_safe_defaults_have_no_problems() -> None:
    assert problems(Policy()) == ()
