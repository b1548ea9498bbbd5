"""Two-phase money: the algebra of one balance and of many, the windows, the bounds that no story of a run breaks."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridle.rules.budget import (
    Account,
    Balance,
    beyond,
    close,
    first_short,
    minus,
    period,
    plus,
    reserve_all,
    transfer,
    until,
)
from bridle.rules.call import Purpose
from bridle.rules.checks import decide
from bridle.rules.decision import Admit
from bridle.rules.names import (
    ACTIVE_MS,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Amounts,
    Millis,
    Unit,
    tool_unit,
)
from bridle.rules.policy import Level, Window
from bridle.rules.run import Phase
from bridle.rules.stop import StopReason
from tests.rules.house import House, model_call
from tests.rules.strategies import STORIES, Move, houses, play

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONEY = st.integers(0, 1_000)
BALANCES = st.builds(Balance, st.integers(0, 3_000), MONEY, MONEY)
UNITS = st.sampled_from([USD_NANO, TOKENS_IN, TOOL_CALLS])
AMOUNTS: st.SearchStrategy[dict[Unit, int]] = st.dictionaries(UNITS, MONEY)
ACCOUNTS = st.builds(Account, st.sampled_from(Level), st.sampled_from("ab"), UNITS, st.just(Window.NONE), st.just(0))


LIMITED = (
    ("max_steps", (STEPS,)),
    ("max_model_calls", (MODEL_CALLS,)),
    ("max_tool_calls", (TOOL_CALLS,)),
    ("max_usd", (USD_NANO,)),
    ("max_tokens", (TOKENS_IN, TOKENS_OUT)),
)


def within(amounts: Amounts, limits: Mapping[str, int]) -> bool:
    """Whether these amounts keep these limits."""
    return all(sum(amounts.get(unit, 0) for unit in units) <= limits[name] for name, units in LIMITED if name in limits)


def committed(*parts: Amounts) -> Mapping[Unit, int]:
    """What is settled, held and kept for the last call, together."""
    total: dict[Unit, int] = {}
    for part in parts:
        total = plus(total, part)
    return total


def keeps_every_bound(house: House) -> None:
    """P1, at this instant: settled + reserved <= limit for the run, its step, each tool and each shared account."""
    run = house.run
    assert within(committed(run.used, run.held, run.finalise), asdict(house.policy.limits))
    if run.phase is Phase.OPEN:  # the last word of a run is not its step's
        assert within({unit: run.node_committed(unit) for unit in {*run.used, *run.held}}, run.limits)
    for tool in house.tools.values():
        assert run.committed(tool_unit(tool.name)) <= tool.max_calls
        assert run.held.get(tool_unit(tool.name), 0) <= tool.concurrency
    for account, balance in house.balances.items():
        assert balance.settled + balance.reserved <= balance.limit, account
        assert balance.settled >= 0
        assert balance.reserved >= 0


def last_word_fits(house: House) -> None:
    """After the halt, the finalise call still fits into the run, whatever the work before it took."""
    run = house.run
    no_last_word = run.halt is None or run.halt.reason in (StopReason.KILLED, StopReason.CANCELLED)
    if run.phase is not Phase.HALTED or no_last_word or not run.finalise or house.now >= run.deadline:
        return
    if run.limits and not run.node_finalise:
        return  # test_checks.py has this case
    hold = {unit: held for unit, held in run.finalise.items() if unit != ACTIVE_MS}
    call = replace(model_call(purpose=Purpose.FINALISE), hold=hold)
    assert decide(call, replace(house.sees(call), balances={}, switches=())).answer == Admit(hold)


@given(houses(), STORIES)
def test_no_story_of_a_run_breaks_a_bound_at_any_instant(house: House, story: list[Move]) -> None:
    keeps_every_bound(house)
    for move in story:
        play(house, move)
        keeps_every_bound(house)
        last_word_fits(house)
    for call in tuple(house.run.open_calls):
        house.settle(call)
        keeps_every_bound(house)
    assert not house.run.held
    assert all(balance.reserved == 0 for balance in house.balances.values())


@given(houses(), STORIES)
def test_the_run_and_the_shared_accounts_have_paid_the_same(house: House, story: list[Move]) -> None:
    for move in story:
        play(house, move)
    for cap in house.policy.caps:
        paid = [
            balance
            for account, balance in house.balances.items()
            if (account.level, account.unit) == (cap.level, cap.unit)
        ]
        assert sum(balance.settled for balance in paid) == house.run.spent(cap.unit)
        assert sum(balance.reserved for balance in paid) == house.run.held.get(cap.unit, 0)


@given(BALANCES, MONEY)
def test_a_reservation_that_is_voided_never_was(balance: Balance, amount: int) -> None:
    assert balance.reserve(amount).void(amount) == balance


@given(BALANCES, MONEY)
def test_a_reservation_that_is_posted_is_paid_in_full(balance: Balance, amount: int) -> None:
    posted = balance.reserve(amount).post(amount)
    assert posted == replace(balance, settled=balance.settled + amount)
    assert posted.available == balance.available - amount


@given(BALANCES, MONEY, MONEY)
def test_settling_pays_what_it_was_and_gives_the_rest_back(balance: Balance, held: int, used: int) -> None:
    settled = balance.reserve(held).settle(held, used)
    assert (settled.settled, settled.reserved) == (balance.settled + used, balance.reserved)
    assert settled.available == balance.available - used


@given(BALANCES, st.lists(st.tuples(st.sampled_from(["reserve", "settle", "void", "post"]), MONEY, MONEY)))
def test_no_operation_lowers_what_is_settled(balance: Balance, operations: list[tuple[str, int, int]]) -> None:
    for name, amount, used in operations:
        held = min(amount, balance.reserved)
        match name:
            case "reserve":
                after = balance.reserve(amount)
            case "settle":
                after = balance.settle(held, used)
            case "void":
                after = balance.void(held)
            case _:
                after = balance.post(held)
        assert after.settled >= balance.settled
        assert after.reserved >= 0
        assert after.limit == balance.limit
        balance = after


@pytest.mark.parametrize(
    ("balance", "held", "used"),
    [(Balance(9), 1, 0), (Balance(9, 0, 2), 3, 0), (Balance(9, 0, 2), -1, 0), (Balance(9, 0, 2), 1, -1)],
)
def test_nothing_gives_back_more_than_it_took(balance: Balance, held: int, used: int) -> None:
    with pytest.raises(AssertionError):
        balance.settle(held, used)
    with pytest.raises(AssertionError):
        balance.reserve(-1)


@given(AMOUNTS, st.dictionaries(ACCOUNTS, BALANCES, max_size=5))
def test_a_reservation_is_over_all_accounts_or_over_none(wanted: Amounts, balances: dict[Account, Balance]) -> None:
    before = dict(balances)
    short = [(a, b) for a, b in balances.items() if wanted.get(a.unit, 0) + b.settled + b.reserved > b.limit]
    reserved = reserve_all(wanted, balances)
    assert balances == before
    if short:
        assert reserved == short[0] == first_short(wanted, balances.items())
        return
    assert isinstance(reserved, dict)
    assert reserved == {account: balance.reserve(wanted.get(account.unit, 0)) for account, balance in before.items()}


@given(st.integers(0, 10**6), st.lists(st.tuples(MONEY, MONEY), max_size=8), MONEY)
def test_what_the_children_and_the_parent_paid_is_what_the_parent_has_settled(
    limit: int, children: list[tuple[int, int]], own: int
) -> None:
    parent, paid = Balance(limit), 0
    if own <= parent.available:
        parent, paid = parent.reserve(own).post(own), own
    running: list[Balance] = []
    for funds, wanted in children:
        if funds <= parent.available:
            parent, child = transfer(parent, funds)
            assert child == Balance(funds)
            spent = min(wanted, child.available)
            running.append(child.reserve(spent).post(spent))
        assert parent.settled + parent.reserved <= limit
    for child in running:
        parent = close(parent, child)
    assert parent == Balance(limit, paid + sum(child.settled for child in running), 0)


def test_a_child_is_not_funded_beyond_its_parent_nor_closed_with_open_calls() -> None:
    with pytest.raises(AssertionError):
        transfer(Balance(10, 5, 2), 4)
    with pytest.raises(AssertionError):
        transfer(Balance(10), -1)
    with pytest.raises(AssertionError):
        close(Balance(10, 0, 5), Balance(5, 0, 1))


@given(AMOUNTS, AMOUNTS)
def test_what_is_added_can_be_taken_away_again(left: dict[Unit, int], right: dict[Unit, int]) -> None:
    both = plus(left, right)
    assert both == plus(right, left)
    assert minus(both, right) == {unit: left[unit] for unit in left if left[unit] or unit not in right}


def test_taking_away_more_than_there_is_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="would fall to -1"):
        minus({USD_NANO: 1}, {USD_NANO: 2})


@given(AMOUNTS, AMOUNTS)
def test_an_overrun_is_what_was_used_beyond_the_hold(used: dict[Unit, int], held: dict[Unit, int]) -> None:
    over = beyond(used, held)
    assert all(amount > 0 for amount in over.values())
    for unit in {*used, *held}:
        assert max(used.get(unit, 0) - held.get(unit, 0), 0) == over.get(unit, 0)


# Windows, with the standard library's calendar as the oracle


def at(text: str) -> Millis:
    """An instant as Unix milliseconds."""
    return Millis((datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("now", "window", "ends"),
    [
        ("2024-02-28T23:59:59.999", Window.MINUTE, "2024-02-29T00:00"),
        ("2024-02-28T23:59:59.999", Window.DAY, "2024-02-29T00:00"),
        ("2024-02-28T23:59:59.999", Window.MONTH, "2024-03-01T00:00"),
        ("2024-02-29T12:00", Window.MONTH, "2024-03-01T00:00"),
        ("2023-02-28T23:59:59.999", Window.MONTH, "2023-03-01T00:00"),
        ("2100-02-28T23:59:59.999", Window.DAY, "2100-03-01T00:00"),  # no leap year
        ("2000-02-28T23:59:59.999", Window.DAY, "2000-02-29T00:00"),  # a leap year
        ("2024-12-31T23:59:59.999", Window.MONTH, "2025-01-01T00:00"),
        ("2024-12-31T23:59:59.999", Window.DAY, "2025-01-01T00:00"),
        ("2024-12-31T23:59:59.999", Window.MINUTE, "2025-01-01T00:00"),
        ("2025-01-01T00:00", Window.MONTH, "2025-02-01T00:00"),
        ("2025-01-01T00:00", Window.MINUTE, "2025-01-01T00:01"),
        ("1970-01-01T00:00", Window.MONTH, "1970-02-01T00:00"),
    ],
)
def test_a_window_ends_where_the_calendar_says(now: str, window: Window, ends: str) -> None:
    assert until(window, at(now)) == at(ends)
    assert period(window, Millis(at(ends) - 1)) == period(window, at(now)) == period(window, at(ends)) - 1


@given(st.datetimes(datetime(1970, 1, 1), datetime(2400, 12, 31)))
@example(datetime(2000, 2, 29, 23, 59, 59))
@example(datetime(2100, 2, 28, 23, 59, 59))
@example(datetime(2399, 12, 31, 23, 59, 59))
def test_periods_are_counted_as_the_calendar_counts_them(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    now = Millis((aware - EPOCH) // timedelta(milliseconds=1))
    midnight = aware.replace(hour=0, minute=0, second=0, microsecond=0)
    ends = {
        Window.MINUTE: aware.replace(second=0, microsecond=0) + timedelta(minutes=1),
        Window.DAY: midnight + timedelta(days=1),
        Window.MONTH: (midnight.replace(day=1) + timedelta(days=32)).replace(day=1),
    }
    counts = {
        Window.MINUTE: (aware - EPOCH) // timedelta(minutes=1),
        Window.DAY: (aware - EPOCH).days,
        Window.MONTH: (aware.year - 1970) * 12 + aware.month - 1,
    }
    for window, end in ends.items():
        assert until(window, now) == (end - EPOCH) // timedelta(milliseconds=1)
        assert period(window, now) == counts[window]


def test_what_has_no_window_never_ends() -> None:
    assert (period(Window.NONE, at("2024-02-29T12:00")), until(Window.NONE, at("2024-02-29T12:00"))) == (0, 0)
