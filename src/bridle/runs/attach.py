"""A door for loops that are not ours: a run that a foreign agent drives, closed with one reason however it leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from bridle.gateway.live import Live
from bridle.gateway.world import World
from bridle.rules.failure import BridleError
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopNote, StopReason
from bridle.runs.charter import Charter
from bridle.runs.ended import Ended
from bridle.runs.journey import Opening, open_run, take_over
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.runs.runner import OK, broken
from bridle.runs.signals import Denied, Held, RunIsOpen, Stop
from bridle.store.base import Store

Opened = Callable[[], Awaitable[tuple[Live, Run]]]
Closed = Callable[[Live, Ended | None], Awaitable[RunResult]]  # None: it waits for a person


class Attachment:
    """`async with b.attach(...) as run`: a stop ends the block quietly, and `run.result` says why.

    So does a call that waits for a person: the run is suspended, and the same key goes on with it later.

    An ordinary exception that leaves the block ends the run `internal_error` and is raised again; a cancellation ends
    it `cancelled` and is raised again.
    """

    def __init__(self, opened: Opened, closed: Closed) -> None:
        self._opened = opened
        self._closed = closed
        self._live: Live | None = None
        self._run: Run | None = None

    async def __aenter__(self) -> Run:
        self._live, self._run = await self._opened()
        return self._run

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> bool:
        assert self._live is not None
        assert self._run is not None
        if raised is not None and _waits(raised):
            self._run.set_result(await asyncio.shield(self._closed(self._live, None)))
            return isinstance(raised, Held)
        ended, is_ours = _ending(self._run, self._live, raised)
        self._run.set_result(await asyncio.shield(self._closed(self._live, ended)))
        return is_ours


async def taken_or_opened(store: Store, world: World, charter: Charter, opening: Opening) -> Live:
    """A new run, or the one of this key that was suspended.

    Raises RunIsOpen when one of this key is open, NotStarted, and BridleError when it has ended.
    """
    found = await open_run(store, world, opening, None)
    if isinstance(found, RunState) and found.phase is Phase.SUSPENDED:
        found = await take_over(store, world, found.run, charter.kept(store, found.run), seen=found.epoch)
    if isinstance(found, Live):
        return found
    if found.phase is not Phase.STOPPED:
        raise RunIsOpen(found.run)
    raise BridleError(f"run {found.run} had this key and has ended; its result is b.result({found.run!r})")


def _waits(raised: BaseException) -> bool:
    """Whether the block was left because a call waits for a person, and the run was not stopped besides."""
    if isinstance(raised, BaseExceptionGroup):
        return raised.subgroup(Held) is not None and raised.subgroup(Stop) is None
    return isinstance(raised, Held)


def _ending(run: Run, live: Live, raised: BaseException | None) -> tuple[Ended, bool]:
    """What the block came to, and whether its exception was only our messenger."""
    stop = _stop_in(raised)
    if raised is None:
        return run.ended(OK), False
    if stop is not None:
        return Ended(stop.note, run.ended(OK).said), _only_stops(raised)
    if isinstance(raised, Denied):
        return Ended(StopNote(raised.reason, raised.detail), run.ended(OK).said), False
    if isinstance(raised, Exception):
        return Ended(broken(raised, live), run.ended(OK).said), False
    return Ended(StopNote(StopReason.CANCELLED), run.ended(OK).said), False


def _stop_in(raised: BaseException | None) -> Stop | None:
    """A stop, also where a task group wrapped it."""
    if isinstance(raised, Stop):
        return raised
    if isinstance(raised, BaseExceptionGroup):
        return next((stop for one in raised.exceptions if (stop := _stop_in(one)) is not None), None)
    return None


def _only_stops(raised: BaseException) -> bool:
    if isinstance(raised, BaseExceptionGroup):
        return raised.split(Stop)[1] is None
    return isinstance(raised, Stop)
