"""What a model is sent: a pinned segment that nothing displaces, then a conversation that is sized as it grows."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from msgspec.json import Encoder

from bridle.rules.data import changed, data
from bridle.rules.names import Digest

OVERHEAD_OF_MESSAGE = 64  # bytes: what a provider may wrap around one message, in tokens at their dearest
FINALISE_CONTEXT = 8_000  # tokens of the last request of a run; older observations give way to fit it
FINALISE_OUTPUT = 512  # tokens of the last reply
BYTES_PER_TOKEN = 3  # only to judge whether a prompt fits a window; money is reserved at one byte a token
LEFT_OUT = "[left out to make room; call the tool again if this is needed]"

_encode = Encoder().encode  # texts as bytes that no other texts make; only ever hashed


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Finish(StrEnum):
    """Why a model stopped writing (the values of OpenAI's `finish_reason` that matter, and `refused`)."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"
    REFUSED = "refused"


@data
class ToolUse:
    """A model's wish to call a tool. `arguments` is the text it wrote, not parsed and not trusted."""

    id: str
    name: str
    arguments: str


@data
class Message:
    """One message of a conversation; `answers` is the id of the tool use that a tool message answers."""

    role: Role
    text: str
    uses: tuple[ToolUse, ...] = ()
    answers: str = ""

    @property
    def size(self) -> int:
        """UTF-8 bytes and overhead: an upper bound of its tokens, for each token covers at least one byte."""
        size = _size_in_bytes(self.text) + OVERHEAD_OF_MESSAGE
        for use in self.uses:
            size += _size_in_bytes(use.arguments) + _size_in_bytes(use.name) + OVERHEAD_OF_MESSAGE
        return size


class ToolOffer(NamedTuple):
    """A tool as a model is shown it; `parameters` is its JSON Schema as canonical JSON.

    A tuple, because a set of offers is looked up by its value with every request.
    """

    name: str
    description: str
    parameters: str

    @property
    def size(self) -> int:
        """As of a message."""
        return (
            len(self.description.encode())
            + len(self.parameters.encode())
            + len(self.name.encode())
            + OVERHEAD_OF_MESSAGE
        )


@data
class ModelRequest:
    """One request to a model. `size` bounds its input tokens, `max_output` its output tokens.

    `attempt` counts from 1, and `key` is the same for every attempt of a call and different for any other call: what
    a client should send as `X-Bridle-Attempt` and `Idempotency-Key` (`bridle.rules.call.marks`).
    """

    model: str
    messages: tuple[Message, ...]
    offers: tuple[ToolOffer, ...]
    max_output: int
    pinned: str
    size: int
    digest: Digest
    attempt: int = 1
    key: str = ""

    def marked(self, attempt: int, key: str) -> "ModelRequest":
        """The same request as one attempt of a call."""
        return changed(self, attempt=attempt, key=key)


@data
class Usage:
    """Tokens as the provider counted them; cached ones are part of `tokens_in`."""

    tokens_in: int
    tokens_out: int


@data
class ModelReply:
    """What a model answered. `usage` is None when the provider did not say."""

    text: str
    uses: tuple[ToolUse, ...] = ()
    usage: Usage | None = None
    finish: Finish = Finish.STOP


@data
class Prompt:
    """A conversation below its pinned segment. Adding a message costs the message, not the conversation."""

    pinned: str
    messages: tuple[Message, ...] = ()
    note: str = ""  # also pinned: what the run wants the model to know now
    size: int = 0
    digest: bytes = b""

    def with_message(self, message: Message) -> "Prompt":
        """This conversation and one more message. Only the pinned segment speaks as the system."""
        assert message.role is not Role.SYSTEM, "a system message below the pinned segment would speak for the policy"
        messages, size = (*self.messages, message), self.size + message.size
        return changed(self, messages=messages, size=size, digest=_chained(self.digest, message))

    def with_note(self, note: str) -> "Prompt":
        """This conversation with another pinned note."""
        return changed(self, note=note)

    @property
    def _system(self) -> Message:
        return _speaking(self.pinned, self.note)

    def fitted(self, context_tokens: int) -> "Prompt | None":
        """This conversation in a window: the oldest observations give way first, the pinned segment never.

        Returns None when even the pinned segment, the task and the newest message do not fit.
        """
        room = context_tokens * BYTES_PER_TOKEN - self._system.size
        if self.size <= room:
            return self
        messages, size = list(self.messages), self.size
        for i, message in enumerate(messages[:-1]):
            if message.role is Role.TOOL and _size_in_bytes(message.text) > len(LEFT_OUT):
                messages[i] = Message(message.role, LEFT_OUT, message.uses, message.answers)
                size += messages[i].size - message.size
            if size <= room:
                return _rebuilt(self, messages)
        return None

    def request(self, model: str, offers: Sequence[ToolOffer], max_output: int) -> ModelRequest:
        """The request as it will be sent."""
        system = self._system
        shown = tuple(offers)
        head = _encode((model, system.text, max_output, _digest_of(shown)))
        size = self.size + system.size + _size_of(shown)
        digest = Digest(hashlib.blake2b(self.digest + head, digest_size=16).hexdigest())
        return ModelRequest(model, (system, *self.messages), shown, max_output, self.pinned, size, digest)


def is_pinned(request: ModelRequest) -> bool:
    """Whether the pinned segment stands first, byte for byte, and the newest message does not speak as the system.

    Asked by the last function before the socket. Older messages were the newest of an earlier request.
    """
    messages = request.messages
    return (
        bool(messages)
        and messages[0].role is Role.SYSTEM
        and messages[0].text.startswith(request.pinned)
        and (len(messages) == 1 or messages[-1].role is not Role.SYSTEM)
    )


@lru_cache(maxsize=1_024)
def _speaking(pinned: str, note: str) -> Message:
    return Message(Role.SYSTEM, f"{pinned}\n\n{note}" if note else pinned)


@lru_cache(maxsize=1_024)
def _size_of(offers: tuple[ToolOffer, ...]) -> int:
    return sum(offer.size for offer in offers)


def _size_in_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _chained(before: bytes, message: Message) -> bytes:
    return hashlib.blake2b(before + _encode(message), digest_size=32).digest()


@lru_cache(maxsize=1_024)
def _digest_of(offers: tuple[ToolOffer, ...]) -> str:
    return hashlib.sha256(_encode(offers)).hexdigest()


def _rebuilt(prompt: Prompt, messages: Sequence[Message]) -> Prompt:
    digest, size = b"", 0
    for message in messages:
        digest, size = _chained(digest, message), size + message.size
    return Prompt(prompt.pinned, tuple(messages), prompt.note, size, digest)
