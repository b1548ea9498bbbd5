"""The work that every contestant does: a scripted model and one trivial tool, the same bytes for all."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

TURNS = 9
"""Tool calls of one run of the work; with its 10 model calls that is 19 calls."""

REPLY_BYTES = 200
QUESTION = "Where is the parcel? Look it up, then answer in one sentence."
ANSWER = "The parcel left the depot at nine and arrives before noon."
TOOL = "lookup"
TOOL_DOES = "Look up one record of a run by its number."

OnCall = Callable[[int], None]
"""Told the number of each tool call (from 1) as the tool is entered, before it parks."""


def calls_of(turns: int) -> int:
    """Say how many calls, model and tool, a run of so many tool turns makes."""
    return 2 * turns + 1


def task_of(key: str) -> str:
    """Put the run's key in front of the question, so that the stateless model can name it in its calls."""
    return f"{key}\n{QUESTION}"


def key_in(task: str) -> str:
    """Read the run's key back out of its task."""
    return task.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Proposal:
    """One tool call that the scripted model asks for; the arguments differ each turn, so that none is a repeat."""

    id: str
    run: str
    n: int

    @property
    def args(self) -> dict[str, str | int]:
        """Give the arguments as the tool takes them."""
        return {"run": self.run, "n": self.n}


@dataclass(slots=True)
class World:
    """What one run meets: how long its model asks, where its tool parks, and who counts."""

    turns: int
    park: asyncio.Event | None
    on_call: OnCall | None
    calls: int = 0


class Worlds:
    """The worlds of all runs in flight, found by the run's key, so that no framework has to carry them along."""

    def __init__(self) -> None:
        """Start with nobody running."""
        self._of: dict[str, World] = {}

    @contextmanager
    def enter(
        self, key: str, turns: int, park: asyncio.Event | None = None, on_call: OnCall | None = None
    ) -> Iterator[World]:
        """Make the world of one run for as long as it runs."""
        world = self._of[key] = World(turns, park, on_call)
        try:
            yield world
        finally:
            del self._of[key]

    async def model(self, key: str, asked: int) -> Proposal | str:
        """Answer as the scripted model does after `asked` tool calls: the next proposal, or the answer."""
        await asyncio.sleep(0)
        world = self._of[key]
        world.calls += 1
        if asked < world.turns:
            return Proposal(f"call_{asked + 1}", key, asked + 1)
        return ANSWER

    async def lookup(self, run: str, n: int) -> str:
        """Perform the tool: count, park if told to, and return 200 bytes of JSON."""
        await asyncio.sleep(0)
        world = self._of[run]
        world.calls += 1
        if world.on_call is not None:
            world.on_call(n)
        if world.park is not None:
            await world.park.wait()
        head = f'{{"n": {n}, "found": "'
        return f'{head}{"parcel " * 30:.{REPLY_BYTES - len(head) - 2}}"}}'
