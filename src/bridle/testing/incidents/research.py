"""Incident one, "research until sure": about 140 tool calls, 17 minutes and $74, and users who press again."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bridle.rules.names import Millis
from bridle.rules.prompt import Finish, ModelReply, ModelRequest, Role, ToolUse, Usage
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.testing.incidents.house import IncidentHouse, OpenHouse
from bridle.testing.incidents.ledger import MODEL, PRESS, Bounded, Ledger, Outcome, outcome_of, told_of
from bridle.testing.incidents.naive import naive_agent
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world

POLICY = Path(__file__).with_name("research.yaml")
TASK = "Which of the twelve vendors has the lowest total cost over five years? Be sure."
PRESSES = (0, 20, 45)  # seconds: one run, and twice "is it stuck?"

# The prices of this world; research.yaml tells bridle the same ones. A model that reads 400,000 tokens, at $5 a
# million in and $25 out, and metered search and fetch. The dollars are in the prompts: every observation is a page of
# some 5 kB (1,400 tokens), all earlier ones are sent again with every request, so that request k costs k pages. The
# last of 141 requests reads about 200,000 tokens and costs a dollar by itself.
NAME = "sim:large"
MAX_OUTPUT = 1_024
NANOS_IN, NANOS_OUT = 5_000, 25_000  # nano-dollars a token
SEARCH_NANOS, FETCH_NANOS = 10_000_000, 2_000_000
BYTES_PER_TOKEN = 4
PAGE_BYTES = 5_590
THOUGHT_TOKENS = 110

# The clock: a tool takes 1.2 s. A model takes 2 s, and longer the more it has to read: 10 s at 200,000 tokens.
TOOL_S, THINK_S, READ_S_PER_TOKEN = 1.2, 2.0, 0.0000395

SURE_AFTER = 140  # observations; no limit of anybody's, only the end of the model's doubts
ANGLES = ("price list", "hidden fees", "migration cost", "support plan", "discounts", "exit cost", "reviews")


class ResearchWorld:
    """The web, the model and their bills."""

    name = NAME

    def __init__(self, loop: VirtualLoop) -> None:
        self.ledger = Ledger()
        self.largest = 0  # tokens of the largest request
        self._loop = loop

    async def search(self, query: str) -> str:
        """Search the web."""
        self.ledger.bill(self._loop.now(), "search.read", SEARCH_NANOS)
        await asyncio.sleep(TOOL_S)
        return _page(f"Results for {query}", query)

    async def fetch(self, url: str) -> str:
        """Fetch a page."""
        self.ledger.bill(self._loop.now(), "http.get", FETCH_NANOS)
        await asyncio.sleep(TOOL_S)
        return _page(f"Page {url}", url)

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        """A model that is not sure yet: it searches, fetches, and searches for something else."""
        del timeout
        usage = Usage(request.size // BYTES_PER_TOKEN, THOUGHT_TOKENS)
        self.largest = max(self.largest, usage.tokens_in)
        cost = usage.tokens_in * NANOS_IN + usage.tokens_out * NANOS_OUT
        self.ledger.bill(self._loop.now(), MODEL, cost)
        await asyncio.sleep(THINK_S + usage.tokens_in * READ_S_PER_TOKEN)
        seen = sum(m.role is Role.TOOL and not m.text.startswith("refused:") for m in request.messages)
        if seen >= SURE_AFTER:
            return ModelReply("Vendor 7 has the lowest total cost. I am sure.", (), usage)
        if not request.offers:
            return ModelReply(f"After {seen} sources: vendor 7 looks cheapest, but I am not sure yet.", (), usage)
        return ModelReply("I am not sure yet.", (_next_use(seen),), usage, Finish.TOOL_CALLS)

    async def aclose(self) -> None:
        """Nothing to give back."""


def _next_use(seen: int) -> ToolUse:
    """Always something that was not asked before, so that no loop detection and no cache has anything to say."""
    vendor, angle = 1 + seen % 12, ANGLES[seen % len(ANGLES)]
    if seen % 2 == 0:
        return ToolUse(f"use{seen}", "search.read", json.dumps({"query": f"vendor {vendor} {angle} {seen}"}))
    return ToolUse(f"use{seen}", "http.get", json.dumps({"url": f"https://vendor{vendor}.example/{seen}"}))


def _page(title: str, seed: str) -> str:
    """A page that is like no other page, and says nothing that would make anybody sure."""
    lines, line = [title], f"{seed}: on the one hand it depends, on the other hand it does not."
    while sum(map(len, lines)) + len(lines) < PAGE_BYTES:  # ends: every line is longer than nothing
        lines.append(line)
    return "\n".join(lines)


def research_unbounded(presses: Sequence[int] = (0,)) -> Outcome:
    """The naive loop; every press of the button starts one more. `presses` are seconds from the start."""

    async def story(loop: VirtualLoop) -> Outcome:
        world = ResearchWorld(loop)
        tools = {"search.read": world.search, "http.get": world.fetch}

        async def pressed(number: int, at: int) -> str:
            PRESS.set(number)
            await asyncio.sleep(at)
            return await naive_agent(world, tools, TASK, MAX_OUTPUT)

        await asyncio.gather(*(pressed(number, at) for number, at in enumerate(presses, 1)))
        return outcome_of(world.ledger, len(presses), round(loop.time()), ["sure"] * len(presses), world.largest)

    return run_virtual(story)


def research_bounded(open_house: OpenHouse, presses: Sequence[int] = (0,)) -> Bounded:
    """The same world, the same presses, and bridle with research.yaml between the model and its tools."""

    async def story(loop: VirtualLoop) -> Bounded:
        world = ResearchWorld(loop)
        async with open_house(POLICY, {NAME: world}, virtual_world(loop)) as house:
            flow = declared(house, world)

            async def pressed(number: int, at: int) -> RunResult:
                PRESS.set(number)
                await asyncio.sleep(at)
                return await house.run(flow, {"question": TASK}, by="user-1")

            results = await asyncio.gather(*(pressed(number, at) for number, at in enumerate(presses, 1)))
            seconds = round(loop.time())
        told = told_of(results)
        ends = Counter(told.stops).elements()
        return Bounded(outcome_of(world.ledger, len(presses), seconds, ends, world.largest), told, tuple(results))

    return run_virtual(story)


def declared(house: IncidentHouse, world: ResearchWorld) -> Flow:
    """The tools of the world, declared in a house, and the flow around them: one investigation."""
    house.tool("search.read", effect="egress", source="untrusted", confidentiality="public")(world.search)
    house.tool("http.get", effect="egress", source="untrusted", confidentiality="public")(world.fetch)
    flow = Flow("research", start="look")
    flow.investigate("look", model=NAME, goal="{question}", tools=["search.read", "http.get"])
    return flow
