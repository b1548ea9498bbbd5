"""The degrade ladder: each rung takes away what the one above does, and nothing that is ill is asked for more."""

from dataclasses import replace

import pytest
from hypothesis import given

from bridle.rules.budget import Account, Balance
from bridle.rules.call import Call
from bridle.rules.checks import Snapshot, decide
from bridle.rules.decision import Admit, Reuse
from bridle.rules.fold import apply
from bridle.rules.health import OPENS_AFTER, WELL, Health, Rung
from bridle.rules.ladder import nearly_used, off_until, reusable_for, taken_away
from bridle.rules.names import IN_FLIGHT, USD_NANO, CallId, Effect, Millis, ToolName, Unit
from bridle.rules.policy import Level, Policy, Window
from bridle.rules.tool import Tool
from tests.rules import house
from tests.rules.house import ALLOWED, NOW, started, tool_call
from tests.rules.strategies import DECLARED, HEALTHS, decisions

LATER = Millis(NOW + 60_000)
READ, EGRESS, WRITE = (Tool(ToolName(f"any.{effect}"), effect=effect) for effect in Effect)
COSTLY = replace(READ, expensive=True)
OPEN = Health(failures=OPENS_AFTER, open_until=LATER)
PROBED = Health(failures=OPENS_AFTER, probing_until=LATER)
HALF_OPEN = Health(failures=OPENS_AFTER)
SLOW = Health(held=Rung.CAREFUL, held_until=LATER)
STRAINED = Health(held=Rung.READS_ONLY, held_until=LATER)


@pytest.mark.parametrize(
    ("health", "tenant", "offered"),
    [
        (WELL, WELL, "read egress write costly"),
        (SLOW, WELL, "read egress write"),
        (HALF_OPEN, WELL, "read egress write costly"),  # whoever asks first is the probe
        (PROBED, WELL, ""),
        (OPEN, WELL, ""),
        (WELL, STRAINED, "read"),
        (SLOW, STRAINED, "read"),
        (OPEN, STRAINED, ""),
    ],
)
def test_what_a_model_is_offered_on_each_rung(health: Health, tenant: Health, offered: str) -> None:
    tools = {"read": READ, "egress": EGRESS, "write": WRITE, "costly": COSTLY}
    off = {name: off_until(tool, health, tenant, NOW) for name, tool in tools.items()}
    assert " ".join(name for name, until in off.items() if until is None) == offered
    assert {until for until in off.values() if until is not None} <= {LATER}


@given(DECLARED, HEALTHS, HEALTHS, HEALTHS)
def test_whoever_stands_lower_is_admitted_no_more(tool: Tool, health: Health, one: Health, other: Health) -> None:
    higher, lower = sorted((one, other), key=lambda tenant: tenant.rung(NOW))
    if taken_away(tool, health, higher, NOW) is not None:
        assert taken_away(tool, health, lower, NOW) is not None
    if taken_away(tool, WELL, one, NOW) is not None:
        assert taken_away(tool, SLOW, one, NOW) is not None


@given(decisions())
def test_nothing_is_admitted_that_would_not_be_admitted_if_everything_were_well(given_: tuple[Call, Snapshot]) -> None:
    call, seen = given_
    if isinstance(decide(call, seen).answer, Admit):
        well = replace(seen, health=WELL, tenant=WELL)
        assert isinstance(decide(call, well).answer, Admit)


@given(DECLARED, HEALTHS, HEALTHS)
def test_what_is_offered_is_not_refused_for_its_health(tool: Tool, health: Health, tenant: Health) -> None:
    if off_until(tool, health, tenant, NOW) is None:
        assert taken_away(tool, health, tenant, NOW) is None


def test_an_earlier_result_stands_for_a_call_of_what_is_off() -> None:
    run = apply(None, started(Policy(ALLOWED)))
    for ill in (OPEN, SLOW, PROBED):
        seen = Snapshot(NOW, run, Policy(ALLOWED), house.READ, health=ill, tenant=STRAINED, twin=CallId("c1"))
        assert decide(tool_call(), seen).answer == Reuse(CallId("c1"))


@pytest.mark.parametrize(("health", "window"), [(WELL, 10_000), (SLOW, 40_000), (OPEN, 40_000), (HALF_OPEN, 40_000)])
def test_results_of_what_is_not_well_are_reused_for_longer(health: Health, window: int) -> None:
    assert reusable_for(Millis(10_000), health, NOW) == window


@pytest.mark.parametrize(
    ("level", "unit", "window", "settled", "reserved", "is_near"),
    [
        (Level.TENANT, USD_NANO, Window.DAY, 949, 0, False),
        (Level.TENANT, USD_NANO, Window.DAY, 950, 0, True),
        (Level.TENANT, USD_NANO, Window.MINUTE, 900, 50, True),
        (Level.TENANT, USD_NANO, Window.MONTH, 1_500, 0, True),
        (Level.HOUSE, USD_NANO, Window.DAY, 1_000, 0, False),
        (Level.AGENT, USD_NANO, Window.DAY, 1_000, 0, False),
        (Level.TENANT, IN_FLIGHT, Window.NONE, 0, 1_000, False),
    ],
)
def test_a_tenant_is_near_its_end_at_95_percent_of_a_window_of_its_own(
    level: Level, unit: Unit, window: Window, settled: int, reserved: int, is_near: bool
) -> None:
    account = Account(level, "acme", unit, window, 0)
    assert nearly_used({account: Balance(1_000, settled, reserved)}) is is_near
    assert nearly_used({}) is False
