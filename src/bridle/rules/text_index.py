"""Texts of a run, indexed by their words, so that a value is found in microseconds whatever was read."""

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal

from bridle.rules.readings import Clock, Day, clocks, days, numbers

MOST_TEXT = 8_000_000  # characters that are indexed; what comes after them is not found, which errs on the safe side
MOST_PLACES = 2_000  # of the rarest word of a value that are looked at
_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")
_SPACE = re.compile(r"\s+")
_JOINERS = frozenset("@.+-/%~'&")  # inside of an address, a name or a path they do not end it
_HIDDEN = ("Cf", "Cc", "Co", "Cs", "Cn")


def normal(text: str) -> str:
    """NFKC, casefolded, white space folded into single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _SPACE.sub(" ", text.casefold()).strip()


def is_plain(value: str) -> bool:
    """Whether a value shows everything it holds: no control, format, surrogate, private or unassigned signs."""
    if value.isascii():
        return value.isprintable() or not any(ord(sign) < 32 and sign not in "\t\n\r" for sign in value)
    return not any(unicodedata.category(sign) in _HIDDEN and sign not in "\t\n\r" for sign in value)


class TextIndex:
    """Texts, each by itself: nothing is found that begins in one and ends in another."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._starts: list[int] = []
        self._owners: list[int] = []
        self._size = 0
        self._words: dict[str, array[int]] = {}
        self._whole: set[str] = set()
        self._indexed = 0  # parts whose words are known
        self._read = 0  # parts whose numbers and days are known
        self._numbers: set[Decimal] = set()
        self._days: set[Day] = set()
        self._clocks: set[Clock] = set()

    def add(self, text: str, owner: int = 0) -> None:
        """One more text, and whose it is; it is indexed when something is looked for."""
        part = normal(text)
        if part and self._size + len(part) <= MOST_TEXT:
            self._parts.append(part)
            self._starts.append(self._size)
            self._owners.append(owner)
            self._size += len(part) + 1
            self._whole.add(part)

    def is_whole(self, value: str) -> bool:
        """Whether a normal value is one of the texts, and not a part of one."""
        return value in self._whole

    def holds(self, value: str) -> bool:
        """Whether a normal value stands somewhere, with nothing joined to it on either side."""
        if value in self._whole:
            return True
        return next(self._places(value), None) is not None

    def before(self, value: str) -> Iterator[str]:
        """What stands before a normal value, wherever it stands."""
        return (self._parts[at][:start] for at, start in self._places(value))

    def first_owner(self, value: str) -> int | None:
        """Whose the earliest text is in which a normal value stands, or None."""
        return next((self._owners[at] for at, _ in self._places(value)), None)

    def _places(self, value: str) -> Iterator[tuple[int, int]]:
        """The texts in which a normal value stands bounded, by their number, and where in them; the earliest first."""
        self.index()
        rarest: array[int] | None = None
        offset = 0
        for word in _WORD.finditer(value):
            known = self._words.get(word[0])
            if known is None:
                return
            if rarest is None or len(known) < len(rarest):
                rarest, offset = known, word.start()
        for place in rarest[:MOST_PLACES] if rarest is not None else ():
            at = bisect_right(self._starts, place) - 1
            part, start = self._parts[at], place - self._starts[at] - offset
            if start >= 0 and part.startswith(value, start) and _is_bounded(part, start, start + len(value)):
                yield at, start

    def names_number(self, value: Decimal) -> bool:
        """Whether a number is written somewhere, in whatever form."""
        self._understand()
        return value in self._numbers

    def names_day(self, day: Day) -> bool:
        """Whether a day is written somewhere, with its year or without any."""
        self._understand()
        return day in self._days or (0, *day[1:]) in self._days

    def names_clock(self, clock: Clock) -> bool:
        """Whether a time of day is written somewhere."""
        self._understand()
        return clock in self._clocks

    def index(self) -> None:
        """Learn the words of what was added since."""
        words = self._words
        for at in range(self._indexed, len(self._parts)):
            start = self._starts[at]
            for word in _WORD.finditer(self._parts[at]):
                known = words.get(word[0])
                if known is None:
                    known = words[word[0]] = array("I")
                known.append(start + word.start())
        self._indexed = len(self._parts)

    def _understand(self) -> None:
        for part in self._parts[self._read :]:
            if _DIGIT.search(part):
                self._numbers.update(numbers(part))
                self._days.update(days(part))
                self._clocks.update(clocks(part))
        self._read = len(self._parts)


def _is_bounded(text: str, start: int, end: int) -> bool:
    """Whether what stands there is a whole word, address or name: `x.example` is no part of `mail.x.example.org`."""
    return not _is_joined(text, start - 1, -1) and not _is_joined(text, end, 1)


def _is_joined(text: str, at: int, step: int) -> bool:
    """Whether the sign there goes on with the word: a letter or digit, or a joiner that one follows."""
    if not 0 <= at < len(text):
        return False
    sign = text[at]
    if sign in _JOINERS:
        beyond = at + step
        return sign == "@" or (0 <= beyond < len(text) and _is_letter(text[beyond]))
    return _is_letter(sign)


def _is_letter(sign: str) -> bool:
    return sign.isalnum() or sign == "_" or (not sign.isascii() and unicodedata.category(sign) in ("Cf", "Mn"))
