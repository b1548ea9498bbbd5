"""Schemas: where they come from, which are refused, and what is said about a value that does not fit."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional, Union
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from bridle.gateway.cleaning import clean
from bridle.gateway.schemas import BadArguments, BadSchema, Schema, coerce
from bridle.rules.strict_json import Json, parse

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]  # that it does not exist at run time is the point

CANARY = "sk-canary-71"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Mixed(Enum):
    ONE = 1
    NONE = None


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sku: str
    price: Decimal = Decimal(0)
    parts: "list[Line]" = []


@dataclass
class Trip:
    day: date
    folder: Path | None = None


class CallContext: ...


@pytest.mark.parametrize(
    ("source", "document"),
    [
        (None, {}),
        (object, {}),
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (list[object], {"type": "array"}),
        (
            dict[str, list[int]],
            {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}},
        ),
        (int | None, {"type": ["integer", "null"]}),
        (Optional[int], {"type": ["integer", "null"]}),  # noqa: UP045  # the old spelling is read as well
        (Union[int, list[str]], {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}),  # noqa: UP007  # likewise
        (int | object, {}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (Color, {"type": "string", "enum": ["red", "blue"]}),
        (Mixed, {"enum": [1, None]}),
        (Literal[Color.RED], {"type": "string", "enum": ["red"]}),
        (Annotated[int, Field(ge=1)], {"type": "integer", "minimum": 1}),
        (set[str], {"type": "array", "uniqueItems": True, "items": {"type": "string"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        ({"type": "object", "required": ("a",)}, {"type": "object", "required": ["a"]}),
    ],
)
def test_a_schema_is_read_from_an_annotation_or_a_mapping(source: object, document: Json) -> None:
    assert Schema.of(source).document == document


def test_models_and_dataclasses_bring_their_definitions() -> None:
    assert Schema.of(Line).is_valid({"sku": "a", "parts": [{"sku": "b"}]})
    assert not Schema.of(Line).is_valid({"sku": "a", "parts": [{"suk": "b"}]})
    assert Schema.of(list[Line]).is_valid([{"sku": "a"}])
    assert Schema.of(Trip).is_valid({"day": "2026-01-02", "folder": None})
    assert not Schema.of(Trip).is_valid({"folder": None})


@pytest.mark.parametrize("value", [Line(sku="a", price=Decimal("1.5")), Trip(date(2026, 1, 2), Path("a/b"))])
def test_what_a_tool_returned_fits_the_schema_of_its_return_type(value: object) -> None:
    assert Schema.of(type(value), returned=True).errors(clean(value, max_bytes=1_000)) == ()


def lookup(  # type: ignore[no-untyped-def]  # the missing annotation is the point
    order: str,
    limit: int = 3,
    *,
    tags: list[str] | None = None,
    color: Color = Color.RED,
    anything=None,
    call: CallContext,
) -> None: ...


def test_parameters_become_an_object_without_the_context() -> None:
    assert Schema.of_parameters(lookup).document == {
        "type": "object",
        "properties": {
            "order": {"type": "string"},
            "limit": {"type": "integer"},
            "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
            "color": {"type": "string", "enum": ["red", "blue"]},
            "anything": {},
        },
        "required": ["order"],
        "additionalProperties": False,
    }


def ship(line: Line, lines: list[Line], trip: Trip, note: str = "", after: UUID | None = None) -> None: ...


def test_models_among_the_parameters_share_their_definitions() -> None:
    schema = Schema.of_parameters(ship)
    properties, definitions = schema.document["properties"], schema.document["$defs"]
    assert isinstance(properties, dict) and isinstance(definitions, dict)  # noqa: PT018  # for mypy, not for pytest
    assert properties["line"] == {"$ref": "#/$defs/Line"}
    assert properties["lines"] == {"type": "array", "items": {"$ref": "#/$defs/Line"}}
    assert properties["note"] == {"type": "string"}
    assert definitions.keys() == {"Line", "Trip"}
    assert schema.document["required"] == ["line", "lines", "trip"]


class Desk:
    def ask(self, question: str, call: CallContext) -> None: ...

    def __call__(self, answer: "Color") -> None: ...


def postponed(when: "date", *, call: "Missing") -> None: ...
def typed(when: "date", call: "bridle.CallContext") -> None: ...  # type: ignore[name-defined]  # noqa: F821  # known by its name
def calls_somebody(call: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (Desk().ask, ["question"]),
        (Desk(), ["answer"]),
        (partial(lookup, "42"), ["limit", "tags", "color", "anything"]),
        (postponed, ["when"]),
        (typed, ["when"]),
        (calls_somebody, ["call"]),
        (lambda: None, []),
    ],
)
def test_every_kind_of_function_tells_its_parameters(function: Callable[..., object], names: list[str]) -> None:
    properties = Schema.of_parameters(function).document["properties"]
    assert [*properties] == names  # type: ignore[misc]  # it is a dict


def open_ended(**rest: str) -> None: ...
def many(*rest: str) -> None: ...
def by_position(first: str, /) -> None: ...
def unknown(first: "Missing") -> None: ...
def foreign(first: Desk) -> None: ...
def callback(first: Callable[[int], str]) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (open_ended, "**rest: str: a model fills in named parameters only; name them, or give a JSON Schema"),
        (many, "*rest: str: a model fills in named parameters only; name them, or give a JSON Schema"),
        (by_position, "first: str: a model fills in named parameters only; name them, or give a JSON Schema"),
        (unknown, "unknown: an annotation cannot be read at run time (name 'Missing' is not defined)"),
        (foreign, "Desk: has no JSON Schema"),
        (callback, "first: has no JSON Schema"),
        (int, "int: does not tell its parameters; give a JSON Schema"),
    ],
)
def test_a_function_that_a_model_cannot_call_is_refused(function: Callable[..., object], message: str) -> None:
    with pytest.raises(BadSchema) as refused:
        Schema.of_parameters(function)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"properties": {"a": {"type": "strng"}}},
            "$.properties.a.type: is not one of the types of JSON Schema, "
            "array, boolean, integer, null, number, object, string; did you mean string?",
        ),
        ({"properties": {"a": {"maxItems": -1}}}, "$.properties.a.maxItems: "),
        ({"required": "a"}, "$.required: "),
        ({"items": {"pattern": "("}}, "$.items.pattern: is not a regular expression that can be used here"),
        ({"pattern": "(a{1000}){1000}"}, "$.pattern: is not a regular expression that can be used here"),
        ({"items": {"$ref": "http://example.com/x"}}, '$.items["$ref"]: leads to nothing inside of the schema'),
        ({"$ref": "file:///etc/passwd"}, '$["$ref"]: leads to nothing inside of the schema'),
        ({"$ref": "other.json"}, '$["$ref"]: leads to nothing inside of the schema'),
        ({"anyOf": [{}, {"$ref": "#/$defs/a"}]}, '$.anyOf[1]["$ref"]: leads to nothing inside of the schema'),
        ({"$schema": "http://example.com/mine"}, '$["$schema"]: leads to nothing inside of the schema'),
        ({"const": float("nan")}, "$.const: NaN and infinities are not JSON"),
        ({1: 2}, "$: a key is of type int"),
        ({"default": object()}, "$.default: builtins.object is not a JSON type"),
        (parse('{"not":' * 65 + "{}" + "}" * 65, max_bytes=1_000, max_depth=99), "$.not.not.not"),
        ({"description": "x" * 300_000}, "$.description: is more than 262,144 bytes in all"),
        ("string", "a text is not a schema"),
        (3, "3: has no JSON Schema"),
        (Desk, "Desk: has no JSON Schema"),
    ],
)
def test_a_bad_schema_is_refused_with_its_path(source: object, message: str) -> None:
    with pytest.raises(BadSchema) as refused:
        Schema.of(source)
    assert str(refused.value).startswith(message)
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        ({"order": "42"}, ()),
        ({"order": 42}, ('$.order: the value is not of type "string"',)),
        (
            {"order": "42", "limt": 1, "colour": "red", "zzz": 0},
            (
                "$: limt is not a property here; did you mean limit?",
                "$: colour is not a property here; did you mean color?",
                "$: zzz is not a property here",
            ),
        ),
        ({}, ('$: "order" is a required property',)),
        ({"order": "42", "color": CANARY}, ('$.color: the value is not one of "red" or "blue"',)),
        (
            {"order": "42", "tags": ["a", 1]},
            (
                '$.tags: fits none of the allowed forms ($.tags[1]: the value is not of type "string"; '
                '$.tags: the value is not of type "null")',
            ),
        ),
        ([1], ('$: the value is not of type "object"',)),
    ],
)
def test_errors_say_where_and_what(arguments: Json, errors: tuple[str, ...]) -> None:
    schema = Schema.of_parameters(lookup)
    assert schema.errors(arguments) == errors
    assert schema.is_valid(arguments) == (not errors)


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ({"unevaluatedItems": False}, [CANARY]),
        ({"prefixItems": [{}], "items": False}, [1, CANARY]),
        ({"contains": {"const": 1}}, [CANARY]),
        ({"uniqueItems": True}, [CANARY, CANARY]),
        ({"not": {}}, CANARY),
        ({"const": 1}, CANARY),
        ({"enum": [1]}, CANARY),
        ({"pattern": "^a$"}, CANARY),
        ({"maxLength": 1}, CANARY),
        ({"maxProperties": 0}, {"a": CANARY}),
        ({"dependentRequired": {"a": ["b"]}}, {"a": CANARY}),
        ({"if": {}, "then": False}, CANARY),
        ({"oneOf": [{}, {}]}, CANARY),
        ({"anyOf": [{"type": "null"}, {"oneOf": [{"const": 1}]}]}, CANARY),
        ({"propertyNames": {"const": "x"}}, {CANARY: 1}),
        ({"additionalProperties": {"type": "null"}}, {"a": [CANARY]}),
        ({"unevaluatedProperties": {"type": "null"}}, {"a": CANARY}),
        ({"$schema": DRAFT_7, "contentMediaType": "application/json"}, CANARY),
    ],
)
def test_no_value_appears_in_an_error(document: dict[str, object], value: Json) -> None:
    errors = Schema(document).errors(value)
    assert errors
    assert CANARY not in "".join(errors)


def test_at_most_five_short_errors_are_told() -> None:
    assert len(Schema.of(list[str]).errors([1] * 100)) == 5
    [error] = Schema.of({"enum": ["x" * 100] * 100}).errors(1)
    assert len(error) < 320
    [error] = Schema.of({"additionalProperties": False}).errors({"k" * 10_000: 1})
    assert len(error) < 320


def test_the_errors_of_a_huge_value_are_not_collected() -> None:
    [error] = Schema.of(list[str]).errors(list(range(1_000_000)))
    assert error == "$: does not fit the schema; it has more than 4,000 parts, too many to say where"


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, object(), "\ud800"], ids=["NaN", "key", "object", "surrogate"])
def test_what_is_not_json_does_not_fit(value: Json) -> None:
    schema = Schema.of({"type": ["object", "string"]})
    assert not schema.is_valid(value)
    assert len(schema.errors(value)) == 1


def test_a_pattern_cannot_be_made_to_run_for_ever() -> None:
    linear = Schema.of({"pattern": "^(a+)+$"})
    bounded = Schema.of({"pattern": "^(?=a)(a|aa)+(?<!b)$"})
    hostile = "a" * 50_000 + "b"
    assert not linear.is_valid(hostile)
    assert not bounded.is_valid(hostile)
    assert bounded.is_valid("aaa")
    assert bounded.errors(hostile)


@pytest.mark.parametrize("document", [{"$ref": "#"}, {"not": {"$ref": "#"}}, {"items": {"$ref": "#"}}])
def test_a_schema_that_refers_to_itself_comes_to_an_end(document: dict[str, object]) -> None:
    schema = Schema(document)
    assert schema.is_valid([[1]]) == (schema.errors([[1]]) == ())


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([{}, {"type": "string"}, {"maximum": 3}])))
def test_the_digest_is_of_the_meaning_and_not_of_the_order(properties: dict[str, object]) -> None:
    backwards = dict(reversed(properties.items()))
    one, other = Schema.of({"properties": properties}), Schema.of({"properties": backwards})
    assert one.digest == other.digest
    assert len(one.digest) == 32
    assert one.digest != Schema.of({"properties": {**properties, "g": {}}}).digest


def plain(order: str, limit: int = 3, tags: list[str] | None = None, how: Literal["a"] = "a") -> None: ...


def test_arguments_of_plain_types_are_handed_on_untouched() -> None:
    arguments: dict[str, Json] = {"order": "1", "tags": ["a"]}
    assert coerce(plain, arguments) is arguments


def test_arguments_of_other_types_are_built() -> None:
    arguments: dict[str, Json] = {
        "line": {"sku": "a", "price": "1.50"},
        "lines": [{"sku": "b", "parts": [{"sku": "c"}]}],
        "trip": {"day": "2026-01-02", "folder": "a/b"},
        "note": "as it is",
        "after": "00000000-0000-0000-0000-000000000001",
    }
    assert Schema.of_parameters(ship).errors(arguments) == ()
    assert coerce(ship, arguments) == {
        "line": Line(sku="a", price=Decimal("1.50")),
        "lines": [Line(sku="b", parts=[Line(sku="c")])],
        "trip": Trip(date(2026, 1, 2), Path("a/b")),
        "note": "as it is",
        "after": UUID(int=1),
    }


def paint(color: Color, colors: list[Color] | None = None, wait: timedelta | None = None) -> None: ...


def test_enums_are_built_wherever_they_stand() -> None:
    assert coerce(paint, {"color": "red", "colors": ["blue"]}) == {"color": Color.RED, "colors": [Color.BLUE]}


@pytest.mark.parametrize(
    ("function", "arguments", "error"),
    [
        (ship, {"trip": {"day": CANARY}}, "$.trip.day: Input should be a valid date"),
        (ship, {"line": {"sku": "a", "sku2": CANARY}}, "$.line.sku2: Extra inputs are not permitted"),
        (paint, {"color": CANARY}, "$.color: the value is not one of the choices"),
        (paint, {"wait": "P1Y1X"}, "$.wait: "),
    ],
)
def test_arguments_that_cannot_be_built_are_refused_without_their_values(
    function: Callable[..., object], arguments: dict[str, Json], error: str
) -> None:
    with pytest.raises(BadArguments) as refused:
        coerce(function, arguments)
    assert refused.value.errors[0].startswith(error)
    assert CANARY not in str(refused.value)


def test_plain_tools_are_declared_without_importing_pydantic() -> None:
    program = (
        "import sys; from enum import Enum; from bridle.gateway.schemas import Schema, coerce\n"
        "Color = Enum('Color', {'RED': 'red'})\n"
        "def tool(a: str, b: list[int] | None = None, c: Color = Color.RED): ...\n"
        "assert 'jsonschema_rs' not in sys.modules\n"
        "assert Schema.of_parameters(tool).is_valid({'a': 'x'}) and coerce(tool, {'c': 'red'})['c'] is Color.RED\n"
        "assert 'pydantic' not in sys.modules, 'pydantic was imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
