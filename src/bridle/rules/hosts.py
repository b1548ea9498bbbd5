"""Hosts of URLs, read so strictly that two readers cannot see two hosts in one text."""

import re
from collections.abc import Collection

_URL = re.compile(r"(https?)://([^/?#\\\s]*)([/?#][^\\\s]*)?", re.IGNORECASE)
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PORT = re.compile(r":[0-9]{1,5}")


def host_of(url: str) -> str | None:
    """The registered name in an http or https URL, in small letters; None when it can be read in two ways.

    None for a user before the host, percent signs, backslashes, white space, signs outside of ASCII (RFC 3986 knows
    none), a name without a dot, and an IPv6 address. An internationalised name is its xn-- form.
    """
    found = _URL.fullmatch(url) if url.isascii() else None
    if found is None:
        return None
    host, _, port = found[2].partition(":")
    if port and not _PORT.fullmatch(f":{port}"):
        return None
    host = host.lower().removesuffix(".")
    return host if len(host) <= 253 and _HOST.fullmatch(host) else None


def is_among(host: str, listed: Collection[str]) -> bool:
    """Whether a host is on a list; `*.example.com` stands for every name below example.com, and not for itself."""
    if host in listed:
        return True
    labels = host.split(".")
    return any("*." + ".".join(labels[at:]) in listed for at in range(1, len(labels) - 1))


def is_pattern(text: str) -> bool:
    """Whether a text may stand on a list of hosts."""
    return bool(_HOST.fullmatch(text.removeprefix("*.")))
