"""Tests of fetching, against a real server on loopback that lies, drips, loops, bombs and hangs."""

import asyncio
import gzip
import re
import ssl
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridle.rules.failure import CallFailed, FailureKind
from bridle.tools.http_get import LABELS, Fetcher
from tests.tools.site import FOREVER, PAUSE, RESET, Names, answer, failure, fetcher, get, serving

PEM = Path(__file__).with_name("pinned_test.pem")  # for the name pinned.test, signed by itself
HTML = "text/html; charset=utf-8"
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


async def test_a_page_of_html_becomes_title_and_text() -> None:
    body = b"<title>Refunds</title><h1>Refunds</h1><p>Five <b>days</b>, see <a href=/terms>terms</a>."
    page = await get(*answer(body, kind=HTML))
    assert (page.status, page.title, page.bytes, page.truncated) == (200, "Refunds", len(body), False)
    assert re.fullmatch(r"# Refunds\n\nFive days, see terms \(http://127\.0\.0\.1:\d+/terms\)\.", page.text)


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "text/csv", "application/problem+json", "application/xml", "TEXT/Plain"]
)
async def test_text_and_json_are_passed_on_as_they_are(kind: str) -> None:
    page = await get(*answer(b'{"days": 5, "tag": "<b>"}', kind=kind))
    assert (page.text, page.content_type) == ('{"days": 5, "tag": "<b>"}', kind.lower())


@pytest.mark.parametrize(
    "kind", ["application/pdf", "image/png", "application/octet-stream", "", "text/html,x", "x" * 999]
)
async def test_what_is_not_text_is_rejected(kind: str) -> None:
    assert (await failure(*answer(b"%PDF-1.7", kind=kind))).kind is FailureKind.REJECTED


async def test_what_a_site_says_of_itself_is_not_repeated_in_our_words() -> None:
    assert "ignore" not in (await failure(*answer(b"x", kind="ignore/all-rules"))).message


async def test_an_empty_answer_is_an_empty_page() -> None:
    assert (await get(*answer(status="204 No Content", kind=""))).text == ""


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", b"caf\xc3\xa9", "café"),
        ("text/plain", b"caf\xe9 \xff\xfe", "caf\ufffd \ufffd\ufffd"),
        ("text/plain; charset=iso-8859-1", b"caf\xe9 \x80", "café €"),
        ("text/plain; charset=utf-16", "café".encode("utf-16"), "café"),
        ("text/plain", b"\xef\xbb\xbfx", "x"),
        ("text/plain; charset=punycode", b"caf-dma", "caf-dma"),
        ("text/plain; charset=zip", b"x", "x"),
        ("text/plain; charset=iso-8859-99", b"x", "x"),
        ("text/plain", b"a\0b", "a\ufffdb"),
        ("text/html", b"<meta charset=windows-1252>caf\xe9", "café"),
        ("text/html", b"<meta charset=utf-16>cafe", "cafe"),
    ],
)
async def test_every_encoding_ends_as_text_without_nul(kind: str, body: bytes, text: str) -> None:
    assert (await get(*answer(body, kind=kind))).text == text


async def test_html_nested_20_000_deep_is_read() -> None:
    body = b"<div>" * 20_000 + b"deep" + b"</div>" * 20_000
    assert (await get(*answer(body, kind=HTML), max_bytes=1_000_000)).text == "deep"


async def test_html_that_grows_to_15_million_nodes_in_a_tree_is_read() -> None:
    body = b"".join(b"<b a=%d><p>" % at for at in range(8_000)) + b"deep"
    assert (await get(*answer(body, kind=HTML), max_bytes=1_000_000)).text == "deep"


# --- where it may go --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "10.0.0.1", "169.254.169.254", "0.0.0.0"]
)
async def test_an_address_that_is_not_public_is_rejected(host: str) -> None:
    with pytest.raises(CallFailed, match="not on the public internet") as caught:
        await Fetcher().get(f"https://{host}/")
    assert caught.value.kind is FailureKind.REJECTED


async def test_what_is_allowed_opens_one_address_and_not_its_other_spellings() -> None:
    open_one = Fetcher(https_only=False, allow_private={"127.0.0.1"})
    for host in ("127.0.0.2", "[::1]", "[::ffff:127.0.0.1]"):
        with pytest.raises(CallFailed, match="not on the public internet"):
            await open_one.get(f"http://{host}/")


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1", "::1"], ["8.8.8.8", "fe80::1%eth0"]]
)
async def test_one_bad_address_of_a_name_refuses_them_all(addresses: list[str]) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    with pytest.raises(CallFailed, match="not on the public internet"):
        await Fetcher(resolve=resolve).get("https://pinned.test/")


async def test_a_name_is_looked_up_once_and_asked_at_that_address_with_its_own_host() -> None:
    names = Names(pinned_test=["127.0.0.1", "10.0.0.1"])
    async with serving({"/a?b=1": answer(b"here")}) as site:
        page = await fetcher(site, names=names).get(f"http://Pinned.Test.:{site.port}/a?b=1#c")
    assert (page.text, page.url, names.asked) == ("here", f"http://pinned.test:{site.port}/a?b=1", ["pinned.test"])
    assert site.requests[0].splitlines()[:2] == ["GET /a?b=1 HTTP/1.1", f"host: pinned.test:{site.port}"]


async def test_a_name_that_changes_its_address_between_redirects_is_judged_again() -> None:
    names = Names(pinned_test=["127.0.0.1", "10.0.0.1"])
    async with serving({"/": answer(status="302 Found", location="/again")}) as site:
        with pytest.raises(CallFailed, match="not on the public internet"):
            await fetcher(site, names=names).get(f"http://pinned.test:{site.port}/")
    assert len(site.requests) == 1


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server needs to be pinned.test, for clients that trust its certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(PEM)
    return context


async def test_the_certificate_is_checked_against_the_name_and_not_the_address(tls: ssl.SSLContext) -> None:
    names = Names(pinned_test=["127.0.0.1"], other_test=["127.0.0.1"])
    async with serving({"/": answer(b"secure")}, tls) as site:
        fetch = fetcher(site, names=names)
        assert (await fetch.get(f"https://pinned.test:{site.port}/")).text == "secure"
        with pytest.raises(CallFailed, match=r"certificate of other\.test") as caught:
            await fetch.get(f"https://other.test:{site.port}/")
    assert caught.value.kind is FailureKind.REJECTED
    assert site.names == ["pinned.test", "other.test"]


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "//192.168.0.1/",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1/",
        "http://127.0.0.1:22/",
        "http://2130706433/",
        "\\\\10.0.0.1\\",
        "http://[",
        "http://\xff/",
    ],
)
async def test_a_redirect_is_judged_like_the_first_url(location: str) -> None:
    assert (await failure(*answer(status="302 Found", location=location))).kind is FailureKind.REJECTED


async def test_plain_http_is_refused_unless_it_was_allowed(tls: ssl.SSLContext) -> None:
    with pytest.raises(CallFailed, match="only https"):
        await Fetcher().get("http://example.org/")
    answers: dict[str, list[bytes]] = {}
    async with serving(answers, tls) as site:
        answers["/"] = answer(status="302 Found", location=f"http://pinned.test:{site.port}/")
        names = Names(pinned_test=["127.0.0.1"])
        fetch = Fetcher(resolve=names, allow_private={"127.0.0.1"}, ports=frozenset({site.port}))
        with pytest.raises(CallFailed, match="only https"):
            await fetch.get(f"https://pinned.test:{site.port}/")
    assert len(site.requests) == 1


async def test_three_redirects_are_followed_and_a_fourth_is_not() -> None:
    answers = {f"/{at}": answer(status="301 Moved", location=f"{at - 1}") for at in range(1, 6)}
    async with serving(answers | {"/0": answer(b"there")}) as site:
        page = await fetcher(site).get(f"{site.root}/3")
        assert (page.text, page.url) == ("there", f"{site.root}/0")
        with pytest.raises(CallFailed, match="more than 3"):
            await fetcher(site).get(f"{site.root}/4")
    assert len(site.requests) == 4 + 4


async def test_a_redirect_loop_ends_after_four_requests() -> None:
    async with serving({"/": answer(status="307 Temporary", location="/")}) as site:
        with pytest.raises(CallFailed) as caught:
            await fetcher(site).get(site.root)
    assert (caught.value.kind, len(site.requests)) == (FailureKind.REJECTED, 4)


async def test_a_request_carries_nothing_that_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    answers = {"/": answer(status="303 See", location="/b", set_cookie="id=1; Path=/"), "/b": answer(b"x")}
    async with serving(answers) as site:
        await fetcher(site).get(site.root)
    for request in site.requests:
        sent = {line.partition(":")[0] for line in request.splitlines()[1:] if line}
        assert sent == {"host", "user-agent", "accept", "accept-encoding", "connection"}


# --- how long and how much --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pieces",
    [
        [FOREVER],
        [b"HTTP/1.1 200 OK\r\n", FOREVER],
        [b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nhello", FOREVER],
        [*answer(content_length="1000"), *[b"x", PAUSE] * 1_000],
        [b"HTTP/1.1 200 OK\r\n", *[b"a: b\r\n", PAUSE] * 1_000],
        [b"HTTP/1.1 100 Continue\r\n\r\n", PAUSE] * 1_000,
    ],
    ids=["never answers", "half a head", "half a body", "dripping body", "dripping head", "dripping 100s"],
)
async def test_the_deadline_is_for_everything_however_slowly_it_comes(pieces: list[bytes]) -> None:
    failed = await failure(*pieces, timeout_ms=400)  # all the pieces would take ten seconds, or for ever
    assert failed.kind is FailureKind.TIMEOUT


async def test_the_deadline_is_for_the_look_up_too() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return [await asyncio.get_running_loop().create_future()]

    with pytest.raises(CallFailed) as caught:
        await Fetcher(resolve=resolve, timeout_ms=50).get("https://pinned.test/")
    assert caught.value.kind is FailureKind.TIMEOUT


async def test_a_huge_body_is_cut_where_the_cap_is() -> None:
    page = await get(*answer(content_length=""), *[b"x" * 65_536] * 200)
    assert (page.bytes, len(page.text), page.truncated) == (100_000, 100_000, True)


async def test_a_packed_page_is_unpacked() -> None:
    page = await get(*answer(gzip.compress(b"hello" * 100), content_encoding="gzip"))
    assert (page.text, page.truncated) == ("hello" * 100, False)


async def test_a_gzip_bomb_is_unpacked_up_to_the_cap_only() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    tracemalloc.start()
    page = await get(*answer(bomb, content_encoding="gzip"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (page.bytes, page.truncated) == (100_000, True)
    assert peak < 10_000_000


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, gzip", "zstd"])
async def test_a_page_that_cannot_be_unpacked_is_invalid_output(encoding: str) -> None:
    assert (await failure(*answer(b"no gzip", content_encoding=encoding))).kind is FailureKind.INVALID_OUTPUT


async def test_a_packed_page_that_ends_too_early_says_that_it_is_cut() -> None:
    page = await get(*answer(gzip.compress(b"hello world")[:-9], content_encoding="gzip"))
    assert page.truncated


async def test_a_content_length_that_is_too_long_is_an_incomplete_answer() -> None:
    assert (await failure(*answer(b"short", content_length="1000"))).kind is FailureKind.UNAVAILABLE


async def test_a_content_length_that_is_too_short_cuts_the_answer() -> None:
    assert (await get(*answer(b"longer", content_length="4"))).text == "long"


@pytest.mark.parametrize(
    "pieces",
    [
        [RESET],
        [],
        [b"SSH-2.0-OpenSSH_9.2\r\n"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000],
        [b"HTTP/1.1 200 OK\r\na: " + b"b" * 1_000_000],
        [b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
    ],
)
async def test_what_is_no_answer_in_http_is_unavailable(pieces: list[bytes]) -> None:
    assert (await failure(*pieces)).kind is FailureKind.UNAVAILABLE


# --- what it means ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.REJECTED),
        (401, FailureKind.CREDENTIALS),
        (403, FailureKind.CREDENTIALS),
        (404, FailureKind.REJECTED),
        (410, FailureKind.REJECTED),
        (429, FailureKind.RATE_LIMITED),
        (500, FailureKind.UNAVAILABLE),
        (502, FailureKind.UNAVAILABLE),
        (503, FailureKind.UNAVAILABLE),
        (304, FailureKind.INVALID_OUTPUT),
        (302, FailureKind.INVALID_OUTPUT),
    ],
)
async def test_a_status_has_one_meaning(status: int, kind: FailureKind) -> None:
    failed = await failure(*answer(b"", f"{status} Status"))
    assert (failed.kind, str(status) in failed.message) == (kind, True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "date", "after"),
    [
        ("2", "", 2_000),
        ("0", "", 0),
        ("999999999", "", 3_600_000),
        ("9" * 5_000, "", None),
        ("Sun, 06 Nov 1994 08:50:07 GMT", DATE, 30_000),
        ("Sun, 06 Nov 1994 08:00:00 GMT", DATE, 0),
        ("Sun, 06 Nov 2094 08:00:00 GMT", DATE, 3_600_000),
        ("Sun, 06 Nov 1994 08:50:07 GMT", "", None),
        ("Sun, 36 Nov 1994 08:50:07 GMT", DATE, None),
        ("Sun, 06 Xyz 1994 08:50:07 GMT", DATE, None),
        ("Sun, 06 Nov 0000 08:50:07 GMT", DATE, None),
        ("-5", "", None),
        ("soon", "", None),
        ("1.5", "", None),
    ],
)
async def test_retry_after_is_read_in_both_forms(status: int, said: str, date: str, after: int | None) -> None:
    failed = await failure(*answer(b"", f"{status} Busy", retry_after=said, date=date))
    assert failed.retry_after == after


async def test_a_refused_connection_is_unavailable() -> None:
    async with serving({}) as site:
        pass
    with pytest.raises(CallFailed) as caught:
        await fetcher(site).get(site.root)
    assert caught.value.kind is FailureKind.UNAVAILABLE


async def test_the_next_address_of_a_name_is_tried_when_the_first_takes_no_connection() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with serving({"/": answer(b"second")}) as site:
        allowed = {"127.0.0.1", "127.0.0.2"}
        ports = frozenset({site.port})
        fetch = Fetcher(https_only=False, resolve=resolve, allow_private=allowed, ports=ports)
        assert (await fetch.get(f"http://pinned.test:{site.port}/")).text == "second"


@pytest.mark.parametrize(
    ("found", "kind"),
    [([], FailureKind.REJECTED), (["8.8.8.8"] * 2 + [f"8.8.8.{at}" for at in range(99)], FailureKind.REJECTED),
     (["not an address"], FailureKind.UNAVAILABLE)],
)  # fmt: skip
async def test_a_look_up_that_makes_no_sense_ends_there(found: list[str], kind: FailureKind) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return found

    with pytest.raises(CallFailed) as caught:
        await Fetcher(resolve=resolve).get("https://pinned.test/")
    assert caught.value.kind is kind


def test_a_limit_that_is_none_is_an_error() -> None:
    for max_bytes, timeout_ms in ((0, 1), (1, 0), (1, -1)):
        with pytest.raises(ValueError, match="positive"):
            Fetcher(max_bytes=max_bytes, timeout_ms=timeout_ms)
    with pytest.raises(ValueError, match="does not appear to be"):
        Fetcher(allow_private={"localhost"})


def test_the_labels_say_that_a_fetch_leaves_the_house_and_returns_what_strangers_wrote() -> None:
    label = LABELS["http.get"]
    assert (label["effect"], label["source"], label["expensive"]) == ("egress", "untrusted", True)
