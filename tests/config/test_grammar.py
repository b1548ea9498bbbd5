"""The JSON Schema for editors says what the reader accepts."""

import json
from collections.abc import Iterator

import pytest
from jsonschema_rs import validator_for
from ruamel.yaml import YAML

from bridle.config import json_schema
from tests.config.test_load import ALL, FIRST_OF_THE_BRIEF, SECOND_OF_THE_BRIEF


def is_valid(text: str) -> bool:
    return validator_for(json_schema(), offline=True).is_valid(YAML(typ="safe", pure=True).load(text))


@pytest.mark.parametrize("text", [FIRST_OF_THE_BRIEF, SECOND_OF_THE_BRIEF, ALL, "{}"])
def test_an_editor_accepts_what_the_reader_accepts(text: str) -> None:
    assert is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "budgts: {}",
        "mode: {default: chaos}",
        "mode: {defaut: explicit_flow}",
        "budgets: {max_steps: 0}",
        "budgets: {max_steps: '15'}",
        "budgets: {max_steps: 1.5}",
        "budgets: {max_steps: null}",
        "budgets: {max_usd: 0}",
        "budgets: {max_usd: 1 USD}",
        "tools: {allow: kb.read}",
        "tools: {allow: ['search.*']}",
        "tools: {http.get: {efect: read}}",
        "tools: {http.get: {effect: reed}}",
        "tools: {http.get: {timeout: 1.5}}",
        "enforcement: off",
        "models: {m: {usd_per_million_in: 1}}",
        "monitoring: {track: [x]}",
        "kill_switch: {mode_when_enabled: writes}",
    ],
)
def test_an_editor_refuses_what_the_reader_refuses(text: str) -> None:
    assert not is_valid(text)


def sections(schema: object) -> Iterator[dict[str, dict[str, object]]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield schema["properties"]
        for value in schema.values():
            yield from sections(value)


def test_every_key_is_described() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    assert all(definition["description"] for definition in definitions.values())
    found = list(sections(schema))
    assert len(found) > 12
    for properties in found:
        for key, value in properties.items():
            assert value.get("description") or "$ref" in value, key
            assert "title" not in value
