"""An agent that exists already keeps its loop and its clients, and asks bridle before every call.

`run.model` and `run.call` take the function that really does it as `perform`. The model of this agent is never content,
so its loop would go on for ever; the budget ends it. The stop leaves the block by itself, also through an `except
Exception` of the loop, and `run.result` says why it stopped and how far it came.
"""

import asyncio
import json

from bridle import Bridle, Denied
from bridle.rules.prompt import Finish, Message, ModelReply, Prompt, Role, ToolUse, Usage

POLICY = {
    "tools": {"allow": ["crm.read"]},
    "budgets": {"max_tool_calls": 5, "max_usd": "0.50"},
    "models": {"vendor:large": {"usd_per_million_in": "3.00", "usd_per_million_out": "15.00"}},
}


async def ask_vendor(request, milliseconds):
    """Stands for the agent's own model client; with retries switched off, because bridle retries."""
    page = sum(message.role is Role.TOOL for message in request.messages) + 1
    wish = ToolUse(f"call-{page}", "crm.read", json.dumps({"page": page}))
    return ModelReply("Let me look at one more page.", (wish,), Usage(request.size // 4, 20), Finish.TOOL_CALLS)


def read_crm(page: int) -> str:
    """Stands for the agent's own tool; a plain function, in a thread of its own."""
    return f"customers of page {page}"


async def their_loop(run) -> None:
    """The loop as it was, with the two lines that go through bridle."""
    prompt = Prompt("Find the customer with the most orders.").with_message(Message(Role.USER, "Who is it?"))
    while True:  # ends when the model is content, which it never is
        reply = await run.model(prompt.request("vendor:large", (), max_output=500), perform=ask_vendor)
        if not reply.uses:
            return run.finish(answer=reply.text)
        prompt = prompt.with_message(Message(Role.ASSISTANT, reply.text, reply.uses))
        for use in reply.uses:
            try:
                text = (await run.call(use.name, json.loads(use.arguments), perform=read_crm)).text
            except Denied as denied:
                text = str(denied)  # for the model to read
            run.finish(partial=f"read until {text}")
            prompt = prompt.with_message(Message(Role.TOOL, text, answers=use.id))


async def main() -> None:
    """Attach, run, read the reason."""
    async with Bridle(POLICY, ":memory:") as b:
        b.declare("crm.read", None, {"type": "object", "properties": {"page": {"type": "integer"}}}, effect="read")
        async with b.attach(agent="crm-agent", tenant="acme", by="user-5512", task="Who is it?") as run:
            await their_loop(run)
        stop = run.result.stop
        print(f"{run.result.status}: {stop.reason}. {stop.text()}")
        print(f"partial: {run.result.partial}, tool calls: {run.result.tool_calls}, retry: {stop.retry}")


asyncio.run(main())
