"""Tests of how documents are cut into headings and passages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.tools.passages import MAX_PASSAGES, PASSAGE, headings, lines_of, passages, section


def outline(text: str, suffix: str = ".md") -> list[tuple[int, str, int]]:
    return [(each.level, each.path, each.line) for each in headings(text.split("\n"), suffix)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# A\n\n## B\n\n### C\n\n## D", [(1, "A", 0), (2, "A > B", 2), (3, "A > B > C", 4), (2, "A > D", 6)]),
        ("## B\n# A", [(2, "B", 0), (1, "A", 1)]),
        ("A\n===\n\nB\n---\nc", [(1, "A", 0), (2, "A > B", 3)]),
        ("# A ##\n#not\n####### not", [(1, "A", 0)]),
        ("```\n# not\n```\n# A", [(1, "A", 3)]),
        ("````\n```\n# not\n````\n# A", [(1, "A", 4)]),
        ("```\n# never closed", []),
        ("---\ntitle: x\n---\n# A", [(1, "A", 3)]),
        ("text\nover two lines\n---", []),
        ("a | b\n--- | ---", []),
    ],
)
def test_the_headings_of_markdown_are_found(text: str, found: list[tuple[int, str, int]]) -> None:
    assert outline(text) == found


def test_the_headings_of_restructured_text_have_the_level_of_their_underline() -> None:
    text = "=====\nTitle\n=====\n\nPart\n----\n\ntext\n\nDeep\n~~~~\n\nNext\n----"
    assert outline(text, ".rst") == [
        (1, "Title", 1),
        (2, "Title > Part", 4),
        (3, "Title > Part > Deep", 9),
        (2, "Title > Next", 12),
    ]


def test_plain_text_has_no_headings() -> None:
    assert outline("# A\n===", ".txt") == []


def test_a_passage_says_its_heading_and_its_line() -> None:
    lines = ["intro", "", "# A", "", "text", "", "## B", "more"]
    found = [(each.heading, each.line, each.text) for each in passages(lines, headings(lines, ".md"))]
    assert found == [("", 1, "intro"), ("A", 3, "# A\n\ntext"), ("A > B", 7, "## B\nmore")]


def test_a_section_ends_at_the_next_heading_of_its_level() -> None:
    lines = ["# A", "## B", "b", "### C", "c", "## D", "d"]
    found = headings(lines, ".md")
    assert section(lines, found, found[1]) == "## B\nb\n### C\nc"
    assert section(lines, found, found[3]) == "## D\nd"


def test_bytes_become_lines_whatever_they_are() -> None:
    assert lines_of(b"\xef\xbb\xbfa\r\nb\rc\xff\0") == ["a", "b", "c\ufffd\ufffd"]


def test_a_document_has_a_bounded_number_of_passages() -> None:
    lines = ["# a"] * (MAX_PASSAGES + 10)
    assert len(list(passages(lines, headings(lines, ".md")))) == MAX_PASSAGES


@given(st.lists(st.sampled_from(["", "# a", "## b", "===", "---", "```", "word", "x" * 700, "y" * 2_500])))
def test_every_word_is_in_a_passage_and_none_is_too_long(lines: list[str]) -> None:
    found = list(passages(lines, headings(lines, ".md")))
    assert "".join("".join(each.text for each in found).split()) == "".join("".join(lines).split())
    assert all(len(each.text) <= PASSAGE + 50 for each in found)
    assert all(each.text for each in found)
