"""The door: admit, perform, judge, settle."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from bridle.gateway.admission import Admission, Verdict
from bridle.gateway.attempt import attempt, ended_early, failure_of, permit_for, unsent
from bridle.gateway.live import Live
from bridle.gateway.outcome import Outcome, Refusal
from bridle.gateway.proposal import Proposal, Wish, propose
from bridle.gateway.recall import recall
from bridle.gateway.retry import may_retry, wait_before
from bridle.gateway.seats import Seats
from bridle.gateway.settlement import Settlement, bulkhead, settle
from bridle.gateway.together import together
from bridle.gateway.toolbox import Toolbox
from bridle.gateway.twins import came_down, took_off, twin_of
from bridle.gateway.world import World
from bridle.rules.call import CallKind
from bridle.rules.decision import Admit, Deny, Halt, Hold, Later, Reuse
from bridle.rules.events import CallVoided, RunHalted
from bridle.rules.failure import CallFailed, ControlUnavailable, FailureKind
from bridle.rules.health import Health
from bridle.rules.names import CallId, RunId, ToolName
from bridle.rules.policy import Level
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopNote, StopReason
from bridle.rules.switch import Switch, against_call
from bridle.store.base import Fenced, Store, Transaction

log = logging.getLogger("bridle")
NOBODY_WAITED = CallFailed(FailureKind.CANCELLED, "nobody waited for it")


class Gateway:
    """Every call of every run goes through `call`; nothing else in the house performs anything."""

    def __init__(self, store: Store, toolbox: Toolbox, world: World) -> None:
        self.store = store
        self.toolbox = toolbox
        self.world = world
        self.switches: tuple[Switch, ...] = ()  # as this process last saw them: for offers, never for decisions
        self._riding: dict[RunId, Live] = {}  # runs with settlements that wait for the next admission
        self._seats = Seats()
        self._overran: set[str] = set()  # models that took more than they declared, until this process ends

    async def call(self, live: Live, wishes: Sequence[Wish]) -> list[Outcome]:
        """The outcomes of one turn, in order. All of its calls are admitted before any is performed.

        Raises ControlUnavailable when the journal is out of reach, and Fenced when another delivery took the run over.
        """
        live.turn += 1
        proposals = [propose(wish, live, self.toolbox) for wish in wishes]
        known = [recall(live, proposal) for proposal in proposals]
        new = [proposal for proposal, past in zip(proposals, known, strict=True) if past is None]
        if not new:
            return [past for past in known if past is not None]
        answers = await self._admit(live, new)
        try:
            fresh = await together([self._answered(live, p, answer) for p, answer in zip(new, answers, strict=True)])
        finally:
            self._drop_unsent(live, new, answers)
        outcomes = iter(fresh)
        return [next(outcomes) if past is None else past for past in known]

    async def _admit(self, live: Live, proposals: Sequence[Proposal], attempt: int = 1) -> list[Verdict]:
        """One transaction: what is pending is settled, then every proposal is decided."""
        pending = tuple(live.pending)
        admission = Admission(live, proposals, self.world.now(), pending, attempt, self._overran)
        try:
            answers, live.state = await self.store.transact(admission)
        except asyncio.CancelledError:  # it is committed all the same, and nobody will perform what it admitted
            await asyncio.shield(self._void(live, admission.given))
            raise
        self._landed(live, pending)
        for proposal, answer in zip(proposals, answers, strict=True):
            if isinstance(answer.answer, Admit):
                took_off(live, answer.call, proposal, answer.at)
        return answers

    async def _answered(self, live: Live, proposal: Proposal, answer: Verdict) -> Outcome:
        while isinstance(answer.answer, Later):  # ends at the run's deadline: from then on the answer is a halt
            await self._wait(live, proposal, answer.answer)
            (answer,) = await self._admit(live, [proposal], answer.attempt)
        match answer.answer:
            case Admit():
                return await self._carried_out(live, proposal, answer)
            case Reuse(of=of):
                outcome = await twin_of(live, proposal, of)
                if outcome is not None:
                    return outcome
                (again,) = await self._admit(live, [proposal])  # nothing was left of it a moment later
                return await self._answered(live, proposal, again)
            case Hold(rule=rule):
                detail = {"tool": proposal.tool, "rule": rule}
                return Refusal(proposal.tool, StopReason.POLICY_DENIED, detail, halts=live.state.halt is not None)
            case Deny(reason=reason, detail=detail):
                return Refusal(proposal.tool, reason, detail, halts=live.state.halt is not None)
            case Halt(reason=reason, detail=detail, level=level):
                node = level is Level.NODE
                return Refusal(proposal.tool, reason, detail, halts=not node, node_over=node)

    async def _carried_out(self, live: Live, proposal: Proposal, answer: Verdict) -> Outcome:
        """One admitted call to its end; another attempt is another admission."""
        if live.is_closing:  # the end is on its way to the journal, and says that this was never sent
            came_down(live, answer.call, proposal, failure_of(proposal, NOBODY_WAITED), self.world.now())
            return failure_of(proposal, NOBODY_WAITED)
        permit = permit_for(live, proposal, answer, self.world.now())
        live.unsent.discard(answer.call)
        outcome: Outcome | None = None
        try:
            done = await attempt(permit, live, proposal, answer, self.world)
            live.pending.append(done.settlement)
            outcome = done.outcome
            if done.settlement.overran:
                self._overran.add(proposal.tool)
            if done.failed is not None and await self._goes_again(live, proposal, answer, done.failed):
                (again,) = await self._admit(live, [proposal], answer.attempt + 1)
                outcome = await self._answered(live, proposal, again)
            elif self._rides(live, proposal):
                self._riding[live.run] = live
            else:
                await self.settle(live)
            if isinstance(outcome, Refusal) and outcome.halts:
                await self.halt(live, outcome.note)
        except asyncio.CancelledError:
            if live.state.open_calls.get(answer.call) and all(p.call != answer.call for p in live.pending):
                live.pending.append(ended_early(live, proposal, answer, permit, self.world.now()))
                self._riding[live.run] = live
            raise
        finally:
            told = outcome if outcome is not None else failure_of(proposal, NOBODY_WAITED)
            came_down(live, answer.call, proposal, told, self.world.now())
        return outcome

    async def settle(self, live: Live) -> None:
        """Write down, now, how the performed calls of a run ended."""
        await self._write(live, None)

    async def settle_all(self) -> None:
        """Write down how the performed calls of every run ended."""
        for live in tuple(self._riding.values()):
            try:
                await self._write(live, None)
            except ControlUnavailable:
                raise
            except Exception:  # the trouble of one run is not its neighbours'
                log.exception("settle_failed %s", live.run)
                self._riding.pop(live.run, None)

    async def halt(self, live: Live, note: StopNote) -> None:
        """Nothing else is admitted in this run but its finalise call. A run that is halted stays as it is."""
        await self._write(live, note)

    async def _void(self, live: Live, calls: Sequence[CallId]) -> None:
        """Give back what calls hold that were admitted and never begun; their admission stands before this."""
        now = self.world.now()

        def voided(tx: Transaction) -> RunState:
            for call in calls:
                opened = tx.state(live.run).open_calls.get(call)
                if opened is not None and call in live.unsent:
                    seat = bulkhead(live.tenant, opened.tool)
                    settle(tx, live.party, Settlement(CallVoided(now, call), opened.tool, concurrency=1, seat=seat))
            return tx.state(live.run)

        with suppress(ControlUnavailable, Fenced):  # then recovery closes them
            live.state = await self.store.transact(voided)

    async def _write(self, live: Live, halt: StopNote | None) -> None:
        pending, party, now = tuple(live.pending), live.party, self.world.now()
        if not pending and halt is None:
            self._riding.pop(live.run, None)
            return

        def written(tx: Transaction) -> RunState:
            for settlement in pending:
                settle(tx, party, settlement)
            if halt is not None and tx.state(live.run).phase is Phase.OPEN:
                tx.append(live.run, live.epoch, [RunHalted(now, halt.reason, halt.detail)])
            return tx.state(live.run)

        live.state = await self.store.transact(written)
        self._landed(live, pending)

    def is_expensive(self, live: Live, tool: ToolName) -> bool:
        """Whether the tool is one of those that do not start when a run has to finish."""
        ruled = self.toolbox.under(live.policy, tool)
        return ruled is not None and ruled.tool.expensive

    def is_off(self, live: Live, tool: ToolName) -> bool:
        """Whether the kill switch takes the tool away, as far as this process knows."""
        if not self.switches:
            return False
        ruled = self.toolbox.under(live.policy, tool)
        return against_call(self.switches, live.tenant, live.name, tool, ruled.tool if ruled else None) is not None

    # Below: who waits, and for what

    def _rides(self, live: Live, proposal: Proposal) -> bool:
        """Whether the settlement may wait for the next admission: losing it then errs on the safe side."""
        if proposal.kind is CallKind.MODEL:
            return live.loop == "flow"
        return not proposal.is_write and not self._seats.is_wanted(bulkhead(live.tenant, proposal.tool))

    def _landed(self, live: Live, settled: Sequence[Settlement]) -> None:
        """After the commit: the settlements are done, and one waiter for each freed seat may try again."""
        if settled:
            done = {settlement.call for settlement in settled}
            live.pending = [settlement for settlement in live.pending if settlement.call not in done]
            if not live.pending:
                self._riding.pop(live.run, None)
            for settlement in settled:
                self._seats.free(settlement.seat)

    def _drop_unsent(self, live: Live, proposals: Sequence[Proposal], answers: Sequence[Verdict]) -> None:
        """Calls that were admitted and then cancelled before they began: what they held goes back."""
        for proposal, answer in zip(proposals, answers, strict=True):
            is_admitted = isinstance(answer.answer, Admit)
            if is_admitted and answer.call in live.unsent and answer.call in live.flying:
                live.unsent.discard(answer.call)
                live.pending.append(unsent(live, proposal, answer.call, self.world.now()))
                self._riding[live.run] = live
                came_down(live, answer.call, proposal, failure_of(proposal, NOBODY_WAITED), self.world.now())

    async def _wait(self, live: Live, proposal: Proposal, later: Later) -> None:
        """Until a far end's Retry-After is over, or until a seat may be free."""
        left = max(live.state.deadline - self.world.now(), 0)
        if later.at:
            await asyncio.sleep(min(max(later.at - self.world.now(), 0), left) / 1_000)
        else:
            await self._seats.wait(bulkhead(live.tenant, proposal.tool), self.settle_all, left / 1_000)

    async def _goes_again(self, live: Live, proposal: Proposal, answer: Verdict, failed: CallFailed) -> bool:
        """Whether there is to be another attempt; waits as long as it takes before it."""
        if not failed.kind.is_transient or proposal.is_write:
            return False
        await self.settle(live)
        health: Health = await self.store.transact(lambda tx: tx.health(live.tenant, proposal.dependency))
        if not may_retry(failed, answer.attempt, live.state, health):
            return False
        wait = wait_before(answer.attempt, self.world.chance(), failed.retry_after)
        if self.world.now() + wait >= live.state.work_until:
            return False
        await asyncio.sleep(wait / 1_000)
        return True
