"""The rule on the flow of information, by itself: stricter never admits more, and what is read only takes away."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.flow_of_information import FlowRule, Tracing, Unproven, Way, When, way_of
from bridle.rules.names import Effect, Source, ToolName
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
