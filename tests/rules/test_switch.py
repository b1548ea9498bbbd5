"""The kill switch: which level takes which calls away, for whom, and that one more of them never gives a call back."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.call import Call, CallKind
from bridle.rules.checks import Snapshot, kill_switch
from bridle.rules.decision import Deny, Halt
from bridle.rules.fold import apply
from bridle.rules.names import Effect, TenantId, ToolName
from bridle.rules.policy import KillLevel, Limits, Policy
from bridle.rules.running_out import may_enter
from bridle.rules.stop import StopReason
from bridle.rules.switch import Scope, Switch, against_call, against_run, takes_away
from bridle.rules.tool import Tool
from tests.rules.house import NOW, SEARCH, started
from tests.rules.strategies import SWITCHES, decisions

RUN = apply(None, started(Policy()))  # of the tenant acme and the flow research
WORDS = [("", True), ("acme", True), ("umbrella", False)], [("", True), ("research", True), ("other", False)]


def kind(effect: Effect, *, expensive: bool = False) -> Tool:
    return Tool(ToolName("a.tool"), effect=effect, expensive=expensive)


TAKES = """
                 read   read/expensive   egress   egress/expensive   write   write/expensive   model
    writes       -      -                -        -                  x       x                 -
    expensive    -      x                -        x                  x       x                 -
    egress       -      -                x        x                  x       x                 -
    all          x      x                x        x                  x       x                 x
"""


@pytest.mark.parametrize("level", KillLevel)
def test_each_level_takes_away_what_the_table_says(level: KillLevel) -> None:
    head, *lines = [line.split() for line in TAKES.strip().splitlines()]
    (marks,) = [line[1:] for line in lines if line[0] == level]
    for name, mark in zip(head, marks, strict=True):
        effect, _, label = name.partition("/")
        tool = None if effect == "model" else kind(Effect(effect), expensive=label == "expensive")
        assert takes_away(level, tool) is (mark == "x"), name


@pytest.mark.parametrize(("smaller", "larger"), [("writes", "expensive"), ("writes", "egress"), ("expensive", "all"),
                                                 ("egress", "all")])  # fmt: skip
def test_a_larger_level_includes_the_smaller_one(smaller: str, larger: str) -> None:
    for tool in (None, *(kind(effect, expensive=dear) for effect, dear in product(Effect, (False, True)))):
        assert takes_away(KillLevel(smaller), tool) <= takes_away(KillLevel(larger), tool)


@pytest.mark.parametrize(("tenant", "flow"), list(product(*WORDS)))
def test_a_run_is_in_a_scope_when_every_part_that_is_named_is_its_own(
    tenant: tuple[str, bool], flow: tuple[str, bool]
) -> None:
    is_in = tenant[1] and flow[1]
    switch = Switch(KillLevel.ALL, Scope(tenant[0], flow[0]))
    assert (against_run([switch], "acme", "research") is switch) is is_in
    assert (may_enter(RUN, Limits(), NOW, (switch,)) is not None) is is_in
    for tool, named in (("", True), (SEARCH.name, True), ("mail.send", False)):
        of_tool = Switch(KillLevel.ALL, Scope(tenant[0], flow[0], tool))
        found = against_call([of_tool], TenantId("acme"), "research", SEARCH.name, SEARCH)
        assert (found is of_tool) is (is_in and named)


def test_a_switch_of_one_tool_or_of_a_smaller_level_ends_no_run() -> None:
    smaller = [Switch(level) for level in KillLevel if level is not KillLevel.ALL]
    of_tools = [Switch(level, Scope("acme", "research", "kb.read")) for level in KillLevel]
    assert against_run([*smaller, *of_tools], "acme", "research") is None
    assert may_enter(RUN, Limits(), NOW, (*smaller, *of_tools)) is None


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (Scope(), "house"),
        (Scope("acme"), "tenant acme"),
        (Scope(flow="research"), "flow research"),
        (Scope("acme", "research", "kb.read"), "tenant acme, flow research, tool kb.read"),
    ],
)
def test_a_scope_is_said_in_words(scope: Scope, words: str) -> None:
    assert str(scope) == words
    assert Switch(KillLevel.WRITES, scope, "ann").detail == {"level": "writes", "scope": words, "by": "ann"}


@given(decisions(), st.lists(SWITCHES, max_size=4), SWITCHES)
def test_one_more_switch_never_gives_a_call_back(
    proposed: tuple[Call, Snapshot], on: list[Switch], more: Switch
) -> None:
    call, seen = proposed
    before = kill_switch(call, replace(seen, switches=tuple(on)))
    after = kill_switch(call, replace(seen, switches=(*on, more)))
    assert before is None or after is not None
    if isinstance(before, Halt):
        assert isinstance(after, Halt)


@given(decisions(), st.lists(SWITCHES, max_size=4))
def test_a_call_is_taken_away_when_some_switch_says_so_and_its_scope_and_level_are_named(
    proposed: tuple[Call, Snapshot], on: list[Switch]
) -> None:
    call, seen = proposed
    seen = replace(seen, switches=tuple(on))
    said = kill_switch(call, seen)
    run, tool = seen.run, seen.tool
    meant = [
        switch
        for switch in on
        if switch.scope.tenant in ("", run.tenant)
        and switch.scope.flow in ("", run.name)
        and switch.scope.tool in ("", call.tool)
        and takes_away(switch.level, tool)
    ]
    assert (said is not None) is bool(meant)
    if said is None:
        return
    assert isinstance(said, Deny | Halt)
    assert said.reason is StopReason.KILLED
    assert any(switch.detail.items() <= dict(said.detail).items() for switch in meant)
    is_model = call.kind is CallKind.MODEL
    assert isinstance(said, Halt) is (is_model or any(switch.halts for switch in meant))
