"""Limits of a run and of its step: when it wraps up, what may enter, and what its last word may use."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.budget import Balance
from bridle.rules.call import Call
from bridle.rules.checks import Snapshot, decide
from bridle.rules.decision import Admit, Decision, Halt
from bridle.rules.events import RunHalted, RunResumed, RunStopped
from bridle.rules.fold import apply
from bridle.rules.names import (
    ACTIVE_MS,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Millis,
    Unit,
    UsdNanos,
)
from bridle.rules.policy import Limits, Policy
from bridle.rules.run import RunState
from bridle.rules.running_out import may_enter, wraps_up
from tests.rules.house import ALLOWED, NOW, SEARCH, model_call, tool_call
from tests.rules.strategies import decisions
from tests.rules.test_checks import ASKED, HOUSE, IN, LAST, LATE, NODE, POLICY, RUN, SEEN, R, halted, having


@pytest.mark.parametrize(
    ("used", "now", "wraps"),
    [
        ({}, IN, False),
        ({STEPS: 23}, IN, False),
        ({STEPS: 24}, IN, True),
        ({MODEL_CALLS: 24}, IN, True),
        ({TOOL_CALLS: 11}, IN, False),
        ({TOOL_CALLS: 12}, IN, True),
        ({TOKENS_IN: 200_000, TOKENS_OUT: 199_999}, IN, False),
        ({TOKENS_IN: 200_000, TOKENS_OUT: 200_000}, IN, True),
        ({USD_NANO: 799_999_999}, IN, False),
        ({USD_NANO: 800_000_000}, IN, True),
        ({}, NOW + 71_999, False),
        ({}, NOW + 72_000, True),
    ],
)
def test_a_run_wraps_up_at_80_percent_of_any_limit(used: dict[Unit, int], now: int, wraps: bool) -> None:
    assert wraps_up(replace(RUN, used=used), POLICY.limits, Millis(now)) is wraps


def test_a_run_that_was_away_for_an_hour_does_not_wrap_up_for_it() -> None:
    back = apply(RUN, RunResumed(Millis(NOW + 3_610_000), 2, Millis(3_600_000)))
    assert not wraps_up(back, POLICY.limits, back.last_at)


def test_a_finalise_call_that_is_larger_than_its_reserve_does_not_overshoot_the_step() -> None:
    full = replace(NODE, used={TOKENS_IN: 80}, before={}, node_finalise={TOKENS_IN: 10})
    assert not isinstance(decide(LAST, replace(ASKED, run=full)).answer, Admit)


def test_the_last_word_of_a_run_is_not_held_against_the_step_it_was_halted_in() -> None:
    full = replace(NODE, used={TOKENS_IN: 90}, before={}, finalise={TOKENS_IN: 100, TOKENS_OUT: 50})
    seen = replace(ASKED, run=apply(full, RunHalted(IN, R.MAX_USD)))
    assert decide(LAST, seen) == Decision(Admit(LAST.hold))


def test_a_hold_of_output_tokens_alone_is_held_against_the_limit_too() -> None:
    call = replace(model_call(), hold={MODEL_CALLS: 1, TOKENS_OUT: 500_001})
    assert not isinstance(decide(call, ASKED).answer, Admit)


def test_an_empty_account_is_said_before_a_limit_of_the_run() -> None:
    both = replace(having({USD_NANO: 10**9}), tool=SEARCH, balances={HOUSE: Balance(0)})
    answer = decide(tool_call(SEARCH), both).answer
    assert isinstance(answer, Halt)
    assert answer.reason is R.ACCOUNT_BUDGET


@pytest.mark.parametrize(
    ("run", "now", "halt"),
    [
        (RUN, IN, None),
        (replace(RUN, used={STEPS: 29}), IN, None),
        (replace(RUN, used={STEPS: 30}), IN, Halt(R.MAX_STEPS, {"limit": 30, "used": 30})),
        (replace(RUN, used={STEPS: 29}, finalise={STEPS: 1}), IN, Halt(R.MAX_STEPS, {"limit": 30, "used": 30})),
        (RUN, LATE - 1, None),
        (RUN, LATE, Halt(R.MAX_SECONDS, {"limit": 90, "used": 90})),
        (replace(RUN, finalise={ACTIVE_MS: 5_000}), LATE - 5_000, Halt(R.MAX_SECONDS, {"limit": 90, "used": 85})),
        (halted(R.MAX_USD).run, IN, Halt(R.MAX_USD, {"limit": 1})),
        (apply(RUN, RunStopped(IN, R.OK)), IN, Halt(R.OK)),
    ],
)
def test_a_step_is_entered_by_an_open_run_in_time_with_a_step_left(run: RunState, now: int, halt: Halt | None) -> None:
    assert may_enter(run, POLICY.limits, Millis(now)) == halt


@given(decisions(), st.integers(1, 12))
def test_a_larger_hold_is_never_admitted_where_a_smaller_one_is_not(given_: tuple[Call, Snapshot], more: int) -> None:
    call, seen = given_
    larger = replace(call, hold={unit: held + more for unit, held in call.hold.items()})
    if isinstance(decide(larger, seen).answer, Admit):
        assert isinstance(decide(call, seen).answer, Admit)


def test_a_smaller_limit_of_money_is_a_smaller_limit() -> None:
    poor = replace(SEEN, tool=SEARCH, policy=Policy(ALLOWED, limits=Limits(max_usd=UsdNanos(1_999))))
    answer = decide(tool_call(SEARCH), poor).answer
    assert answer == Halt(R.MAX_USD, {"limit": "$0.000001999", "used": "$0.00", "wanted": "$0.000002"})
