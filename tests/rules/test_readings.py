"""Numbers, days, times and hosts, read out of texts as people write them, and in one way only."""

from decimal import Decimal

import pytest

from bridle.rules.hosts import host_of, is_among
from bridle.rules.readings import clocks, days, moment, numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("50, and 1,000.50 or 1.000,50", ["50", "1000.50", "1000.50"]),
        ("-3.5, 98.70.", ["-3.5", "98.70"]),
        ("2026-05-15 10:30 12a a12 1.2.3.4 1/2", []),
        ("$7, 8%", ["7", "8"]),
        ("DE89 3704 0044, and may 15 2026", []),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, found: list[str]) -> None:
    assert list(numbers(text)) == [Decimal(one) for one in found]


def test_days_and_times_are_read_as_people_write_them() -> None:
    assert set(days("2026-05-15, 16 may 2026, may 17th, 2026, 18.05.2026 and june 1")) == {
        (2026, 5, 15), (2026, 5, 16), (2026, 5, 17), (2026, 5, 18), (0, 6, 1),
    }  # fmt: skip
    assert set(clocks("10:30, 2 pm, 2:15pm, 12 am, 25:00")) == {(10, 30), (14, 0), (14, 15), (0, 0)}
    assert moment("2026-05-15 00:00") == ((2026, 5, 15), None)
    assert moment("2026-05-15 10:30:07") is None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Docs.Acme.example:8443/a#b", "docs.acme.example"),
        ("http://acme.example.", "acme.example"),
        ("https://a@b.example/", None),
        ("https://b.example\\@c.example/", None),
        ("https://b%2eexample/", None),
        ("https://localhost/", None),
        ("https://[::1]/", None),
        ("https://b.example:99999999/", None),
        ("ftp://b.example/", None),
        ("https://b .example/", None),
        ("//b.example/", None),
        ("https://b\u3002example/", None),
    ],
)
def test_a_host_is_read_in_one_way_or_not_at_all(url: str, host: str | None) -> None:
    assert host_of(url) == host


def test_a_pattern_stands_for_the_names_below_it() -> None:
    assert is_among("a.b.example", {"*.b.example"})
    assert not is_among("b.example", {"*.b.example"})
    assert not is_among("ab.example", {"*.b.example"})
