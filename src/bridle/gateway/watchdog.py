"""One timer for all calls of an event loop: a timer of its own would cost a call more than its admission's checks."""

import asyncio
import threading


class Watchdog:
    """Ends what is late. Its timer is armed for the earliest end, and fires for nothing when that call was in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ends: dict[asyncio.Future[None], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, over: "asyncio.Future[None]", seconds: float) -> None:
        """Set `over` after so many seconds, unless it is let go before."""
        at = self._ends[over] = self.loop.time() + seconds
        if self._timer is None or at < self._timer.when():
            self._arm(at)

    def let_go(self, over: "asyncio.Future[None]") -> None:
        """It is over, in time or not."""
        self._ends.pop(over, None)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(at, self._look)

    def _look(self) -> None:
        fired = self._timer.when() if self._timer is not None else self.loop.time()
        self._timer = None
        for over in [over for over, at in self._ends.items() if at <= fired]:
            del self._ends[over]
            if not over.done():
                over.set_result(None)
        if self._ends:
            self._arm(min(self._ends.values()))


class _OfThread(threading.local):
    """A thread runs one event loop at a time."""

    watchdog: Watchdog | None = None


_OF_THREAD = _OfThread()


def watchdog_of(loop: asyncio.AbstractEventLoop) -> Watchdog:
    """The watchdog of the running loop."""
    known = _OF_THREAD.watchdog
    if known is None or known.loop is not loop:
        known = _OF_THREAD.watchdog = Watchdog(loop)
    return known
