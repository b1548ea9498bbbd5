"""Tests of what a model gets to read of a page, and of pages that were written against its reader."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.tools.html_text import MAX_LINKS, read_html

PAGE = "https://example.org/docs/"


def text(source: str) -> str:
    return read_html(source, PAGE).text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("<h1>One</h1><p>two</p><h3>Three</h3>four", "# One\n\ntwo\n\n### Three\n\nfour"),
        ("a\n  b\t<b>c</b>d", "a b cd"),
        ("<p>a<p>b", "a\n\nb"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<table><tr><td>1<td>2<tr><td>3<td>4</table>", "1 2\n3 4"),
        ("<pre>def f():\n    return 1</pre>x", "def f():\n    return 1\nx"),
        ("a<script>if (a<b) alert('</p>')</script>b", "ab"),
        ("a<SCRIPT SRC=x>x</ScRiPt\n>b", "ab"),
        ("a<style>p{}</style><noscript>n</noscript><template><p>t</template><nav>v</nav>b", "ab"),
        ("a<!-- c --><!DOCTYPE x><?php y ?>b<!-->c", "abc"),
        ("a &amp; b &lt;script&gt; &eacute;", "a & b <script> é"),
        ("1 < 2 and <3", "1 < 2 and <3"),
        ("<p title=\"a > b\" x='<p>'>c", "c"),
        ('see <a class=x href="/a?b=1&amp;c=2">this</a>.', "see this (https://example.org/a?b=1&c=2)."),
        ("<a href=b.html>b</a>", "b (https://example.org/docs/b.html)"),
        ("<a href=#top>up</a> <a href=javascript:x()>x</a> <a href='http://[x'>y</a>", "up x y"),
        ("<nav>no end, so it is shown", "no end, so it is shown"),
        ("a<script>no end, so it is not", "a"),
        ("a<p", "a"),
        ("a<p title='", "a"),
        pytest.param("a&#" + "9" * 5_000 + ";b", "a\ufffdb", id="more digits than int() takes"),
        ("a&#99999999999999999999999999;b&#xD800;c", "a\ufffdb\ufffdc"),
    ],
)
def test_a_page_becomes_text(source: str, said: str) -> None:
    assert text(source) == said


def test_the_title_is_one_line_and_the_first_one() -> None:
    reading = read_html("<title>A &amp;\n B</title><svg><title>no</title></svg>c", PAGE)
    assert (reading.title, reading.text) == ("A & B", "c")


def test_only_the_first_links_are_written_out() -> None:
    assert text("<a href=/x>y</a>" * 1_000).count("https://") == MAX_LINKS


@pytest.mark.parametrize(
    "piece",
    [
        "<div>", "<p>", "<b a={}><p>", "<b {}>", "<a><div>", "<ul><li>", "<h1><b>", "<nav>", "<template><nav>",
        "<title>", "<svg>", "<table><td>", "<", "</", "<!--", "<!", "<a ", '<a "', "<a b='", "a=1 ", "&", "&#9", "&amp",
        "<script>", "</script", "</div>", "<a href=/{}>", "<a href='http://[x/'>", "\n", " ",
    ],
)  # fmt: skip
def test_300_kb_of_the_worst_take_no_more_than_a_plain_page(piece: str) -> None:
    source = ("<p " if "=1" in piece else "") + "".join(piece.format(at) for at in range(300_000 // len(piece)))
    before = resource.getrusage(resource.RUSAGE_SELF)
    read_html(source, PAGE)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 3  # quadratic: 10 s and more
    assert after.ru_maxrss - before.ru_maxrss < 200_000  # kB; a tree of <b a=1><p><b a=2><p>... needs 5 GB


@given(
    st.lists(
        st.sampled_from(["<", ">", "/", "!", "-", "a", "title", "script", "pre", " href=", '"', "'", "&#", "9", "é"])
    )
)
def test_no_page_is_too_broken_to_read(pieces: list[str]) -> None:
    assert isinstance(text("".join(pieces)), str)
