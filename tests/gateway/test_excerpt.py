"""What a model is shown of a text: bounded, cut at line ends, and with nothing in it that a reader would not see."""

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridle.gateway.excerpt import MIN_BYTES, Excerpt, excerpt, visible

HANDLE = "artifact:r1/c1"
ANY_TEXT = st.text(
    st.characters(exclude_categories=[]) | st.sampled_from("\n\r\t\0\x1b\u202e\ud800é😀"), max_size=700
) | st.builds(str.__mul__, st.text(st.characters(exclude_categories=[]), max_size=12), st.integers(1, 200))


def test_what_fits_is_shown_as_it_is() -> None:
    text = "één\n\ttwo\n" * 30
    assert excerpt(text, max_bytes=len(text.encode()), handle=HANDLE) == Excerpt(text, False, 0)


def test_head_and_tail_are_kept_at_line_ends_around_the_marker() -> None:
    text = "".join(f"line {number}\n" for number in range(1_000))
    shown = excerpt(text, max_bytes=300, handle=HANDLE)
    head, marker, tail = shown.text.partition("[... ")
    assert head.splitlines() == [f"line {number}" for number in range(20)]
    assert tail.splitlines()[1:] == [f"line {number}" for number in range(994, 1_000)]
    assert (marker + tail).splitlines()[0] == (
        "[... 8,686 bytes left out; the full text is artifact:r1/c1; ask for a part of it ...]"
    )
    assert shown.truncated
    assert shown.dropped_bytes == len(text) - len(head) - len(tail.partition("\n")[2]) == 8_686


def test_text_without_line_ends_is_cut_between_characters_in_shares_of_70_and_25() -> None:
    shown = excerpt("é" * 5_000 + "😀" * 5_000, max_bytes=10_000, handle=HANDLE)
    head, _, tail = shown.text.partition("\n[")
    kept = tail.partition("]\n")[2]
    assert set(head) == {"é"}
    assert set(kept) == {"😀"}
    assert 6_900 <= len(head.encode()) <= 7_400
    assert 2_400 <= len(kept.encode()) <= 2_650
    assert shown.dropped_bytes == 30_000 - len(head.encode()) - len(kept.encode())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1b[31m\x7f\x9b", "a\\x00b\\x1b[31m\\x7f\\x9b"),
        ("one\r\ntwo\rthree\n\tfour", "one\ntwo\\x0dthree\n\tfour"),
        ("user\u202egpj.exe\u2066\u2069", "user\\u202egpj.exe\\u2066\\u2069"),
        ("\ud800 \udfff", "\\ud800 \\udfff"),
        ("hi\U000e0069\U000e0067", "hi\\U000e0069\\U000e0067"),
        ("a\u2028b", "a\\u2028b"),
        ("caf\u00e9 \u05d0\u05d1 \u200f\U0001f600 \u00a0", "caf\u00e9 \u05d0\u05d1 \u200f\U0001f600 \u00a0"),
    ],
)
def test_what_a_reader_would_not_see_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert excerpt(text, max_bytes=MIN_BYTES, handle=HANDLE) == Excerpt(shown, False, 0)


def test_a_text_that_fits_only_while_it_is_unseen_is_cut() -> None:
    shown = excerpt("\0" * 200, max_bytes=MIN_BYTES, handle=HANDLE)
    assert len(shown.text) <= MIN_BYTES
    assert shown.dropped_bytes == 200 - shown.text.count("\\x00")


@given(ANY_TEXT, st.integers(MIN_BYTES, 800), st.sampled_from([HANDLE, "h" * 100, ""]))
@example("\r\n" * 400, 256, HANDLE)
@example("\0" * 300, 256, HANDLE)
@example("\ud800" * 300, 300, HANDLE)
def test_an_excerpt_never_exceeds_max_bytes(text: str, max_bytes: int, handle: str) -> None:
    shown = excerpt(text, max_bytes=max_bytes, handle=handle)
    assert len(shown.text.encode()) <= max_bytes
    assert visible(shown.text) == shown.text
    assert 0 <= shown.dropped_bytes <= len(text.encode("utf-8", "surrogatepass"))
    assert shown.truncated == (shown.dropped_bytes > 0) == (len(visible(text).encode()) > max_bytes)
    assert shown.truncated or shown.text == visible(text)
    assert excerpt(shown.text, max_bytes=max_bytes, handle=handle) == Excerpt(shown.text, False, 0)


@given(ANY_TEXT, st.integers(MIN_BYTES, 600))
def test_what_is_kept_is_the_head_and_the_tail_of_the_text(text: str, max_bytes: int) -> None:
    shown = excerpt(text, max_bytes=max_bytes, handle="the-handle")
    if shown.truncated:
        marker = (
            f"[... {shown.dropped_bytes:,} bytes left out; the full text is the-handle; ask for a part of it ...]\n"
        )
        head, _, tail = shown.text.partition(marker)
        assert visible(text).startswith(head.removesuffix("\n").removesuffix("\\x0d"))
        assert visible(text).endswith(tail)


@pytest.mark.parametrize("character", ["x", "é"])
def test_100_mb_cost_no_more_than_what_is_shown(character: str) -> None:
    text = character * (100_000_000 // len(character.encode()))
    tracemalloc.start()
    shown = excerpt(text, max_bytes=16_384, handle=HANDLE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert len(shown.text.encode()) <= 16_384
    assert shown.dropped_bytes > 99_983_000


@pytest.mark.parametrize(
    ("max_bytes", "handle"), [(MIN_BYTES - 1, HANDLE), (MIN_BYTES, "h" * 101), (MIN_BYTES, "a\nb"), (MIN_BYTES, "é")]
)
def test_a_size_or_a_handle_that_leaves_no_room_is_the_callers_mistake(max_bytes: int, handle: str) -> None:
    with pytest.raises(ValueError, match=r"at least 256 bytes|at most 100 printable"):
        excerpt("text", max_bytes=max_bytes, handle=handle)
