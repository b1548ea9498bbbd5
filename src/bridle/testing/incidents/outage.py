"""Incident two, "browser during a vendor outage": about 1,800 browser calls and $1,300 in one day of requests."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from bridle.rules.names import MILLIS_PER_SECOND, Millis
from bridle.rules.prompt import Finish, Message, ModelReply, ModelRequest, Role, ToolUse, Usage
from bridle.rules.stop import StopNote, StopReason
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.testing.incidents.house import IncidentHouse, OpenHouse
from bridle.testing.incidents.ledger import MODEL, PRESS, Bounded, Ledger, Outcome, outcome_of, told_of
from bridle.testing.incidents.naive import naive_agent
from bridle.testing.virtual_time import START, VirtualLoop, run_virtual, virtual_world

POLICY = Path(__file__).with_name("outage.yaml")
BROWSER = "browser.open"

# The day: a request every 20 minutes from 08:00 to 20:00, which is 36; the vendor is down from 09:50 to 13:50, which
# hits 12 of them. A user who has no answer, or one without the prices, presses again after 90 s and after 180 s.
HOUR_S = 3_600
OPENS_AT = Millis(START + 8 * HOUR_S * MILLIS_PER_SECOND)  # Unix milliseconds
REQUESTS, EVERY_S = 36, 20 * 60
DOWN_FROM_S, DOWN_UNTIL_S = 11 * HOUR_S // 6, 35 * HOUR_S // 6  # seconds after 08:00
PRESSES_S = (0, 90, 180)
PAGES = 3  # that a request needs; so a day without an outage takes 108 browser calls

# What multiplies, unbounded: the model looks for another way 8 times, the tool tries each twice, and the HTTP client
# below it 3 times, as the large SDKs do by default: 48 browser calls a press, 144 a request, 1,728 in the outage.
PATIENCE, TOOL_TRIES, CLIENT_TRIES = 8, 2, 3

# The prices of this world; outage.yaml tells bridle the same ones. A browser session costs $0.63 from its start
# (machine, proxy, captcha solver), whether a page comes or not. A page is 18 kB of text; the vendor's error page is
# 92 kB of HTML, which the naive agent pastes into its prompt.
NAME = "sim:large"
MAX_OUTPUT = 1_024
NANOS_IN, NANOS_OUT = 5_000, 25_000  # nano-dollars a token
SESSION_NANOS = 630_000_000
BYTES_PER_TOKEN = 4
THOUGHT_TOKENS = 90
THINK_S, LOAD_S, ERROR_S, BACKOFF_S = 2.5, 3.0, 4.0, 0.5
FOUND = "Price list of "
ANSWER = "Vendor 2 is the cheapest today."
PAGE = "An item, in stock, at a price that is the same as it was yesterday.\n" * 265
ERROR_PAGE = '<div class="error"><p>503 Service Unavailable</p><script src="/retry.js"></script></div>\n' * 1_050
T = TypeVar("T")


class VendorDown(ConnectionError):
    """The browser vendor answered 503; its message is the error page."""


class OutageWorld:
    """A browser vendor with an outage, a model, and their bills."""

    name = NAME

    def __init__(self, loop: VirtualLoop) -> None:
        self.ledger = Ledger()
        self.largest = 0  # tokens of the largest request
        self._loop = loop

    @property
    def is_down(self) -> bool:
        """Whether the vendor is down now."""
        return DOWN_FROM_S <= self._loop.time() < DOWN_UNTIL_S

    async def open(self, url: str) -> str:
        """Open a page in the vendor's browser and return its text."""
        self.ledger.bill(self._loop.now(), BROWSER, SESSION_NANOS)
        if self.is_down:
            await asyncio.sleep(ERROR_S)
            raise VendorDown(ERROR_PAGE)
        await asyncio.sleep(LOAD_S)
        return f"{FOUND}{url}\n{PAGE}"

    async def open_stubbornly(self, url: str) -> str:
        """The same with the retries that the naive agent's tool and its HTTP client bring along."""
        for tries in range(TOOL_TRIES * CLIENT_TRIES):
            try:
                return await self.open(url)
            except VendorDown:
                await asyncio.sleep(BACKOFF_S * 2 ** (tries % CLIENT_TRIES))
        return ERROR_PAGE

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        """A model that wants three pages, and looks for another way when it does not get one."""
        del timeout
        usage = Usage(request.size // BYTES_PER_TOKEN, THOUGHT_TOKENS)
        self.largest = max(self.largest, usage.tokens_in)
        self.ledger.bill(self._loop.now(), MODEL, usage.tokens_in * NANOS_IN + usage.tokens_out * NANOS_OUT)
        await asyncio.sleep(THINK_S)
        asked, found = _seen(request.messages)
        if found >= PAGES:
            return ModelReply(ANSWER, (), usage)
        if asked - found >= PATIENCE or not request.offers:
            return ModelReply(f"I could open {found} of {PAGES} pages; the browser does not work now.", (), usage)
        return ModelReply("", (_next_use(asked, found),), usage, Finish.TOOL_CALLS)

    async def aclose(self) -> None:
        """Nothing to give back."""


def _seen(messages: tuple[Message, ...]) -> tuple[int, int]:
    """How many pages were asked for, and how many came."""
    answers = [message.text for message in messages if message.role is Role.TOOL]
    return len(answers), sum(text.startswith(FOUND) for text in answers)


def _next_use(asked: int, found: int) -> ToolUse:
    """The next page; after a failure by another way each time, so that no loop detection has anything to say."""
    way = "" if asked == found else f"?mirror={asked - found}"
    return ToolUse(f"use{asked}", BROWSER, json.dumps({"url": f"https://shop{found + 1}.example/prices{way}"}))


async def _day(press: Callable[[int], Awaitable[T]], is_answer: Callable[[T], bool]) -> list[T]:
    """All requests of the day; what each press came to. A press while an earlier one is at work is one more."""

    async def user(number: int) -> list[T]:
        begins, at_work = number * EVERY_S, list[asyncio.Task[T]]()
        for nth, at in enumerate(PRESSES_S):
            await asyncio.sleep(begins + at - loop.time())
            if any(task.done() and is_answer(task.result()) for task in at_work):
                break
            PRESS.set(number * len(PRESSES_S) + nth)
            at_work.append(loop.create_task(_work(press, number)))
        return await asyncio.gather(*at_work)

    loop = asyncio.get_running_loop()
    ends = await asyncio.gather(*(user(number) for number in range(REQUESTS)))
    return [end for of_user in ends for end in of_user]


async def _work(press: Callable[[int], Awaitable[T]], number: int) -> T:
    return await press(number)


def outage_unbounded() -> Outcome:
    """The day with the naive loop."""

    async def story(loop: VirtualLoop) -> Outcome:
        world = OutageWorld(loop)

        async def press(number: int) -> str:
            said = await naive_agent(world, {BROWSER: world.open_stubbornly}, task_of(number), MAX_OUTPUT)
            return "answered" if said == ANSWER else "gave up"

        ends = await _day(press, lambda end: end == "answered")
        return outcome_of(world.ledger, len(ends), round(loop.time()), ends, world.largest)

    return run_virtual(story, start=OPENS_AT)


def outage_bounded(open_house: OpenHouse) -> Bounded:
    """The same day, the same users, and bridle with outage.yaml between the model and the browser."""

    async def story(loop: VirtualLoop) -> Bounded:
        world = OutageWorld(loop)
        async with open_house(POLICY, {NAME: world}, virtual_world(loop)) as house:
            flow = declared(house, world)

            async def press(number: int) -> RunResult:
                return await house.run(flow, {"question": task_of(number)}, by=f"user-{number}")

            results = await _day(press, lambda result: result.stop == StopNote(StopReason.OK))
            seconds = round(loop.time())
        told = told_of(results)
        ends = Counter(told.stops).elements()
        return Bounded(outcome_of(world.ledger, len(results), seconds, ends, world.largest), told, tuple(results))

    return run_virtual(story, start=OPENS_AT)


def declared(house: IncidentHouse, world: OutageWorld) -> Flow:
    """The browser, declared in a house without any retry of its own, and the flow around it: one investigation."""
    house.tool(BROWSER, effect="egress", source="untrusted", confidentiality="public", reuse="never")(world.open)
    flow = Flow("compare", start="look")
    flow.investigate("look", model=NAME, goal="{question}", tools=[BROWSER])
    return flow


def task_of(number: int) -> str:
    """What a user asks."""
    return f"Compare today's prices of three vendors for order {number}."
