"""The rule on the flow of information, by itself: stricter never admits more, and what is read only takes away."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.flow_of_information import (
    MOST_SHOWN,
    FlowRule,
    Tracing,
    Unproven,
    Way,
    When,
    because,
    told_of,
    way_of,
)
from bridle.rules.names import CallId, Effect, Source, ToolName
from bridle.rules.policy import Narrowing, Policy
from bridle.rules.sinks import Sink
from bridle.rules.tool import Tool, ToolRule

POLICY = Policy(require_approval=False)
SEVEN_WAYS = st.lists(st.sampled_from(Way), min_size=7, max_size=7)
RULES = st.builds(lambda when, ways: FlowRule(when, *ways), st.sampled_from(When), SEVEN_WAYS)
TRACINGS = st.builds(
    lambda tainted, private, unproven, verbatim: Tracing(
        tainted, private, (Unproven("to", ("user",)),) if unproven else (), is_verbatim=verbatim
    ),
    *[st.booleans()] * 4,
)
ANY_TOOL = st.builds(
    lambda effect, sinks: Tool(ToolName("t"), effect=effect, sinks=sinks),
    st.sampled_from(Effect), st.sampled_from([None, (), (Sink("to", ("user",)),)]),
)  # fmt: skip
STRICTER = (Way.ALLOW, Way.APPROVE, Way.DENY).index


@given(RULES, RULES, ANY_TOOL, TRACINGS)
def test_a_stricter_rule_never_admits_more(one: FlowRule, other: FlowRule, tool: Tool, traced: Tracing) -> None:
    both = STRICTER(way_of(one.stricter(other), tool, traced))
    assert both >= max(STRICTER(way_of(one, tool, traced)), STRICTER(way_of(other, tool, traced)))


@given(ANY_TOOL, TRACINGS)
def test_what_is_read_only_ever_takes_away(tool: Tool, traced: Tracing) -> None:
    now = STRICTER(way_of(FlowRule(), tool, traced))
    for worse in (
        replace(traced, is_tainted=True),
        replace(traced, has_read_private=True),
        replace(traced, unproven=(Unproven("to", ("user",)),), is_verbatim=False),
    ):
        assert STRICTER(way_of(FlowRule(), tool, worse)) >= now


TO = (Sink("to", ("user",)),)
STRANGE = (Unproven("to", ("user",)),)
SEVEN = (
    "writes_if_sinks_trusted", "writes_else", "writes_without_sinks", "egress_if_sinks_trusted",
    "egress_verbatim_public", "egress_else", "private_and_untrusted_egress",
)  # fmt: skip
LOOSE = FlowRule(When.ALWAYS, *(Way.ALLOW,) * 7)
ONE_OF_SEVEN = {
    name: replace(LOOSE, **{name: Way.DENY})  # type: ignore[arg-type]  # each of the seven is a Way
    for name in SEVEN
}


@pytest.mark.parametrize(
    ("effect", "sinks", "traced", "decided_by"),
    [
        (Effect.READ, TO, Tracing(True, True, STRANGE), []),
        (Effect.WRITE, TO, Tracing(True, True), ["writes_if_sinks_trusted"]),
        (Effect.WRITE, TO, Tracing(True, True, STRANGE), ["writes_else"]),
        (Effect.WRITE, (), Tracing(True, True), ["writes_without_sinks"]),
        (Effect.WRITE, None, Tracing(), ["writes_without_sinks"]),
        (Effect.EGRESS, TO, Tracing(), ["egress_if_sinks_trusted"]),
        (Effect.EGRESS, TO, Tracing(False, True), ["egress_if_sinks_trusted"]),
        (Effect.EGRESS, TO, Tracing(True, False), ["egress_if_sinks_trusted"]),
        (Effect.EGRESS, TO, Tracing(True, True), ["egress_if_sinks_trusted", "private_and_untrusted_egress"]),
        (Effect.EGRESS, None, Tracing(True, False, STRANGE), ["egress_else"]),
        (Effect.EGRESS, None, Tracing(False, False, STRANGE, is_verbatim=True), ["egress_verbatim_public"]),
        (Effect.EGRESS, None, Tracing(False, True, STRANGE, is_verbatim=True), ["egress_else"]),
        (
            Effect.EGRESS,
            TO,
            Tracing(True, True, STRANGE, is_verbatim=True),
            ["egress_else", "private_and_untrusted_egress"],
        ),
    ],
)
def test_each_word_of_the_rule_decides_its_own_calls_and_no_other(
    effect: Effect, sinks: tuple[Sink, ...] | None, traced: Tracing, decided_by: list[str]
) -> None:
    tool = Tool(ToolName("t"), effect=effect, sinks=sinks)
    assert [name for name, rule in ONE_OF_SEVEN.items() if way_of(rule, tool, traced) is Way.DENY] == decided_by
    for rule in ONE_OF_SEVEN.values():
        assert way_of(replace(rule, when=When.NEVER), tool, traced) is Way.ALLOW
        only_tainted = way_of(replace(rule, when=When.TAINTED), tool, traced)
        assert only_tainted is (way_of(rule, tool, traced) if traced.is_tainted else Way.ALLOW)


def test_what_is_told_names_the_places_and_the_call_where_there_are_some_and_never_a_value() -> None:
    nowhere, seen = Unproven("cc", ()), Unproven("to", ("user", "dir:staff"), CallId("c2"), ToolName("inbox"), True)
    assert told_of(Tracing()) == {}
    assert told_of(Tracing(unproven=(nowhere,))) == {"argument": "cc"}
    assert told_of(Tracing(unproven=(seen, nowhere))) == {
        "argument": "to, cc",
        "may come from": "user or dir:staff",
        "seen in": "c2 (inbox)",
    }


def test_a_person_is_shown_where_each_value_came_from_and_long_ones_by_their_start() -> None:
    seen = Unproven("to", ("user", "dir:staff"), CallId("c2"), ToolName("inbox"), True)
    told = list(because([seen, Unproven("cc", ())], {"to": "x" * MOST_SHOWN, "cc": "y" * (MOST_SHOWN + 1)}))
    first_seen = "was first seen in the output of c2 (inbox, untrusted); not in the task, not in staff"
    assert told == [
        f"`to` = {'x' * MOST_SHOWN} {first_seen}",
        f"`cc` = {'y' * (MOST_SHOWN - 3)}... stood in no output; it may come from nowhere",
    ]
    trusted = next(because([replace(seen, is_untrusted=False)], {}))
    assert trusted == "`to` =  was first seen in the output of c2 (inbox, trusted); not in the task, not in staff"


def test_a_tenant_may_only_be_stricter() -> None:
    unsaid = Narrowing(tools={ToolName("mail"): ToolRule()})
    loose = replace(unsaid, flow_rule=FlowRule(When.NEVER, *(Way.ALLOW,) * 7))
    assert POLICY.narrow(loose) == POLICY.narrow(unsaid)
    stern = POLICY.narrow(Narrowing(flow_rule=FlowRule(writes_else=Way.DENY), max_writes=1))
    assert stern.flow_rule == FlowRule(writes_else=Way.DENY)
    assert stern.narrow(loose) == stern.narrow(unsaid)
    rule = ToolRule(source=Source.UNTRUSTED, sinks=(Sink("to", ("user",)),), destructive=True)
    said = ToolRule(source=Source.UNTRUSTED, narrower=(Sink("to", ("user",)),), destructive=True)
    assert POLICY.narrow(Narrowing(tools={ToolName("mail"): rule})).narrow(unsaid).tools[ToolName("mail")] == said
