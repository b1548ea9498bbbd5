"""Frozen for the type checker, free at run time: what is made several times in a call."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def data(kind: type[T]) -> type[T]:
    """A dataclass with slots that mypy treats as frozen.

    `frozen=True` sets each field through `object.__setattr__`, which made a twelfth of the time of a call; mypy
    --strict forbids the same assignments and costs nothing. See docs/decisions/frozen_by_the_checker.md.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)
