"""Money in nano-dollars: rounded against the spender, and shown as people read it."""

from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.names import ToolName, show_usd, tool_unit, usd


@pytest.mark.parametrize(
    ("amount", "nanos"),
    [
        ("0.41", 410_000_000),
        (1, 1_000_000_000),
        ("0.0000000001", 1),
        (Decimal("1.0000000001"), 1_000_000_001),
        ("0", 0),
    ],
)
def test_dollars_are_nano_dollars_rounded_up(amount: str | int | Decimal, nanos: int) -> None:
    assert usd(amount) == nanos


@given(st.decimals(0, 10**9, places=12))
def test_rounding_never_favours_the_spender(amount: Decimal) -> None:
    assert amount <= Decimal(usd(amount)) / 10**9 < amount + Decimal("1e-9")


def test_what_is_no_amount_is_refused() -> None:
    with pytest.raises(InvalidOperation):
        usd("a dollar")
    with pytest.raises((ArithmeticError, ValueError)):
        usd("NaN")


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (0, "$0.00"),
        (410_000_000, "$0.41"),
        (1_234_567_890_000, "$1,234.57"),
        (10_000_000, "$0.01"),
        (2_000, "$0.000002"),
        (9_999_000, "$0.009999"),
    ],
)
def test_dollars_are_shown_with_more_digits_only_where_they_matter(nanos: int, shown: str) -> None:
    assert show_usd(nanos) == shown


def test_the_calls_of_a_tool_have_a_unit_of_their_own() -> None:
    assert tool_unit(ToolName("kb.read")) == "tool:kb.read"
