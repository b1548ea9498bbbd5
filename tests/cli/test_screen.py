"""Nothing that a terminal would obey gets through, whatever it is."""

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.cli.screen import JOINERS, Screen, ago, bold, columns_of, counted, cut, duration, size, visible


class Terminal(io.StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße, 東京 🚀 é", "Grüße, 東京 🚀 é"),
        ("\x1b[2J", "␛[2J"),
        ("a\nb\tc\r", "a␊b␉c␍"),
        ("\x7f\x9b31m", "␡\\x9b31m"),
        ("\u202eexe.gnp", "\\u202eexe.gnp"),
        ("a\u200bb\ufeff\u2028", "a\\u200bb\\ufeff\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(given_text: str, shown: str) -> None:
    assert visible(given_text) == shown


def test_line_breaks_stay_where_lines_are_wanted() -> None:
    assert visible("a\r\nb\tc\x1b", lines=True) == "a\nb    c␛"


@given(st.text(alphabet=st.characters(), max_size=60))
def test_no_control_character_is_left_in_what_is_visible(text: str) -> None:
    left = [char for char in visible(text) if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]
    assert not set(left) - set(JOINERS)


@given(st.text(alphabet=st.characters(), max_size=60), st.integers(4, 40))
def test_a_cut_text_fits(text: str, columns: int) -> None:
    assert columns_of(cut(text, columns)) <= columns


def test_colours_are_for_terminals_and_never_against_no_color() -> None:
    for stream, environ, is_coloured in (
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ):
        Screen(stream, environ).line(bold("a\x1b[2Jb"))
        assert stream.getvalue() == ("\x1b[1ma␛[2Jb\x1b[0m\n" if is_coloured else "a␛[2Jb\n")


def test_columns_line_up_with_wide_characters() -> None:
    stream = io.StringIO()
    Screen(stream).table([["東京", "1"], ["a", "2"]])
    assert stream.getvalue() == "東京  1\na     2\n"


def test_json_is_ascii_and_nothing_in_it_is_raw() -> None:
    stream = io.StringIO()
    Screen(stream).json({"a": "\x1b\u202e\x7f\x9bü"})
    assert stream.getvalue().isascii()
    assert all(char.isprintable() or char == "\n" for char in stream.getvalue())
    assert json.loads(stream.getvalue()) == {"a": "\x1b\u202e\x7f\x9bü"}


def test_amounts_read_as_people_say_them() -> None:
    assert [duration(ms) for ms in (0, 999, 1_000, 2_149, 65_000, 3_700_000)] == [
        "0 ms", "999 ms", "1.0 s", "2.1 s", "1 min 05 s", "1 h 01 min",
    ]  # fmt: skip
    assert [size(count) for count in (0, 999, 1_234, 3_400_000)] == ["0 B", "999 B", "1.2 kB", "3.4 MB"]
    assert [ago(0, ms) for ms in (500, 65_000, 7_200_000, 172_800_000)] == [
        "0 s",
        "1 min",
        "2 h",
        "2 d",
    ]
    assert [counted(1, "call"), counted(2, "reply"), counted(1_000, "call")] == ["1 call", "2 replies", "1,000 calls"]


def test_a_sentence_hangs_beside_its_head_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    Screen(stream, {"NO_COLOR": "1"}).hanging(("bad  ",), "one two three four five six seven eight nine")
    assert stream.getvalue() == "bad  one two three four five six seven\n     eight nine\n"
    pipe = io.StringIO()
    Screen(pipe).hanging(("bad  ",), "one two three four five six seven eight nine")
    assert pipe.getvalue().count("\n") == 1
