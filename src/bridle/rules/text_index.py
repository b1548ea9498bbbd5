"""Texts of a run, indexed by their words, so that a value is found in microseconds whatever was read."""

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal

from bridle.rules.readings import Clock, Day, clocks, days, numbers

MOST_TEXT = 2_000_000  # characters that are indexed; what comes after them is not found, which errs on the safe side
MOST_TEXTS = 50_000
MOST_PLACES = 200  # of the rarest word of a value that are looked at; a phrase of nothing but common words is not found
_WORD = re.compile(r"\w+")
_SPACE = re.compile(r"\s+")
_OF_ADDRESSES = "@./:\\"
_JOINERS = frozenset("@.+-/%~'&\\:#=|")  # inside of an address, a name or a path they do not end it
_PIECE = 128
_HIDDEN = ("Cf", "Cc", "Co", "Cs", "Cn")


def normal(text: str, most: int = MOST_TEXT) -> str:
    """NFKC, casefolded, white space folded into single spaces; nothing, where that makes more than `most` of it.

    In pieces: a run of accents takes the square of its length, and one sign may become eighteen.
    """
    if not text.isascii():
        pieces: list[str] = []
        for at in range(0, len(text), _PIECE):
            pieces.append(unicodedata.normalize("NFKC", text[at : at + _PIECE]))
            most -= len(pieces[-1])
            if most < 0:
                return ""
        text = "".join(pieces)
    return _SPACE.sub(" ", text.casefold()).strip()


def is_exact(value: str) -> bool:
    """Whether an address, a path or a host is written as it will be read: only its case is lost in the comparison.

    `stra\u00dfe.example` and `strasse.example` are two hosts, and casefolding makes one word of them.
    """
    return not any(sign in value for sign in _OF_ADDRESSES) or normal(value) == value.lower()


def is_plain(value: str) -> bool:
    """Whether a value shows everything it holds: no control, format, surrogate, private or unassigned signs."""
    if value.isascii():
        return value.isprintable() or not any(ord(sign) < 32 and sign not in "\t\n\r" for sign in value)
    return not any(unicodedata.category(sign) in _HIDDEN and sign not in "\t\n\r" for sign in value)


class TextIndex:
    """Texts, each by itself: nothing is found that begins in one and ends in another.

    They stand in one string, a line each, and every word knows its places. Neighbouring words are known as pairs, so
    that a phrase which does not stand there is mostly known by a pair that does not.
    """

    def __init__(self) -> None:
        self._fresh: list[str] = []  # not indexed yet
        self._text = "\n"
        self._size = 0
        self._starts: list[int] = []
        self._owners: list[int] = []
        self._whole: set[str] = set()
        self._words: dict[str, array[int]] = {}
        self._pairs: set[int] = set()
        self._read: dict[str, int] = {}  # how far the text was read for numbers, days and times
        self._numbers: set[Decimal] = set()
        self._days: set[Day] = set()
        self._clocks: set[Clock] = set()

    def add(self, text: str, owner: int = 0) -> None:
        """One more text, and whose it is; it is indexed when something is looked for."""
        if self._size + len(text) > MOST_TEXT or len(self._starts) >= MOST_TEXTS:
            return
        line = normal(text, MOST_TEXT - self._size)
        if line and self._size + len(line) <= MOST_TEXT:
            self._starts.append(self._size + 1)
            self._owners.append(owner)
            self._size += len(line) + 1
            self._fresh.append(line)
            self._whole.add(line)

    def is_whole(self, value: str) -> bool:
        """Whether a normal value is one of the texts, and not a part of one."""
        return value in self._whole

    def holds(self, value: str) -> bool:
        """Whether a normal value stands somewhere, with nothing joined to it on either side."""
        return value in self._whole or next(self._places(value), None) is not None

    def before(self, value: str) -> Iterator[str]:
        """What stands before a normal value, wherever it stands."""
        return (self._text[self._text.rfind("\n", 0, start) + 1 : start] for start in self._places(value))

    def first_owner(self, value: str) -> int | None:
        """Whose the earliest text is in which a normal value stands, or None."""
        start = next(self._places(value), None)
        return None if start is None else self._owners[bisect_right(self._starts, start) - 1]

    def names_number(self, value: Decimal) -> bool:
        """Whether a number is written somewhere, in whatever form."""
        if fresh := self._since("numbers"):
            self._numbers.update(numbers(fresh))
        return value in self._numbers

    def names_day(self, day: Day) -> bool:
        """Whether a day is written somewhere, with its year or without any."""
        if fresh := self._since("days"):
            self._days.update(days(fresh))
        return day in self._days or (0, *day[1:]) in self._days

    def names_clock(self, clock: Clock) -> bool:
        """Whether a time of day is written somewhere."""
        if fresh := self._since("clocks"):
            self._clocks.update(clocks(fresh))
        return clock in self._clocks

    def _places(self, value: str) -> Iterator[int]:
        """Where a normal value stands bounded, the earliest first."""
        self.index()
        rarest, offset, last = array("I"), 0, ""
        for word in _WORD.finditer(value):
            known = self._words.get(word[0])
            if known is None or (last and hash((last, word[0])) not in self._pairs):
                return
            last = word[0]
            if not rarest or len(known) < len(rarest):
                rarest, offset = known, word.start()
        text, size = self._text, len(value)
        for place in rarest[:MOST_PLACES]:
            start = place - offset
            if text.startswith(value, start) and _is_bounded(text, start, start + size):
                yield start

    def index(self) -> None:
        """Learn the words of what was added since."""
        if not self._fresh:
            return
        words, pairs, base, last = self._words, self._pairs, len(self._text), ""
        fresh = "\n".join(self._fresh) + "\n"
        for found in _WORD.finditer(fresh):
            word = found[0]
            known = words.get(word)
            if known is None:
                known = words[word] = array("I")
            known.append(base + found.start())
            pairs.add(hash((last, word)))  # two lines make a pair that nobody wrote, which only costs a look
            last = word
        self._text += fresh
        self._fresh.clear()

    def _since(self, what: str) -> str:
        """What was added since this was last read out of it."""
        self.index()
        at, self._read[what] = self._read.get(what, 0), len(self._text)
        return self._text[at:]


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
