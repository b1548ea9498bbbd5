"""Who waits for a seat in a full bulkhead: one is woken for each seat that is freed, the first come first."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from bridle.rules.budget import Account

PATIENCE = 1.0  # seconds; after this a seat is asked for again, even if nobody said that one is free


class Seats:
    """The queues in front of the bulkheads of this process."""

    def __init__(self) -> None:
        self._queues: dict[Account, deque[asyncio.Future[None]]] = {}

    def is_wanted(self, seat: Account) -> bool:
        """Whether somebody waits for it, so that giving it back should not wait."""
        return bool(self._queues.get(seat))

    def free(self, seat: Account | None) -> None:
        """Wake the first who waits."""
        queue = self._queues.get(seat) if seat is not None and self._queues else None
        while queue:  # ends: each turn drops one
            waiter = queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def wait(self, seat: Account, give_back: Callable[[], Awaitable[None]], at_most: float) -> None:
        """Until a seat may be free, for `at_most` seconds. `give_back` frees what is only not written down yet."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(seat, deque())
        queue.append(waiter)
        try:
            await give_back()  # it may free this very seat, and then the waiter has to be in the queue
            await asyncio.wait((waiter,), timeout=min(PATIENCE, at_most))
        except asyncio.CancelledError:
            if waiter.done():
                self.free(seat)  # the news was for somebody who does not want it any more
            raise
        finally:
            waiter.cancel()
            if all(other.done() for other in queue) and self._queues.get(seat) is queue:
                del self._queues[seat]
