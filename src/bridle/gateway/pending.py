"""What was performed and is not written down yet: it rides with the next admission of its run, or goes at once."""

import logging
from collections.abc import Sequence
from contextlib import suppress

from bridle.gateway.admission import Verdict
from bridle.gateway.attempt import NOBODY_WAITED, failure_of, unsent
from bridle.gateway.live import Live
from bridle.gateway.proposal import Proposal
from bridle.gateway.seats import Seats
from bridle.gateway.settlement import Settlement, bulkhead, settle
from bridle.gateway.twins import came_down
from bridle.gateway.world import World
from bridle.rules.budget import Account
from bridle.rules.decision import Admit
from bridle.rules.events import CallVoided, RunHalted
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import CallId, RunId
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopNote
from bridle.store.base import Fenced, Store, Transaction

log = logging.getLogger("bridle")


class Pending:
    """The settlements of a process's runs that wait to be written."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self._riding: dict[RunId, Live] = {}  # runs with settlements that wait for their next admission
        self._seats = Seats()

    def ride(self, live: Live, settlement: Settlement | None = None) -> None:
        """Leave what is pending of a run to its next admission, and this one with it."""
        if settlement is not None:
            live.pending.append(settlement)
        self._riding[live.run] = live

    def may_ride(self, live: Live, proposal: Proposal, seat: Account | None) -> bool:
        """Whether the settlement may wait for the next admission: losing it then errs on the safe side.

        That of a probe may not: until it is written, nobody else may go, and no model is offered the tool.
        """
        if self._store.health(live.tenant, proposal.dependency).failures:
            return False
        if seat is None:  # a model's
            return live.loop == "flow"
        return not self._seats.is_wanted(seat)

    def landed(self, live: Live, settled: Sequence[Settlement]) -> None:
        """After the commit: the settlements are done, and one waiter for each freed seat may try again."""
        if settled:
            live.pending = [settlement for settlement in live.pending if settlement not in settled]
            if not live.pending:
                self._riding.pop(live.run, None)
            for settlement in settled:
                self._seats.free(settlement.seat)

    async def seat(self, live: Live, proposal: Proposal, at_most: float) -> None:
        """Until a seat of the tool may be free, for `at_most` seconds."""
        await self._seats.wait(bulkhead(live.tenant, proposal.tool), self.write_all, at_most)

    async def write_all(self) -> None:
        """Write down how the performed calls of every run ended."""
        for live in tuple(self._riding.values()):
            try:
                await self.write(live)
            except ControlUnavailable:
                raise
            except Exception:  # the trouble of one run is not its neighbours'
                log.exception("settle_failed %s", live.run)
                self._riding.pop(live.run, None)

    async def write(self, live: Live, halt: StopNote | None = None) -> None:
        """Write down, now, how the performed calls of a run ended; and its halt, unless it is halted already."""
        pending, party, now = tuple(live.pending), live.party, self._world.now()
        if not pending and halt is None:
            self._riding.pop(live.run, None)
            return

        def written(tx: Transaction) -> RunState:
            for settlement in pending:
                settle(tx, party, settlement)
            if halt is not None and tx.state(live.run).phase is Phase.OPEN:
                tx.append(live.run, live.epoch, [RunHalted(now, halt.reason, halt.detail)])
            return tx.state(live.run)

        live.state = await self._store.transact(written)
        self.landed(live, pending)

    async def void(self, live: Live, calls: Sequence[CallId]) -> None:
        """Give back what calls hold that were admitted and never begun; their admission stands before this."""
        now = self._world.now()

        def voided(tx: Transaction) -> RunState:
            for call in calls:
                opened = tx.state(live.run).open_calls.get(call)
                if opened is not None and call in live.unsent:
                    seat = bulkhead(live.tenant, opened.tool)
                    settle(tx, live.party, Settlement(CallVoided(now, call), opened.tool, concurrency=1, seat=seat))
            return tx.state(live.run)

        with suppress(ControlUnavailable, Fenced):  # then recovery closes them
            live.state = await self._store.transact(voided)

    def drop(self, live: Live, answers: Sequence[Verdict]) -> None:
        """Calls that were admitted and then cancelled before they began: what they held goes back."""
        for answer in answers:
            proposal, is_admitted = answer.proposal, isinstance(answer.answer, Admit)
            if is_admitted and answer.call in live.unsent and answer.call in live.flying:
                now = self._world.now()
                live.unsent.discard(answer.call)
                self.ride(live, unsent(live, proposal, answer.call, now))
                came_down(live, answer.call, proposal, failure_of(proposal, NOBODY_WAITED), now)
