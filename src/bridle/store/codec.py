"""Events and run states as compact JSON, and back; a field that has its default is left out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from typing import get_args, get_origin, get_type_hints

from pydantic_core import to_json

from bridle.rules import events
from bridle.rules.budget import Account
from bridle.rules.call import CallKind
from bridle.rules.failure import BridleError
from bridle.rules.health import Health
from bridle.rules.names import CallId, Effect, Unit
from bridle.rules.policy import Level, Window
from bridle.rules.run import OpenCall, Phase, Progress, RunState
from bridle.rules.stop import StopNote, StopReason

CLASSES: Mapping[str, type[events.Event]] = {kind.__name__: kind for kind in get_args(events.Event)}
UPCASTS: Mapping[str, Callable[[dict[str, object]], dict[str, object]]] = {}  # by class name, oldest form first
_ABSENT = object()


class BadRow(BridleError):
    """A stored row is not what bridle writes."""


def _defaults(kind: type) -> tuple[tuple[str, object], ...]:
    known = []
    for item in fields(kind):
        made = item.default_factory() if item.default_factory is not MISSING else _ABSENT
        known.append((item.name, item.default if item.default is not MISSING else made))
    return tuple(known)


def _enums(kind: type) -> dict[str, type[Enum]]:
    """Which fields are read back as members of an enum."""
    found: dict[str, type[Enum]] = {}
    for name, hint in get_type_hints(kind).items():
        for option in (hint, *get_args(hint)) if get_origin(hint) is not tuple else ():
            if isinstance(option, type) and issubclass(option, Enum):
                found[name] = option
    return found


_FIELDS = {kind: _defaults(kind) for kind in CLASSES.values()}
_ENUMS = {kind: _enums(kind) for kind in CLASSES.values()}
_TUPLES = frozenset({"also"})


def encode(event: events.Event) -> bytes:
    """One event as a line of JSON; `e` names its class."""
    kind = type(event)
    body: dict[str, object] = {"e": kind.__name__}
    for name, default in _FIELDS[kind]:
        value = getattr(event, name)
        if value != default:
            body[name] = value
    return to_json(body)


def decode(body: bytes) -> events.Event:
    """The event again. Raises BadRow, naming what is wrong."""
    try:
        found = json.loads(body)
        name = found.pop("e")
        kind = CLASSES[name]
        if name in UPCASTS:
            found = UPCASTS[name](found)
        for field, enum in _ENUMS[kind].items():
            if found.get(field) is not None:
                found[field] = enum(found[field])
        for field in _TUPLES & found.keys():
            found[field] = tuple(found[field])
        return kind(**found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRow(f"this is no event of bridle: {body[:80]!r} ({type(error).__name__}: {error})") from error


_STATE = tuple(item.name for item in fields(RunState))
_PLAIN = tuple(name for name in _STATE if name not in ("open_calls", "recent", "halt", "stop"))


def encode_state(state: RunState) -> bytes:
    """A run's state as one JSON array: plain fields in their order, then the four nested ones."""
    opened = {
        call: (o.kind, o.tool, o.args, o.hold, o.effect, o.turn, o.entered, o.at)
        for call, o in state.open_calls.items()
    }
    recent = [(p.tool, p.args, p.result, p.turn, p.is_write) for p in state.recent]
    halt, stop = ((note.reason, dict(note.detail)) if note else None for note in (state.halt, state.stop))
    return to_json([[getattr(state, name) for name in _PLAIN], opened, recent, halt, stop])


def decode_state(body: bytes) -> RunState:
    """The state again. Raises BadRow."""
    try:
        plain, opened, recent, halt, stop = json.loads(body)
        known = dict(zip(_PLAIN, plain, strict=True))
        known["phase"] = Phase(known["phase"])
        known["refused_tools"] = tuple(known["refused_tools"])
        known["in_doubt"] = tuple(known["in_doubt"])
        return RunState(
            **known,
            open_calls={CallId(call): _open_call(row) for call, row in opened.items()},
            recent=tuple(Progress(*row) for row in recent),
            halt=StopNote(StopReason(halt[0]), halt[1]) if halt else None,
            stop=StopNote(StopReason(stop[0]), stop[1]) if stop else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRow(f"this is no run of bridle: {body[:80]!r} ({type(error).__name__}: {error})") from error


def _open_call(row: list[object]) -> OpenCall:
    kind, tool, args, hold, effect, turn, entered, at = row
    return OpenCall(CallKind(kind), tool, args, hold, Effect(effect), turn, entered, at)  # type: ignore[arg-type]  # read back as written


def encode_health(health: Health) -> bytes:
    """Health as a JSON array."""
    return to_json([getattr(health, item.name) for item in fields(Health)])


def decode_health(body: bytes) -> Health:
    """Health again. Raises BadRow."""
    try:
        return Health(*json.loads(body))
    except (ValueError, TypeError) as error:
        raise BadRow(f"this is no health of bridle: {body[:80]!r}") from error


def account_of(level: str, of: str, unit: str, window: str, period: int) -> Account:
    """The account of a stored row."""
    return Account(Level(level), of, Unit(unit), Window(window), period)
