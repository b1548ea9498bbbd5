"""Reads the single values of a policy strictly: counts, dollars, durations, words, names and JSON Schemas."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from bridle.config.mistake import did_you_mean, one_of, printable, shown
from bridle.rules.names import MILLIS_PER_SECOND, NANOS_PER_USD
from bridle.rules.sinks import Sinks, read_sinks

MOST_COUNT = 1_000_000_000_000
MOST_SECONDS = 31_536_000  # a year
MOST_DOLLARS = 1_000_000_000  # in nano-dollars still a 64-bit integer
DECIMALS = 9
BAD_VALUE = "bad_value"  # the type of every error raised here; its context holds the message and the hint

_COUNT = re.compile(r"[1-9][0-9]{0,12}")
_DOLLARS = re.compile(r"\$?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?")
_DURATION = re.compile(r"([1-9][0-9]{0,10})(ms|s|m|h)")
_MILLIS = {"ms": 1, "s": MILLIS_PER_SECOND, "m": 60 * MILLIS_PER_SECOND, "h": 3_600 * MILLIS_PER_SECOND}
_TOOL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
WHEN_TAINTED = "when_tainted"
SINKS = 'write the places of each argument, such as {to: [user, "dir:contacts"], amount: {from: [user], max: 100}}'
APPROVALS = "true, {above: {amount: 50}}, or {when: a JSON Schema of the arguments}"
_BOOLEANS = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}


@dataclass(frozen=True, slots=True)
class Read:
    """How pydantic reads one kind of value, and how an editor is told about it."""

    reader: Callable[[object], object]
    schema: Mapping[str, object]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(self.reader)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, object]:
        del schema, handler
        return dict(self.schema)


def _wrong(message: str, hint: str) -> PydanticCustomError:
    return PydanticCustomError(BAD_VALUE, "bad value", {"message": message, "hint": hint})


def count(least: int = 1, most: int = MOST_COUNT) -> Read:
    """A whole number; "no limit" cannot be said."""

    def reader(value: object) -> int:
        wanted = f"write a whole number greater than {least - 1}" if least else "write a whole number, 0 or more"
        match value:
            case int() if not isinstance(value, bool):
                if value < least:
                    raise _wrong(f"is {shown(value)}", wanted)
                if value > most:
                    raise _wrong(f"is more than {most:,}", "write a smaller number")
                return int(value)
            case Decimal() | float():
                raise _no_count(Decimal(value), wanted)
            case str() if _COUNT.fullmatch(value):
                raise _wrong(f"is {shown(value)}, not a number", f"write {value} without quotes")
            case None:
                raise _wrong('is empty, and "no limit" cannot be said', f"{wanted}, or remove the line")
            case _:
                raise _wrong(f"is {shown(value)}, not a number", wanted)

    return Read(reader, {"type": "integer", "minimum": least, "maximum": most})


def _no_count(value: Decimal, wanted: str) -> PydanticCustomError:
    if value.is_nan():
        return _wrong("is not a number", wanted)
    if value.is_infinite():
        return _wrong('is infinite, and "no limit" cannot be said', f"{wanted}, as large as it may get")
    is_whole = 0 < value < MOST_COUNT and value == int(value)
    return _wrong(f"is {shown(value)}, not a whole number", f"write {int(value)}" if is_whole else wanted)


def dollars(*, zero: bool = False) -> Read:
    """Dollars as text or number, read into integer nano-dollars. With `zero`, nothing at all is an amount too."""

    def reader(value: object) -> int:
        wanted = 'write dollars, such as "0.20"'
        match value:
            case bool():
                raise _wrong(f"is {shown(value)}, not an amount of dollars", wanted)
            case int() | Decimal():
                return _nanos(Decimal(value), shown(value), zero=zero)
            case float():
                exact = Decimal(repr(value))
                is_near = exact.is_finite() and -DECIMALS <= exact.adjusted() <= DECIMALS
                written = f'write it as text: "{exact:f}"' if is_near else wanted
                raise _wrong(f"is the float {shown(value)}, and no float touches money", written)
            case str() if _DOLLARS.fullmatch(value):
                return _nanos(Decimal(value.removeprefix("$")), printable(value), zero=zero)
            case None:
                raise _wrong('is empty, and "no limit" cannot be said', f"{wanted}, or remove the line")
            case _:
                raise _wrong(f"is {shown(value)}, not an amount of dollars", wanted)

    pattern = r"^\$?(0|[1-9][0-9]*)(\.[0-9]{1,9})?$"
    number = {"type": "number", "minimum": 0} if zero else {"type": "number", "exclusiveMinimum": 0}
    return Read(reader, {"anyOf": [{"type": "string", "pattern": pattern}, number]})


def _nanos(value: Decimal, as_written: str, *, zero: bool) -> int:
    if not value.is_finite():
        what = "not a number" if value.is_nan() else 'infinite, and "no limit" cannot be said'
        raise _wrong(f"is {what}", 'write dollars, such as "0.20"')
    if value < 0 or (value == 0 and not zero):
        raise _wrong(f"is {as_written}", f"write an amount of {'0 or more' if zero else 'more than 0'} dollars")
    if value > MOST_DOLLARS:
        raise _wrong(f"is more than ${MOST_DOLLARS:,}", "write a smaller amount")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent < -DECIMALS:
        raise _wrong(f"has more than {DECIMALS} decimals", "the smallest amount is $0.000000001")
    numerator, denominator = value.as_integer_ratio()  # exact, whatever the precision of the decimal context
    return numerator * NANOS_PER_USD // denominator


def in_dollars(nanos: int) -> str:
    """Nano-dollars to the last digit, unlike `show_usd`, which rounds: "$0.20", "$0.000000125"."""
    whole, rest = divmod(nanos, NANOS_PER_USD)
    return f"${whole:,}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}"


def _duration(value: object) -> int:
    """Seconds, or text with a unit, in milliseconds."""
    wanted = 'write seconds (90), or text with a unit ("1500ms", "90s", "2m", "1h")'
    match value:
        case int() if not isinstance(value, bool):
            if value <= 0:
                raise _wrong(f"is {shown(value)}", "write a duration greater than 0")
            millis = int(value) * MILLIS_PER_SECOND
        case str() if parts := _DURATION.fullmatch(value):
            millis = int(parts[1]) * _MILLIS[parts[2]]
        case None:
            raise _wrong('is empty, and "no limit" cannot be said', f"{wanted}, or remove the line")
        case _:
            raise _wrong(f"is {shown(value)}, not a duration", wanted)
    if millis > MOST_SECONDS * MILLIS_PER_SECOND:
        raise _wrong("is longer than a year", "write a shorter duration")
    return millis


def _reuse(value: object) -> str | int:
    if value in ("run", "never"):
        return str(value)
    if isinstance(value, str) and not _DURATION.fullmatch(value):
        raise _wrong(f"is {shown(value)}", 'write run, never, or how long a result stays good, such as "60s"')
    return _duration(value)


def choice(*options: str) -> Read:
    """One word of a closed set."""

    def reader(value: object) -> str:
        if isinstance(value, str) and value in options:
            return str(value)
        guess = did_you_mean(value, options) if isinstance(value, str) else ""
        raise _wrong(f"is {shown(value)}", guess or f"write {one_of(options)}")

    return Read(reader, {"enum": list(options)})


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    meant = _BOOLEANS.get(value.lower()) if isinstance(value, str) else None
    raise _wrong(f"is {shown(value)}, neither true nor false", f"write {meant or 'true or false'}")


def _tool(value: object) -> str:
    if isinstance(value, str) and _TOOL.fullmatch(value):
        return str(value)
    if isinstance(value, str) and "*" in value:
        raise _wrong(f"is {shown(value)}, and wildcards are not read", "list every tool by its name")
    hint = "a tool's name is ASCII letters, digits and . _ - : /, at most 128 of them"
    raise _wrong(f"is {shown(value)}, not the name of a tool", hint)


def _name(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and value == value.strip() and 0 < len(value) <= 200:
        return str(value)
    raise _wrong(f"is {shown(value)}, not a name", "a name is 1 to 200 printable characters without spaces around")


def _fragment(value: object) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise _wrong(f"is {shown(value)}, not a JSON Schema", "write a mapping, such as {properties: {...}}")


def _approval(value: object) -> Mapping[str, object]:
    """`true` is every call: the schema that admits everything. What stands in a mapping, `crossing` looks at."""
    if value is True:
        return {"when": {}}
    if isinstance(value, dict):
        return value
    if value is False:
        hint = "remove the line; `writes: {require_approval: false}` lets every write of the house go without a person"
        raise _wrong("is false, and the settings of a tool only narrow", hint)
    raise _wrong(f"is {shown(value)}, which cannot be read here", f"write {APPROVALS}")


def _sinks(value: object) -> Sinks:
    try:
        return read_sinks(value)
    except ValueError as error:
        raise _wrong(f"cannot be read: {error}", SINKS) from None


def _person(value: object) -> bool:
    """Whether every write waits for a person; `when_tainted` leaves that to the rule on the flow of information."""
    return False if value == WHEN_TAINTED else _flag(value)


def _schema_of(words: Sequence[str]) -> dict[str, object]:
    number = {"type": "integer", "minimum": 1, "maximum": MOST_SECONDS, "description": "Seconds."}
    text = {"type": "string", "pattern": "^[1-9][0-9]{0,10}(ms|s|m|h)$"}
    return {"anyOf": [*([{"enum": list(words)}] if words else []), number, text]}


# Each of these is None only where the file says nothing: a value that is written down is never read as None.
Count = Annotated[int | None, count()]
CountOrZero = Annotated[int | None, count(least=0)]
Seconds = Annotated[int | None, count(most=MOST_SECONDS)]
Dollars = Annotated[int | None, dollars()]
DollarsOrZero = Annotated[int | None, dollars(zero=True)]
Price = Annotated[int, dollars(zero=True)]
Duration = Annotated[int | None, Read(_duration, _schema_of(()))]
Reuse = Annotated[str | int | None, Read(_reuse, _schema_of(("run", "never")))]
Flag = Annotated[bool | None, Read(_flag, {"type": "boolean"})]
Tool = Annotated[str, Read(_tool, {"type": "string", "pattern": f"^{_TOOL.pattern}$"})]
Name = Annotated[str, Read(_name, {"type": "string", "minLength": 1, "maxLength": 200})]
Approval = Annotated[
    Mapping[str, object] | None,
    Read(
        _approval,
        {
            "anyOf": [
                {"const": True},
                {
                    "type": "object",
                    "properties": {
                        "when": {"type": "object"},
                        "above": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "number"}},
                    },
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ]
        },
    ),
]
SinksOfTool = Annotated[
    Sinks | None,
    Read(
        _sinks,
        {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    {"type": "array", "items": {"type": "string"}},
                    {
                        "type": "object",
                        "properties": {
                            "from": {"type": "array", "items": {"type": "string"}},
                            "hosts": {"type": "array", "items": {"type": "string"}},
                            "max": {"type": "number"},
                        },
                        "additionalProperties": False,
                    },
                ]
            },
        },
    ),
]
Person = Annotated[bool | None, Read(_person, {"enum": [True, False, WHEN_TAINTED]})]
Fragment = Annotated[Mapping[str, object] | None, Read(_fragment, {"type": "object"})]
