"""Events and run states as compact JSON, and back; a field that has its default is left out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import Enum, StrEnum
from operator import attrgetter
from typing import TypeVar, get_args, get_type_hints

from msgspec.json import Encoder

from bridle.rules import events
from bridle.rules.approval import Answer, Asked
from bridle.rules.budget import Account
from bridle.rules.call import CallKind
from bridle.rules.effect import Intent, IntentStatus
from bridle.rules.failure import BridleError
from bridle.rules.flow_of_information import Unproven
from bridle.rules.health import Health, Rung
from bridle.rules.names import CallId, Digest, Effect, Millis, RunId, TenantId, ToolName, Unit
from bridle.rules.policy import KillLevel, Level, Window
from bridle.rules.run import OpenCall, Phase, Progress, RunState
from bridle.rules.stop import StopNote, StopReason

CLASSES: Mapping[str, type[events.Event]] = {kind.__name__: kind for kind in get_args(events.Event)}
Values = list[object]
M = TypeVar("M", bound=StrEnum)
UPCASTS: Mapping[str, Callable[[Values], Values]] = {}  # by class name; a field that is only added needs none


_encode = Encoder().encode  # 3 to 6 times as fast as json and as pydantic_core.to_json; for our own bytes only


class BadRow(BridleError):
    """A stored row is not what bridle writes."""


def _enums(kind: type) -> tuple[tuple[int, type[Enum]], ...]:
    """Which fields, by their place, are read back as members of an enum."""
    hints = get_type_hints(kind)
    found = []
    for place, item in enumerate(fields(kind)):
        for option in (hints[item.name], *get_args(hints[item.name])):
            if isinstance(option, type) and issubclass(option, Enum):
                found.append((place, option))
    return tuple(found)


_ENUMS = {kind: _enums(kind) for kind in CLASSES.values()}
_ALSO = {kind: place for kind in CLASSES.values() for place, item in enumerate(fields(kind)) if item.name == "also"}
_UNPROVEN = {
    kind: place for kind in CLASSES.values() for place, item in enumerate(fields(kind)) if item.name == "unproven"
}


def encode(event: events.Event) -> bytes:
    """One event as a JSON array: the name of its class, then its fields in their order. New fields come last."""
    return _encode(event)


def decode(body: bytes) -> events.Event:
    """The event again. Raises BadRow, naming what is wrong."""
    try:
        name, *values = json.loads(body)
        kind = CLASSES[name]
        if name in UPCASTS:
            values = UPCASTS[name](values)
        for place, enum in _ENUMS[kind]:
            if place < len(values) and values[place] is not None:
                values[place] = enum(values[place])
        if kind in _ALSO and _ALSO[kind] < len(values):
            values[_ALSO[kind]] = tuple(values[_ALSO[kind]])
        if kind in _UNPROVEN and _UNPROVEN[kind] < len(values):
            rows = values[_UNPROVEN[kind]]
            values[_UNPROVEN[kind]] = tuple(Unproven(name, tuple(places), *seen) for name, places, *seen in rows)
        return kind(*values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRow(f"this is no event of bridle: {body[:80]!r} ({type(error).__name__}: {error})") from error


def decode_at(run: RunId, seq: int, body: bytes) -> events.Event:
    """The event of a journal again. Raises BadRow, naming its place and what looks closer."""
    try:
        return decode(body)
    except BadRow as error:
        next_step = "`bridle audit verify` and `bridle doctor` name what else does not hold"
        raise BadRow(f"event {seq} of {run} is damaged: {error}; {next_step}") from error


_PLAIN = tuple(
    item.name for item in fields(RunState) if item.name not in ("open_calls", "recent", "halt", "stop", "asked")
)
_TUPLES = ("refused_tools", "missing", "withheld")
_plain_values = attrgetter(*_PLAIN)


def encode_state(state: RunState) -> bytes:
    """A run's state as one JSON array: plain fields in their order, then the four nested ones."""
    return _encode((_plain_values(state), state.open_calls, state.recent, state.halt, state.stop, state.asked))


def decode_state(body: bytes) -> RunState:
    """The state again. Raises BadRow."""
    try:
        plain, opened, recent, halt, stop, asked = json.loads(body)
        known = dict(zip(_PLAIN, plain, strict=False))  # a row from before a field has its default
        known["phase"] = Phase(known["phase"])
        for name in _TUPLES:
            known[name] = tuple(known[name])
        return RunState(
            **known,
            open_calls={CallId(call): _open_call(row) for call, row in opened.items()},
            recent=tuple(Progress(*row) for row in recent),
            asked=tuple(_asked(row) for row in asked),
            halt=StopNote(StopReason(halt[0]), halt[1]) if halt else None,
            stop=StopNote(StopReason(stop[0]), stop[1]) if stop else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRow(f"this is no run of bridle: {body[:80]!r} ({type(error).__name__}: {error})") from error


def _open_call(row: list[object]) -> OpenCall:
    kind, tool, args, hold, effect, *more = row
    return OpenCall(CallKind(kind), tool, args, hold, Effect(effect), *more)  # type: ignore[arg-type]  # read back as written


def _asked(row: list[object]) -> Asked:
    call, tool, binding, asked_at, until, answer, by, said, edited, *more = row
    answered, effect = Answer(answer) if answer else None, [Effect(one) for one in more[:1]]  # type: ignore[arg-type]  # read back as written
    return Asked(call, tool, binding, asked_at, until, answered, by, said, edited, *effect, *more[1:])  # type: ignore[arg-type]  # as above


_RUNGS = tuple(place for place, enum in _enums(Health) if enum is Rung)


def encode_health(health: Health) -> bytes:
    """Health as a JSON array. New fields come last."""
    return _encode(health)


def decode_health(body: bytes) -> Health:
    """Health again. Raises BadRow."""
    try:
        values = json.loads(body)
        for place in _RUNGS:
            if place < len(values):
                values[place] = Rung(values[place])
        return Health(*values)
    except (ValueError, TypeError) as error:
        raise BadRow(f"this is no health of bridle: {body[:80]!r}") from error


IntentRow = tuple[str, str, str, str, str, str, str, bytes, int, str]


def encode_intent(intent: Intent) -> IntentRow:
    """A write by its key, as a row."""
    return (
        intent.tenant, intent.tool, intent.key, intent.status.value, intent.run, intent.call, intent.args, intent.salt,
        intent.at, " ".join(intent.doubts),
    )  # fmt: skip


def decode_intent(row: IntentRow) -> Intent:
    """The write again. Raises BadRow."""
    tenant, tool, key, status, run, call, args, salt, at, doubts = row
    return Intent(
        TenantId(tenant), ToolName(tool), key, _member(IntentStatus, status), RunId(run), CallId(call), Digest(args),
        salt, Millis(at), tuple(CallId(doubt) for doubt in doubts.split()),
    )  # fmt: skip


def account_of(level: str, of: str, unit: str, window: str, period: int) -> Account:
    """The account of a stored row. Raises BadRow."""
    return Account(_member(Level, level), of, Unit(unit), _member(Window, window), period)


def reason_of(reason: str | None) -> StopReason | None:
    """The stop reason of a stored run. Raises BadRow."""
    return _member(StopReason, reason) if reason else None


def level_of(level: str) -> KillLevel:
    """The level of a stored switch. Raises BadRow."""
    return _member(KillLevel, level)


def _member(kind: type[M], stored: str) -> M:
    try:
        return kind(stored)
    except ValueError as error:
        raise BadRow(f"this is no {kind.__name__} of bridle: {stored[:80]!r}") from error
