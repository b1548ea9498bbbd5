"""Settings that contradict each other, and JSON Schemas that cannot mean what their author meant."""

import pytest

from bridle.config import load_policy
from tests.config.saying import complaints

SCHEMAS = [
    ("{propertes: {a: {}}}", "1:24: tools.t.args.propertes is not a keyword of JSON Schema; did you mean properties?"),
    (
        "{properties: {a: {patern: x}}}",
        "1:41: tools.t.args.properties.a.patern is not a keyword of JSON Schema; did you mean pattern?",
    ),
    (
        "{anyOf: [{minimun: 1}, true]}",
        "1:33: tools.t.args.anyOf[0].minimun is not a keyword of JSON Schema; did you mean minimum?",
    ),
    (
        "{not: {zzz: 1}, $defs: {d: {yyy: 1}}}",
        "1:30: tools.t.args.not.zzz is not a keyword of JSON Schema",
        "1:51: tools.t.args.$defs.d.yyy is not a keyword of JSON Schema",
    ),
    (
        "{dependencies: {a: [b]}}",
        "1:24: tools.t.args.dependencies is not a keyword of JSON Schema; did you mean dependentSchemas?",
    ),
    ("{minimum: a}", '1:24: tools.t.args.minimum is not a JSON Schema: "a" is not of type "number"'),
    ('{pattern: "("}', '1:24: tools.t.args.pattern is not a JSON Schema: "(" is not a "regex"'),
    ('{$ref: "#/nope"}', "1:17: tools.t.args is not a JSON Schema: Pointer '/nope' does not exist"),
    ("{const: .nan}", "1:17: tools.t.args holds a number that JSON cannot hold; write a smaller one"),
    ("{enum: [.inf]}", "1:17: tools.t.args holds a number that JSON cannot hold; write a smaller one"),
    ("{const: *a}", "1:31: tools.t.args.const is an alias (*name); write the value out"),
]


@pytest.mark.parametrize("row", SCHEMAS, ids=lambda row: row[0])
def test_a_schema_that_is_wrong_is_named_with_its_line(row: tuple[str, ...]) -> None:
    assert complaints(f"tools: {{    t: {{args: {row[0]}}}}}") == list(row[1:])


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/schema", "https://example.com/schema", "file:///etc/hostname"])
def test_a_schema_is_never_fetched(address: str) -> None:
    (said,) = complaints(f"tools: {{t: {{output: {{$ref: '{address}'}}}}}}")
    assert f"Resource '{address}' is not present in a registry" in said


def test_good_schemas_are_kept_as_canonical_json() -> None:
    properties = "{n: {maximum: 500.0, minimum: 0.5, const: 1e2}, s: {enum: [é, null]}}"
    schema = f"{{type: object, x-note: mine, properties: {properties}}}"
    rule = load_policy(f"tools: {{deny: [t], t: {{args: {schema}}}}}\n").policy.tools
    (only,) = rule.values()
    assert only.args == (
        '{"properties":{"n":{"const":100,"maximum":500,"minimum":0.5},"s":{"enum":["é",null]}},'
        '"type":"object","x-note":"mine"}'
    )


CONTRADICTIONS = [
    (
        "tools: {allow: [a, b], deny: [b]}",
        "1:31: tools.deny[0] denies b, which is allowed as well; keep it in one of the two lists",
    ),
    (
        "nodes: {n: {tools: {allow: [b], deny: [b]}}}",
        "1:40: nodes.n.tools.deny[0] denies b, which is allowed as well; keep it in one of the two lists",
    ),
    (
        "flows: {r: {}}\nagents: {r: {}}",
        "2:10: agents.r stands under flows too, and both words mean the same; keep one of them",
    ),
    (
        "tools: {'a b': {}}",
        '1:9: tools.a b is the text "a b", not the name of a tool; '
        "a tool's name is ASCII letters, digits and . _ - : /, at most 128 of them",
    ),
]


@pytest.mark.parametrize("row", CONTRADICTIONS, ids=lambda row: row[0])
def test_a_contradiction_is_named(row: tuple[str, ...]) -> None:
    assert complaints(row[0]) == list(row[1:])
