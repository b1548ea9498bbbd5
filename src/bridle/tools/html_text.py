"""Turns hostile HTML into text for a model, in time and memory that grow with its length and nothing else.

It reads tags and never builds a tree. The HTML standard prescribes tree building in quadratic time and space: 100 kB
of `<b a=1><p><b a=2><p>...` become 15 million nodes and 5 GB in a conforming parser, and 2 MB of `<div>` take minutes.
What it forgives, it forgives as the tokenizer of the standard does (HTML, section 13.2.5).
"""

import html
import re
from dataclasses import dataclass, field

from bridle.rules.failure import CallFailed
from bridle.tools.urls import join

MAX_LINKS = 200
MAX_LINK = 500
MAX_TITLE = 300

# Nothing in these is for a reader. The first four end only at their end tag; the others are shown if it is missing.
_RAW = frozenset({"script", "style", "textarea", "iframe"})
_DROPPED = _RAW | {"nav", "template", "noscript", "svg", "noembed", "noframes", "select"}
_BLOCKS = """
    address article aside blockquote body br caption center dd details div dl dt fieldset figcaption figure footer form
    header hr html legend li main menu ol p pre section summary table tbody tfoot thead tr ul
"""
_LINES = frozenset(_BLOCKS.split())
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_CELLS = frozenset({"td", "th"})

_OPENING = re.compile(r"<(?=[a-zA-Z/!?])")  # any other "<" means itself
_NAME = re.compile(r"[a-zA-Z][^\s/>]*")
_GAP = re.compile(r"[\s/]*")
_ATTRIBUTE = re.compile(r"([^\s/>][^\s/>=]*)(?:(\s*=\s*))?")
_BARE_VALUE = re.compile(r"[^\s>]*")
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")  # int() of a longer one raises
_SPACES = re.compile(r"[ \t\r\n\f\v\xa0]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a page says: its title in one line, and its text with headings, list items and links marked."""

    title: str
    text: str


def read_html(source: str, url: str) -> Reading:
    """The title and the text of a page that was fetched from `url`; never raises, whatever the page holds."""
    reader = _Reader(source, url)
    reader.read()
    text: list[str] = []
    for line in map(str.rstrip, "".join(reader.pieces).split("\n")):
        if line or (text and text[-1]):
            text.append(line)
    return Reading(_SPACES.sub(" ", reader.title).strip()[:MAX_TITLE], "\n".join(text).strip("\n "))


@dataclass(slots=True)
class _Reader:
    """One pass over `source`; `at` only ever grows."""

    source: str
    url: str
    at: int = 0
    title: str = ""
    pieces: list[str] = field(default_factory=list)
    link: str = ""  # where the text that is being read leads to
    links: int = 0
    in_pre: bool = False
    endless: set[str] = field(default_factory=set)  # names whose end tag does not come any more

    def read(self) -> None:
        source, end = self.source, len(self.source)
        while self.at < end:
            opening = _OPENING.search(source, self.at)
            self.say(source[self.at : opening.start() if opening else end])
            self.at = opening.end() if opening else end
            if opening:
                self.markup()

    def say(self, text: str) -> None:
        """Add what stands between two tags; a line break in the source is only a space, except in <pre>."""
        if not text:
            return
        text = _unescape(text)
        if not self.in_pre:
            text = _SPACES.sub(" ", text)
            if not self.pieces or self.pieces[-1].endswith(("\n", " ")):
                text = text.lstrip(" ")
        if text:
            self.pieces.append(text)

    def markup(self) -> None:
        """Read what follows a "<": a tag, a comment, or what is neither and not for a reader."""
        source = self.source
        if source.startswith("!--", self.at):
            self.skip_past("-->", self.at + 1)  # the standard lets <!--> be a whole comment
        elif source.startswith(("!", "?"), self.at):
            self.skip_past(">", self.at)
        elif source.startswith("/", self.at):
            name = _NAME.match(source, self.at + 1)
            self.skip_past(">", self.at)
            if name:
                self.end_tag(name[0].lower())
        elif name := _NAME.match(source, self.at):
            self.at = name.end()
            self.start_tag(name[0].lower(), self.attributes())

    def skip_past(self, mark: str, start: int) -> None:
        found = self.source.find(mark, start)
        self.at = len(self.source) if found < 0 else found + len(mark)

    def attributes(self) -> str:
        """Move past the end of a start tag; returns its href, or ""."""
        source, href = self.source, ""
        while self.at < len(source):
            self.at = _GAP.match(source, self.at).end()  # type: ignore[union-attr]  # it matches the empty string
            if source.startswith(">", self.at):
                self.at += 1
                break
            attribute = _ATTRIBUTE.match(source, self.at)
            if attribute is None:
                break
            self.at = attribute.end()
            value = self.attribute_value() if attribute[2] else ""
            if not href and attribute[1].lower() == "href":
                href = value
        return href

    def attribute_value(self) -> str:
        quoted = self.source[self.at : self.at + 1]
        start = self.at
        if quoted not in ('"', "'"):
            self.at = _BARE_VALUE.match(self.source, start).end()  # type: ignore[union-attr]  # it matches the empty string
            return self.source[start : min(self.at, start + MAX_LINK + 1)]
        self.skip_past(quoted, start + 1)
        return self.source[start + 1 : min(self.at - 1, start + MAX_LINK + 2)]

    def start_tag(self, name: str, href: str) -> None:
        if name == "title":
            self.read_title()
        elif name in _DROPPED:
            self.drop(name)
        elif name == "a":
            self.close_link()
            self.open_link(href)
        elif name in _HEADINGS:
            self.break_line(2)
            self.pieces.append(f"{_HEADINGS[name]} ")
        elif name in _LINES:
            self.break_line(2 if name == "p" else 1)
            self.in_pre = self.in_pre or name == "pre"
            if name == "li":
                self.pieces.append("- ")
        elif name in _CELLS:
            self.say(" ")

    def end_tag(self, name: str) -> None:
        if name == "a":
            self.close_link()
        elif name in _HEADINGS or name in _LINES:
            self.break_line(2 if name == "p" or name in _HEADINGS else 1)
            self.in_pre = self.in_pre and name != "pre"

    def break_line(self, times: int) -> None:
        """Let the next text start on a new line, or, with 2, after an empty one; more are squeezed in the end."""
        ended = self.pieces[-1][-2:].count("\n") if self.pieces and self.pieces[-1].endswith("\n") else 0
        if self.pieces and ended < times:
            self.pieces.append("\n" * (times - ended))

    def read_title(self) -> None:
        """Keep the first title; a second one, as drawings have it, is dropped."""
        start = self.at
        self.drop("title")
        if not self.title and "title" not in self.endless:
            self.title = _unescape(self.source[start : min(self.at, start + 4 * MAX_TITLE)].partition("</")[0])

    def drop(self, name: str) -> None:
        """Move past the next end tag of `name`; each name is searched for in vain at most once."""
        if name not in self.endless:
            closing = re.compile(rf"</{name}(?=[\s/>])[^>]*>?", re.IGNORECASE).search(self.source, self.at)
            if closing:
                self.at = closing.end()
                return
            self.endless.add(name)
        if name in _RAW:
            self.at = len(self.source)

    def open_link(self, href: str) -> None:
        if href and self.links < MAX_LINKS:
            self.links += 1
            self.link = self.resolved(href)

    def close_link(self) -> None:
        if self.link:
            self.pieces.append(f" ({self.link})")
        self.link = ""

    def resolved(self, href: str) -> str:
        """The whole URL of a link, so that it can be fetched word for word; "" for what is no page."""
        href = _unescape(href).strip()
        if len(href) > MAX_LINK or href.startswith("#"):
            return ""
        try:
            link = join(self.url, href)
        except CallFailed:
            return ""
        return link if link.startswith(("https://", "http://")) and len(link) <= MAX_LINK else ""


def _unescape(text: str) -> str:
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text
