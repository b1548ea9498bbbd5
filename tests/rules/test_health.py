"""The health of a dependency: what trips, how long, one probe at a time, and a tenth of the calls for retries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.failure import FailureKind
from bridle.rules.health import OPENS_AFTER, RETRY_TOKEN, STAYS_OPEN, WELL, Condition, Health
from bridle.rules.names import Millis

F = FailureKind
ILLNESSES = (F.UNAVAILABLE, F.TIMEOUT)
ANSWERS = (None, F.REJECTED, F.CREDENTIALS, F.INVALID_OUTPUT, F.CONTEXT_OVERFLOW)
TIMEOUT = Millis(30_000)
T0 = Millis(1_000_000)


def after(*failures: FailureKind | None, at: Millis = T0, health: Health = WELL) -> Health:
    """The health after these answers."""
    for failure in failures:
        health = health.answered(at, failure)
    return health


@pytest.mark.parametrize("illness", ILLNESSES)
@pytest.mark.parametrize("times", range(8))
def test_five_illnesses_in_a_row_open_the_breaker_for_a_minute(illness: FailureKind, times: int) -> None:
    health = after(*[illness] * times)
    opens = times >= 5
    assert (OPENS_AFTER, STAYS_OPEN) == (5, 60_000)
    assert health.condition(T0) is (Condition.OPEN if opens else Condition.WELL)
    assert health.condition(Millis(T0 + 59_999)) is (Condition.OPEN if opens else Condition.WELL)
    assert health.condition(Millis(T0 + 60_000)) is (Condition.HALF_OPEN if opens else Condition.WELL)


@pytest.mark.parametrize("answer", ANSWERS)
def test_any_answer_between_two_illnesses_starts_the_count_again(answer: FailureKind | None) -> None:
    four = (F.TIMEOUT,) * 4
    assert after(*four, answer, *four).condition(T0) is Condition.WELL
    assert after(*four, answer, *four, F.TIMEOUT).condition(T0) is Condition.OPEN


@given(st.lists(st.sampled_from([F.RATE_LIMITED, *ANSWERS]), max_size=40))
def test_nothing_but_illness_trips(answers: list[FailureKind | None]) -> None:
    assert after(*answers).condition(T0) is Condition.WELL


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=20))
def test_429s_slow_down_as_long_as_the_longest_asks_and_trip_nothing(waits: list[int]) -> None:
    health = WELL
    for wait in waits:
        health = health.answered(T0, F.RATE_LIMITED, Millis(wait))
    assert (health.not_before, health.failures, health.condition(T0)) == (T0 + max(waits), 0, Condition.WELL)


def test_a_429_between_illnesses_neither_counts_nor_heals() -> None:
    four = (F.TIMEOUT,) * 4
    assert after(*four, F.RATE_LIMITED).failures == 4
    assert after(*four, F.RATE_LIMITED, F.TIMEOUT).condition(T0) is Condition.OPEN


def test_a_half_open_breaker_lets_one_probe_through() -> None:
    later = Millis(T0 + STAYS_OPEN)
    health = after(*[F.TIMEOUT] * 5)
    assert health.condition(later) is Condition.HALF_OPEN
    probing = health.sent(later, 1, TIMEOUT)
    assert probing.condition(later) is Condition.OPEN
    assert probing.condition(Millis(later + TIMEOUT - 1)) is Condition.OPEN
    assert probing.condition(Millis(later + TIMEOUT)) is Condition.HALF_OPEN  # the probe was lost: another may go
    assert after(None, at=later, health=probing).condition(later) is Condition.WELL
    still_ill = after(F.TIMEOUT, at=later, health=probing)
    assert still_ill.condition(Millis(later + STAYS_OPEN - 1)) is Condition.OPEN
    assert still_ill.condition(Millis(later + STAYS_OPEN)) is Condition.HALF_OPEN
    assert after(F.RATE_LIMITED, at=later, health=probing).condition(later) is Condition.HALF_OPEN


def test_who_is_well_has_no_probes() -> None:
    assert WELL.sent(T0, 1, TIMEOUT).probing_until == 0
    assert after(*[F.TIMEOUT] * 4).sent(T0, 1, TIMEOUT).condition(T0) is Condition.WELL


@given(st.lists(st.sampled_from([1, 1, 1, 2]), max_size=400))
def test_retries_are_a_tenth_of_the_first_attempts_and_one(attempts: list[int]) -> None:
    health, first, again = WELL, 0, 0
    for attempt in attempts:
        if attempt > 1 and not health.may_retry:
            continue
        health = health.sent(T0, attempt, TIMEOUT)
        first, again = first + (attempt == 1), again + (attempt > 1)
        assert again <= 1 + first / 10
        assert 0 <= health.retry_tokens <= 10 * RETRY_TOKEN


def test_ten_calls_earn_a_retry_and_a_quiet_week_no_more_than_ten() -> None:
    health = WELL.sent(T0, 2, TIMEOUT)
    assert not health.may_retry
    for _ in range(9):
        health = health.sent(T0, 1, TIMEOUT)
    assert not health.may_retry
    assert health.sent(T0, 1, TIMEOUT).may_retry
    for _ in range(10_000):
        health = health.sent(T0, 1, TIMEOUT)
    retries = 0
    while health.may_retry:
        health, retries = health.sent(T0, 2, TIMEOUT), retries + 1
    assert retries == 10


def test_health_that_does_not_change_is_the_same_object_so_that_nothing_is_written() -> None:
    full = Health(retry_tokens=10 * RETRY_TOKEN)
    assert full.sent(T0, 1, TIMEOUT) is full
    assert WELL.answered(T0, None) is WELL


@pytest.mark.parametrize("unknown", [F.CANCELLED, F.CRASHED])
def test_a_call_that_nobody_waited_for_heals_nothing(unknown: FailureKind) -> None:
    assert after(*[F.TIMEOUT] * 5, unknown).condition(T0) is Condition.OPEN
