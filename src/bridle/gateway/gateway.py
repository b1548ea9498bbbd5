"""The door: admit, perform, judge, settle."""

import asyncio
from collections import deque
from collections.abc import Sequence

from bridle.gateway.admission import Admission, Answer, party_of
from bridle.gateway.attempt import Attempt, attempt, ended_early, failure_of
from bridle.gateway.live import Flying, Live, Seen
from bridle.gateway.outcome import Observation, Outcome, Refusal
from bridle.gateway.perform import Permit
from bridle.gateway.proposal import ModelWish, Proposal, Wish, propose
from bridle.gateway.recall import recall
from bridle.gateway.retry import may_retry, wait_before
from bridle.gateway.settlement import Settlement, bulkhead, settle
from bridle.gateway.together import together
from bridle.gateway.toolbox import Toolbox
from bridle.gateway.world import World
from bridle.rules.budget import Account
from bridle.rules.call import CallKind, Purpose
from bridle.rules.decision import Admit, Deny, Halt, Hold, Later, Reuse
from bridle.rules.events import RunHalted
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.health import Health
from bridle.rules.names import Effect, Millis, RunId, ToolName
from bridle.rules.policy import Level
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopNote, StopReason
from bridle.rules.tool import ReuseScope
from bridle.store.base import Store, Transaction

PATIENCE = Millis(1_000)  # a full bulkhead is asked again after this, even if nobody said that a seat is free


class Gateway:
    """Every call of every run goes through `call`; nothing else in the house performs anything."""

    def __init__(self, store: Store, toolbox: Toolbox, world: World) -> None:
        self.store = store
        self.toolbox = toolbox
        self.world = world
        self._riding: dict[RunId, Live] = {}  # runs with settlements that wait for the next admission
        self._queues: dict[Account, deque[asyncio.Future[None]]] = {}  # who waits for a seat

    async def call(self, live: Live, wishes: Sequence[Wish]) -> list[Outcome]:
        """The outcomes of one turn, in order. All of its calls are admitted before any is performed.

        Raises ControlUnavailable when the journal is out of reach, and Fenced when another delivery took the run over.
        """
        live.turn += 1
        proposals = [propose(wish, live, self.toolbox) for wish in wishes]
        known = [recall(live, proposal) for proposal in proposals]
        new = [proposal for proposal, past in zip(proposals, known, strict=True) if past is None]
        answers = iter(await self._admit(live, new) if new else ())
        fresh = await together([self._answered(live, proposal, next(answers)) for proposal in new]) if new else []
        outcomes = iter(fresh)
        return [next(outcomes) if past is None else past for past in known]

    async def _admit(self, live: Live, proposals: Sequence[Proposal], attempt: int = 1) -> list[Answer]:
        """One transaction: what is pending is settled, then every proposal is decided."""
        pending = tuple(live.pending)
        admission = Admission(live, proposals, self.world.now(), pending, attempt)
        answers, live.state = await self.store.transact(admission)
        self._landed(live, pending)
        for proposal, answer in zip(proposals, answers, strict=True):
            if isinstance(answer.answer, Admit):
                outcome = asyncio.get_running_loop().create_future()
                live.flying[answer.call] = Flying(proposal.tool, answer.at, outcome)
                live.seen[proposal.tool, proposal.args] = Seen(answer.call, answer.at, None)
        return answers

    async def _answered(self, live: Live, proposal: Proposal, answer: Answer) -> Outcome:
        while isinstance(answer.answer, Later):  # ends at the run's deadline: from then on the answer is a halt
            await self._wait(live, proposal, answer.answer)
            (answer,) = await self._admit(live, [proposal], answer.attempt)
        match answer.answer:
            case Admit():
                return await self._carried_out(live, proposal, answer)
            case Reuse(of=of):
                outcome = await self._twin(live, proposal, of)
                if outcome is not None:
                    return outcome
                (again,) = await self._admit(
                    live, [proposal]
                )  # between the commit and now there was nothing left of it
                return await self._answered(live, proposal, again)
            case Hold(rule=rule):
                detail = {"tool": proposal.tool, "rule": rule}
                return Refusal(proposal.tool, StopReason.POLICY_DENIED, detail, halts=live.state.halt is not None)
            case Deny(reason=reason, detail=detail):
                return Refusal(proposal.tool, reason, detail, halts=live.state.halt is not None)
            case Halt(reason=reason, detail=detail, level=level):
                node = level is Level.NODE
                return Refusal(proposal.tool, reason, detail, halts=not node, node_over=node)

    async def _carried_out(self, live: Live, proposal: Proposal, answer: Answer) -> Outcome:
        """One admitted call to its end; another attempt is another admission."""
        permit = self._permit(live, proposal, answer)
        outcome: Outcome = failure_of(proposal, CallFailed(FailureKind.CANCELLED, "nobody waited for it"))
        try:
            done = await attempt(permit, live, proposal, answer, self.world)
            live.pending.append(done.settlement)
            outcome = done.outcome
            if done.failed is not None and await self._goes_again(live, proposal, answer, done.failed):
                (again,) = await self._admit(live, [proposal], answer.attempt + 1)
                outcome = await self._answered(live, proposal, again)
            elif self._rides(live, proposal, done):
                self._riding[live.run] = live
            else:
                await self.settle(live)
            if isinstance(outcome, Refusal) and outcome.halts:
                await self.halt(live, outcome.note)
        except asyncio.CancelledError:
            if live.state.open_calls.get(answer.call) and all(p.call != answer.call for p in live.pending):
                live.pending.append(ended_early(live, proposal, answer, permit, self.world.now()))
            raise
        finally:
            self._tell_twins(live, proposal, answer, outcome)
        return outcome

    async def settle(self, live: Live) -> None:
        """Write down, now, how the performed calls of a run ended."""
        pending = tuple(live.pending)
        if not pending:
            self._riding.pop(live.run, None)
        else:
            party = party_of(live)

            def settled(tx: Transaction) -> RunState:
                for settlement in pending:
                    settle(tx, party, settlement)
                return tx.state(live.run)

            live.state = await self.store.transact(settled)
            self._landed(live, pending)

    async def settle_all(self) -> None:
        """Write down how the performed calls of every run ended."""
        for live in tuple(self._riding.values()):
            await self.settle(live)

    async def halt(self, live: Live, note: StopNote) -> None:
        """Nothing else is admitted in this run but its finalise call. A run that is halted stays as it is."""
        pending, party, now = tuple(live.pending), party_of(live), self.world.now()

        def halted(tx: Transaction) -> RunState:
            for settlement in pending:
                settle(tx, party, settlement)
            if tx.state(live.run).phase is Phase.OPEN:
                tx.append(live.run, live.epoch, [RunHalted(now, note.reason, note.detail)])
            return tx.state(live.run)

        live.state = await self.store.transact(halted)
        self._landed(live, pending)

    def is_expensive(self, live: Live, tool: ToolName) -> bool:
        """Whether the tool is one of those that do not start when a run has to finish."""
        ruled = self.toolbox.under(live.policy, tool)
        return ruled is not None and ruled.tool.expensive

    # Below: who waits for whom

    def _rides(self, live: Live, proposal: Proposal, done: Attempt) -> bool:
        """Whether the settlement may wait for the next admission: losing it then errs on the safe side."""
        if proposal.kind is CallKind.MODEL:
            return live.loop == "flow"
        assert proposal.ruled is not None
        return proposal.ruled.tool.effect is not Effect.WRITE and not self._queues.get(self._seat(live, proposal))

    def _landed(self, live: Live, settled: Sequence[Settlement]) -> None:
        """After the commit: the settlements are done, and one waiter for each freed seat may try again."""
        if not settled:
            return
        done = {settlement.call for settlement in settled}
        live.pending = [settlement for settlement in live.pending if settlement.call not in done]
        if not live.pending:
            self._riding.pop(live.run, None)
        if self._queues:
            for settlement in settled:
                self._free(settlement.seat)

    def _free(self, seat: Account | None) -> None:
        queue = self._queues.get(seat) if seat is not None else None
        while queue:  # ends: each turn drops one
            waiter = queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _wait(self, live: Live, proposal: Proposal, later: Later) -> None:
        """Until a far end's Retry-After is over, or until a seat may be free."""
        left = max(live.state.deadline - self.world.now(), 0)
        if later.at:
            await asyncio.sleep(min(max(later.at - self.world.now(), 0), left) / 1_000)
            return
        seat = self._seat(live, proposal)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(seat, deque())
        queue.append(waiter)
        try:
            await self.settle_all()  # it may free this very seat, and then the waiter has to be in the queue
            await asyncio.wait((waiter,), timeout=min(PATIENCE, left) / 1_000)
        except asyncio.CancelledError:
            if waiter.done():
                self._free(seat)  # the news was for somebody who does not want it any more
            raise
        finally:
            waiter.cancel()
            if all(other.done() for other in queue) and self._queues.get(seat) is queue:
                del self._queues[seat]

    async def _twin(self, live: Live, proposal: Proposal, of: str) -> Outcome | None:
        """The outcome of an identical call, which may still be on its way; None when nothing is left of it."""
        for call, flying in live.flying.items():
            if call == of:
                return await asyncio.shield(flying.outcome)
        seen = live.seen.get((proposal.tool, proposal.args))
        return seen.outcome if seen is not None and seen.call == of else None

    def _tell_twins(self, live: Live, proposal: Proposal, answer: Answer, outcome: Outcome) -> None:
        """Only ok observations are reused; a write makes every earlier reading old."""
        flying = live.flying.pop(answer.call)
        if not flying.outcome.done():
            flying.outcome.set_result(outcome)
        if isinstance(outcome, Observation):
            live.seen[proposal.tool, proposal.args] = Seen(outcome.call, self.world.now(), outcome)
        else:
            live.seen.pop((proposal.tool, proposal.args), None)
        if proposal.ruled is not None:
            if proposal.ruled.tool.effect is Effect.WRITE:
                live.seen.clear()
            elif proposal.ruled.tool.reuse is ReuseScope.NEVER:
                live.seen.pop((proposal.tool, proposal.args), None)

    async def _goes_again(self, live: Live, proposal: Proposal, answer: Answer, failed: CallFailed) -> bool:
        """Whether there is to be another attempt; waits as long as it takes before it."""
        effect = proposal.ruled.tool.effect if proposal.ruled is not None else Effect.EGRESS
        if not failed.kind.is_transient or effect is Effect.WRITE:
            return False
        await self.settle(live)
        health: Health = await self.store.transact(lambda tx: tx.health(live.tenant, proposal.dependency))
        if not may_retry(failed, effect, answer.attempt, live.state, health):
            return False
        wait = wait_before(answer.attempt, self.world.chance(), failed.retry_after)
        if self.world.now() + wait >= live.state.work_until:
            return False
        await asyncio.sleep(wait / 1_000)
        return True

    def _seat(self, live: Live, proposal: Proposal) -> Account:
        return bulkhead(live.tenant, proposal.tool)

    def _permit(self, live: Live, proposal: Proposal, answer: Answer) -> Permit:
        """An attempt ends with its own timeout, its step's deadline or the run's, whichever comes first."""
        wish, state, now = proposal.wish, live.state, self.world.now()
        if isinstance(wish, ModelWish):
            own = now + wish.timeout
            ends = state.deadline if wish.purpose is Purpose.FINALISE else state.work_until
        else:
            assert proposal.ruled is not None
            own, ends = now + proposal.ruled.tool.timeout, state.work_until
        if state.node_deadline and not (isinstance(wish, ModelWish) and wish.purpose is Purpose.FINALISE):
            ends = min(ends, state.node_deadline)
        return Permit(answer.call, Millis(min(own, ends)), is_cut=ends < own)
