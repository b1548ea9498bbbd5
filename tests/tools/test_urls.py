"""Tests of how strictly a URL is read."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.failure import CallFailed, FailureKind
from bridle.tools.urls import Target, join, parse

BOTH, USUAL = frozenset({"http", "https"}), frozenset({80, 443})


def read(url: str) -> Target:
    return parse(url, schemes=BOTH, ports=USUAL)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "https:/example.org",
        "https:example.org",
        "https://",
        "https:///path",
        "https://?q",
        "file:///etc/passwd",
        "ftp://example.org/",
        "gopher://example.org/",
        "javascript:alert(1)",
        "data:text/html,hi",
        "https://user@example.org/",
        "https://user:secret@example.org/",
        "https://example.org@10.0.0.1/",
        "https://example.org%40evil.org/",
        "https://example.org\\@evil.org/",
        "https:\\\\example.org",
        "https://example.org/a b",
        " https://example.org/",
        "https://example.org/\n",
        "https://exam\tple.org/",
        "https://example.org/\x00",
        "https://example.org/\u202e",
        "https://exam\u200bple.org/",
        "https://example.org:22/",
        "https://example.org:/",
        "https://example.org:443:443/",
        "https://example.org:٤٤٣/",
        "https://example.org:999999/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://127.0.0.01/",
        "https://127.0.0.1../",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
        "https://0/",
        "https://0x/",
        "https://[::1/",
        "https://::1/",
        "https://[::1%25lo]/",
        "https://[::1]x/",
        "https://[v1.x]/",
        "https://a..b/",
        "https://.example.org/",
        "https://-example.org/",
        "https://exa%6dple.org/",
        "https://" + "a" * 64 + ".org/",
        "https://" + "a." * 130 + "org/",
        "https://" + "ä" * 300 + "/",
        "https://example.org/" + "a" * 5_000,
        "https://\ud800/",
        "https://example.org/\ud800",
        "https://１２７.0.0.1/",
    ],
)
def test_what_is_not_plainly_a_web_address_is_rejected(url: str) -> None:
    with pytest.raises(CallFailed) as caught:
        read(url)
    assert caught.value.kind is FailureKind.REJECTED


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("https://example.org", "https://example.org/"),
        ("HTTPS://Example.ORG/Path", "https://example.org/Path"),
        ("https://example.org./", "https://example.org/"),
        ("https://example.org:443/", "https://example.org/"),
        ("https://example.org:80/", "https://example.org:80/"),
        ("https://example.org/a?b=c#d", "https://example.org/a?b=c"),
        ("https://example.org?b=c", "https://example.org/?b=c"),
        ("https://example.org/é", "https://example.org/%C3%A9"),
        ("https://example.org/%C3%A9", "https://example.org/%C3%A9"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://straße.example/", "https://xn--strae-oqa.example/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://8.8.8.8./", "https://8.8.8.8/"),
        ("https://[2606:4700:0:0::1111]/", "https://[2606:4700::1111]/"),
        ("https://127。0。0。1/", "https://127.0.0.1/"),
    ],
)
def test_a_web_address_is_written_in_one_way(url: str, meant: str) -> None:
    assert read(url).url == meant


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1.", "[::1]", "127。0。0。1", "[::ffff:127.0.0.1]"])
def test_a_host_that_is_an_address_is_known_as_one(host: str) -> None:
    assert read(f"https://{host}/").address is not None


def test_http_is_refused_where_only_https_is_allowed() -> None:
    with pytest.raises(CallFailed, match="only https can be fetched"):
        parse("http://example.org/", schemes=frozenset({"https"}), ports=USUAL)


@given(st.text(max_size=60), st.sampled_from(["", "https://", "http://", "https://example.org", "https://["]))
def test_no_text_does_worse_than_being_rejected(text: str, start: str) -> None:
    try:
        target = read(start + text)
    except CallFailed:
        return
    assert target.url.isascii()
    assert read(target.url) == target


@given(st.text(max_size=60))
def test_no_link_does_worse_than_being_rejected(link: str) -> None:
    with contextlib.suppress(CallFailed):
        assert isinstance(join("https://example.org/a/b", link), str)
