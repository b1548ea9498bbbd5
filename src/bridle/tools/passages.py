"""Cuts a document into headings and passages that a search can return and a reader can find again.

Markdown has `#` and underlined headings, reStructuredText underlined ones, plain text has none.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

PASSAGE = 1_000  # characters; a paragraph that is longer is cut
FULL_ENOUGH = 400  # a passage of this length ends with its paragraph
MAX_PASSAGES = 20_000
MAX_HEADING = 200
FRONT_MATTER = 100  # lines

_MARKDOWN = frozenset({".md", ".markdown"})
_HASHES = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}\s*")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its path from the top ("Guide > Refunds"), its level from 1, and its line, counted from 0."""

    title: str
    path: str
    level: int
    line: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A few lines that belong together, under the path of their heading; `line` counts from 1."""

    heading: str
    line: int
    text: str


def lines_of(data: bytes) -> list[str]:
    """The lines of a file; what is not UTF-8 becomes U+FFFD, and so does NUL."""
    text = data.decode("utf-8-sig", "replace").replace("\0", "\ufffd")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def headings(lines: Sequence[str], suffix: str) -> list[Heading]:
    """The headings of a document of this kind (".md", ".rst", ...), in order."""
    found = _hash_headings(lines) if suffix in _MARKDOWN else _underlined(lines, 0) if suffix == ".rst" else iter(())
    answer: list[Heading] = []
    above: list[tuple[int, str]] = []
    for level, title, line in islice(found, MAX_PASSAGES):
        while above and above[-1][0] >= level:
            above.pop()
        above.append((level, title))
        answer.append(Heading(title, " > ".join(each for _, each in above), level, line))
    return answer


def passages(lines: Sequence[str], outline: Sequence[Heading]) -> Iterator[Passage]:
    """The passages of a document, at most `MAX_PASSAGES`; none crosses a heading."""
    made = 0
    starts = [0, *(heading.line for heading in outline)]
    paths = ["", *(heading.path for heading in outline)]
    for start, end, path in zip(starts, [*starts[1:], len(lines)], paths, strict=True):
        for line, text in _cut(lines, start, end):
            if made == MAX_PASSAGES:
                return
            made += 1
            yield Passage(path, line + 1, text)


def section(lines: Sequence[str], outline: Sequence[Heading], wanted: Heading) -> str:
    """The text from a heading to the next one of its level or above."""
    end = next((each.line for each in outline if each.line > wanted.line and each.level <= wanted.level), len(lines))
    return "\n".join(lines[wanted.line : end]).strip("\n")


def _hash_headings(lines: Sequence[str]) -> Iterator[tuple[int, str, int]]:
    """Level, title and line of the headings of Markdown (CommonMark 0.31, sections 4.2 and 4.3)."""
    fence, start = "", _after_front_matter(lines)
    for at in range(start, len(lines)):
        line = lines[at]
        mark = _FENCE.match(line)
        if fence:
            is_end = mark and mark[1].startswith(fence) and not line.strip().strip(fence[0])
            fence = "" if is_end else fence
        elif mark:
            fence = mark[1]
        elif hashes := _HASHES.fullmatch(line):
            title = (hashes[2] or "").strip().rstrip("#").strip()
            yield len(hashes[1]), title[:MAX_HEADING], at
        elif _is_underlined(lines, at, start, "=-"):
            yield "=-".index(lines[at + 1].lstrip()[0]) + 1, line.strip()[:MAX_HEADING], at


def _underlined(lines: Sequence[str], start: int) -> Iterator[tuple[int, str, int]]:
    """The headings of reStructuredText: the order in which the underlines appear gives their levels."""
    marks: list[str] = []
    for at in range(start, len(lines)):
        if _is_underlined(lines, at, start, "") and len(lines[at + 1].rstrip()) >= len(lines[at].strip()):
            mark = lines[at + 1][0]
            if mark not in marks:
                marks.append(mark)
            yield marks.index(mark) + 1, lines[at].strip()[:MAX_HEADING], at


def _is_underlined(lines: Sequence[str], at: int, start: int, marks: str) -> bool:
    """Whether the line is a one-line paragraph with an underline of one of `marks` (any, if empty) below."""
    if at + 1 >= len(lines) or not lines[at].strip() or _UNDERLINE.fullmatch(lines[at]):
        return False
    before = lines[at - 1] if at > start else ""
    under = _UNDERLINE.fullmatch(lines[at + 1])
    is_alone = not before.strip() or _UNDERLINE.fullmatch(before) is not None
    return under is not None and is_alone and (not marks or under[1] in marks)


def _after_front_matter(lines: Sequence[str]) -> int:
    if lines and lines[0].rstrip() == "---":
        for at in range(1, min(len(lines), FRONT_MATTER)):
            if lines[at].rstrip() in ("---", "..."):
                return at + 1
    return 0


def _cut(lines: Sequence[str], start: int, end: int) -> Iterator[tuple[int, str]]:
    """Line and text of the passages between two headings."""
    kept: list[str] = []
    first, size = start, 0
    for at in range(start, end):
        line = lines[at].rstrip()
        for piece in [line[cut : cut + PASSAGE] for cut in range(0, len(line), PASSAGE)] or [""]:
            if kept and (size + len(piece) > PASSAGE or (not piece and size >= FULL_ENOUGH)):
                yield first, "\n".join(kept).rstrip()
                kept, size = [], 0
            if piece or kept:
                first = first if kept else at
                kept.append(piece)
                size += len(piece) + 1
    if kept:
        yield first, "\n".join(kept).rstrip()
