"""What a Python function returned, as strict JSON of bounded size."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from pathlib import PurePath
from uuid import UUID

from bridle.rules.strict_json import LONE_HALF, BadJson, Json, Misfit, show_path, write_float, write_int


def clean(value: object, *, max_bytes: int, max_depth: int = 64) -> Json:
    """What a Python function returned, as strict JSON of at most `max_bytes` in its canonical spelling.

    Takes JSON's own types, tuples, sets (sorted), mappings, dataclasses, pydantic models, UTF-8 bytes, dates, Decimal,
    UUID, Enum and paths. Raises `BadJson` with the path of the first thing that does not fit. Containers are copied;
    the work ends as soon as the size is over, so a text of 100 MB is not copied to find out that it is too long.
    """
    try:
        return _Cleaner(max_bytes, max_depth).value(value)
    except Misfit as misfit:
        raise BadJson(misfit.what, show_path(reversed(misfit.path))) from None
    except RecursionError:
        raise BadJson("is nested too deep to be read here", "$") from None


def legible(text: str, most: int = 300) -> str:
    """The start of what foreign code said, in whole characters, so that it can be kept and shown."""
    return text[:most].encode("utf-8", "replace").decode()


class _Cleaner:
    """One walk through one value, with what is left of its bytes and the containers it stands in."""

    __slots__ = ("left", "max_bytes", "max_depth", "open")

    def __init__(self, max_bytes: int, max_depth: int) -> None:
        self.max_bytes = max_bytes
        self.left = max_bytes
        self.max_depth = max_depth
        self.open: list[int] = []

    def value(self, value: object) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool):
            self.spend(5 if value is False else 4)
            return value
        if isinstance(value, int):
            return self.whole(int(value))
        if isinstance(value, dict):
            return self.mapping(value, value)
        if isinstance(value, list | tuple):
            return self.items(value, value)
        if isinstance(value, float):
            self.spend(len(write_float(value)))
            return float(value)
        return self.unusual(value)

    def unusual(self, value: object) -> Json:
        if isinstance(value, Enum):
            return self.value(value.value)
        if isinstance(value, bytes | bytearray):
            return self.text(self.decoded(value))
        if isinstance(value, Mapping):
            return self.mapping(value, value)
        if isinstance(value, set | frozenset):
            return self.items(value, self.in_order(value))
        if isinstance(value, type):
            return self.text(_as_text(value))
        if hasattr(value, "__pydantic_serializer__") and hasattr(value, "model_dump"):
            return self.model(value, value.model_dump)
        if is_dataclass(value):
            names = [field.name for field in fields(value) if hasattr(value, field.name)]
            return self.mapping(value, {name: getattr(value, name) for name in names})
        return self.text(_as_text(value))

    def text(self, value: str) -> str:
        size = len(value)
        if size > self.left:
            self.spend(size)
        written = encode_basestring(value)
        if len(written) != size + 2 or not written.isascii():  # else nothing in it needs a second look
            self.look_closely(value)
            size = len(written.encode()) - 2
        self.left -= size + 2
        if self.left < 0:
            self.spend(0)
        return value if type(value) is str else str.__str__(value)

    def look_closely(self, value: str) -> None:
        if "\0" in value:
            raise Misfit("a NUL character is not taken in text")
        if not value.isascii() and LONE_HALF.search(value):
            raise Misfit("a lone surrogate is not text")

    def whole(self, value: int) -> int:
        self.spend(len(write_int(value)))
        return value

    def mapping(self, entered: object, value: Mapping[object, object]) -> dict[str, Json]:
        self.enter(entered, commas_and_colons=2 * len(value) - 1)
        cleaned: dict[str, Json] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise Misfit(f"a key is of type {type(key).__name__}; JSON has only text as keys")
            name = self.text(key)
            try:
                cleaned[name] = self.value(item)
            except Misfit as misfit:
                misfit.path.append(name)
                raise
        if len(cleaned) != len(value):
            raise Misfit("two keys are the same text")
        self.open.pop()
        return cleaned

    def items(self, entered: object, value: list[object] | tuple[object, ...]) -> list[Json]:
        self.enter(entered, commas_and_colons=len(value) - 1)
        cleaned: list[Json] = []
        try:
            for item in value:
                cleaned.append(self.value(item))
        except Misfit as misfit:
            misfit.path.append(len(cleaned))
            raise
        self.open.pop()
        return cleaned

    def enter(self, container: object, commas_and_colons: int) -> None:
        """Pay for the punctuation before anything inside is looked at: it bounds the number of things inside."""
        self.spend(2 + max(0, commas_and_colons))
        self.open.append(id(container))
        if len(self.open) > self.max_depth:
            is_cycle = len(set(self.open)) < len(self.open)
            raise Misfit("contains itself" if is_cycle else f"is nested deeper than {self.max_depth} levels")

    def decoded(self, value: bytes | bytearray) -> str:
        if len(value) > self.left:
            self.spend(len(value))
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise Misfit(f"bytes are not UTF-8 (byte {error.start:,})") from None

    def in_order(self, value: set[object] | frozenset[object]) -> list[object]:
        if len(value) > self.left:
            self.spend(len(value))
        try:
            return sorted(value)  # type: ignore[type-var] # what cannot be ordered is a TypeError, and refused
        except TypeError:
            raise Misfit("a set of things that have no order has no JSON; return a list") from None

    def model(self, value: object, dump: Callable[..., object]) -> Json:
        try:
            dumped = dump(mode="json")
        except (ValueError, TypeError, RecursionError):
            raise Misfit(f"{type(value).__name__}.model_dump failed") from None
        return self.value(dumped)

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise Misfit(f"is more than {self.max_bytes:,} bytes in all")


def _as_text(value: object) -> str:
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, UUID | PurePath) or (isinstance(value, Decimal) and value.is_finite()):
        return str(value)
    if isinstance(value, Decimal):
        raise Misfit("NaN and infinities are not JSON")
    kind = type(value)
    raise Misfit(f"{kind.__module__}.{kind.__qualname__} is not a JSON type; return a dict, list, text or number")
