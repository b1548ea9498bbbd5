"""Numbers, days and times as people write them, read out of a text; pure and without a locale."""

import re
from collections.abc import Iterator
from decimal import Decimal

_ALONE, _ENDS = r"(?<![\w.,:/-])(?<!\d )", r"(?![.,:/ -]?\d)(?!\w)"  # no part of a date, a version or an account
_NUMBER = re.compile(rf"{_ALONE}[-+]?(?:\d{{1,3}}(?:,\d{{3}}){{1,5}}|\d{{1,18}})(?:\.\d{{1,9}})?{_ENDS}")
_EUROPEAN = re.compile(rf"{_ALONE}[-+]?\d{{1,3}}(?:\.\d{{3}}){{0,5}},\d{{1,2}}{_ENDS}")
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]{0,6}\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_ISO = rf"{_YEAR}-(?P<month>\d{{2}})-(?P<day>\d{{2}})"
_DAYS = tuple(
    re.compile(rf"(?<![\w-]){form}(?![\w-])")
    for form in (
        rf"{_ISO}(?:[t ]\d{{2}}:\d{{2}}[\d:.]*z?)?",
        rf"(?:the )?{_DAY}(?: of)? {_MONTH}(?:,? {_YEAR})?",
        rf"{_MONTH} (?:the )?{_DAY}(?:,? {_YEAR})?",
        rf"(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.{_YEAR}",
    )
)
_CLOCK = re.compile(
    r"(?<![\d:.])(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?::\d{2})?(?: ?(?P<half>[ap])\.?m\b\.?)?(?![\d:])"
)
_MOMENT = re.compile(rf"{_ISO}(?:[t ](?P<hour>\d{{2}}):(?P<minute>\d{{2}})(?::(?P<second>\d{{2}})(?:\.0+)?)?z?)?")

Day = tuple[int, int, int]  # year (0: nobody said which), month, day
Clock = tuple[int, int]  # hour of 24, minute


def numbers(text: str) -> Iterator[Decimal]:
    """Every number that stands by itself: 50, -3.5, 1,000.50, 1.000,50. Not the digits inside of a word or a date."""
    for found in _NUMBER.finditer(text):
        yield Decimal(found[0].replace(",", ""))
    for found in _EUROPEAN.finditer(text):
        yield Decimal(found[0].replace(".", "").replace(",", "."))


def number(text: str) -> Decimal | None:
    """The number that a text is, or None; one with leading zeros or a plus is an account or a telephone."""
    return Decimal(text) if _PLAIN.fullmatch(text) else None


def days(text: str) -> Iterator[Day]:
    """Every day that is named: 2026-11-20, 20 November 2026, Nov 20th, 20.11.2026. `text` is casefolded."""
    for form in _DAYS:
        for found in form.finditer(text):
            parts = found.groupdict()
            month = parts["month"]
            number_of = int(month) if month.isdigit() else _MONTHS.index(month[:3]) + 1
            yield int(parts["year"] or 0), number_of, int(parts["day"])


def clocks(text: str) -> Iterator[Clock]:
    """Every time of day that is named: 10:30, 10:30:00, 2 pm, 2:15pm. `text` is casefolded."""
    for found in _CLOCK.finditer(text):
        hour, minute, half = int(found["hour"]), int(found["minute"] or 0), found["half"]
        if half is None and found["minute"] is None:
            continue
        if hour > 23 or minute > 59 or (half and not 1 <= hour <= 12):
            continue
        yield (hour % 12 + 12 * (half == "p") if half else hour), minute


def moment(text: str) -> tuple[Day, Clock | None] | None:
    """The day, and the time if there is one, that an ISO text is; None when it is none. Midnight is no time."""
    found = _MOMENT.fullmatch(text.casefold())
    if found is None or (found["second"] or "00") != "00":
        return None
    day = (int(found["year"]), int(found["month"]), int(found["day"]))
    if found["hour"] is None or (found["hour"], found["minute"]) == ("00", "00"):
        return day, None
    return day, (int(found["hour"]), int(found["minute"]))
