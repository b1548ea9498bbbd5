"""What a model is shown of a text: all of it if it fits, else head and tail around a line that says what is missing."""

import re
from bisect import bisect_right
from collections.abc import Callable

from bridle.rules.data import data

MIN_BYTES = 256  # below this the marker would not leave room for any text
_MAX_HANDLE = 100
_MARKER = "[... {dropped:,} bytes left out; the full text is {handle}; ask for a part of it ...]\n"
_HEAD, _TAIL = 14, 5  # the shares of the text that is kept: 70 % head, 25 % tail, and the marker lives on the rest
_CHUNK = 1 << 16

# What a person who reads the same text does not see: controls other than \n and \t, line separators, bidirectional
# overrides and isolates (CVE-2021-42574), lone surrogates, and Unicode tags, which carry hidden instructions.
_UNSEEN = re.compile(
    "\r\n|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


@data
class Excerpt:
    """A text of bounded size; `dropped_bytes` counts the UTF-8 bytes of the original that it does not show."""

    text: str
    truncated: bool
    dropped_bytes: int


def excerpt(text: str, *, max_bytes: int, handle: str) -> Excerpt:
    """At most `max_bytes` UTF-8 bytes of a text, cut at line ends where one is near; `handle` names the full text.

    Work and memory follow `max_bytes`, not the text (of a text that is not ASCII the rest is counted, in chunks).
    What a person would not see is spelled out as `\\x1b` or `\\u202e`, and CRLF becomes LF. Raises ValueError for a
    `max_bytes` below `MIN_BYTES` and for a handle of more than 100 characters or with anything but printable ASCII.
    """
    if max_bytes < MIN_BYTES:
        raise ValueError(f"an excerpt needs at least {MIN_BYTES} bytes, not {max_bytes}")
    if len(handle) > _MAX_HANDLE or not (handle.isascii() and handle.isprintable()):
        raise ValueError(f"a handle is at most {_MAX_HANDLE} printable ASCII characters")
    if len(text) <= max_bytes:
        shown = visible(text)
        if _size(shown) <= max_bytes:
            return Excerpt(shown, truncated=False, dropped_bytes=0)
    return _head_and_tail(text, max_bytes, handle)


def visible(text: str) -> str:
    """The same text with every character spelled out that a reader would not see."""
    if text.replace("\n", " ").replace("\t", " ").isprintable():  # the common case, at a third of the price
        return text
    return _UNSEEN.sub(_spelled_out, text)


def _spelled_out(found: re.Match[str]) -> str:
    unseen = found[0]
    if unseen == "\r\n":
        return "\n"
    code = ord(unseen)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _head_and_tail(text: str, max_bytes: int, handle: str) -> Excerpt:
    widest_marker = len(_MARKER.format(dropped=4 * len(text), handle=handle)) + 1  # and a line end before it
    room = max_bytes - widest_marker
    head = text[: _head_length(text, room * _HEAD // (_HEAD + _TAIL))]
    tail = text[len(text) - _tail_length(text, room * _TAIL // (_HEAD + _TAIL)) :]
    dropped = _count_bytes(text, len(head), len(text) - len(tail))
    line_end = "" if head.endswith("\n") else "\n"
    marker = _MARKER.format(dropped=dropped, handle=handle)
    return Excerpt(f"{visible(head)}{line_end}{marker}{visible(tail)}", truncated=True, dropped_bytes=dropped)


def _head_length(text: str, room: int) -> int:
    """How many characters from the start are kept: all that fit, back to a line end in their last quarter."""
    candidate = text[:room]
    if _UNSEEN.search(candidate):
        length = _longest(len(candidate), room, lambda kept: candidate[:kept])
    else:
        length = len(candidate.encode()[:room].decode(errors="ignore"))
    line_end = candidate.rfind("\n", length * 3 // 4, length)
    return length if line_end < 0 else line_end + 1


def _tail_length(text: str, room: int) -> int:
    """How many characters at the end are kept: all that fit, on to a line start in their first quarter."""
    candidate = text[-room:]
    size = len(candidate)
    if _UNSEEN.search(candidate):
        length = _longest(size, room, lambda kept: candidate[size - kept :])
    else:
        length = len(candidate.encode()[-room:].decode(errors="ignore"))
    line_end = candidate.find("\n", size - length, size - length * 3 // 4)
    return length if line_end < 0 else size - line_end - 1


def _longest(longest: int, room: int, part: Callable[[int], str]) -> int:
    """The largest length whose part fits into the room once it is visible; found by bisection, so it was measured."""
    return bisect_right(range(longest + 1), room, key=lambda kept: _size(visible(part(kept)))) - 1


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _count_bytes(text: str, start: int, end: int) -> int:
    if text.isascii():
        return end - start
    chunks = (text[at : min(at + _CHUNK, end)] for at in range(start, end, _CHUNK))
    return sum(len(chunk.encode("utf-8", "surrogatepass")) for chunk in chunks)
