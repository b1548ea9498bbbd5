"""The first day with an agent: under `enforcement: observe` its calls are decided and written down, and let pass.

The journal then says what enforcing the policy would change, before anybody enforces it.
"""

import asyncio

from bridle import Bridle, Flow, Run
from bridle.rules.events import CallAdmitted

POLICY = {
    "enforcement": "observe",
    "tools": {"allow": ["kb.read"]},
    "budgets": {"max_tool_calls": 3},
}
research = Flow("research", start="read")


@research.step()
async def read(run: Run, state: object) -> str:
    """Five calls where three are allowed, one of them of a tool that nobody allowed."""
    for page in range(4):
        await run.call("kb.read", {"page": page})
    return (await run.call("web.read", {"url": "https://example.com"})).text


async def kb_read(page: int) -> str:
    """Stands for a tool."""
    return f"page {page}"


async def web_read(url: str) -> str:
    """Stands for a tool that is not on the list."""
    return f"the page at {url}"


async def main() -> None:
    """Run, then read what would have been refused."""
    async with Bridle(POLICY, ":memory:") as b:
        b.tool("kb.read", effect="read")(kb_read)
        b.tool("web.read", effect="egress")(web_read)
        result = await b.run(research)
        print(f"{result.status}: {result.answer}")
        async for _, event in b.events(result.run_id):
            if isinstance(event, CallAdmitted) and event.also:
                print(f"{event.call} {event.tool} would have been refused: {', '.join(event.also)}")


asyncio.run(main())
