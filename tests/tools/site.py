"""A web site on loopback that misbehaves on demand, and ways to fetch from it.

What each path answers is a list of bytes and pauses.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from bridle.rules.failure import CallFailed
from bridle.tools.http_get import Fetcher, Page

PAUSE = b"pause"  # one hundredth of a second, or until the site closes
FOREVER = b"forever"
RESET = b"reset"


def answer(body: bytes = b"", status: str = "200 OK", kind: str = "text/plain", **headers: str) -> list[bytes]:
    """A complete answer; a header is written with _ for -, and content_length="" leaves that one out."""
    said = {"content-type": kind, "content-length": str(len(body))}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in said.items() if value)
    return [f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body]


@dataclass
class Site:
    """The site while it runs; `requests` are the heads of all requests, as they came."""

    answers: Mapping[str, Sequence[bytes]]
    port: int = 0
    requests: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)  # what each TLS client asked for
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.requests.append(head)
            for piece in self.answers.get(head.split(" ")[1], answer(status="404 Not Found")):
                await self.send(writer, piece)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    async def send(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        if piece in (PAUSE, FOREVER):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), 0.01 if piece == PAUSE else None)
        elif piece == RESET:
            writer.transport.abort()
        else:
            writer.write(piece)
            await writer.drain()


@contextlib.asynccontextmanager
async def serving(answers: Mapping[str, Sequence[bytes]], tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    """Serve `answers`, by path, on a free port of 127.0.0.1; a path may be added while it runs."""
    site = Site(answers)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(site.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if tls:
        tls.sni_callback = lambda _socket, name, _context: site.names.append(name)
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        site.closing.set()
        for _ in range(5):  # whoever was let in a moment ago has his task by then
            await asyncio.sleep(0)
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await server.wait_closed()


class Names:
    """A name server that counts, and answers the next address each time it is asked for the same name."""

    def __init__(self, **addresses: Sequence[str]) -> None:
        self.addresses = {name.replace("_", "."): list(found) for name, found in addresses.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        found = self.addresses[host]
        return found[:1] if len(found) == 1 else [found.pop(0)]


def fetcher(site: Site, *, max_bytes: int = 100_000, timeout_ms: int = 5_000, names: Names | None = None) -> Fetcher:
    return Fetcher(
        https_only=False,
        max_bytes=max_bytes,
        timeout_ms=timeout_ms,
        resolve=names or Names(pinned_test=["127.0.0.1"]),
        allow_private={"127.0.0.1"},
        ports=frozenset({site.port}),
    )


async def get(*pieces: bytes, path: str = "/", max_bytes: int = 100_000, timeout_ms: int = 5_000) -> Page:
    """The page that a site makes of `pieces`."""
    async with serving({path: pieces}) as site:
        return await fetcher(site, max_bytes=max_bytes, timeout_ms=timeout_ms).get(site.root + path)


async def failure(*pieces: bytes, max_bytes: int = 100_000, timeout_ms: int = 5_000) -> CallFailed:
    """How fetching what a site makes of `pieces` fails, after exactly one request."""
    async with serving({"/": pieces}) as site:
        with pytest.raises(CallFailed) as caught:
            await fetcher(site, max_bytes=max_bytes, timeout_ms=timeout_ms).get(site.root + "/")
        assert len(site.requests) <= 1, "the gateway is the one owner of retries"
    return caught.value
