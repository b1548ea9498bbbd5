"""The world of tier P: the same one, behind a socket; each call of a tool or a model is a connection to it."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.storm.ledger import Ledger
from bench.storm.plan import Plan
from bench.storm.tasks import Task
from bench.storm.wire import Failed, Hostile, Sent, receive, send
from bench.storm.world import Clock, World
from bridle.gateway.context import CallContext
from bridle.rules.events import CallAdmitted
from bridle.rules.failure import CallFailed
from bridle.rules.names import RunId
from bridle.rules.prompt import ModelReply, ModelRequest
from bridle.store.base import Store
from bridle.testing.hostile import HOSTILE


class Client:
    """The world, as a worker reaches it."""

    def __init__(self, socket: Path, number: int) -> None:
        self._socket, self._number = socket, number

    async def think(self, caller: object, request: ModelRequest) -> ModelReply:
        """Ask a model."""
        return await self._asked("think", request)  # type: ignore[return-value]  # as it came

    async def serve(self, caller: object, tool: str, args: Mapping[str, object], call: CallContext) -> object:
        """Call a tool."""
        return await self._asked("serve", tool, dict(args), call)

    async def probe(self, caller: object, tool: str, key: str) -> object:
        """Whether a write took effect."""
        return await self._asked("probe", tool, key)

    async def _asked(self, what: str, *given: object) -> object:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            await send(writer, Sent(self._number, time.monotonic_ns(), what, given))
            said = await receive(reader)
        except EOFError as error:
            raise ConnectionResetError("the connection broke after the request was sent") from error
        finally:
            writer.close()
        if isinstance(said, Failed):
            raise CallFailed(said.kind, said.message, retry_after=said.retry_after, happened=said.happened)
        return HOSTILE[said.name]() if isinstance(said, Hostile) else said


@dataclass(slots=True)
class Asker:
    """Who sent one request."""

    number: int
    at: int
    world: World

    def must_live(self) -> None:
        """What was sent was sent."""

    def stamp(self) -> int:
        """When it was sent."""
        return self.at


class FarWorld(World):
    """The world, as it is reached: it looks into the store itself before it believes that a call was admitted."""

    def __init__(self, seed: int, tasks: Mapping[int, Task], plan: Plan, clock: Clock, pace: float) -> None:
        super().__init__(seed, tasks, plan, clock, pace)
        self.ledger = Ledger(stamp=time.monotonic_ns)
        self.store: Store | None = None

    def hostile(self, name: str) -> object:
        """Its name."""
        return Hostile(name)

    async def answer(self, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, unless whoever asked hangs up."""
        work = asyncio.ensure_future(self._said(sent))
        hung_up = asyncio.ensure_future(reader.read(1))
        await asyncio.wait((work, hung_up), return_when=asyncio.FIRST_COMPLETED)
        hung_up.cancel()
        if not work.done():
            work.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):  # whoever hung up is not told
            await send(writer, await work)

    async def _said(self, sent: Sent) -> object:
        asker, what = Asker(sent.worker, sent.at, self), getattr(self, sent.what)
        if sent.what == "serve":
            await asyncio.sleep(0)  # who hung up at the same moment is seen first
        written, is_committed = len(self.ledger.lines), sent.what != "serve" or self._is_admitted(sent.given[2])
        try:
            return await what(asker, *sent.given)
        except CallFailed as failed:
            return Failed(failed.kind, failed.message, failed.retry_after, failed.happened)
        finally:
            if not is_committed:
                self.ledger.lines[written].is_committed = False

    def _is_admitted(self, call: object) -> bool:
        assert isinstance(call, CallContext)
        assert self.store is not None
        entries = reversed(self.store.journal(RunId(call.run)))
        return any(isinstance(entry.event, CallAdmitted) and entry.event.call == call.call for entry in entries)
