"""What reaches a terminal: plain words, colours where they help, and never a control character of somebody else's."""

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

from bridle.rules.names import MILLIS_PER_SECOND

WIDTH_IN_A_PIPE = 200  # columns, from which on an excerpt is cut when nobody knows the width
LEAST_ROOM = 20  # columns of a sentence
JOINERS = "\u200c\u200d"  # invisible by nature, and at home in Persian and in emoji
_PICTURES = 0x2400  # U+2400 and up: the pictures of the 32 control characters


@dataclass(frozen=True, slots=True)
class Styled:
    """A text with its colour, as the number of an SGR sequence (ECMA-48, 8.3.117)."""

    text: str
    sgr: str


Span = str | Styled


def bold(text: str) -> Styled:
    """What one reads first."""
    return Styled(text, "1")


def dim(text: str) -> Styled:
    """What one may skip."""
    return Styled(text, "2")


def good(text: str) -> Styled:
    """All is well."""
    return Styled(text, "32")


def bad(text: str) -> Styled:
    """Somebody has to look."""
    return Styled(text, "31")


def doubtful(text: str) -> Styled:
    """Worth a second look."""
    return Styled(text, "33")


def visible(text: str, *, lines: bool = False) -> str:
    """The text with everything in it that a terminal would obey, or that a reader would not see, spelled out.

    ESC becomes its picture, a right-to-left override its number. With `lines`, line breaks stay.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = text.replace("\r\n", "\n").replace("\t", "    ") if lines else text
    return "".join(char if lines and char == "\n" else _seen(char) for char in kept)


@lru_cache(maxsize=4_096)
def _seen(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(_PICTURES + code)
    if code == 0x7F:
        return "\u2421"
    if char in JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return char
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def columns_of(text: str) -> int:
    """How many columns a visible text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


@lru_cache(maxsize=4_096)
def _columns(char: str) -> int:
    if unicodedata.combining(char) or char in JOINERS or unicodedata.category(char) == "Mn":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """At most so many columns of a text, with a mark where it was cut."""
    shown = visible(text[: columns * 4 + 8])
    if columns_of(shown) <= columns and len(text) <= columns * 4 + 8:
        return shown
    taken, used = [], 0
    for char in shown:
        used += _columns(char)
        if used > columns - 3:
            break
        taken.append(char)
    return "".join(taken) + "..."


class Screen:
    """One stream of text. Whatever is given to `line` is made visible first; only our own colours pass."""

    def __init__(self, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._environ = environ

    @property
    def stream(self) -> TextIO:
        """Where it goes; looked up each time, so that a test may put another one there."""
        return self._stream if self._stream is not None else sys.stdout

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches it."""
        return self.stream.isatty()

    @property
    def is_coloured(self) -> bool:
        """Colours on a terminal only, and never against NO_COLOR (no-color.org)."""
        return self.is_terminal and not self._environ.get("NO_COLOR") and self._environ.get("TERM", "") != "dumb"

    @property
    def width(self) -> int:
        """Columns; a pipe has many."""
        return shutil.get_terminal_size((80, 24)).columns if self.is_terminal else WIDTH_IN_A_PIPE

    def line(self, *spans: Span) -> None:
        """One line."""
        print(self.painted(spans), file=self.stream, flush=True)

    def hanging(self, head: Sequence[Span], text: str) -> None:
        """A sentence beside its head; on a terminal too narrow for it, its other lines stand below its first."""
        indent = columns_of("".join(span if isinstance(span, str) else span.text for span in head))
        room = self.width - indent if self.is_terminal else sys.maxsize
        first, *others = textwrap.wrap(visible(text), max(room, LEAST_ROOM)) or [""]
        self.line(*head, first)
        for each in others:
            self.line(" " * indent, each)

    def block(self, text: str, indent: str = "  ") -> None:
        """A text of several lines, each indented."""
        for each in visible(text, lines=True).split("\n"):
            print((indent + each).rstrip(), file=self.stream)

    def painted(self, spans: Iterable[Span]) -> str:
        """The spans as one text, with their colours if there are any here."""
        return "".join(self._painted(span) for span in spans)

    def _painted(self, span: Span) -> str:
        if isinstance(span, str):
            return visible(span)
        shown = visible(span.text)
        return f"\x1b[{span.sgr}m{shown}\x1b[0m" if self.is_coloured and shown else shown

    def table(self, rows: Sequence[Sequence[Span]], indent: str = "") -> None:
        """Rows in columns as wide as they need to be; the last one is not padded."""
        texts = [[visible(cell if isinstance(cell, str) else cell.text) for cell in row] for row in rows]
        most = max((len(row) for row in texts), default=0)
        widths = [max(columns_of(row[at]) for row in texts if at < len(row)) for at in range(most)]
        for row, shown in zip(rows, texts, strict=True):
            spans: list[Span] = [indent]
            for at, cell in enumerate(row):
                spans.append(cell)
                if at < len(row) - 1:
                    spans.append(" " * (widths[at] - columns_of(shown[at]) + 2))
            print(self.painted(spans).rstrip(), file=self.stream)

    def json(self, document: object) -> None:
        """One JSON document; everything beyond ASCII is escaped, so that nothing in it reaches a terminal raw."""
        print(json.dumps(document, indent=2, ensure_ascii=True).replace("\x7f", "\\u007f"), file=self.stream)


OUT = Screen()


class _ErrorScreen(Screen):
    @property
    def stream(self) -> TextIO:
        return sys.stderr


ERR = _ErrorScreen()


# ---- amounts, as people read them


def duration(ms: int) -> str:
    """Milliseconds as "12 ms", "2.1 s", "3 min 05 s"."""
    if ms < MILLIS_PER_SECOND:
        return f"{ms} ms"
    if ms < 60 * MILLIS_PER_SECOND:
        return f"{ms // 100 / 10:.1f} s"
    seconds = ms // MILLIS_PER_SECOND
    if seconds < 3_600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3_600} h {seconds % 3_600 // 60:02} min"


def size(count: int) -> str:
    """Bytes as "812 B", "1.2 kB", "3.4 MB"."""
    if count < 1_000:
        return f"{count} B"
    return f"{count / 1_000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def moment(ms: int) -> str:
    """Unix milliseconds as "2026-11-21 00:31:02 UTC"."""
    return datetime.fromtimestamp(ms // MILLIS_PER_SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(ms: int, now: int) -> str:
    """How long ago, in one unit: "13 min"."""
    seconds = max(now - ms, 0) // MILLIS_PER_SECOND
    for length, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {word}"
    return f"{seconds} s"


def counted(number: int, noun: str) -> str:
    """ "1 tool call", "4 tool calls", "2 replies"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"
