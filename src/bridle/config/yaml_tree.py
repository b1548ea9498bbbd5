"""Reads YAML from its events, so that every value keeps its line and no float is ever made of an amount of money.

The subset: YAML 1.2 core schema, one document, no anchors, aliases, merge keys, tags or directives.
"""

import re
from decimal import Decimal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.reader import ReaderError

from bridle.config.mistake import Keys, printable
from bridle.config.tree import (
    MOST_DEEP,
    MOST_DIGITS,
    MOST_EXPONENT,
    MOST_VALUES,
    TOO_DEEP,
    TOO_LONG,
    TOO_MANY,
    Position,
    Tree,
    Value,
    is_text,
)

_NULL = re.compile(r"|~|null|Null|NULL")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")  # 015, 0x10 and 1_000 stay text: readers of YAML disagree about them
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)\.[0-9]*|(0|[1-9][0-9]*)(?=[eE]))([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

# What ruamel.yaml raises for hostile text beside its own errors (found by fuzzing: `"\UFFFFFFFF"`, `%YAML 1.20`).
_ALSO_RAISED = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


class _TooMuch(Exception):
    """The text is not worth reading on; the mistake is written down."""


def read_yaml(text: str, name: str) -> Tree:
    """Read one YAML document. Never raises: what is wrong stands in the tree."""
    reader = _Reader(text, name)
    try:
        reader.tree.value = reader.document()
    except _TooMuch:
        reader.tree.is_whole = False
    return reader.tree


class _Reader:
    """Turns the events of one text into plain values; recursion is bounded by MOST_DEEP."""

    def __init__(self, text: str, name: str) -> None:
        self.tree = Tree(name)
        self._text = text
        self.position: Position = (1, 1)
        self._events = YAML(typ="safe", pure=True).parse(text)
        self._left = MOST_VALUES

    def document(self) -> Value:
        """The value of the only document; an empty mapping when there is none."""
        opening = self._next()
        assert isinstance(opening, StreamStartEvent)
        start = self._next()
        if isinstance(start, StreamEndEvent):
            return {}
        assert isinstance(start, DocumentStartEvent)
        if start.version or start.tags:
            self.tree.add((), "comes after a directive (%YAML, %TAG)", "remove the line with the %", self.position)
        value = self._value((), self._next())
        self._next()  # the end of the document
        if not isinstance(self._next(), StreamEndEvent):
            self.tree.add((), "holds a second document", "a policy is one document: remove the `---`", self.position)
        return {} if value is None and not self.tree.is_hole(()) else value

    def _next(self) -> Event:
        event = self._read()
        self.position = (event.start_mark.line + 1, event.start_mark.column + 1)
        self._left -= 1
        if self._left < 0:
            self.tree.add((), TOO_MANY, "make it smaller", self.position)
            raise _TooMuch
        return event

    def _read(self) -> Event:
        """The next event of the parser; the end of its understanding is a mistake like any other."""
        try:
            event: Event = next(self._events)
        except YAMLError as error:
            position, message, hint = _explained(error, self._text, self.position)
            self.tree.add((), f"could not be read as YAML: {message}", hint, position)
        except _ALSO_RAISED:
            message, hint = "could not be read as YAML after this place", "look for an odd escape or directive"
            self.tree.add((), message, hint, self.position)
        else:
            return event
        raise _TooMuch

    def _value(self, keys: Keys, event: Event) -> Value:
        self.tree.positions.setdefault(keys, self.position)
        if len(keys) > MOST_DEEP:
            self.tree.add(keys[:3], TOO_DEEP, "make it flatter", self.position)
            raise _TooMuch
        is_plain = self._is_plain(keys, event)
        match event:
            case MappingStartEvent():
                value: Value = self._mapping(keys)
            case SequenceStartEvent():
                value = self._list(keys)
            case ScalarEvent():
                value = self._scalar(keys, event)
            case _:
                value = None
        if is_plain:
            return value
        self.tree.holes.add(keys)
        return None

    def _is_plain(self, keys: Keys, event: Event) -> bool:
        """Whether a node is written out as it is, without an alias, an anchor or a tag."""
        if isinstance(event, AliasEvent):
            self.tree.add(keys, "is an alias (*name)", "write the value out", self.position)
            return False
        assert isinstance(event, MappingStartEvent | SequenceStartEvent | ScalarEvent)
        if event.anchor:
            self.tree.add(keys, "has an anchor (&name)", "remove it; aliases are not read", self.position)
        if event.tag:
            self.tree.add(keys, f"has a tag ({printable(str(event.tag))})", "remove it", self.position)
        return not event.tag and not event.anchor

    def _list(self, keys: Keys) -> Value:
        items: list[Value] = []
        while not isinstance(event := self._next(), SequenceEndEvent):  # ended by MOST_VALUES at the latest
            items.append(self._value((*keys, len(items)), event))
        return items

    def _mapping(self, keys: Keys) -> Value:
        values: dict[str, Value] = {}
        first: dict[str, Position] = {}
        while not isinstance(event := self._next(), MappingEndEvent):  # ended by MOST_VALUES at the latest
            here = self.position
            key = self._key(keys, event)
            inner = (*keys, "?" if key is None else key)
            if key is None:
                self._value(inner, self._next())
            elif key in first:
                self.tree.add(inner, f"stands here again; the first is in line {first[key][0]}", "keep one", here)
                self._value(inner, self._next())
            else:
                first[key] = self.tree.positions[inner] = here
                values[key] = self._value(inner, self._next())
        return values

    def _key(self, keys: Keys, event: Event) -> str | None:
        """The text of a key, or None after writing down why it is none."""
        here = self.position
        if not isinstance(event, ScalarEvent):
            self._value((*keys, "?"), event)
            self.tree.add(keys, "has a key that is not text", "write every key as plain text", here)
            return None
        if not self._is_plain((*keys, event.value), event) or not self._is_storable((*keys, event.value), event):
            return None
        if not event.implicit[0]:
            return str(event.value)
        if event.value == "<<":
            self.tree.add(keys, "has a merge key (<<)", "write the settings out", here)
            return None
        if not isinstance(_resolved(event.value), str):
            self.tree.add(keys, f"has a key that is not text: {printable(event.value)}", "put it in quotes", here)
            return None
        return str(event.value)

    def _scalar(self, keys: Keys, event: ScalarEvent) -> Value:
        if not self._is_storable(keys, event):
            self.tree.holes.add(keys)
            return None
        if not event.implicit[0]:
            return str(event.value)
        value = _resolved(event.value)
        if isinstance(value, _TooLong):
            self.tree.add(keys, TOO_LONG, "write a smaller one")
            self.tree.holes.add(keys)
            return None
        return value

    def _is_storable(self, keys: Keys, event: ScalarEvent) -> bool:
        if is_text(event.value):
            return True
        message = "holds a lone surrogate, which is no character"
        self.tree.add(keys, message, "write the character itself", self.position)
        return False


class _TooLong:
    """A number that nobody means."""


def _resolved(text: str) -> bool | int | Decimal | str | _TooLong | None:
    """What a plain scalar is, by the core schema of YAML 1.2 (section 10.3.2)."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return _TRUE.fullmatch(text) is not None
    if _INT.fullmatch(text):
        return int(text) if len(text) <= MOST_DIGITS else _TooLong()
    if number := _FLOAT.fullmatch(text):
        exponent = (number[4] or "e0")[1:]
        is_long = len(text) > MOST_DIGITS or abs(int(exponent)) > MOST_EXPONENT
        return _TooLong() if is_long else Decimal(text)
    if _INFINITE.fullmatch(text):
        return Decimal(text.replace(".", ""))
    return text


def _explained(error: YAMLError, text: str, last: Position) -> tuple[Position, str, str]:
    """Where a text stops being YAML, why, and what to do."""
    if isinstance(error, ReaderError):
        before = text[: error.position]
        position = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        return position, f'the character "{printable(chr(error.character))}" is not allowed', "remove it"
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return last, printable(str(error)), ""
    mark = error.problem_mark
    position = (mark.line + 1, mark.column + 1)
    problem = " ".join(str(error.problem or error.context).split())
    hint = "indent with spaces: YAML allows no tabs there" if "'\\t'" in problem else ""
    return position, printable(problem), hint
