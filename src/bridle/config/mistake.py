"""What is wrong with a policy, said all at once: where it stands, what it is, and what to write instead."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from bridle.rules.failure import BridleError

Keys = tuple[str | int, ...]  # the way from the root of a policy to one value: names, and places in lists from 0
Found = tuple[Keys, str, str]  # where, message, hint: a mistake before it has its line

MOST_SHOWN = 60  # characters of somebody's text that a message repeats


class Severity(StrEnum):
    """Whether the policy is refused, doubtful, or only worth a second look."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to look at in a policy.

    `where` is "file:line:column" (both from 1), only the file when nothing more is known, or empty; `path` names the
    setting ("budgets.max_usd", "tools.allow[0]"); `hint` says what to write.
    """

    where: str
    path: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        said = " ".join(part for part in (self.path, self.message) if part)
        return (f"{self.where}: " if self.where else "") + said + (f"; {self.hint}" if self.hint else "")


class BadPolicy(BridleError, ValueError):
    """A policy that cannot be used. `mistakes` holds all of them by position; as text, one a line."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        assert mistakes, "a policy without a mistake is not bad"
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def spelled(keys: Keys) -> str:
    """The way to a value as people write it: `tools.allow[0]`."""
    path = ""
    for key in keys:
        path += f"[{key}]" if isinstance(key, int) else ("." if path else "") + printable(key)
    return path


def printable(text: str, most: int = MOST_SHOWN) -> str:
    """Somebody's text without line breaks or control characters, and at most `most` characters of it."""
    part = text[: most + 1]
    safe = part if part.isprintable() else part.encode("unicode_escape").decode("ascii")
    return safe if len(safe) <= most else safe[: most - 3] + "..."


def shown(value: object) -> str:
    """A value of a policy as a message names it: `the text "15"`, `true`, `15.0`, `a list`."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case str():
            return f'the text "{printable(value)}"'
        case int() | float() | Decimal():
            return printable(str(value))
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a value of type {printable(type(value).__name__)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A guess at what was meant, as a hint; empty when nothing is near."""
    near = difflib.get_close_matches(word[:MOST_SHOWN], list(known), n=1, cutoff=0.65)
    return f"did you mean {printable(near[0])}?" if near else ""


def one_of(options: Sequence[str]) -> str:
    """A choice as people say it: "a, b or c"."""
    return options[0] if len(options) == 1 else f"{', '.join(options[:-1])} or {options[-1]}"
