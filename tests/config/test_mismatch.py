"""What a policy says of tools is compared with the schemas that an application declared."""

from collections.abc import Mapping

import pytest

from bridle.config import load_policy, mismatches
from bridle.rules.names import ToolName

URL: Mapping[str, object] = {"type": "object", "properties": {"url": {"type": "string"}, "depth": {"type": "integer"}}}
REFERRED: Mapping[str, object] = {"$ref": "#/$defs/Args", "$defs": {"Args": URL}}
COMPARE = "`bridle check --app module:b` compares them"
UNKNOWN = "names ulr, which is no argument of t; did you mean url?"


def said(rule: str, schema: Mapping[str, object] | None) -> list[str]:
    loaded = load_policy(f"tools: {{t: {{args: {rule}}}, allow: [t]}}\n")
    schemas = None if schema is None else {ToolName("t"): schema}
    return [f"{found.severity} {found}" for found in mismatches(loaded.policy, schemas, loaded.positions)]


@pytest.mark.parametrize("schema", [URL, REFERRED])
def test_an_argument_that_the_tool_lacks_is_a_mistake(schema: Mapping[str, object]) -> None:
    assert said("{properties: {url: {}}, required: [depth]}", schema) == []
    assert said("{properties: {ulr: {}}}", schema) == [f"error policy:1:33: tools.t.args.properties.ulr {UNKNOWN}"]
    assert said("{required: [url, ulr]}", schema) == [f"error policy:1:36: tools.t.args.required[1] {UNKNOWN}"]
    assert said("{not: {anyOf: [{required: [ulr]}]}}", schema) == [
        f"error policy:1:46: tools.t.args.not.anyOf[0].required[0] {UNKNOWN}"
    ]
    assert said("{properties: {zzz: {}}}", schema) == [
        "error policy:1:33: tools.t.args.properties.zzz names zzz, which is no argument of t; it has depth or url"
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {**URL, "additionalProperties": True},
        {**URL, "patternProperties": {"^x": {}}},
        {"anyOf": [URL]},
        {"$ref": "#/$defs/Nobody"},
        {"$ref": "#"},
        {"$ref": "https://example.com/x"},
        {"properties": 3},
    ],
)
def test_a_tool_that_leaves_its_arguments_open_is_not_judged(schema: Mapping[str, object]) -> None:
    assert said("{properties: {ulr: {}}}", schema) == []


def test_a_tool_without_arguments_has_none() -> None:
    (only,) = said("{properties: {a: {}}}", {"type": "object"})
    assert only.endswith("names a, which is no argument of t; it has none")


def test_without_an_application_rules_are_noted() -> None:
    assert said("{properties: {url: {}}}", None) == [
        f"note policy:1:13: tools.t.args was not compared with the tool's own schema; {COMPARE}"
    ]


def test_an_allowed_tool_that_nobody_declared_is_noted() -> None:
    loaded = load_policy("tools: {allow: [kb.reed, x], deny: [y]}\n")
    found = mismatches(loaded.policy, {ToolName("kb.read"): URL}, loaded.positions)
    assert [f"{each.severity} {each}" for each in found] == [
        "note policy:1:9: tools.allow allows kb.reed, which nobody declared; did you mean kb.read?",
        "note policy:1:9: tools.allow allows x, which nobody declared; declare it with @b.tool, or remove it",
    ]
