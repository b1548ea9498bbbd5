"""Models behind the chat completions protocol: OpenAI, and every server that speaks the same."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bridle.models.chat_errors import MAX_ERROR_BYTES, REFUSED_CODES, failure_of, read_error, retry_after
from bridle.models.chat_wire import Encoder, OutputLimit, read_reply
from bridle.models.port import PolicyNotPinned
from bridle.rules.call import marks
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import MILLIS_PER_SECOND, Millis
from bridle.rules.prompt import Finish, ModelReply, ModelRequest, is_pinned
from bridle.rules.strict_json import Json

if TYPE_CHECKING:
    import httpx2

OPENAI_URL = "https://api.openai.com/v1"
MAX_REPLY_BYTES = 4_000_000
MIN_SECRET = 8  # characters
MAX_CONNECTIONS = 512
MAX_IDLE_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is, and how it is spoken to.

    `base_url` ends before /chat/completions. With `needs_key`, a request without a key is not sent. `extra` are
    further fields of the protocol, the same in every request. `trust_env` lets HTTPS_PROXY and the like redirect
    requests, and is off by default: an environment variable should not choose who reads prompts and keys.
    """

    base_url: str = OPENAI_URL
    needs_key: bool = True
    output_limit: OutputLimit = OutputLimit.MAX_COMPLETION_TOKENS
    extra: Mapping[str, Json] = field(default_factory=dict)
    trust_env: bool = False
    secret: str = ""  # the name of its key, for who has to set it


class OpenAICompatible:
    """One model of one endpoint, asked without retries; safe for many requests at once in one event loop.

    `key` is asked before each request and its answer is kept nowhere. `clock` is needed only for a Retry-After that
    is a date from a server without a clock of its own.
    """

    def __init__(
        self,
        name: str,
        model: str,
        *,
        key: Callable[[], str | None],
        endpoint: Endpoint = Endpoint(),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        import httpx2

        self.name = name
        self._model = model
        self._key = key
        self._endpoint = endpoint
        self._clock = clock
        self._encoder = Encoder()
        self._url = f"{endpoint.base_url.rstrip('/')}/chat/completions"
        limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS)
        self._client = httpx2.AsyncClient(
            timeout=None,  # the one deadline is below, around everything
            limits=limits,
            trust_env=endpoint.trust_env,
            follow_redirects=False,
        )

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        """Ask once; see `Model.complete`. Raises `PolicyNotPinned` instead of sending a request without its policy."""
        outcome = await self._within(request, timeout)
        if isinstance(outcome, CallFailed):
            raise outcome.with_traceback(None)  # without the client's own error and frames, which hold the key
        return outcome

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _within(self, request: ModelRequest, limit: Millis) -> ModelReply | CallFailed:
        import httpx2

        headers = self._headers()
        if isinstance(headers, CallFailed):
            return headers
        if limit <= 0:
            return CallFailed(FailureKind.TIMEOUT, "no time was left to ask the model", happened=False)
        try:
            async with asyncio.timeout(limit / MILLIS_PER_SECOND):
                return await self._sent(request, headers | marks(request))
        except (TimeoutError, httpx2.TimeoutException):
            return CallFailed(FailureKind.TIMEOUT, f"no complete answer of the model within {limit:,} ms")
        except (httpx2.ConnectError, httpx2.ProxyError, httpx2.UnsupportedProtocol) as error:
            return _unreachable("cannot be reached", error, happened=False)
        except (httpx2.HTTPError, OSError) as error:
            return _unreachable("broke the connection off", error, happened=None)
        except CallFailed as failure:
            return failure

    def _headers(self) -> dict[str, str] | CallFailed:
        headers = {"accept": "application/json", "accept-encoding": "identity", "content-type": "application/json"}
        key = self._key()
        if not key and self._endpoint.needs_key:
            missing = f"no {self._endpoint.secret}" if self._endpoint.secret else "none"
            return _no_credentials(f"{self.name} needs a key and there is {missing}")
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            return _no_credentials(f"the key of {self.name} has characters that no key has; a newline at its end?")
        return headers | {"authorization": f"Bearer {key}"} if key else headers

    async def _sent(self, request: ModelRequest, headers: Mapping[str, str]) -> ModelReply:
        """Send and read; the last function before the socket."""
        if not is_pinned(request):
            raise PolicyNotPinned(self.name)
        body = self._encoder.body(self._model, request, self._endpoint.output_limit, self._endpoint.extra)
        self._client.cookies.clear()  # a server's cookie would tie the next tenant's request to this one
        async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
            if response.is_success:
                raw = _without_key(await _read(response), headers)
                return read_reply(raw, request.offers, max_bytes=MAX_REPLY_BYTES)
            said = read_error(_without_key(await _read_start(response), headers))
            if response.status_code == 400 and said.code in REFUSED_CODES:
                return ModelReply("", finish=Finish.REFUSED)
            raise failure_of(response.status_code, said, retry_after(response.headers, self._clock()))


async def _read(response: "httpx2.Response") -> bytes:
    """The whole body, or `CallFailed` as soon as it is larger than anything a model writes."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):  # we did not ask for it, and a few bytes of it may unfold to gigabytes
        raise CallFailed(FailureKind.INVALID_OUTPUT, "the answer of the model is compressed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise CallFailed(FailureKind.INVALID_OUTPUT, f"the answer of the model is over {MAX_REPLY_BYTES:,} bytes")
    return bytes(body)


async def _read_start(response: "httpx2.Response") -> bytes:
    """The first bytes of an error's body: it explains, but nothing depends on it."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= MAX_ERROR_BYTES:
            break
    return bytes(body[:MAX_ERROR_BYTES])


def _without_key(raw: bytes, headers: Mapping[str, str]) -> bytes:
    """What a server said, without the key if it repeats it; a shorter key is a word, and no secret."""
    key = headers.get("authorization", "").removeprefix("Bearer ").encode()
    return raw.replace(key, b"[key]") if len(key) >= MIN_SECRET else raw


def _unreachable(what: str, error: Exception, *, happened: bool | None) -> CallFailed:
    return CallFailed(FailureKind.UNAVAILABLE, f"the model's server {what} ({type(error).__name__})", happened=happened)


def _no_credentials(what: str) -> CallFailed:
    return CallFailed(FailureKind.CREDENTIALS, what, happened=False)
