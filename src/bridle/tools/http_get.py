"""Fetches one page of the public web for a model that may have been told to fetch something else.

The guard against server-side request forgery: a strict URL, one look-up, every address judged, a connection to exactly
the address that was judged (with the original Host and server name), and the same again for each redirect. Then the
guard against the page: one deadline over everything, caps on bytes from the wire and on bytes unpacked, no cookies, no
proxies, no credentials, no retries.
"""

import asyncio
import codecs
import re
import socket
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from ssl import CertificateError, SSLContext
from typing import TYPE_CHECKING, NoReturn

from bridle.rules.call import Attempted, marks
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import MILLIS_PER_SECOND, Confidentiality, Effect, Millis, Source
from bridle.tools.addresses import forbidden
from bridle.tools.html_text import read_html
from bridle.tools.urls import PORTS, Target, join, parse

if TYPE_CHECKING:
    import httpx2

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # host, port -> every address of the host
Address = IPv4Address | IPv6Address

LABELS: Mapping[str, Mapping[str, str | bool | int]] = {
    "http.get": {
        "effect": Effect.EGRESS,
        "source": Source.UNTRUSTED,
        "confidentiality": Confidentiality.PUBLIC,
        "expensive": True,
        "description": "Fetch one public web page by its URL and return its text.",
    },
}

MAX_REDIRECTS = 3
MAX_ADDRESSES = 16
TRIED_ADDRESSES = 3  # connecting to the next address of a name sends no request twice
MAX_RETRY_AFTER = Millis(3_600_000)

# A name server that never answers holds a thread for as long as the system waits: these threads, and not everyone's.
_LOOK_UPS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="bridle-look-up")
_HEADERS = {
    "user-agent": "bridle",
    "accept": "text/html, text/plain, application/json;q=0.9, text/*;q=0.8",
    "accept-encoding": "gzip, identity",
    "connection": "close",
}
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_OTHERS = {  # a closed set: what the site says of itself is not repeated to the model as if we had said it
    "application/pdf": "a PDF document",
    "image": "an image",
    "audio": "a sound",
    "video": "a film",
}
_TEXT = re.compile(r"text/[a-z0-9.+-]+|application/(?:json|xml|yaml|ndjson|[a-z0-9.-]+\+(?:json|xml|yaml))")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
# codecs.lookup() also knows zip bombs and punycode: only these.
_CHARSETS = re.compile(
    r"utf-?8|utf-?16(-?[bl]e)?|(us-)?ascii|iso-?8859-\d{1,2}|latin-?1|windows-125\d|cp125\d|koi8-[ru]"
    r"|gb2312|gbk|gb18030|big5|shift_jis|euc-jp|euc-kr"
)
_DATE = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Page:
    """What was at `url`, where the redirects ended; `bytes` counts the unpacked body as far as it was read."""

    url: str
    status: int
    title: str
    text: str
    content_type: str
    bytes: int
    truncated: bool


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of `host`, as the system's resolver tells. Raises OSError."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, ask)
    return [str(where[0]) for _, _, _, _, where in found]


class Fetcher:
    """Fetches pages; one for a whole process will do.

    `max_bytes` caps the body on the wire and unpacked, `timeout_ms` is the deadline for everything that one `get` does.
    `allow_private` names single addresses (not networks, not names) that are open although they are not public; `ports`
    are the ports that may be asked. Raises ValueError for an address or a limit that is none.
    """

    def __init__(
        self,
        *,
        https_only: bool = True,
        max_bytes: int = 2_000_000,
        timeout_ms: int = 20_000,
        resolve: Resolve = resolve,
        allow_private: Set[str] = frozenset(),
        ports: Set[int] = frozenset(PORTS.values()),
    ) -> None:
        if max_bytes <= 0 or timeout_ms <= 0:
            raise ValueError("max_bytes and timeout_ms must be positive; for a large limit, write a large number")
        self._schemes = frozenset({"https"} if https_only else {"https", "http"})
        self._max_bytes = max_bytes
        self._timeout_ms = timeout_ms
        self._resolve = resolve
        self._allowed = frozenset(ip_address(each) for each in allow_private)
        self._ports = ports
        self._tls: SSLContext | None = None

    async def get(self, url: str, *, call: Attempted | None = None) -> Page:
        """The page at `url`, as text. Raises `CallFailed` with the kind of what went wrong.

        The far end is told which attempt of the `call` it is.

        429 is rate_limited and 5xx unavailable, both with Retry-After where the answer has it; 401 and 403 are
        credentials, any other 4xx is rejected, as are addresses that are not public and content that is not text.
        """
        try:
            async with asyncio.timeout(self._timeout_ms / MILLIS_PER_SECOND):
                return await self._follow(url, marks(call) if call is not None else {})
        except TimeoutError:
            said = f"No complete answer within {self._timeout_ms} ms."
            raise CallFailed(FailureKind.TIMEOUT, said) from None

    async def _follow(self, url: str, marked: Mapping[str, str]) -> Page:
        for _ in range(MAX_REDIRECTS + 1):
            target = parse(url, schemes=self._schemes, ports=self._ports)
            answer = await self._ask(target, await self._addresses(target), marked)
            if isinstance(answer, Page):
                return answer
            url = answer
        _refuse(f"the page redirects more than {MAX_REDIRECTS} times")

    async def _addresses(self, target: Target) -> Sequence[Address]:
        """Where `target` may be asked; one bad address among good ones refuses them all."""
        addresses = [target.address] if target.address else await self._look_up(target)
        for address in addresses:
            reason = None if address in self._allowed else forbidden(address)
            if reason:
                _refuse(f"{target.host[:80]} is not on the public internet: {reason}")
        return addresses

    async def _look_up(self, target: Target) -> Sequence[Address]:
        try:
            found = await self._resolve(target.host, target.port)
            addresses = [ip_address(each) for each in dict.fromkeys(found)]
        except socket.gaierror as failure:
            if failure.errno == socket.EAI_AGAIN:
                raise _unavailable(f"{target.host[:80]} cannot be looked up now") from failure
            _refuse(f"there is no host {target.host[:80]}")
        except (OSError, ValueError) as failure:  # ValueError: an address that is none, a name that cannot be encoded
            raise _unavailable(f"{target.host[:80]} cannot be looked up") from failure
        if not 1 <= len(addresses) <= MAX_ADDRESSES:
            _refuse(f"{target.host[:80]} has {len(addresses)} addresses, not 1 to {MAX_ADDRESSES}")
        return addresses

    async def _ask(self, target: Target, addresses: Sequence[Address], marked: Mapping[str, str]) -> Page | str:
        """The page, or the URL that it redirects to."""
        import httpx2

        if self._tls is None:
            self._tls = httpx2.create_ssl_context()
        try:
            async with httpx2.AsyncHTTPTransport(verify=self._tls, trust_env=False, retries=0) as transport:
                response = await self._connect(transport, target, addresses, marked)
                try:
                    return await self._judge(target, response)
                finally:
                    await response.aclose()
        except httpx2.TimeoutException as failure:
            raise CallFailed(FailureKind.TIMEOUT, f"{target.host[:80]} did not answer in time.") from failure
        except (httpx2.LocalProtocolError, httpx2.InvalidURL, UnicodeError) as failure:
            raise CallFailed(FailureKind.REJECTED, "This URL cannot be sent as a request.") from failure
        except (httpx2.TransportError, OSError) as failure:
            if _is_about_certificate(failure):
                _refuse(f"the certificate of {target.host[:80]} is not valid for it")
            is_refused = isinstance(failure, httpx2.ConnectError)
            raise _unavailable(f"the connection to {target.host[:80]} failed", is_refused=is_refused) from failure

    async def _connect(
        self,
        transport: "httpx2.AsyncHTTPTransport",
        target: Target,
        addresses: Sequence[Address],
        marked: Mapping[str, str],
    ) -> "httpx2.Response":
        """Send the request to the first of `addresses` that takes the connection."""
        import httpx2

        patience = self._timeout_ms / MILLIS_PER_SECOND / TRIED_ADDRESSES
        extensions = {"sni_hostname": target.host, "timeout": {"connect": patience}}
        last = addresses[:TRIED_ADDRESSES][-1]
        for address in addresses[:TRIED_ADDRESSES]:
            url = httpx2.URL(scheme=target.scheme, host=str(address), port=target.port, raw_path=target.path.encode())
            headers = {"host": target.authority, **_HEADERS, **marked}
            try:
                return await transport.handle_async_request(
                    httpx2.Request("GET", url, headers=headers, extensions=extensions)
                )
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if address == last:
                    raise
        raise AssertionError("addresses is never empty")

    async def _judge(self, target: Target, response: "httpx2.Response") -> Page | str:
        status, headers = response.status_code, response.headers
        if status in (301, 302, 303, 307, 308) and "location" in headers:
            return join(target.url, _location(response))
        if not 200 <= status <= 299:
            raise _failed(status, headers)
        kind, charset = _content_type(headers.get("content-type", ""))
        is_empty = status in (204, 205) or headers.get("content-length") == "0"
        if not is_empty and kind not in _HTML and not _TEXT.fullmatch(kind):
            known = _OTHERS.get(kind) or _OTHERS.get(kind.partition("/")[0], "something else")
            _refuse(f"it is {known}, not text")
        body, truncated = await self._body(response)
        text = _decode(body, charset, kind)
        title = ""
        if kind in _HTML:
            reading = await asyncio.to_thread(read_html, text, target.url)
            title, text = reading.title, reading.text
        return Page(target.url, status, title, text, kind, len(body), truncated)

    async def _body(self, response: "httpx2.Response") -> tuple[bytes, bool]:
        """The unpacked body, and whether it is only its beginning."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip", ""):
            raise CallFailed(FailureKind.INVALID_OUTPUT, "The page is packed in a way that was not asked for.")
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS) if "gzip" in encoding else None
        body, received = bytearray(), 0
        async for chunk in response.aiter_raw():
            received += len(chunk)
            try:
                body += unpacker.decompress(chunk, self._max_bytes + 1 - len(body)) if unpacker else chunk
            except zlib.error as failure:
                raise CallFailed(FailureKind.INVALID_OUTPUT, "The page cannot be unpacked.") from failure
            if len(body) > self._max_bytes or received > self._max_bytes:
                return bytes(body[: self._max_bytes]), True
            if unpacker and unpacker.eof:
                break  # what follows the end is not part of the page
        return bytes(body), unpacker is not None and received > 0 and not unpacker.eof


def _failed(status: int, headers: Mapping[str, str]) -> CallFailed:
    """The failure that an answer means which is not the page."""
    if status == 429:
        kind, said = FailureKind.RATE_LIMITED, "asks to slow down"
    elif status >= 500:
        kind, said = FailureKind.UNAVAILABLE, "is not well"
    elif status in (401, 403):
        kind, said = FailureKind.CREDENTIALS, "does not let us in"
    elif status >= 400:
        kind, said = FailureKind.REJECTED, "does not have this page"
    else:
        kind, said = FailureKind.INVALID_OUTPUT, "answered without a page"
    after = _retry_after(headers) if kind.is_transient else None
    return CallFailed(kind, f"The site {said}: status {status}.", retry_after=after)


def _retry_after(headers: Mapping[str, str]) -> Millis | None:
    """Retry-After in milliseconds, capped (RFC 9110, section 10.2.3); a date counts from the answer's own Date."""
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,12}", said):
        seconds = int(said)
    else:
        then, now = _date(said), _date(headers.get("date", ""))
        if then is None or now is None:
            return None
        seconds = max(0, int((then - now).total_seconds()))
    return Millis(min(seconds * MILLIS_PER_SECOND, MAX_RETRY_AFTER))


def _date(said: str) -> datetime | None:
    """A date as HTTP writes it (RFC 9110, section 5.6.7), or None; strptime() would read it in the user's language."""
    parts = _DATE.fullmatch(said.strip())
    if parts is None or parts[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(parts[at]) for at in (1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(parts[2]) + 1, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None


def _location(response: "httpx2.Response") -> str:
    raw = next(value for name, value in response.headers.raw if name.lower() == b"location")
    return raw.decode("utf-8", "replace")


def _content_type(said: str) -> tuple[str, str]:
    """The media type in lower case, and the charset or ""."""
    kind, _, parameters = said[:300].partition(";")
    charset = _CHARSET.search(parameters)
    return kind.strip().lower(), charset[1].lower() if charset else ""


def _decode(body: bytes, charset: str, kind: str) -> str:
    """The text of `body`, never with NUL; what is not valid in its encoding becomes U+FFFD."""
    if body.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        charset = "utf-8-sig" if body.startswith(codecs.BOM_UTF8) else "utf-16"
    elif not charset and kind in _HTML:
        meta = _CHARSET.search(body[:1_024].decode("latin-1"))
        charset = meta[1].lower() if meta and "16" not in meta[1] else ""  # what we just read is not UTF-16
    if charset in ("iso-8859-1", "latin-1", "latin1", "ascii", "us-ascii"):
        charset = "windows-1252"  # as browsers do: https://encoding.spec.whatwg.org/#names-and-labels
    try:
        text = body.decode(charset if charset == "utf-8-sig" or _CHARSETS.fullmatch(charset) else "utf-8", "replace")
    except LookupError:  # iso-8859-17
        text = body.decode("utf-8", "replace")
    return text.replace("\0", "\ufffd")


def _is_about_certificate(failure: BaseException) -> bool:
    """Whether a certificate that was not accepted is what stands behind `failure`."""
    behind: BaseException | None = failure
    for _ in range(8):
        if behind is None or isinstance(behind, CertificateError):
            break
        behind = behind.__cause__ or behind.__context__
    return isinstance(behind, CertificateError)


def _refuse(why: str) -> NoReturn:
    raise CallFailed(FailureKind.REJECTED, f"This URL cannot be fetched: {why}.")


def _unavailable(why: str, *, is_refused: bool = False) -> CallFailed:
    happened = False if is_refused else None
    return CallFailed(FailureKind.UNAVAILABLE, f"This URL cannot be fetched now: {why}.", happened=happened)
