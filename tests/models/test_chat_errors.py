"""What a status, headers and a body of an error mean; above all how long to wait."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.models.chat_errors import MAX_RETRY_AFTER, Said, failure_of, read_error, retry_after
from bridle.rules.failure import FailureKind

NOON = datetime(2026, 10, 21, 12, tzinfo=UTC)
IN_A_MINUTE = "Wed, 21 Oct 2026 12:01:00 GMT"


@pytest.mark.parametrize(
    ("headers", "millis"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "7"}, 7_000),
        ({"retry-after": " 1.5 "}, 1_500),
        ({"retry-after": "1.23456789"}, 1_234),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "NaN"}, None),
        ({"retry-after": "\u0663"}, None),  # a three, but not in ASCII
        ({"retry-after": "9" * 5_000}, None),
        ({"retry-after": "999999999999"}, MAX_RETRY_AFTER),
        ({"retry-after-ms": "250", "retry-after": "7"}, 250),
        ({"retry-after-ms": "later", "retry-after": "7"}, 7_000),
        ({"retry-after": IN_A_MINUTE}, 60_000),
        ({"retry-after": IN_A_MINUTE, "date": "Wed, 21 Oct 2026 12:00:50 GMT"}, 10_000),
        ({"retry-after": IN_A_MINUTE, "date": "nonsense"}, 60_000),
        ({"retry-after": "Wed, 21 Oct 2025 12:00:00 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 9999 12:00:00 GMT"}, MAX_RETRY_AFTER),
        ({"retry-after": "Wed, 21 Oct 2026 12:01:00 -0000"}, 60_000),
        ({"retry-after": "Wed, 99 Oct 2026 12:01:00 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_every_form_and_bounded_by_a_day(headers: dict[str, str], millis: int | None) -> None:
    assert retry_after(headers, NOON) == millis


@given(st.text(), st.text(), st.text())
def test_headers_of_any_kind_say_when_or_say_nothing(exact: str, after: str, now: str) -> None:
    waits = retry_after({"retry-after-ms": exact, "retry-after": after, "date": now}, NOON)
    assert waits is None or 0 <= waits <= MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"code": "a", "message": "b"}}, Said("a", "b")),
        ({"error": {"type": "a", "message": "b", "code": None}}, Said("a", "b")),
        ({"error": {"code": 429, "message": "b"}}, Said("", "b", 429)),
        ({"error": "b"}, Said("", "b")),
        ({"message": "b"}, Said("", "b")),
        ({"error": {"code": True, "message": ["b"]}}, Said()),
        ({"error": [1]}, Said()),
        ([], Said()),
        (None, Said()),
    ],
)
def test_an_error_is_read_as_far_as_it_is_one(body: object, said: Said) -> None:
    assert read_error(json.dumps(body).encode()) == said


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "the request exceeds the max context length",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_servers_that_have_no_code_for_it_say_context_overflow_in_words(message: str) -> None:
    assert failure_of(400, Said(message=message), None).kind is FailureKind.CONTEXT_OVERFLOW
    assert failure_of(500, Said(message=message), None).kind is FailureKind.UNAVAILABLE


@given(st.integers(100, 999), st.text(max_size=2_000), st.text(max_size=2_000))
def test_a_failure_is_one_short_line_whatever_the_server_says(status: int, code: str, message: str) -> None:
    failed = failure_of(status, Said(code, message), None)
    assert failed.message.isprintable()
    assert len(failed.message) < 600
    assert failed.happened is (False if 400 <= status < 500 and status != 408 else None)
