"""The chat completions protocol as bytes: requests written, answers and errors read, nothing sent.

Protocol: https://platform.openai.com/docs/api-reference/chat (POST /chat/completions, without streaming).
"""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache

from bridle.models.chat_errors import error_inside
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.prompt import Finish, Message, ModelReply, ModelRequest, Role, ToolOffer, ToolUse, Usage
from bridle.rules.strict_json import BadJson, Json, parse

MAX_CACHED_BYTES = 16_000_000  # of encoded messages; more than any context window holds
MAX_COUNT = 10**12  # tokens; what a provider counts beyond that is cut to it, so that money stays a 64-bit integer
MAX_NAME = 64  # characters of a function's name
MAX_DEPTH = 64
REPLY = "the answer of the model"

_LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FINISHES = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.REFUSED,
    "refusal": Finish.REFUSED,
}


class OutputLimit(StrEnum):
    """The field that bounds the output: newer OpenAI models know only the first, most other servers only the second."""

    MAX_COMPLETION_TOKENS = "max_completion_tokens"
    MAX_TOKENS = "max_tokens"


# ---- names of tools


def wire_name(tool: str) -> str:
    """A tool's name as the protocol takes it (letters, digits, _ and -): kb.read becomes kb__read.

    A name that two underscores would make ambiguous, or that is not legal otherwise, ends in its own digest.
    """
    if _LEGAL_NAME.fullmatch(tool) and "__" not in tool:
        return tool
    dotted = tool.replace(".", "__")
    if _LEGAL_NAME.fullmatch(dotted) and dotted.replace("__", ".") == tool:
        return dotted
    digest = hashlib.sha256(tool.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9-]+', '_', tool)[:40]}__{digest}"


def own_name(name: str, offers: Iterable[ToolOffer]) -> str:
    """The tool that a model means; a name that stands for nothing comes back as it is, for the gateway to judge."""
    offered = {offer.name for offer in offers}
    if name in offered or len(name) > MAX_NAME:
        return name
    named = {wire_name(tool): tool for tool in offered}
    dotted = name.replace("__", ".")
    return named.get(name, dotted if wire_name(dotted) == name else name)


# ---- requests


class Encoder:
    """Writes requests; a message is encoded once, however many requests it stands in."""

    def __init__(self, max_cached_bytes: int = MAX_CACHED_BYTES) -> None:
        self._encoded: OrderedDict[Message, bytes] = OrderedDict()
        self._room = max_cached_bytes
        self._room_for_one = max_cached_bytes // 16

    def body(self, model: str, request: ModelRequest, limit: OutputLimit, extra: Mapping[str, Json]) -> bytes:
        """The body of a request to `model`; `extra` are fields of the protocol that ModelRequest does not have."""
        head = {"model": model, limit.value: request.max_output, **extra}
        parts = [_json(head)[:-1], b',"messages":[', b",".join(map(self._message, request.messages)), b"]"]
        if request.offers:
            parts += [b',"tools":[', b",".join(map(_offer, request.offers)), b"]"]
        return b"".join((*parts, b"}"))

    def _message(self, message: Message) -> bytes:
        encoded = self._encoded.get(message)
        if encoded is not None:
            self._encoded.move_to_end(message)
            return encoded
        encoded = _message(message)
        if len(encoded) <= self._room_for_one:
            self._encoded[message] = encoded
            self._room -= len(encoded)
        while self._room < 0:
            self._room += len(self._encoded.popitem(last=False)[1])
        return encoded


def _message(message: Message) -> bytes:
    wire: dict[str, Json] = {"role": message.role.value, "content": message.text}
    if message.role is Role.TOOL:
        wire["tool_call_id"] = message.answers
    if message.uses:
        wire["content"] = message.text or None
        wire["tool_calls"] = [
            {"id": use.id, "type": "function", "function": {"name": wire_name(use.name), "arguments": use.arguments}}
            for use in message.uses
        ]
    return _json(wire)


@lru_cache(maxsize=1_024)
def _offer(offer: ToolOffer) -> bytes:
    head = _json({"name": wire_name(offer.name), "description": offer.description})[:-1]
    parameters = (offer.parameters or '{"type":"object","properties":{}}').encode()
    return b'{"type":"function","function":' + head + b',"parameters":' + parameters + b"}}"


def _json(value: Mapping[str, Json]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


# ---- answers


def read_reply(raw: bytes, offers: Iterable[ToolOffer], *, max_bytes: int) -> ModelReply:
    """What a model answered. Raises `CallFailed`: INVALID_OUTPUT with the path, or what an error inside a 200 says."""
    try:
        body = _object(parse(raw, max_bytes=max_bytes, max_depth=MAX_DEPTH), "$")
    except BadJson as error:
        raise CallFailed(FailureKind.INVALID_OUTPUT, f"{REPLY} {error}") from None
    if body.get("error") and not body.get("choices"):
        raise error_inside(body)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _misshapen("$.choices", "a list with one choice", choices)
    choice = _object(choices[0], "$.choices[0]")
    where = "$.choices[0].message"
    message = _object(choice.get("message"), where)
    finish, refusal = choice.get("finish_reason"), _text(message.get("refusal"), f"{where}.refusal")
    uses = _uses(message.get("tool_calls"), f"{where}.tool_calls", tuple(offers))
    text, usage = _text(message.get("content"), f"{where}.content"), _usage(body.get("usage"))
    ended = _FINISHES.get(finish) if isinstance(finish, str) else None
    if ended is Finish.REFUSED or (refusal and not text and not uses):
        return ModelReply(text or refusal, (), usage, Finish.REFUSED)
    if ended is Finish.LENGTH:
        return ModelReply(text, uses, usage, Finish.LENGTH)
    return ModelReply(text, uses, usage, Finish.TOOL_CALLS if uses else Finish.STOP)


def _uses(calls: Json, where: str, offers: tuple[ToolOffer, ...]) -> tuple[ToolUse, ...]:
    if calls is None:
        return ()
    if not isinstance(calls, list):
        raise _misshapen(where, "a list", calls)
    return tuple(_use(call, f"{where}[{at}]", offers) for at, call in enumerate(calls))


def _use(call: Json, where: str, offers: tuple[ToolOffer, ...]) -> ToolUse:
    wish = _object(call, where)
    function = _object(wish.get("function"), f"{where}.function")
    name, arguments, given = function.get("name"), function.get("arguments"), wish.get("id")
    if not isinstance(name, str):
        raise _misshapen(f"{where}.function.name", "text", name)
    if isinstance(arguments, dict):  # some servers send the object itself
        arguments = _json(arguments).decode()
    text = _text(arguments, f"{where}.function.arguments")
    return ToolUse(given if isinstance(given, str) else "", own_name(name, offers), text)


def _usage(usage: Json) -> Usage | None:
    """None unless both counts are there: then the whole hold is settled, which is never too little."""
    if not isinstance(usage, dict):
        return None
    tokens_in, tokens_out = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if tokens_in is None or tokens_out is None:
        return None
    total = _count(usage.get("total_tokens")) or 0  # some servers count reasoning only here
    return Usage(tokens_in, max(tokens_out, total - tokens_in))


def _count(number: Json) -> int | None:
    return min(number, MAX_COUNT) if type(number) is int and number >= 0 else None


def _object(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _misshapen(where, "an object", value)
    return value


def _text(value: Json, where: str) -> str:
    if value is not None and not isinstance(value, str):
        raise _misshapen(where, "text", value)
    return value or ""


def _misshapen(where: str, wanted: str, found: Json) -> CallFailed:
    kind = "nothing" if found is None else "an empty list" if found == [] else type(found).__name__
    return CallFailed(FailureKind.INVALID_OUTPUT, f"{REPLY} has {kind} at {where}, not {wanted}")
