"""A local server that speaks chat completions over plain HTTP/1.1, with every fault that a bad day has.

    async with provider(faults=[Fault.RATE_LIMITED_SECONDS]) as far_end:
        ...  # ask far_end.base_url
        assert len(far_end.requests) == 1

The first request gets the first fault, and so on; when the faults are used up, the answers are healthy. Everything it
was asked stands in `requests`: that is the oracle of what crossed the wire, written by the far end and not by bridle.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

DRIP_SECONDS = 0.005  # between two bytes of a slow drip; it ends when the server closes
MAX_HEAD = 65_536
REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests"}


class How(Enum):
    """How an answer is put on the wire."""

    WHOLE = auto()
    NEVER = auto()  # nothing at all, and the connection stays open
    HEAD_ONLY = auto()  # status and headers, then silence
    DRIP = auto()  # a byte now and then, for ever
    NEVER_CLOSES = auto()  # the whole body without a length, and the connection stays open
    CUT = auto()  # half of the body, then the connection is closed
    RESET = auto()  # the connection is closed before anything is said


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, object]:
        parsed: dict[str, object] = json.loads(self.raw)
        return parsed


@dataclass(frozen=True)
class Answer:
    """One answer, byte for byte."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    how: How = How.WHOLE


def chat(text: str | None = "done", **other: object) -> dict[str, object]:
    """A healthy answer as JSON; `other` replaces fields of the message, or `finish_reason` and `usage`."""
    finish = other.pop("finish_reason", "stop")
    usage = other.pop("usage", {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25})
    message = {"role": "assistant", "content": text, "refusal": None, **other}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def wish(name: str = "kb__read", arguments: str = '{"doc":"a"}', own: str = "call_1") -> dict[str, object]:
    """A tool call as a model writes it."""
    return {"id": own, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    """An answer of JSON; an underscore in a header's name stands for a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(json.dumps(body).encode(), status, {"content-type": "application/json", **named})


def error(status: int, code: str | None = None, message: str = "no", **headers: str) -> Answer:
    """An error as OpenAI writes it."""
    return answer({"error": {"message": message, "type": "some_error", "param": None, "code": code}}, status, **headers)


def calling(*wishes: object) -> Answer:
    """An answer that calls tools."""
    return answer(chat(None, tool_calls=list(wishes), finish_reason="tool_calls"))


_LATER = "Wed, 21 Oct 2026 07:28:07 GMT"
_NOW = "Wed, 21 Oct 2026 07:28:00 GMT"
_WHOLE = json.dumps(chat()).encode()
_HTML = b"<!DOCTYPE html><html><body>Bad gateway, but with style</body></html>"
_PADDED = json.dumps(chat("x" * 8_000_000)).encode()


class Fault(Enum):
    """What can be wrong with an answer; the value is the answer."""

    NONE = Answer(_WHOLE)
    RATE_LIMITED = error(429, "rate_limit_exceeded")
    RATE_LIMITED_SECONDS = error(429, "rate_limit_exceeded", retry_after="7")
    RATE_LIMITED_MILLIS = error(429, "rate_limit_exceeded", retry_after_ms="7000", retry_after="9")
    RATE_LIMITED_DATE = error(429, "rate_limit_exceeded", retry_after=_LATER, date=_NOW)
    RATE_LIMITED_NONSENSE = error(429, "rate_limit_exceeded", retry_after="soon")
    RATE_LIMITED_FOR_YEARS = error(429, "rate_limit_exceeded", retry_after="999999999999")
    NO_CREDIT = error(429, "insufficient_quota")
    SERVER_ERROR = error(500)
    BAD_GATEWAY = Answer(_HTML, 502, {"content-type": "text/html"})
    OVERLOADED = error(503, retry_after="2")
    UNAUTHORIZED = error(401, "invalid_api_key", "Incorrect API key provided: sk-canary-1")
    FORBIDDEN = error(403)
    UNKNOWN_MODEL = error(404, "model_not_found")
    TOO_LONG = error(400, "context_length_exceeded", "This model's maximum context length is 8192 tokens.")
    BAD_REQUEST = error(400, "invalid_value", "Unknown parameter.")
    FILTERED = error(400, "content_filter")
    REDIRECT = Answer(b"", 307, {"location": "/elsewhere"})
    NEVER_ANSWERS = Answer(_WHOLE, how=How.NEVER)
    HEAD_ONLY = Answer(_WHOLE, how=How.HEAD_ONLY)
    SLOW_DRIP = Answer(_WHOLE, how=How.DRIP)
    SLOW_ERROR = Answer(b"x" * 100, 500, how=How.DRIP)
    NEVER_CLOSES = Answer(_WHOLE, how=How.NEVER_CLOSES)
    CUT_OFF = Answer(_WHOLE, how=How.CUT)
    RESET = Answer(how=How.RESET)
    TRUNCATED_JSON = Answer(_WHOLE[: len(_WHOLE) // 2])
    EMPTY_BODY = Answer(b"")
    HTML = Answer(_HTML, 200, {"content-type": "text/html"})
    INVALID_UTF8 = Answer(_WHOLE.replace(b"done", b"d\xff\xfee"))
    LONE_SURROGATE = Answer(_WHOLE.replace(b"done", b"\\ud800"))
    NUL = Answer(_WHOLE.replace(b"done", b"\\u0000"))
    NOT_A_NUMBER = Answer(_WHOLE.replace(b"20", b"NaN"))
    TOO_LARGE_A_NUMBER = Answer(_WHOLE.replace(b"20", b"1e999"))
    FIVE_THOUSAND_DIGITS = Answer(_WHOLE.replace(b"20", b"9" * 5_000))
    TOO_DEEP = Answer(b"[" * 100_000 + b"]" * 100_000)
    DUPLICATE_KEYS = Answer(_WHOLE.replace(b'"usage":', b'"model": "other", "usage":'))
    HUGE = Answer(_PADDED)
    COMPRESSED = Answer(_WHOLE, headers={"content-encoding": "gzip"})
    ERROR_INSIDE = answer({"error": {"message": "upstream is down", "code": 502}})
    NO_CHOICES = answer({"id": "x", "choices": []})
    NO_MESSAGE = answer({"choices": [{"finish_reason": "stop"}]})
    TEXT_IS_A_NUMBER = answer(chat("x", content=42))
    CALL_WITHOUT_NAME = calling({"id": "call_1", "type": "function", "function": {"arguments": "{}"}})
    MALFORMED_ARGUMENTS = calling(wish(arguments='{"doc": "a'))
    UNKNOWN_TOOL = calling(wish("rm__rf"))
    LOOK_ALIKE = calling(wish("kb__re\u0430d"))  # a Cyrillic a
    DUPLICATE_IDS = calling(wish(), wish(arguments='{"doc":"b"}'))
    MANY_CALLS = calling(*(wish(own=f"call_{i}") for i in range(64)))
    EMPTY_ANSWER = answer(chat(""))
    REFUSAL = answer(chat(None, refusal="I will not."))
    STOPPED_BY_FILTER = answer(chat("half of", finish_reason="content_filter"))
    OUT_OF_TOKENS = answer(chat("half of", finish_reason="length"))
    NO_USAGE = answer(chat(usage=None))
    NEGATIVE_USAGE = answer(chat(usage={"prompt_tokens": -20, "completion_tokens": 5}))
    USAGE_ABOVE_BOUND = answer(chat(usage={"prompt_tokens": 10**9, "completion_tokens": 10**9}))
    ABSURD_USAGE = Answer(_WHOLE.replace(b"20", b"9" * 300))


Plan = Callable[[int, Asked], Answer | Fault]


@dataclass
class Provider:
    """What a test sees of the far end."""

    base_url: str = ""
    requests: list[Asked] = field(default_factory=list)
    connections: int = 0
    plan: Plan = lambda number, asked: Fault.NONE
    arrived: asyncio.Event = field(default_factory=asyncio.Event)  # the first request is there
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection in a task of our own, so that it can be ended with the server."""
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """End every connection."""
        self.closing.set()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # in which the loop closes the sockets

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        goes_on = True
        try:
            while goes_on and not self.closing.is_set():
                asked = await _read(reader)
                self.requests.append(asked)
                self.arrived.set()
                planned = self.plan(len(self.requests), asked)
                goes_on = await self._write(writer, planned.value if isinstance(planned, Fault) else planned)
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone: what was sent to it is not needed any more
        finally:
            if not writer.is_closing():
                writer.transport.abort()

    async def _write(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        """Put one answer on the wire; False when this connection is over."""
        has_length = answer.how not in (How.NEVER_CLOSES, How.DRIP)
        length = {"content-length": str(len(answer.body))} if has_length else {}
        fields = "".join(f"{name}: {value}\r\n" for name, value in {**answer.headers, **length}.items())
        head = f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Other')}\r\n{fields}\r\n".encode()
        match answer.how:
            case How.WHOLE:
                writer.write(head + answer.body)
                await writer.drain()
                return True
            case How.CUT:
                writer.write(head + answer.body[: len(answer.body) // 2])
                await writer.drain()
            case How.RESET:
                pass
            case How.DRIP:
                writer.write(head)
                while not await self._closes_within(DRIP_SECONDS):
                    writer.write(b" ")
                    await writer.drain()
            case How.NEVER | How.HEAD_ONLY | How.NEVER_CLOSES:
                writer.write({How.NEVER: b"", How.HEAD_ONLY: head}.get(answer.how, head + answer.body))
                await self.closing.wait()
        return False

    async def _closes_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)
        return self.closing.is_set()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(request.split(" ")[1], headers, raw)


@contextlib.asynccontextmanager
async def provider(faults: Sequence[Answer | Fault] = (), plan: Plan | None = None) -> AsyncIterator[Provider]:
    """Serve on a free port of 127.0.0.1; `plan` chooses each answer by (number from 1, request) instead of `faults`."""

    def in_order(number: int, asked: Asked) -> Answer | Fault:
        return faults[number - 1] if number <= len(faults) else Fault.NONE

    far_end = Provider(plan=plan or in_order)
    server = await asyncio.start_server(far_end.serve, "127.0.0.1", 0, limit=MAX_HEAD)
    far_end.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield far_end
    finally:
        server.close()
        await far_end.end()
        await server.wait_closed()
