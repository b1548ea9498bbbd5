"""Reads a URL so strictly that every program down the line reads it the same way (RFC 3986, section 3).

What browsers forgive is refused here: user names, backslashes, control characters, addresses written as one number.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NoReturn
from urllib.parse import quote, urljoin

from bridle.rules.failure import CallFailed, FailureKind

MAX_URL = 4_096
MAX_HOST = 253
PORTS = {"https": 443, "http": 80}

_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@%]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_KEPT = "/%:@!$&'()*+,;=~?"  # RFC 3986: what may stand in a path or a query as it is


@dataclass(frozen=True, slots=True)
class Target:
    """One place to ask: `host` is lower-case ASCII or an address without brackets, `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str
    address: IPv4Address | IPv6Address | None  # the host, when it is an address already

    @property
    def authority(self) -> str:
        """The host as the Host header says it: brackets around IPv6, the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse(url: str, *, schemes: Set[str], ports: Set[int]) -> Target:
    """The place that `url` names. Raises `CallFailed` (rejected) for everything that is not plainly a web address."""
    _check_characters(url)
    parts = _PARTS.fullmatch(url)
    if parts is None:
        _refuse("a URL looks like https://host/path")
    scheme = parts[1].lower()
    if scheme not in schemes or scheme not in PORTS:
        _refuse(f"only {' and '.join(sorted(schemes))} can be fetched")
    authority = _AUTHORITY.fullmatch(parts[2])
    if authority is None:
        _refuse("the part after // must be a host, or a host and a port; no user name, no password")
    port = int(authority[2]) if authority[2] else PORTS[scheme]
    if port not in ports:
        _refuse(f"port {port} is not open to fetches")
    host, address = _host(authority[1])
    path = quote(parts[3] or "/", safe=_KEPT) + quote(parts[4] or "", safe=_KEPT)
    return Target(scheme, host, port, path, address)


def join(base: str, reference: str) -> str:
    """Where `reference`, as a page or a redirect says it, leads from `base`. Raises `CallFailed` (rejected)."""
    _check_characters(reference)
    try:
        return urljoin(base, reference)
    except ValueError:
        _refuse("a link that is not a URL")


def _check_characters(url: str) -> None:
    """Refuse what parsers are known to read differently: white space, controls, invisible characters, backslashes."""
    if len(url) > MAX_URL:
        _refuse(f"it is longer than {MAX_URL} characters")
    if any(char.isspace() or char == "\\" or not char.isprintable() for char in url):
        _refuse("white space, control characters and backslashes must be percent-encoded")


def _host(said: str) -> tuple[str, IPv4Address | IPv6Address | None]:
    """The host in ASCII, and as an address when it is one; short, octal, hex and one-number addresses are refused."""
    if said.startswith("["):
        try:
            six = IPv6Address(said[1:-1])
        except ValueError:
            _refuse("what stands in brackets is not an IPv6 address")
        return str(six), six
    name = _ascii(said).lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            four = IPv4Address(name)
        except ValueError:
            _refuse("an IPv4 address is four decimal numbers")
        return str(four), four
    if len(name) > MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse("the host is not a name that can be looked up")
    return name, None


def _ascii(host: str) -> str:
    """The host as name servers know it (RFC 5891)."""
    if host.isascii():
        return host
    import httpx2

    if len(host) <= MAX_HOST:  # encoding takes time that grows with the square of the length
        try:
            return httpx2.URL(f"https://{host}/").raw_host.decode("ascii")
        except (httpx2.InvalidURL, UnicodeError):
            pass
    _refuse("the host is not a valid international name")


def _refuse(why: str) -> NoReturn:
    raise CallFailed(FailureKind.REJECTED, f"This URL cannot be fetched: {why}.", happened=False)
