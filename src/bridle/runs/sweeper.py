"""What a house does every now and then: it settles what rides, and grants what other processes asked for."""

import asyncio
import logging
from contextlib import suppress
from typing import Protocol

from bridle.gateway.gateway import Gateway
from bridle.runs.result import RunResult
from bridle.store.base import Store, UnknownRun

log = logging.getLogger("bridle")
SWEEP_SECONDS = 0.5


class House(Protocol):
    """What the sweeper needs of a house."""

    @property
    def store(self) -> Store:
        """The open store."""

    @property
    def gateway(self) -> Gateway:
        """The door."""

    async def cancel(self, run_id: str, by: str = "local") -> RunResult:
        """Stop a run."""


async def sweep(house: House) -> None:
    """Look after settlements that ride, and after wishes of other processes, until it is cancelled."""
    while True:  # ends: cancelled when the house closes
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await house.gateway.settle_all()
            for run, by in house.store.wishes():
                with suppress(UnknownRun):  # a wish for a run that is not here is no harm
                    await house.cancel(run, by)
        except Exception:  # the sweeper outlives one bad run; runs find out at their next admission
            log.exception("sweep_failed")
