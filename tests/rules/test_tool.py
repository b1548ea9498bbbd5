"""Tools: undeclared labels are the strict ones, and a policy's rule only makes a declaration stricter."""

from dataclasses import asdict, replace

import pytest
from hypothesis import given

from bridle.rules.call import Call
from bridle.rules.checks import Snapshot, decide
from bridle.rules.decision import Admit
from bridle.rules.names import Confidentiality, Effect, Millis, Source, ToolName, UsdNanos
from bridle.rules.tool import Idempotency, ReuseScope, Tool, ToolRule, narrowed
from tests.rules.strategies import DECLARED, RULES, decisions

T = Tool(ToolName("t"))
MILD = replace(
    T, effect=Effect.READ, source=Source.TRUSTED, confidentiality=Confidentiality.PUBLIC, reuse=ReuseScope.RUN,
    cost=UsdNanos(5), timeout=Millis(9),
)  # fmt: skip
EFFECTS = [Effect.READ, Effect.EGRESS, Effect.WRITE]


def how_long(reuse: ReuseScope | Millis) -> int:
    """How long a result may stand for another, in milliseconds."""
    return {ReuseScope.NEVER: 0, ReuseScope.RUN: 10**15}[reuse] if isinstance(reuse, ReuseScope) else reuse


def is_as_strict(strict: Tool, mild: Tool) -> bool:
    """Whether every label of one tool is as strict, and every bound as small, as the other's."""
    return (
        EFFECTS.index(strict.effect) >= EFFECTS.index(mild.effect)
        and (strict.source is Source.UNTRUSTED or mild.source is Source.TRUSTED)
        and (strict.confidentiality is Confidentiality.PRIVATE or mild.confidentiality is Confidentiality.PUBLIC)
        and how_long(strict.reuse) <= how_long(mild.reuse)
        and strict.expensive >= mild.expensive
        and strict.cost >= mild.cost
        and all(
            getattr(strict, bound) <= getattr(mild, bound)
            for bound in ("timeout", "concurrency", "max_calls", "max_bytes", "show_bytes")
        )
    )


def test_an_unlabelled_tool_is_an_untrusted_write_that_nobody_may_repeat() -> None:
    labels = (T.effect, T.source, T.confidentiality, T.idempotency, T.reuse)
    assert labels == (Effect.WRITE, Source.UNTRUSTED, Confidentiality.PRIVATE, Idempotency.NONE, ReuseScope.NEVER)


@given(DECLARED, RULES)
def test_a_rule_only_makes_a_tool_stricter(tool: Tool, rule: ToolRule) -> None:
    strict = narrowed(tool, rule)
    assert is_as_strict(strict, tool)
    said = asdict(rule)
    for bound in ("timeout", "concurrency", "max_calls", "max_bytes", "show_bytes"):
        declared = getattr(tool, bound)
        assert getattr(strict, bound) == (declared if said[bound] is None else min(declared, said[bound]))
    assert strict.cost == max(tool.cost, rule.cost or 0)


@given(DECLARED, RULES)
def test_a_rule_twice_is_a_rule_once_and_no_rule_is_no_change(tool: Tool, rule: ToolRule) -> None:
    assert narrowed(narrowed(tool, rule), rule) == narrowed(tool, rule)
    assert narrowed(tool, ToolRule()) == tool


@given(DECLARED, RULES, RULES)
def test_the_order_of_rules_does_not_matter_to_how_strict_a_tool_is(tool: Tool, one: ToolRule, other: ToolRule) -> None:
    left, right = narrowed(narrowed(tool, one), other), narrowed(narrowed(tool, other), one)
    assert is_as_strict(left, right)
    assert is_as_strict(right, left)


@given(decisions(), RULES)
def test_a_call_that_a_tool_is_refused_is_not_admitted_when_the_tool_is_stricter(
    case: tuple[Call, Snapshot], rule: ToolRule
) -> None:
    call, seen = case
    if seen.tool is not None and not isinstance(decide(call, seen).answer, Admit):
        stricter = replace(seen, tool=narrowed(seen.tool, rule))
        assert not isinstance(decide(call, stricter).answer, Admit)


@pytest.mark.parametrize(
    ("rule", "strict"),
    [
        (ToolRule(effect=Effect.EGRESS), replace(MILD, effect=Effect.EGRESS)),
        (ToolRule(effect=Effect.WRITE), replace(MILD, effect=Effect.WRITE)),
        (ToolRule(source=Source.UNTRUSTED), replace(MILD, source=Source.UNTRUSTED)),
        (ToolRule(confidentiality=Confidentiality.PRIVATE), replace(MILD, confidentiality=Confidentiality.PRIVATE)),
        (ToolRule(reuse=Millis(5)), replace(MILD, reuse=Millis(5))),
        (ToolRule(reuse=ReuseScope.NEVER), replace(MILD, reuse=ReuseScope.NEVER)),
        (ToolRule(expensive=True), replace(MILD, expensive=True)),
        (ToolRule(cost=UsdNanos(7)), replace(MILD, cost=UsdNanos(7))),
        (ToolRule(cost=UsdNanos(0)), MILD),
        (ToolRule(timeout=Millis(3)), replace(MILD, timeout=Millis(3))),
        (ToolRule(timeout=Millis(30)), MILD),
        (ToolRule(max_calls=0), replace(MILD, max_calls=0)),
    ],
)
def test_a_rule_says_what_it_wants_and_nothing_else_changes(rule: ToolRule, strict: Tool) -> None:
    assert narrowed(MILD, rule) == strict


@pytest.mark.parametrize(
    "rule",
    [
        ToolRule(effect=Effect.READ),
        ToolRule(source=Source.TRUSTED),
        ToolRule(confidentiality=Confidentiality.PUBLIC),
        ToolRule(reuse=ReuseScope.RUN),
        ToolRule(reuse=Millis(5)),
        ToolRule(expensive=False),
        ToolRule(concurrency=10**6),
    ],
)
def test_a_rule_cannot_make_a_declaration_milder(rule: ToolRule) -> None:
    strict = replace(T, expensive=True)
    assert narrowed(strict, rule) == strict


def test_a_tool_shares_the_health_of_what_it_depends_on() -> None:
    assert (T.depends_on, replace(T, dependency="crm").depends_on) == ("t", "crm")
