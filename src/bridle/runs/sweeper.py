"""What a house does every now and then: it settles, grants wishes, takes up lost runs, has a witness sign."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from bridle.rules.names import RunId
from bridle.runs.recovery import Recovery
from bridle.runs.result import RunResult
from bridle.store.base import UnknownRun

log = logging.getLogger("bridle")
SWEEP_SECONDS = 0.5


async def sweep(recovery: Recovery, cancel: Callable[[RunId, str], Awaitable[RunResult]]) -> None:
    """Look after settlements that ride, wishes of other processes and runs that were lost, until it is cancelled."""
    gateway = recovery.gateway
    while True:  # ends: cancelled when the house closes
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            gateway.store.beat(gateway.world.now())
            await gateway.pending.write_all()
            for run, by in gateway.store.wishes():
                with suppress(UnknownRun):  # a wish for a run that is not here is no harm
                    await cancel(run, by)
            await recovery.recover()
            gateway.store.tick()
        except Exception:  # the sweeper outlives one bad run; runs find out at their next admission
            log.exception("sweep_failed")
