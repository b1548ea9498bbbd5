"""The incident "browser during a vendor outage": 1,800 calls and $1,300 in a day, at most 10 a run under bridle."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bridle import Bridle
from bridle.gateway.world import World
from bridle.models.port import Model
from bridle.rules.health import OPENS_AFTER
from bridle.rules.names import NANOS_PER_USD
from bridle.rules.stop import Retry, Status, StopNote, StopReason
from bridle.testing.incidents import Bounded, Outcome, outage_bounded, outage_unbounded
from bridle.testing.incidents.outage import (
    BROWSER,
    DOWN_FROM_S,
    DOWN_UNTIL_S,
    OPENS_AT,
    PAGES,
    PRESSES_S,
    REQUESTS,
)

HIT = 12  # requests that come while the vendor is down


def house(policy: Path, models: Mapping[str, Model], world: World) -> Bridle:
    return Bridle(policy, ":memory:", models=models, world=world)


def while_down(outcome: Outcome) -> int:
    """Browser calls that reached the vendor during its outage."""
    begins, ends = OPENS_AT + DOWN_FROM_S * 1_000, OPENS_AT + DOWN_UNTIL_S * 1_000
    return sum(bill.what == BROWSER and begins <= bill.at < ends for bill in outcome.bills)


@pytest.fixture(scope="module")
def unbounded() -> Outcome:
    return outage_unbounded()


@pytest.fixture(scope="module")
def bounded() -> Bounded:
    return outage_bounded(house)


def test_unbounded_it_is_the_incident_1800_browser_calls_for_1300_dollars(unbounded: Outcome) -> None:
    assert unbounded.tool_calls == pytest.approx(1_800, rel=0.02)
    assert unbounded.usd_nano / NANOS_PER_USD == pytest.approx(1_300, rel=0.02)
    assert unbounded.stops == {"answered": REQUESTS - HIT, "gave up": HIT * len(PRESSES_S)}
    assert while_down(unbounded) == 1_728  # 12 requests x 3 presses x 8 asks x 2 of the tool x 3 of the client


def test_1800_browser_calls_in_a_day_stay_within_10_a_run(bounded: Bounded) -> None:
    assert bounded.outcome.most_tool_calls_of_a_run <= 10
    assert bounded.outcome.usd_nano < 100 * NANOS_PER_USD


def test_1800_browser_calls_in_a_day_stay_within_a_tenth_over_what_is_offered(bounded: Bounded) -> None:
    offered = bounded.outcome.presses * PAGES
    assert bounded.outcome.tool_calls <= 1.1 * offered
    assert while_down(bounded.outcome) <= 1.1 * HIT * len(PRESSES_S) * PAGES
    assert while_down(bounded.outcome) <= 1.1 * HIT * len(PRESSES_S) + 5  # five open the breaker, then one probe a run


def test_no_request_of_the_outage_asks_the_browser_more_often_than_it_takes_to_open_the_breaker(
    bounded: Bounded,
) -> None:
    first, *others = [result for result in bounded.results if result.stop != StopNote(StopReason.OK)]
    assert first.tool_calls == OPENS_AFTER
    assert [result.tool_calls for result in others] == [1] * (HIT * len(PRESSES_S) - 1)


def test_the_requests_of_the_outage_end_as_ok_degraded_and_the_others_are_answered(
    bounded: Bounded, unbounded: Outcome
) -> None:
    assert bounded.told.stops == {"ok": REQUESTS - HIT, "ok_degraded": HIT * len(PRESSES_S)}
    assert bounded.told.stops["ok"] == unbounded.stops["answered"]
    for result in bounded.results:
        assert result.stop is not None
        assert result.status is Status.OK
        if result.stop.reason is not StopReason.OK:
            assert result.stop.reason is StopReason.OK_DEGRADED
            assert result.stop.retry is Retry.LATER
            assert dict(result.stop.detail) == {"missing": BROWSER}
            assert result.missing == (BROWSER,)


def test_the_oracle_ledger_and_bridles_are_equal(bounded: Bounded) -> None:
    outcome, told = bounded.outcome, bounded.told
    assert (outcome.tool_calls, outcome.model_calls) == (told.tool_calls, told.model_calls)
    assert outcome.usd_nano == told.usd_nano


def test_error_pages_do_not_reach_the_prompt(bounded: Bounded, unbounded: Outcome) -> None:
    assert unbounded.tokens > 150_000
    assert bounded.outcome.tokens < 20_000
