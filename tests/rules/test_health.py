"""The health of a dependency: what trips, how long, one probe at a time, and a tenth of the calls for retries."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.failure import FailureKind
from bridle.rules.health import (
    HELD_FOR,
    LEARNS_FROM,
    LEAST_USUAL,
    OPENS_AFTER,
    RETRY_TOKEN,
    SLOW_TIMES,
    STAYS_OPEN,
    WELL,
    Condition,
    Health,
    Rung,
)
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
def test_retries_are_a_tenth_of_the_first_attempts_or_one(attempts: list[int]) -> None:
    health, first, again = WELL, 0, 0
    for attempt in attempts:
        if attempt > 1 and not health.may_retry:
            continue
        health = health.sent(T0, attempt, TIMEOUT)
        first, again = first + (attempt == 1), again + (attempt > 1)
        assert again <= max(1, first / 10)
        assert -RETRY_TOKEN <= health.retry_tokens <= 10 * RETRY_TOKEN


def test_the_first_retry_is_lent_ten_calls_earn_one_and_a_quiet_week_no_more_than_ten() -> None:
    health = WELL.sent(T0, 1, TIMEOUT)
    assert health.may_retry
    health = health.sent(T0, 2, TIMEOUT)
    for _ in range(18):  # ten for the loan, and ten for the next, the first call included
        assert not health.may_retry
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
    full = Health(retry_tokens=10 * RETRY_TOKEN, heard=LEARNS_FROM)
    assert full.sent(T0, 1, TIMEOUT) is full
    assert full.answered(T0, None, took=LEAST_USUAL) is full


@pytest.mark.parametrize("unknown", [F.CANCELLED, F.CRASHED])
def test_a_call_that_nobody_waited_for_heals_nothing(unknown: FailureKind) -> None:
    assert after(*[F.TIMEOUT] * 5, unknown).condition(T0) is Condition.OPEN


# ---- where it stands on the ladder

ANSWERED = st.tuples(
    st.sampled_from([*F, None, None, None]),
    st.integers(0, 90_000),  # milliseconds until then
    st.integers(0, 40_000),  # that it took
    st.integers(0, 5_000),  # Retry-After
)
STORIES = st.lists(ANSWERED, max_size=60)


def told(story: list[tuple[FailureKind | None, int, int, int]]) -> list[tuple[Millis, Health]]:
    """The health after each answer of a story, with when it came."""
    at, health, seen = T0, WELL, [(T0, WELL)]
    for failure, passed, took, patience in story:
        at = Millis(at + passed)
        health = health.sent(at, 1, TIMEOUT) if failure is None else health
        health = health.answered(at, failure, Millis(patience), Millis(took))
        seen.append((at, health))
    return seen


def test_it_goes_down_at_once_and_comes_up_by_way_of_careful() -> None:
    ill = after(*[F.TIMEOUT] * 5)
    opens = Millis(T0 + STAYS_OPEN)
    assert [after(*[F.TIMEOUT] * n).rung(T0) for n in range(6)] == [Rung.NORMAL] * 5 + [Rung.READS_ONLY]
    assert (ill.rung(Millis(opens - 1)), ill.rung(opens)) == (Rung.READS_ONLY, Rung.CAREFUL)
    assert (ill.until(T0), ill.until(opens)) == (opens, 0)
    soon = after(None, at=opens, health=ill)
    assert [soon.rung(Millis(opens + late)) for late in (0, HELD_FOR - 1, HELD_FOR)] == [1, 1, 0]
    assert soon.until(opens) == opens + HELD_FOR
    late = after(None, at=Millis(opens + HELD_FOR), health=ill)
    assert late.rung(Millis(opens + HELD_FOR)) is Rung.NORMAL, "it was careful for long enough before the probe"


def test_an_answer_that_was_sent_for_before_the_breaker_opened_does_not_close_it() -> None:
    ill = after(*[F.TIMEOUT] * 5)
    for answer in ANSWERS:
        assert after(answer, at=Millis(T0 + STAYS_OPEN - 1), health=ill) is ill


@given(STORIES)
def test_no_rung_is_left_within_a_minute_of_the_time_it_was_taken_for_the_last_time(
    story: list[tuple[FailureKind | None, int, int, int]],
) -> None:
    down_at, rung = Millis(0), Rung.NORMAL
    for at, health in told(story):
        if health.rung(at) is Rung.READS_ONLY and rung is not Rung.READS_ONLY:
            down_at = at
        if health.rung(at) < Rung.READS_ONLY and rung is Rung.READS_ONLY:
            assert at - down_at >= HELD_FOR
        rung = health.rung(at)


@given(STORIES, st.integers(0, 200_000))
def test_while_nothing_happens_it_only_comes_up(
    story: list[tuple[FailureKind | None, int, int, int]], later: int
) -> None:
    at, health = told(story)[-1]
    assert health.rung(Millis(at + later)) <= health.rung(at)
    assert health.until(at) == 0 or health.until(at) > at


@given(STORIES, st.sampled_from([F.UNAVAILABLE, F.TIMEOUT]))
def test_an_illness_never_lifts_it_and_never_lets_more_through(
    story: list[tuple[FailureKind | None, int, int, int]], illness: FailureKind
) -> None:
    order = [Condition.WELL, Condition.HALF_OPEN, Condition.OPEN]
    at, health = told(story)[-1]
    worse = health.answered(at, illness)
    assert worse.rung(at) >= health.rung(at)
    if health.probing_until <= at:  # a probe that came back leaves room for another
        assert order.index(worse.condition(at)) >= order.index(health.condition(at))


def timed(*took: int, at: Millis = T0, health: Health = WELL) -> Health:
    """The health after good answers that took this many milliseconds."""
    for each in took:
        health = health.answered(at, None, took=Millis(each))
    return health


LEARNED = timed(*[1_000] * LEARNS_FROM)


@pytest.mark.parametrize(
    ("took", "rung"),
    [
        ([], Rung.NORMAL),
        ([3_000] * 50, Rung.NORMAL),  # three times the usual is not beyond it
        ([3_001], Rung.NORMAL),  # one of twenty may be
        ([3_001, *[1_000] * 19, 3_001], Rung.NORMAL),
        ([3_001, *[1_000] * 17, 3_021], Rung.CAREFUL),
        ([9_000, 9_000], Rung.CAREFUL),
        ([-5, 0], Rung.NORMAL),  # a clock that was set back
    ],
)
def test_a_p95_beyond_three_times_the_usual_is_slow(took: list[int], rung: Rung) -> None:
    assert (LEARNED.usual, SLOW_TIMES) == (1_000, 3)
    slow = timed(*took, health=LEARNED)
    assert slow.rung(T0) is rung
    assert slow.rung(Millis(T0 + HELD_FOR)) is Rung.NORMAL
    assert slow.condition(T0) is Condition.WELL, "slow is not ill"


def test_it_learns_from_twenty_answers_before_it_calls_one_slow() -> None:
    assert timed(*[100] * 19, 60_000, health=WELL).rung(T0) is Rung.NORMAL
    assert timed(*[100] * 20, *[1_100] * 2).rung(T0) is Rung.CAREFUL
    assert timed(*[1] * 20, *[999] * 99).rung(T0) is Rung.NORMAL, "nobody waits for what comes within a second"


def test_what_was_slow_is_normal_again_after_a_minute_and_one_usual_answer() -> None:
    slow, later = timed(9_000, 9_000, health=LEARNED), Millis(T0 + HELD_FOR)
    assert timed(1_000, at=later, health=slow).rung(later) is Rung.NORMAL
    assert timed(9_000, at=later, health=slow).rung(later) is Rung.CAREFUL


def test_the_usual_p95_rests_where_one_of_twenty_is_longer() -> None:
    chance, health, beyond = random.Random(7), LEARNED, 0
    for number in range(60_000):
        took = round(2_000 * -math.log(1 - chance.random()))  # exponential, so that its p95 is known: 2000 ln 20
        health = replace(timed(took, health=health), held_until=Millis(0))
        beyond += number > 20_000 and took > health.usual
    assert beyond / 40_000 == pytest.approx(0.05, abs=0.008)
    assert health.usual == pytest.approx(2_000 * math.log(20), rel=0.12)


def test_an_outage_is_not_soon_the_usual() -> None:
    assert timed(*[10_000] * 100, health=LEARNED).usual < 1_200


@given(st.lists(st.integers(-10, 10**9), max_size=200))
def test_the_sketch_stays_within_its_bounds(took: list[int]) -> None:
    health = timed(*took)
    assert health.usual >= LEAST_USUAL
    assert 0 <= health.slow <= 20
    assert health.heard <= LEARNS_FROM


@given(st.lists(st.integers(0, 100_000), max_size=30))
def test_a_strained_tenant_stays_on_reads_for_a_minute_after_the_last_sign(signs: list[int]) -> None:
    at, health = T0, WELL
    for passed in signs:
        at = Millis(at + passed)
        health = health.strained(at)
        assert health.rung(Millis(at + HELD_FOR // 2)) is Rung.READS_ONLY
        assert health.rung(Millis(at + HELD_FOR)) is Rung.NORMAL
