"""The typed state of a flow, to canonical JSON and back."""

import json
from dataclasses import is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from bridle.gateway.cleaning import clean
from bridle.rules import strict_json
from bridle.rules.failure import BridleError
from bridle.rules.strict_json import BadJson
from bridle.runs.flow import BadFlow

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAX_STATE = 1_000_000  # bytes


class BadInput(BridleError):
    """The input of a run, or the state that a step left, does not have the type that the flow declared."""


@lru_cache(maxsize=256)
def _adapter(kind: type) -> "TypeAdapter[object]":
    from pydantic import PydanticUserError, TypeAdapter

    try:
        adapter = cast("TypeAdapter[object]", TypeAdapter(kind))
        adapter.rebuild()  # raises for a type that is named and not there
    except (PydanticUserError, NameError) as error:
        said = str(error).partition("\n")[0].partition(". ")[0]
        raise BadFlow(f"the state {kind.__name__} has a field that cannot be journaled: {said}") from error
    return adapter


def read(kind: type, given: object) -> tuple[bytes, object, str | None]:
    """An input as bytes, the state it makes, and what is wrong with it."""
    try:
        state = build(kind, given if given is not None else {})
        return dump(state), state, None
    except BadInput as error:
        return json.dumps(repr(given)[:2_000]).encode(), None, str(error)


def build(kind: type, given: object) -> object:
    """A state of this type out of what a caller gave: an instance, or JSON-like data. Raises BadInput."""
    if kind is dict:
        if not isinstance(given, dict):
            raise BadInput(f"the input is a mapping, not {type(given).__name__}")
        return {**given}
    if isinstance(given, kind) and not is_dataclass(kind):
        return given
    try:
        return _adapter(kind).validate_python(_plain(given))
    except ValueError as error:
        raise BadInput(f"the input is no {kind.__name__}: {_first(error)}") from error


def dump(state: object) -> bytes:
    """A state as canonical JSON. Raises BadInput."""
    try:
        return strict_json.canonical(clean(state, max_bytes=MAX_STATE))
    except BadJson as error:
        raise BadInput(f"the state of the flow cannot be journaled: {error}") from error


def _plain(given: object) -> object:
    try:
        return clean(given, max_bytes=MAX_STATE)
    except BadJson as error:
        raise BadInput(f"the input cannot be journaled: {error}") from error


def _first(error: ValueError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join(lines[1:3]) if len(lines) > 1 else str(error)
