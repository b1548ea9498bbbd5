"""What the errors of a chat completions server mean: a status, headers and a body become one `CallFailed`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import MILLIS_PER_SECOND, Millis
from bridle.rules.strict_json import BadJson, Json, parse

MAX_ERROR_BYTES = 65_536  # of an error's body that are read
MAX_RETRY_AFTER = Millis(24 * 3_600_000)
SHOWN = 200  # characters of what a server says
REFUSED_CODES = ("content_filter", "content_policy_violation")

_NUMBER = re.compile(r"\s*(\d{1,12})(?:\.(\d{1,3})\d*)?\s*", re.ASCII)
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|(?:maximum|max|model's) context (?:length|window)|prompt is too long",
    re.IGNORECASE,
)
_BY_STATUS = {
    401: FailureKind.CREDENTIALS,
    403: FailureKind.CREDENTIALS,
    408: FailureKind.TIMEOUT,
    413: FailureKind.CONTEXT_OVERFLOW,
    429: FailureKind.RATE_LIMITED,
}
_CURES = {
    FailureKind.CREDENTIALS: "; check the key of this model and what it may do",
    FailureKind.CONTEXT_OVERFLOW: "; the request is larger than the model reads",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a server says of an error: OpenAI's error object, as far as it is there."""

    code: str = ""
    message: str = ""
    status: int = 0  # of an error that came with status 200


def read_error(raw: bytes) -> Said:
    """The error object of a body; nothing when the body is something else."""
    try:
        body = parse(raw, max_bytes=MAX_ERROR_BYTES)
    except BadJson:
        return Said()
    return _said(body)


def failure_of(status: int, said: Said, retry_after: Millis | None) -> CallFailed:
    """The failure that a status and an error object stand for.

    A 4xx is the server's word that it did no work, so its `happened` is False; of a 5xx nobody knows.
    """
    kind = _kind(status, said)
    text = "" if kind is FailureKind.CREDENTIALS else _plain(said.message)  # it may quote the key
    code = _plain(said.code)
    shown = f" ({code})" * bool(code) + f": {text}" * bool(text)
    hint = "; check the model's name and its base_url" if status == 404 else _CURES.get(kind, "")
    did_no_work = 400 <= status < 500 and status != 408
    return CallFailed(
        kind,
        f"the model's server answered {status}{shown}{hint}",
        retry_after=retry_after,
        happened=False if did_no_work else None,
    )


def error_inside(body: Mapping[str, Json]) -> CallFailed:
    """The failure that an error object in an answer with status 200 stands for."""
    said = _said(dict(body))
    if 400 <= said.status < 600:
        inside = failure_of(said.status, said, None)
        return CallFailed(inside.kind, f"{inside.message} (inside an answer with status 200)")
    shown = f": {_plain(said.code)} {_plain(said.message)}".rstrip()
    return CallFailed(FailureKind.INVALID_OUTPUT, f"the answer of the model is an error object{shown}")


def retry_after(headers: Mapping[str, str], now: datetime) -> Millis | None:
    """How long to wait, by `retry-after-ms` or Retry-After in either form (RFC 9110, section 10.2.3), at most a day.

    `headers` have lower-case names. A date counts from the server's own Date, if it sent one. Nonsense is None.
    """
    exact = _NUMBER.fullmatch(headers.get("retry-after-ms", "")[:40])
    if exact:
        return _capped(int(exact[1]))
    value = headers.get("retry-after", "")[:40]
    seconds = _NUMBER.fullmatch(value)
    if seconds:
        return _capped(int(seconds[1]) * MILLIS_PER_SECOND + int((seconds[2] or "0").ljust(3, "0")))
    at = _date(value)
    if at is None:
        return None
    since = _date(headers.get("date", "")[:40]) or now
    return _capped(max(0, int((at - since).total_seconds() * MILLIS_PER_SECOND)))


def _capped(millis: int) -> Millis:
    return Millis(min(millis, MAX_RETRY_AFTER))


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _said(body: Json) -> Said:
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, str):
        return Said(message=error)
    if not isinstance(error, dict):
        return Said()
    code, message = error.get("code"), error.get("message")
    kind = error.get("type")
    return Said(
        code=code if isinstance(code, str) else kind if isinstance(kind, str) else "",
        message=message if isinstance(message, str) else "",
        status=code if type(code) is int else 0,
    )


def _kind(status: int, said: Said) -> FailureKind:
    if status == 429 and said.code == "insufficient_quota":
        return FailureKind.REJECTED  # no credit left: another attempt would not help
    if status in (400, 422) and _TOO_LONG.search(f"{said.code} {said.message[:2_000]}"):
        return FailureKind.CONTEXT_OVERFLOW
    if status >= 500:
        return FailureKind.UNAVAILABLE
    return _BY_STATUS.get(status, FailureKind.REJECTED)


def _plain(text: str) -> str:
    """One short line of what a stranger wrote."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * SHOWN]).split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."
