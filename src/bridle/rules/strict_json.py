"""The edge where bytes and Python values of others become strict JSON, or are refused with a sentence (promise P14)."""

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from json.encoder import encode_basestring
from math import isfinite

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MAX_DIGITS = 400  # of an integer: far beyond any honest number, far below what int() is slow at
_TOO_LARGE = 10**MAX_DIGITS
_ES6_WHOLE = 1e21  # ECMAScript writes whole numbers below this without an exponent (ECMA-262, Number::toString)
_SHOWN_KEY = 40
_SHOWN_PATH = 240

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_STRING_OR_NUMBER = re.compile(_STRING + rb"|(-?(?:NaN|Infinity|[0-9][0-9.eE+-]*+))", re.DOTALL)
_HALF_OR_NUL = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
LONE_HALF = re.compile(r"[\ud800-\udfff]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_DEEPER = bytes(1 if c in b"[{" else 255 if c in b"]}" else 0 for c in range(256))
_NO_BRACKETS = bytes(c for c in range(256) if c not in b"[]{}")


class BadJson(ValueError):
    """Something is not strict JSON; `what` says why and `where` names the byte (`byte 17`) or the path (`$.rows[3]`).

    The message never contains a value, only keys, and is short whatever the input was.
    """

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(f"{where}: {what}" if where else what)
        self.what = what
        self.where = where


class Misfit(Exception):
    """A value that cannot be JSON; the containers around it add their key while it passes."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.path: list[str | int] = []


class _Refused(Exception):
    """What the parser met and the caps do not take, with its text so that it can be found in the input."""

    def __init__(self, what: str, text: str = "") -> None:
        self.what = what
        self.text = text


def parse(raw: bytes | str, *, max_bytes: int, max_depth: int = 64) -> Json:
    """JSON text (RFC 8259, UTF-8, no byte order mark) as values; raises `BadJson` and nothing else.

    `max_bytes` counts UTF-8 bytes; `max_depth` counts brackets that are open at once and is checked before parsing.
    Refused besides bad syntax: duplicate keys, NaN, infinities, floats that overflow, integers of more than
    `MAX_DIGITS` digits, and in strings NUL and lone surrogates.
    """
    data = _as_utf8(raw, max_bytes)
    if data.count(b"[") + data.count(b"{") > max_depth:
        _check_depth(data, max_depth)
    try:
        value: Json = _DECODER.decode(data.decode())
    except UnicodeDecodeError as error:
        raise BadJson("is not UTF-8 (invalid bytes or a lone surrogate)", f"byte {error.start:,}") from None
    except json.JSONDecodeError as error:
        raise _bad_syntax(data, error) from None
    except _Refused as bad:
        raise BadJson(bad.what, _place_of_number(data, bad.text)) from None
    except RecursionError:
        raise BadJson("is nested too deep to be read here") from None
    if _HALF_OR_NUL.search(data):
        _look_closely(value, ())
    return value


def _look_closely(value: Json, path: tuple[str | int, ...]) -> None:
    """Every text of a value whose escapes may have spelled NUL or half a character."""
    if isinstance(value, str):
        if "\0" in value:
            raise BadJson("a NUL character is not taken in text", show_path(path))
        if LONE_HALF.search(value):
            raise BadJson("a lone surrogate is not text", show_path(path))
    elif isinstance(value, dict):
        for key, item in value.items():
            _look_closely(key, path)
            _look_closely(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _look_closely(item, (*path, number))


def _as_utf8(raw: bytes | str, max_bytes: int) -> bytes:
    """The bytes to read; a lone surrogate becomes bytes that do not decode, so that it is refused with its place."""
    if len(raw) <= max_bytes:
        data = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
        if len(data) <= max_bytes:
            return data
    raise BadJson(f"is more than {max_bytes:,} bytes long")


def _check_depth(data: bytes, max_depth: int) -> None:
    """Count brackets outside of strings without parsing, in time and memory that are linear in the input."""
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(unescaped.split(b'"')[::2]).translate(_DEEPER, _NO_BRACKETS)
    if max(accumulate(array("b", brackets)), default=0) > max_depth:
        raise BadJson(f"is nested deeper than {max_depth} levels")


def _bad_syntax(data: bytes, error: json.JSONDecodeError) -> BadJson:
    if data.startswith(b"\xef\xbb\xbf"):
        return BadJson("starts with a byte order mark, which JSON does not have", "byte 0")
    start = data[:64].lstrip(b" \t\r\n")
    if not start and not data.strip(b" \t\r\n"):
        return BadJson("is empty")
    if start.startswith(b"<"):
        return BadJson("is HTML or XML, not JSON", f"byte {data.index(b'<'):,}")
    place = len(error.doc[: error.pos].encode())
    return BadJson(f"is not JSON ({error.msg})", f"byte {place:,}")


def _place_of_number(data: bytes, text: str) -> str:
    wanted = text.encode()
    places = (found.start() for found in _STRING_OR_NUMBER.finditer(data) if found[1] == wanted)
    return next((f"byte {place:,}" for place in places), "")


def _without_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise _Refused(f"the key {_show_key(twice)} stands twice in one object")
    return found


def _bounded_int(text: str) -> int:
    if len(text) > MAX_DIGITS and len(text) - text.startswith("-") > MAX_DIGITS:
        raise _Refused(f"an integer of more than {MAX_DIGITS} digits is not taken", text)
    return int(text)


def _finite_float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _Refused("a number too large for a float is not taken", text)
    return number


def _refuse_constant(text: str) -> Json:
    raise _Refused(f"{text} is not JSON", text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_duplicates,
    parse_float=_finite_float,
    parse_int=_bounded_int,
    parse_constant=_refuse_constant,
)


def canonical(value: Json) -> bytes:
    """The one spelling of a JSON value, after RFC 8785 (JCS): equal values give equal bytes whatever the key order.

    One difference from the RFC: it knows doubles only, so it would write 2**53 + 1 as another number. Here every whole
    number is written exactly: integers always, floats below 1e21. `parse` gives back a value that is `==` to the one
    that was written. Raises `BadJson` for NaN, infinities, lone surrogates, integers of more than `MAX_DIGITS` digits
    and whatever is not `Json`.
    """
    try:
        return _write(value).encode()
    except Misfit as misfit:
        raise BadJson(misfit.what, show_path(reversed(misfit.path))) from None
    except UnicodeEncodeError:
        raise BadJson("a lone surrogate is not text") from None
    except RecursionError:
        raise BadJson("is nested too deep to be written here") from None


def _write(value: object) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return write_int(value)
    if isinstance(value, dict):
        return _write_object(value)
    if isinstance(value, list):
        return f"[{','.join([_write(item) for item in value])}]"
    if isinstance(value, float):
        return write_float(value)
    raise Misfit(f"{type(value).__name__} is not a JSON type")


def _write_object(value: dict[str, object]) -> str:
    try:
        keys = sorted(value)
        if not "".join(keys).isascii():
            keys.sort(key=lambda key: key.encode("utf-16-be", "surrogatepass"))
    except TypeError:
        raise Misfit("a key is not a string") from None
    return "{" + ",".join([f"{encode_basestring(key)}:{_write(value[key])}" for key in keys]) + "}"


def write_int(value: int) -> str:
    """An integer in full. Raises Misfit beyond `MAX_DIGITS` digits."""
    if -_TOO_LARGE < value < _TOO_LARGE:
        return int.__repr__(value)
    raise Misfit(f"an integer of more than {MAX_DIGITS} digits is not taken")


def write_float(value: float) -> str:
    """A float as ECMAScript writes it (RFC 8785, section 3.2.2.3): shortest digits that read back as the same float."""
    if not isfinite(value):
        raise Misfit("NaN and infinities are not JSON")
    if value.is_integer() and abs(value) < _ES6_WHOLE:
        return int.__repr__(int(value))
    mantissa, e, exponent = float.__repr__(value).partition("e")
    if not e:
        return mantissa
    power = int(exponent)
    if -7 < power < 0:
        sign = "-" if value < 0 else ""
        return f"{sign}0.{'0' * (-power - 1)}{mantissa.lstrip('-').replace('.', '')}"
    return f"{mantissa}e{power:+d}"


def show_path(parts: Iterable[str | int]) -> str:
    """A place in a value as JSONPath writes it (RFC 9535): `$.rows[3]["a key"]`; long keys and long paths are cut."""
    shown = "".join(f"[{part}]" if isinstance(part, int) else _show_step(part) for part in parts)
    return f"${shown}" if len(shown) <= _SHOWN_PATH else f"${shown[:100]} … {shown[-100:]}"


def _show_step(key: str) -> str:
    return f".{key}" if len(key) <= _SHOWN_KEY and _PLAIN_KEY.fullmatch(key) else f"[{_show_key(key)}]"


def _show_key(key: str) -> str:
    return json.dumps(key if len(key) <= _SHOWN_KEY else key[:_SHOWN_KEY] + "...")
