"""The incident "research until sure": 140 calls, 17 minutes and $74 unbounded, 15 calls under bridle."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bridle import Bridle
from bridle.gateway.world import World
from bridle.models.port import Model
from bridle.rules.names import NANOS_PER_USD
from bridle.rules.stop import Status, StopReason
from bridle.testing.incidents import Bounded, research_bounded, research_unbounded
from bridle.testing.incidents.research import PRESSES


def house(policy: Path, models: Mapping[str, Model], world: World) -> Bridle:
    return Bridle(policy, ":memory:", models=models, world=world)


@pytest.fixture(scope="module")
def bounded() -> Bounded:
    return research_bounded(house, PRESSES)


def test_unbounded_it_is_the_incident_140_calls_in_17_minutes_for_74_dollars() -> None:
    outcome = research_unbounded()
    assert outcome.tool_calls == 140
    assert outcome.seconds == pytest.approx(17 * 60, rel=0.03)
    assert outcome.usd_nano / NANOS_PER_USD == pytest.approx(74, rel=0.02)
    assert outcome.tokens > 150_000  # the last prompt: it grew with every observation


def test_unbounded_the_users_who_press_again_multiply_it() -> None:
    one, three = research_unbounded(), research_unbounded(PRESSES)
    assert three.tool_calls == 3 * one.tool_calls
    assert three.usd_nano == 3 * one.usd_nano


def test_140_calls_in_17_minutes_stops_at_15_calls(bounded: Bounded) -> None:
    assert bounded.outcome.tool_calls == 15
    assert bounded.outcome.model_calls == 17  # the sixteenth asks for a call that is refused, the last one sums up
    assert bounded.outcome.seconds < 90
    assert bounded.outcome.usd_nano < 2 * NANOS_PER_USD


def test_every_press_is_told_the_same_reason_and_how_far_it_came(bounded: Bounded) -> None:
    for result in bounded.results:
        assert result.status is Status.STOPPED
        assert result.stop is not None
        assert result.stop.reason is StopReason.MAX_TOOL_CALLS
        assert dict(result.stop.detail) == {"limit": 15, "used": 15}
        assert result.partial == "After 15 sources: vendor 7 looks cheapest, but I am not sure yet."


def test_presses_while_the_run_is_open_join_it(bounded: Bounded) -> None:
    assert len(bounded.results) == len(PRESSES) == 3
    assert bounded.told.runs == 1
    assert {bill.press for bill in bounded.outcome.bills} == {1}


def test_the_oracle_ledger_and_bridles_are_equal(bounded: Bounded) -> None:
    outcome, told = bounded.outcome, bounded.told
    assert (outcome.tool_calls, outcome.model_calls) == (told.tool_calls, told.model_calls)
    assert outcome.usd_nano == told.usd_nano


def test_the_same_story_again_is_the_same_to_the_last_nano_dollar(bounded: Bounded) -> None:
    assert research_bounded(house, PRESSES) == bounded
