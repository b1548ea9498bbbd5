"""What the tests of models ask: small requests, built as the runtime builds them."""

from bridle.rules.names import Millis
from bridle.rules.prompt import Message, ModelRequest, Prompt, Role, ToolOffer, ToolUse

PINNED = "Policy: never promise a refund."
SOON = Millis(5_000)
READ = ToolOffer(
    "kb.read", "Read a document.", '{"type":"object","properties":{"doc":{"type":"string"}},"required":["doc"]}'
)
SEARCH = ToolOffer(
    "search.read",
    "Search.",
    '{"type":"object","properties":{"query":{"type":"string"},"limit":{"type":"integer"}},"required":["query"]}',
)


def user(text: str) -> Message:
    """A message of the user."""
    return Message(Role.USER, text)


def said(text: str = "", *uses: ToolUse) -> Message:
    """A message of the model."""
    return Message(Role.ASSISTANT, text, uses)


def observed(answers: str, text: str) -> Message:
    """What a tool showed."""
    return Message(Role.TOOL, text, answers=answers)


def request(*messages: Message, offers: tuple[ToolOffer, ...] = (READ,), max_output: int = 256) -> ModelRequest:
    """A request with these messages below the pinned policy."""
    prompt = Prompt(PINNED)
    for message in messages or (user("What is in a?"),):
        prompt = prompt.with_message(message)
    return prompt.request("m", offers, max_output)
