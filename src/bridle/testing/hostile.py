"""Hostile bytes: outputs that a tool may return and an engine must survive; try them on parsers of yours."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

MEGABYTE = 1_000_000


class Unreadable:
    """A value whose every look raises."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"nobody reads {name} of this")


def _nested(depth: int) -> object:
    value: object = []
    for _ in range(depth):
        value = [value]
    return value


def _cycle() -> object:
    ring: list[object] = []
    ring.append(ring)
    return ring


HOSTILE: Mapping[str, Callable[[], object]] = MappingProxyType({
    "bytes that are no UTF-8": lambda: b"\xff\xfe\x00ok",
    "a lone surrogate": lambda: {"text": "half \ud800 a character"},
    "a lone surrogate in a key": lambda: {"\udfff": 1},
    "NUL in text": lambda: {"text": "before\x00after"},
    "NaN": lambda: {"score": float("nan")},
    "infinity": lambda: {"score": float("inf")},
    "an integer of 5,000 digits": lambda: {"count": 10**5_000},
    "depth 100,000": lambda: _nested(100_000),
    "a ring": _cycle,
    "a key that is no text": lambda: {1: 2, (3,): 4},
    "an object that raises when it is read": Unreadable,
    "8 MB of text": lambda: "x" * (8 * MEGABYTE),
    "a million small values": lambda: {"rows": [0] * MEGABYTE},
    "an endless iterator": lambda: iter(int, 1),
})  # fmt: skip
"""By name, what makes the value anew. None of them is usable where a document is declared; none may raise."""
