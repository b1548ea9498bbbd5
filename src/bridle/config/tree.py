"""A policy as it was read: plain values, where each of them stands, and what was wrong already while reading."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from bridle.config.mistake import Keys, Mistake, Severity, printable, shown, spelled

Position = tuple[int, int]  # line and column, both from 1
Value: TypeAlias = "bool | int | float | Decimal | str | list[Value] | dict[str, Value] | None"

MOST_DEEP = 32
MOST_VALUES = 50_000
MOST_MISTAKES = 200
MOST_DIGITS = 40  # of one number
MOST_EXPONENT = 999

TOO_DEEP = f"is nested more than {MOST_DEEP} levels deep"
TOO_LONG = f"is a number of more than {MOST_DIGITS} digits"
TOO_MANY = f"holds more than {MOST_VALUES:,} values"


@dataclass(slots=True)
class Tree:
    """What a reader found. Built by one reader, then only added to."""

    name: str  # of the file, for messages
    value: Value = None
    positions: dict[Keys, Position] = field(default_factory=dict)  # of keys and of list items
    holes: set[Keys] = field(default_factory=set)  # values that were refused while reading: no more is said of them
    is_whole: bool = True  # False when reading had to end early
    found: list[tuple[Position, Mistake]] = field(default_factory=list)

    def at(self, keys: Keys) -> Position:
        """Where a value stands, or the nearest one around it; (0, 0) when nothing is known."""
        while keys and keys not in self.positions:
            keys = keys[:-1]
        return self.positions.get(keys, (0, 0))

    def where(self, position: Position) -> str:
        """A position as "file:line:column"."""
        line, column = position
        return f"{self.name}:{line}:{column}" if line else self.name

    def add(self, keys: Keys, message: str, hint: str = "", at: Position | None = None) -> None:
        """Write down a mistake about a value."""
        position = self.at(keys) if at is None else at
        self.found.append((position, Mistake(self.where(position), spelled(keys), message, hint)))

    def note(self, keys: Keys, message: str, hint: str = "") -> Mistake:
        """Something about a value that does not make the policy bad."""
        return Mistake(self.where(self.at(keys)), spelled(keys), message, hint, Severity.NOTE)

    def is_hole(self, keys: Keys) -> bool:
        """Whether a value, or one around it, was refused while reading."""
        return any(keys[:length] in self.holes for length in range(len(keys) + 1))

    def holds(self, keys: Keys) -> bool:
        """Whether the source says anything about a setting."""
        return self._get(keys) is not _ABSENT

    def mapping(self, keys: Keys) -> Mapping[str, Value]:
        """The mapping at some place; empty when there is none."""
        value = self._get(keys)
        return value if isinstance(value, dict) else {}

    def names(self, keys: Keys) -> list[tuple[int, str]]:
        """The texts of the list at some place, with their places; empty when there is none."""
        value = self._get(keys)
        return [(i, item) for i, item in enumerate(value) if isinstance(item, str)] if isinstance(value, list) else []

    def mistakes(self) -> list[Mistake]:
        """All mistakes by position; after MOST_MISTAKES, how many more there are, and where reading ended early."""
        in_order = [mistake for _, mistake in sorted(self.found, key=lambda each: each[0])]
        more = len(in_order) - MOST_MISTAKES
        if more > 0:
            end = [] if self.is_whole else [in_order[-1]]
            in_order[MOST_MISTAKES:] = [Mistake(self.name, "", f"has {more - len(end):,} more mistakes"), *end]
        return in_order

    def _get(self, keys: Keys) -> object:
        value: object = self.value
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return _ABSENT
            value = value[key]
        return value


_ABSENT = object()


def is_text(text: str) -> bool:
    """Whether a text can be stored: a lone surrogate is no character."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_mapping(source: Mapping[str, object], name: str = "policy") -> Tree:
    """Read a policy that was written as Python dicts and lists."""
    tree = Tree(name)
    tree.value = _copied(source, (), tree, [MOST_VALUES])
    return tree


def _copied(value: object, keys: Keys, tree: Tree, left: list[int]) -> Value:
    left[0] -= 1
    if len(keys) > MOST_DEEP or left[0] < 0:
        if tree.is_whole:
            tree.add(keys[:3], TOO_DEEP if left[0] >= 0 else TOO_MANY)
        tree.is_whole = False
        return None
    match value:
        case Mapping():
            return _copied_mapping(value, keys, tree, left)
        case list() | tuple():
            return [_copied(item, (*keys, i), tree, left) for i, item in enumerate(value) if tree.is_whole]
        case str() if not is_text(value):
            tree.add(keys, "holds a lone surrogate, which is no character", "write the character itself")
        case int() | Decimal() if _is_long(value):
            tree.add(keys, TOO_LONG, "write a smaller one")
        case None | bool() | int() | float() | Decimal() | str():
            return value
        case _:
            tree.add(keys, f"is {shown(value)}", "write a mapping, a list, text, a number, true or false")
    tree.holes.add(keys)
    return None


_LONG: int = 10**MOST_DIGITS


def _is_long(number: int | Decimal) -> bool:
    if isinstance(number, int):
        return abs(number) >= _LONG
    if not number.is_finite():
        return False
    return len(number.as_tuple().digits) > MOST_DIGITS or abs(number.adjusted()) > MOST_EXPONENT


def _copied_mapping(source: Mapping[object, object], keys: Keys, tree: Tree, left: list[int]) -> Value:
    copy: dict[str, Value] = {}
    for key, value in source.items():
        if not tree.is_whole:
            break
        if not isinstance(key, str) or not is_text(key):
            tree.add(keys, f"has a key that is not text: {printable(repr(key))}", "write every key as a str")
            continue
        copy[key] = _copied(value, (*keys, key), tree, left)
    return copy
