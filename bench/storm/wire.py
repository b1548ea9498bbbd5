"""Between processes: a message is its length and a pickle, over a Unix socket that only this storm knows."""

import asyncio
import pickle
from dataclasses import dataclass

from bridle.rules.failure import FailureKind
from bridle.rules.names import Millis

SIZE = 8  # bytes of a length
BACKLOG = 4_096


@dataclass(frozen=True, slots=True)
class Hostile:
    """The name of a value that cannot be sent; who receives it makes it."""

    name: str


@dataclass(frozen=True, slots=True)
class Sent:
    """One request of a worker. `at` is in nanoseconds of the clock that all processes of a machine share."""

    worker: int
    at: int
    what: str
    given: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A failure, in the parts of a CallFailed."""

    kind: FailureKind
    message: str
    retry_after: Millis | None
    happened: bool | None


@dataclass(frozen=True, slots=True)
class Errand:
    """A user presses, or leaves: then `task` is -1."""

    number: int
    task: int
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What he is told. Without a reason the run is open: it waits, or nobody could start it."""

    number: int
    run: str = ""
    reason: str = ""
    head: str = ""
    approval: str = ""
    raised: str = ""
    is_out: bool = False  # the journal was out of reach


async def send(writer: asyncio.StreamWriter, message: object) -> None:
    """One message."""
    body = pickle.dumps(message)
    writer.write(len(body).to_bytes(SIZE, "big") + body)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> object:
    """The next message. Raises EOFError (IncompleteReadError) when the other side is gone."""
    size = int.from_bytes(await reader.readexactly(SIZE), "big")
    return pickle.loads(await reader.readexactly(size))
