"""Strict JSON: what is refused and where, one spelling per value, and tools' values made plain."""

import json
import struct
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.strict_json import MAX_DIGITS, BadJson, Json, canonical, parse, show_path, write_float

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


@pytest.mark.parametrize(
    ("raw", "where", "what"),
    [
        (b"", "", "is empty"),
        (b" \r\n\t ", "", "is empty"),
        (b"NaN", "byte 0", "NaN is not JSON"),
        (b'["NaN", NaN]', "byte 8", "NaN is not JSON"),
        (b'{"a": -Infinity}', "byte 6", "-Infinity is not JSON"),
        (b"[1e999]", "byte 1", "a number too large for a float is not taken"),
        (b'["1e999", -1e999]', "byte 10", "a number too large for a float is not taken"),
        (b"9" * 5_000, "byte 0", "an integer of more than 400 digits is not taken"),
        (b"[-" + b"9" * 5_000 + b"]", "byte 1", "an integer of more than 400 digits is not taken"),
        (b"[" + b"9" * 5_000 + b".5]", "byte 1", "a number too large for a float is not taken"),
        (b'{"a": 1, "b": {"a": 1, "a": 2}}', "", 'the key "a" stands twice in one object'),
        (b'{"a": 1, "\\u0061": 2}', "", 'the key "a" stands twice in one object'),
        (b'{"k": ["\\ud800"]}', "$.k[0]", "a lone surrogate is not text"),
        (b'{"k": ["\\uDC00\\uD83D"]}', "$.k[0]", "a lone surrogate is not text"),
        (b'{"\\ud800": 1}', "$", "a lone surrogate is not text"),
        (b'{"k": "a\\u0000b"}', "$.k", "a NUL character is not taken in text"),
        (b'"a\x00b"', "byte 2", "is not JSON ("),
        (b'["\xff"]', "byte 2", "is not UTF-8 (invalid bytes or a lone surrogate)"),
        (b'"\xed\xa0\x80"', "byte 1", "is not UTF-8 (invalid bytes or a lone surrogate)"),
        ('["é\ud800"]', "byte 4", "is not UTF-8 (invalid bytes or a lone surrogate)"),
        (b"\xef\xbb\xbf{}", "byte 0", "starts with a byte order mark, which JSON does not have"),
        ("\ufeff{}", "byte 0", "starts with a byte order mark, which JSON does not have"),
        ('"a"'.encode("utf-16"), "byte 0", "is not UTF-8 (invalid bytes or a lone surrogate)"),
        (b"\n<!DOCTYPE html><html>", "byte 1", "is HTML or XML, not JSON"),
        (b'{"a": [1, 2', "byte 11", "is not JSON ("),
        (b'{"a": "caf\xc3\xa9", "b"', "byte 18", "is not JSON ("),
        (b'{"a": 1} {"a": 2}', "byte 9", "is not JSON ("),
        (b"[01]", "byte 2", "is not JSON ("),
        (b"{'a': 1}", "byte 1", "is not JSON ("),
        ("[\u0661]", "byte 1", "is not JSON ("),
        ("\xa0[]", "byte 0", "is not JSON ("),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_place(raw: bytes | str, where: str, what: str) -> None:
    with pytest.raises(BadJson) as refused:
        parse(raw, max_bytes=MAX)
    assert str(refused.value).startswith(f"{where}: {what}" if where else what)
    assert (refused.value.where, refused.value.what[: len(what)]) == (where, what)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"null", None),
        (b" [true, false] ", [True, False]),
        (b'{"a": {"b": [1, -2.5, "\\u00e9\\n"]}}', {"a": {"b": [1, -2.5, "é\n"]}}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\\\ud800 \\\\u0000"', "\\ud800 \\u0000"),
        (b'"NaN [[[ 1e999"', "NaN [[[ 1e999"),
        (b"9007199254740993", 2**53 + 1),
        (b"-" + b"9" * MAX_DIGITS, -(10**MAX_DIGITS) + 1),
        (b"1e-999", 0.0),
        ("[]", []),
    ],
)
def test_strict_json_is_read(raw: bytes | str, value: Json) -> None:
    assert parse(raw, max_bytes=MAX) == value


@pytest.mark.parametrize("bracket", [b"[", b'{"a":', b'[{"\\"]":'])
def test_a_depth_of_100_000_is_refused_before_it_is_parsed(bracket: bytes) -> None:
    with pytest.raises(BadJson, match="nested deeper than 64 levels"):
        parse(bracket * 100_000, max_bytes=MAX)


def test_depth_counts_the_brackets_that_are_open_at_once() -> None:
    for depth in (1, 64):
        nested = b"[" * depth + b"]" * depth
        assert canonical(parse(nested, max_bytes=MAX)) == nested
    with pytest.raises(BadJson, match="deeper"):
        parse(b"[" * 65 + b"]" * 65, max_bytes=MAX)


def test_brackets_in_strings_and_side_by_side_are_no_depth() -> None:
    raw = b"[" + b'"[[[[\\"{{{{\\\\",[],{},' * 1_000 + b"1]"
    assert len(canonical(parse(raw, max_bytes=MAX, max_depth=2))) > len(raw) // 2
    with pytest.raises(BadJson, match="deeper than 1 levels"):
        parse(raw, max_bytes=MAX, max_depth=1)


def test_a_depth_that_the_caller_allows_and_the_interpreter_does_not_is_refused() -> None:
    for raw in (b"[" * 200_000 + b"]" * 200_000, b'[{"a":' * 100_000):
        with pytest.raises(BadJson, match="nested too deep"):
            parse(raw, max_bytes=MAX, max_depth=10**6)


def test_more_than_max_bytes_is_refused_whatever_it_is() -> None:
    for raw in (b"x" * 100_000_000, "é" * 6, b'"' + b"x" * 9 + b'"'):
        with pytest.raises(BadJson, match="is more than 10 bytes long"):
            parse(raw, max_bytes=10)


@pytest.mark.parametrize(
    "raw",
    [b'"' + b'\\"' * 400_000, b"[" + b"\\" * 800_000, b"[NaN" + b"1-" * 400_000, b"[" + b'"\\"",' * 150_000 + b"NaN]"],
)
def test_large_hostile_input_is_refused(raw: bytes) -> None:
    with pytest.raises(BadJson):
        parse(raw, max_bytes=MAX)


@given(VALUES)
def test_parse_reads_back_what_canonical_wrote(value: Json) -> None:
    assert parse(canonical(value), max_bytes=MAX) == value
    assert canonical(parse(canonical(value), max_bytes=MAX)) == canonical(value)


@given(VALUES, st.randoms(use_true_random=False))
def test_canonical_does_not_depend_on_the_order_of_keys(value: Json, random: Random) -> None:
    def shuffled(part: Json) -> Json:
        if isinstance(part, list):
            return [shuffled(item) for item in part]
        if isinstance(part, dict):
            keys = list(part)
            random.shuffle(keys)
            return {key: shuffled(part[key]) for key in keys}
        return part

    assert canonical(shuffled(value)) == canonical(value)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_bad_json(raw: bytes) -> None:
    with suppress(BadJson):
        parse(raw, max_bytes=150, max_depth=8)


HOSTILE = st.sampled_from(
    [
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"\\",
        b"\\ud800",
        b"\\u0000",
        b"NaN",
        b"1e999",
        b",",
        b":",
        b"-",
        b"9" * 401,
        b"\xff",
    ]
)


@given(VALUES, st.lists(st.tuples(st.integers(0, 200), HOSTILE, st.booleans()), min_size=1, max_size=4))
def test_mutated_json_raises_nothing_but_bad_json(value: Json, cuts: list[tuple[int, bytes, bool]]) -> None:
    raw = json.dumps(value).encode()
    for at, piece, is_replaced in cuts:
        raw = raw[:at] + piece + raw[at + (len(piece) if is_replaced else 0) :]
    try:
        read = parse(raw, max_bytes=MAX, max_depth=8)
    except BadJson:
        return
    assert parse(canonical(read), max_bytes=MAX) == read


@pytest.mark.parametrize(
    ("bits", "written"),
    [  # RFC 8785, appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
        ("444b1ae4d6e2ef4f", "999999999999999868928"),  # the difference: exact, where the RFC writes ...900000
    ],
)
def test_floats_are_written_as_ecmascript_writes_them(bits: str, written: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert write_float(number) == written
    assert json.loads(written) == number


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (
            {"€": "Euro", "\r": "CR", "\ufb33": "Dalet", "1": "One", "😀": "Smile", "\x80": "Control", "ö": "o"},
            '{"\\r":"CR","1":"One","\x80":"Control","ö":"o","€":"Euro","😀":"Smile","\ufb33":"Dalet"}',
        ),  # RFC 8785, section 3.2.3
        ([56.0, {"d": True, "10": None, "1": []}], '[56,{"1":[],"10":null,"d":true}]'),
        ('\x0f\n\'A\x42"\\\\"/\u2028\x7f', '"\\u000f\\n\'AB\\"\\\\\\\\\\"/\u2028\x7f"'),
        (2**53 + 1, "9007199254740993"),
        ({}, "{}"),
    ],
)
def test_canonical_json_follows_rfc_8785(value: Json, written: str) -> None:
    assert canonical(value) == written.encode()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "$: NaN"),
        (float("-inf"), "$: NaN and infinities"),
        ("\ud800", "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
        (10**MAX_DIGITS, "$: an integer of more than 400 digits"),
        ({1: 2}, "a key is not a string"),
        ({"a": 1, None: 2}, "a key is not a string"),
        ((1,), "tuple is not a JSON type"),
        ([object()], "object is not a JSON type"),
    ],
)
def test_canonical_refuses_what_is_not_json(value: Json, message: str) -> None:
    with pytest.raises(BadJson) as refused:
        canonical(value)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        ((), "$"),
        (("rows", 3, "price"), "$.rows[3].price"),
        (("a key", "\u202e"), '$["a key"]["\\u202e"]'),
        (("x" * 1_000,), '$["' + "x" * 40 + '..."]'),
    ],
)
def test_a_path_is_shown_as_jsonpath(parts: tuple[str | int, ...], shown: str) -> None:
    assert show_path(parts) == shown


def test_a_long_path_is_cut() -> None:
    assert len(show_path(["a key" * 8] * 1_000)) < 250
