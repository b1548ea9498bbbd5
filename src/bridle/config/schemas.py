"""JSON Schemas inside a policy: whether they can be compiled, how they are kept, and which arguments they name."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import isfinite

from jsonschema_rs import ReferencingError, ValidationError, validator_for

from bridle.config.mistake import Found, Keys, did_you_mean, printable

_OF_NAMES = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_OF_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_OF_ONE = frozenset({
    "items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains",
    "propertyNames", "not", "if", "then", "else", "contentSchema",
})  # fmt: skip
_PLAIN = frozenset({
    "$schema", "$id", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary", "$comment", "type", "enum",
    "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength",
    "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains", "maxProperties", "minProperties",
    "required", "dependentRequired", "format", "contentEncoding", "contentMediaType", "title",
    "description", "default", "deprecated", "readOnly", "writeOnly", "examples",
})  # fmt: skip
# Not `additionalItems` and `dependencies`: draft 2020-12 does without them, so that a validator would skip them.
KEYWORDS = _OF_NAMES | _OF_LIST | _OF_ONE | _PLAIN
_IN_PLACE = ("allOf", "anyOf", "oneOf")  # their schemas speak of the same value
_MOST_REFERENCES = 16


def canonical(schema: Mapping[str, object]) -> str:
    """The schema as JSON with sorted keys; two equal schemas give equal text. Raises ValueError for what JSON lacks."""
    return json.dumps(_plain(schema), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def asked_about(said: Mapping[str, object]) -> Mapping[str, object]:
    """The schema of the arguments that a person sees first, from `{when: ...}` or `{above: {amount: 50}}`.

    Above means: not there as a number that is small enough. A call that leaves the argument out waits as well.
    """
    above = said.get("above")
    if not isinstance(above, Mapping):
        when = said["when"]
        assert isinstance(when, Mapping), "what cannot be parsed has a mistake"
        return when
    parts = [{"properties": {name: {"exclusiveMinimum": most}}} for name, most in sorted(above.items())]
    return parts[0] if len(parts) == 1 else {"anyOf": parts}


def wrong_with(schema: Mapping[str, object]) -> list[Found]:
    """Everything that keeps a schema from meaning what its author meant; empty when it is good.

    A keyword that JSON Schema does not know would be skipped by any validator, so a typo would allow everything.
    """
    found = [
        ((*keys, word), "is not a keyword of JSON Schema", did_you_mean(word, KEYWORDS))
        for keys, part in _parts(schema)
        for word in part
        if word not in KEYWORDS and not word.startswith("x-")
    ]
    try:
        validator_for(json.loads(canonical(schema)), offline=True)
    except ValidationError as error:
        found.append((tuple(error.instance_path), f"is not a JSON Schema: {printable(error.message, 120)}", ""))
    except ReferencingError as error:
        found.append(((), f"is not a JSON Schema: {printable(str(error), 120)}", ""))
    except ValueError:
        found.append(((), "holds a number that JSON cannot hold", "write a smaller one"))
    return found


def arguments(schema: Mapping[str, object], keys: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Every argument that a rule names, and where it names it. References and nested objects are not followed."""
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(properties, Mapping):
        yield from (((*keys, "properties", name), name) for name in properties)
    if isinstance(required, list | tuple):
        yield from (((*keys, "required", i), name) for i, name in enumerate(required) if isinstance(name, str))
    for word in ("not", "if", "then", "else"):
        part = schema.get(word)
        if isinstance(part, Mapping):
            yield from arguments(part, (*keys, word))
    for word in _IN_PLACE:
        parts = schema.get(word)
        for i, part in enumerate(parts if isinstance(parts, list | tuple) else ()):
            if isinstance(part, Mapping):
                yield from arguments(part, (*keys, word, i))


def properties_of(schema: Mapping[str, object]) -> frozenset[str] | None:
    """The arguments that a tool's own schema knows; None when it leaves them open."""
    root = schema
    for _ in range(_MOST_REFERENCES):
        reference = schema.get("$ref")
        target = root
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        for key in reference.removeprefix("#/").split("/"):
            inner = target.get(key.replace("~1", "/").replace("~0", "~"))
            if not isinstance(inner, Mapping):
                return None
            target = inner
        schema = target
    is_open = bool(schema.get("additionalProperties")) or "patternProperties" in schema
    is_composed = any(word in schema for word in (*_IN_PLACE, "$ref", "if", "dependentSchemas"))
    properties = schema.get("properties", {})
    if is_open or is_composed or not isinstance(properties, Mapping):
        return None
    return frozenset(properties)


def _parts(schema: object, keys: Keys = ()) -> Iterator[tuple[Keys, Mapping[str, object]]]:
    """The schema and every schema inside it; a policy is at most MOST_DEEP levels deep."""
    if not isinstance(schema, Mapping):
        return
    yield keys, schema
    for word, value in schema.items():
        if word in _OF_NAMES and isinstance(value, Mapping):
            for name, part in value.items():
                yield from _parts(part, (*keys, word, name))
        elif isinstance(value, list) and (word in _OF_LIST or word == "items"):
            for i, part in enumerate(value):
                yield from _parts(part, (*keys, word, i))
        elif word in _OF_ONE:
            yield from _parts(value, (*keys, word))


def _plain(value: object) -> object:
    match value:
        case Decimal() | float() if not isfinite(value):
            raise ValueError("JSON has no such number")
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
