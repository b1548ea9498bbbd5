"""What Python functions return becomes strict JSON of bounded size, or is refused with its path."""

import json
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from bridle.gateway.cleaning import clean
from bridle.rules.strict_json import MAX_DIGITS, BadJson, Json, canonical, parse

MAX = 1_000_000
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Color(Enum):
    RED = "red"


class Word(StrEnum):
    HELLO = "hello"


class Loud(str):
    def __str__(self) -> str:
        return "LOUD"


class Odd(str):
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 1


@dataclass
class Point:
    x: int
    note: "str | Point | None" = None


class Model(BaseModel):
    when: date
    of: list[Decimal] = []


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ({"a": (1, 2.5, None, True)}, {"a": [1, 2.5, None, True]}),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Pair(1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ("né".encode(), "né"),
        (bytearray(b"x"), "x"),
        (NOON, "2026-01-02T12:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (Color.RED, "red"),
        ({Word.HELLO: Word.HELLO}, {"hello": "hello"}),
        (Loud("quiet"), "quiet"),
        (Point(1, Point(2)), {"x": 1, "note": {"x": 2, "note": None}}),
        (Model(when=NOON.date(), of=[Decimal("2.50")]), {"when": "2026-01-02", "of": ["2.50"]}),
        ([Model(when=NOON.date())], [{"when": "2026-01-02", "of": []}]),
    ],
)
def test_what_python_functions_return_becomes_json(value: object, cleaned: Json) -> None:
    made = clean(value, max_bytes=MAX)
    assert made == cleaned
    assert parse(canonical(made), max_bytes=MAX) == made


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rows": [1, {"price": float("nan")}]}, "$.rows[1].price: NaN and infinities are not JSON"),
        ([float("inf")], "$[0]: NaN and infinities are not JSON"),
        (Decimal("NaN"), "$: NaN and infinities are not JSON"),
        ({"a": {1: 2}}, "$.a: a key is of type int; JSON has only text as keys"),
        ({"a b": ["\ud800"]}, '$["a b"][0]: a lone surrogate is not text'),
        ({"a": "x\0"}, "$.a: a NUL character is not taken in text"),
        ({"a\0": 1}, "$: a NUL character is not taken in text"),
        (b"ab\xff", "$: bytes are not UTF-8 (byte 2)"),
        ([10**MAX_DIGITS], "$[0]: an integer of more than 400 digits is not taken"),
        ([10**50_000], "$[0]: an integer of more than 400 digits is not taken"),
        ({"a": object()}, "$.a: builtins.object is not a JSON type; return a dict, list, text or number"),
        (Point, "$: builtins.type is not a JSON type; return a dict, list, text or number"),
        ({1, "a"}, "$: a set of things that have no order has no JSON; return a list"),
        (json.loads("[" * 65 + "]" * 65), f"${'[0]' * 64}: is nested deeper than 64 levels"),
        ({Odd("a"): 1, "a": 2}, "$: two keys are the same text"),
    ],
)
def test_what_has_no_json_is_refused_with_its_path(value: object, message: str) -> None:
    with pytest.raises(BadJson) as refused:
        clean(value, max_bytes=MAX)
    assert str(refused.value) == message


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = [1]
    loop.append({"again": loop})
    with pytest.raises(BadJson, match="contains itself"):
        clean(loop, max_bytes=MAX)


def test_100_mb_is_refused_without_being_copied() -> None:
    huge = "x" * 100_000_000
    for value in ({"a": [1, huge]}, huge, {huge: 1}, huge.encode(), [0] * 10_000_000):
        with pytest.raises(BadJson, match="is more than 1,000,000 bytes in all"):
            clean(value, max_bytes=MAX)


def test_a_clean_value_is_a_copy_of_up_to_64_levels() -> None:
    deep = json.loads("[" * 64 + "]" * 64)
    assert clean(deep, max_bytes=MAX) == deep
    rows = [1]
    made = clean({"rows": rows}, max_bytes=MAX)
    rows.append(2)
    assert made == {"rows": [1]}


@given(VALUES)
def test_clean_takes_json_as_it_is_and_counts_its_canonical_bytes(value: Json) -> None:
    size = len(canonical(value))
    assert clean(value, max_bytes=size) == value
    with pytest.raises(BadJson, match="bytes in all"):
        clean(value, max_bytes=size - 1)
