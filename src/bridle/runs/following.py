"""A journal as it grows."""

import asyncio
from collections.abc import AsyncIterator

from bridle.gateway.world import World
from bridle.rules.events import Event
from bridle.rules.names import RunId
from bridle.store.base import Store

LOOKS_EVERY_S = 0.05


async def followed(store: Store, world: World, run: RunId, after: int) -> AsyncIterator[tuple[int, Event]]:
    """Events with their numbers, until the run has ended or waits for a person. Raises UnknownRun."""
    while True:  # ends: every run ends, or waits
        state = store.recorded(run).state  # before the journal, so that what is told reaches at least so far
        for entry in store.journal(run, after):
            after = entry.seq
            yield entry.seq, entry.event
        if state.stop is not None or state.waits(world.now()):
            return
        await asyncio.sleep(LOOKS_EVERY_S)
