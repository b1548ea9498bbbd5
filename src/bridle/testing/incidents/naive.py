"""The unbounded agent of both incidents: the loop that everybody writes first, on the same model and tools."""

import json
from collections.abc import Awaitable, Callable, Mapping

from bridle.models.port import Model
from bridle.rules.names import Millis
from bridle.rules.prompt import Message, Prompt, Role, ToolOffer

SYSTEM = "You are a helpful assistant. Use the tools until you are sure, then answer."
TIMEOUT = Millis(600_000)  # what the large SDKs wait by default
Tool = Callable[..., Awaitable[str]]


async def naive_agent(model: Model, tools: Mapping[str, Tool], task: str, max_output: int) -> str:
    """Ask, act, observe, until the model feels done; what the tools return is pasted into the prompt as it is."""
    prompt = Prompt(SYSTEM).with_message(Message(Role.USER, task))
    offers = tuple(ToolOffer(name, "", "{}") for name in tools)
    while True:  # ends when the model says so, and nothing else ends it: that is the incident
        reply = await model.complete(prompt.request(model.name, offers, max_output), timeout=TIMEOUT)
        if not reply.uses:
            return reply.text
        prompt = prompt.with_message(Message(Role.ASSISTANT, reply.text, reply.uses))
        for use in reply.uses:
            text = await tools[use.name](**json.loads(use.arguments))
            prompt = prompt.with_message(Message(Role.TOOL, text, answers=use.id))
