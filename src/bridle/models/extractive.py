"""The embedded model: it searches, reads and quotes, and it never writes a sentence of its own about the matter.

Deterministic and without a network. What it is and is not: docs/models.md.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bridle.models.quoting import CUT, Quotable, keywords, quotes, relevance
from bridle.rules.names import Millis
from bridle.rules.prompt import LEFT_OUT, Finish, Message, ModelReply, ModelRequest, Role, ToolOffer, ToolUse, Usage
from bridle.rules.strict_json import BadJson, Json, parse

MAX_SEARCHES = 2
MAX_READS = 3  # documents, read in one turn
MAX_TURNS = 4  # that ask for tools
MAX_QUERY_WORDS = 8
MAX_TEXT = 200_000  # characters of observations that are looked at, the newest first
MAX_DOC_NAME = 200  # characters
MAX_JSON = 2_000_000

_LOOKS = re.compile(r"(?:^|[^a-z])(?:read|search|find|get|fetch|lookup|query|open|show)(?:$|[^a-z])")
_TEXT_KEYS = ("text", "snippet", "excerpt", "content", "body", "passage")
_REFUSAL = "refused: "  # how the gateway's one line begins, when a call was not performed
_CUT = re.compile(r"\[\.\.\. [\d,]{1,20} bytes left out;[^\]]{0,200}\]\n?")  # the gateway's line in an excerpt
_FIELD = re.compile(r'"(doc|heading|text|snippet|excerpt|content|body|passage)":\s*"((?:[^"\\]|\\.)*+)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Lead:
    """A document that a search has named, with what the search showed of it."""

    doc: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a conversation holds so far."""

    task: str
    turns: int
    searched: tuple[str, ...]
    read: frozenset[str]
    hits: tuple[Lead, ...]
    passages: tuple[Quotable, ...]


class ExtractiveModel:
    """Searches with the task's key words, reads what looks best, answers with sentences that it found, each cited.

    It keeps no state: what it does next follows from the request. Tokens are counted as words.
    """

    name = "extractive"

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        """The next step of this conversation; see `Model.complete`. It takes no noticeable time."""
        seen = look_at(request.messages)
        uses = next_uses(seen, request.offers)
        text, finish = ("", Finish.TOOL_CALLS) if uses else _cut(answer(seen), request.max_output)
        written = _words(text) + sum(_words(use.arguments) for use in uses)
        read = sum(_words(message.text) for message in request.messages)
        return ModelReply(text, uses, Usage(read, min(written, request.max_output)), finish)

    async def aclose(self) -> None:
        """Nothing to give back."""


def next_uses(seen: Gathered, offers: Sequence[ToolOffer]) -> tuple[ToolUse, ...]:
    """The tools to use next; none when it is time to answer."""
    if seen.turns >= MAX_TURNS:
        return ()
    wanted = keywords(seen.task)
    search, read = _offer_with("query", offers), _offer_with("doc", offers)
    if search and wanted and not seen.hits and len(seen.searched) < MAX_SEARCHES:
        words = wanted[: MAX_QUERY_WORDS if not seen.searched else 2]
        query = " ".join(words)
        return () if query in seen.searched else (_use(search, seen.turns, 0, query),)
    if read and not seen.read:
        return tuple(_use(read, seen.turns, at, doc) for at, doc in enumerate(_best_docs(seen)))
    return ()


def answer(seen: Gathered) -> str:
    """Three to five sentences of what was observed, the most relevant first, each with its document."""
    found = quotes(seen.task, seen.passages)
    if not found:
        asked = " ".join(keywords(seen.task)[:MAX_QUERY_WORDS]) or "this"
        return f"I found nothing about {asked} in what I was given."
    return "\n".join(f"{sentence} [{source}]" for sentence, source in found)


def look_at(messages: Sequence[Message]) -> Gathered:
    """Read a conversation: the task, what was asked of tools, and what they showed."""
    uses = {use.id: use for message in messages for use in message.uses}
    observations = [
        m for m in messages if m.role is Role.TOOL and m.text != LEFT_OUT and not m.text.startswith(_REFUSAL)
    ]
    arguments = [_arguments(use) for use in uses.values()]
    hits: list[Lead] = []
    passages: list[Quotable] = []
    room = MAX_TEXT
    for message in reversed(observations):
        text = message.text[:room]
        room -= len(text)
        text = _CUT.sub(f" {CUT} ", text)
        asked = _arguments(uses[message.answers]) if message.answers in uses else {}
        found = _hits_of(text) or [Lead(asked.get("doc", ""), "", text)]
        if "query" in asked:
            hits[:0] = [hit for hit in found if hit.doc]
        cited = [Quotable(hit.text, hit.heading, _source(hit, asked, uses.get(message.answers))) for hit in found]
        passages[:0] = [passage for passage in cited if passage.text]
    return Gathered(
        task=next((message.text for message in messages if message.role is Role.USER), ""),
        turns=sum(bool(message.uses) for message in messages),
        searched=tuple(asked["query"] for asked in arguments if "query" in asked),
        read=frozenset(asked["doc"] for asked in arguments if "doc" in asked),
        hits=tuple(hits),
        passages=tuple(passages),
    )


# ---- tools


def _offer_with(parameter: str, offers: Sequence[ToolOffer]) -> ToolOffer | None:
    """The first tool that looks something up and needs nothing but this text; never one whose name is another verb."""
    return next((offer for offer in offers if _LOOKS.search(offer.name) and _takes_only(parameter, offer)), None)


def _takes_only(parameter: str, offer: ToolOffer) -> bool:
    schema = _json_of(offer.parameters)
    if not isinstance(schema, dict):
        return False
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return False
    taken = properties.get(parameter)
    return (
        isinstance(taken, dict)
        and taken.get("type", "string") == "string"
        and not set(map(str, required)) - {parameter}
    )


def _use(offer: ToolOffer, turn: int, at: int, value: str) -> ToolUse:
    parameter = "query" if _takes_only("query", offer) else "doc"
    return ToolUse(f"call_{turn}_{at}", offer.name, json.dumps({parameter: value}, ensure_ascii=False))


def _best_docs(seen: Gathered) -> list[str]:
    """Documents that searches named, by how relevant what they showed is; equal ones in the search's own order."""
    shown: dict[str, str] = {}
    for hit in seen.hits:
        if len(hit.doc) <= MAX_DOC_NAME:
            shown[hit.doc] = f"{shown.get(hit.doc, '')} {hit.heading} {hit.text}"
    scores = relevance(seen.task, list(shown.values()))
    ranked = sorted(zip(shown, scores, strict=True), key=lambda pair: -pair[1])
    return [doc for doc, _ in ranked[:MAX_READS]]


# ---- observations


def _json_of(text: str) -> Json:
    if text[:1] not in ("{", "["):
        return None
    try:
        return parse(text, max_bytes=MAX_JSON)
    except BadJson:
        return None


def _arguments(use: ToolUse) -> dict[str, str]:
    """The arguments that are text."""
    parsed = _json_of(use.arguments)
    return {key: value for key, value in parsed.items() if isinstance(value, str)} if isinstance(parsed, dict) else {}


def _hits_of(text: str) -> list[Lead]:
    value = _json_of(text)
    is_cut = value is None and text[:1] in ("{", "[")
    return list(_hits_of_part(text) if is_cut else _hits(value))


def _hits(value: Json, depth: int = 4) -> Iterator[Lead]:
    """Every object in it that names a document or holds a text, in order."""
    if isinstance(value, list) and depth:
        for item in value:
            yield from _hits(item, depth - 1)
    elif isinstance(value, dict):
        text = next((value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str)), "")
        doc, heading = value.get("doc"), value.get("heading")
        if isinstance(text, str) and (text or isinstance(doc, str)):
            yield Lead(doc if isinstance(doc, str) else "", heading if isinstance(heading, str) else "", text)
        elif depth:
            for item in value.values():
                yield from _hits(item, depth - 1)


def _hits_of_part(text: str) -> Iterator[Lead]:
    """The same of JSON that was cut in the middle, and is none any more."""
    doc = heading = ""
    for key, escaped in _FIELD.findall(text):
        value = _unescaped(escaped)
        match key:
            case "doc":
                doc, heading = value, ""
            case "heading":
                heading = value
            case _:
                yield Lead(doc, heading, value)


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:  # the cut went through an escape
        return text.replace("\\n", "\n").replace('\\"', '"')


def _source(hit: Lead, asked: dict[str, str], use: ToolUse | None) -> str:
    doc = hit.doc or asked.get("doc", "") or asked.get("url", "") or (use.name if use else "an observation")
    return f"{doc} > {hit.heading}" if hit.heading else doc


# ---- words


def _words(text: str) -> int:
    return len(text.split())


def _cut(text: str, max_words: int) -> tuple[str, Finish]:
    """At most so many words, at the end of a line where it can be."""
    if _words(text) <= max_words:
        return text, Finish.STOP
    lines: list[str] = []
    for line in text.splitlines():
        if _words("\n".join((*lines, line))) > max_words:
            break
        lines.append(line)
    return "\n".join(lines) or " ".join(text.split()[:max_words]), Finish.LENGTH
