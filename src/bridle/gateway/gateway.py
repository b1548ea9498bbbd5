"""The door: admit, perform, judge, settle."""

import asyncio
from collections.abc import Sequence

from bridle.gateway.admission import Admission, Verdict
from bridle.gateway.asking import put
from bridle.gateway.attempt import NOBODY_WAITED, attempt, ended_early, failure_of, permit_for
from bridle.gateway.doubt import cleared
from bridle.gateway.live import Live
from bridle.gateway.outcome import Outcome, Refusal, Waiting
from bridle.gateway.pending import Pending
from bridle.gateway.proposal import Proposal, Wish, propose
from bridle.gateway.recall import recall, replayed
from bridle.gateway.retry import may_retry, wait_before
from bridle.gateway.settlement import Settlement
from bridle.gateway.together import together
from bridle.gateway.toolbox import Toolbox
from bridle.gateway.tracing import traced
from bridle.gateway.twins import came_down, took_off, twin_of
from bridle.gateway.world import World
from bridle.rules.decision import Admit, Deny, Halt, Hold, Later, Reuse
from bridle.rules.failure import CallFailed
from bridle.rules.health import Health
from bridle.rules.names import CallId
from bridle.rules.policy import Level
from bridle.rules.stop import StopNote
from bridle.rules.switch import Switch
from bridle.store.base import Store


class Gateway:
    """Every call of every run goes through `call`; nothing else in the house performs anything."""

    def __init__(self, store: Store, toolbox: Toolbox, world: World) -> None:
        self.store = store
        self.toolbox = toolbox
        self.world = world
        self.pending = Pending(store, world)
        self.switches: tuple[Switch, ...] = ()  # as this process last saw them: for offers, never for decisions
        self._overran: set[str] = set()  # models that took more than they declared, until this process ends

    async def call(self, live: Live, wishes: Sequence[Wish]) -> list[Outcome | Waiting]:
        """The outcomes of one turn, in order. All of its calls are admitted before any is performed.

        Raises ControlUnavailable when the journal is out of reach, and Fenced when another delivery took the run over.
        """
        live.turn += 1
        proposals = [propose(wish, live, self.toolbox) for wish in wishes]
        if not live.remembered:
            return await self._made(live, proposals)
        known = [recall(live, proposal) for proposal in proposals]
        new = [proposal for proposal, past in zip(proposals, known, strict=True) if past is None]
        outcomes = iter(await self._made(live, new) if new else ())
        return [next(outcomes) if past is None else past for past in known]

    async def _made(self, live: Live, proposals: Sequence[Proposal]) -> list[Outcome | Waiting]:
        """The outcomes of proposals that no crash left an outcome of."""
        proposals = traced(self.store, live, self.toolbox, proposals)
        if live.state.asked or any(proposal.needs_approval for proposal in proposals):
            proposals = await put(self.store, self.world, live, proposals)
        answers = await self.admit(live, proposals)
        try:
            if len(answers) == 1:
                return [await self.answered(live, answers[0])]
            return await together([self.answered(live, answer) for answer in answers])
        finally:
            if live.unsent:
                self.pending.drop(live, answers)

    async def admit(self, live: Live, proposals: Sequence[Proposal], attempt: int = 1) -> list[Verdict]:
        """One transaction: what is pending is settled, then every proposal is decided."""
        pending = tuple(live.pending)
        admission = Admission(live, proposals, self.world.now(), pending, attempt, self._overran, self.world.fresh, [])
        try:
            answers, live.state = await self.store.transact(admission)
        except asyncio.CancelledError:  # it is committed all the same, and nobody will perform what it admitted
            await asyncio.shield(self.pending.void(live, admission.given))
            raise
        self.pending.landed(live, pending)
        for answer in answers:
            if isinstance(answer.answer, Admit):
                took_off(live, answer.call, answer.proposal, answer.at)
        return answers

    async def answered(self, live: Live, answer: Verdict) -> Outcome | Waiting:
        """What comes of a decision: the outcome of a call that is admitted, or the refusal, or that it waits."""
        proposal = answer.proposal
        while isinstance(answer.answer, Later):  # ends at the run's deadline: from then on the answer is a halt
            await self._wait(live, proposal, answer.answer)
            (answer,) = await self.admit(live, [proposal], answer.attempt)
        match answer.answer:
            case Admit():
                return await self._carried_out(live, answer)
            case Reuse(of=of, run=run) if run:
                return replayed(self.store, proposal, run, of)
            case Reuse(of=of):
                outcome = await twin_of(live, proposal, of)
                if outcome is not None:
                    return outcome
                (again,) = await self.admit(live, [proposal])  # nothing was left of it a moment later
                return await self.answered(live, again)
            case Hold():
                asked = live.state.question(proposal.binding)
                if asked is None:  # of another branch of a step that waits: it begins anew with its step
                    return Waiting(proposal.tool, CallId(""), live.state.suspended_at)
                return Waiting(proposal.tool, asked.call, asked.until)
            case Deny(reason=reason, detail=detail):
                return Refusal(proposal.tool, reason, detail, halts=live.state.halt is not None)
            case Halt(reason=reason, detail=detail, level=level):
                node = level is Level.NODE
                return Refusal(proposal.tool, reason, detail, halts=not node, node_over=node)

    async def _carried_out(self, live: Live, answer: Verdict) -> Outcome | Waiting:
        """One admitted call to its end; another attempt is another admission."""
        proposal = answer.proposal
        if live.is_closing:  # the end is on its way to the journal, and says that this was never sent
            came_down(live, answer.call, proposal, failure_of(proposal, NOBODY_WAITED), self.world.now())
            return failure_of(proposal, NOBODY_WAITED)
        now = self.world.now()
        permit = permit_for(live, answer, now)
        live.unsent.discard(answer.call)
        outcome: Outcome | Waiting | None = None
        try:
            done = await attempt(permit, live, answer, now, self.world)
            live.pending.append(done.settlement)
            outcome = done.outcome
            if done.settlement.overran:
                self._overran.add(proposal.tool)
            if proposal.is_write:
                await self.pending.write(live)
                outcome = await cleared(self, live, answer, done)
            elif done.failed is not None and await self._goes_again(live, answer, done.failed, done.settlement):
                (again,) = await self.admit(live, [proposal], answer.attempt + 1)
                outcome = await self.answered(live, again)
            elif self.pending.may_ride(live, proposal, done.settlement.seat):
                self.pending.ride(live)
            else:
                await self.pending.write(live)
            if isinstance(outcome, Refusal) and outcome.halts:
                await self.halt(live, outcome.note)
        except asyncio.CancelledError:
            if live.state.open_calls.get(answer.call) and all(p.call != answer.call for p in live.pending):
                self.pending.ride(live, ended_early(live, answer, permit, self.world.now()))
            raise
        finally:
            told = failure_of(proposal, NOBODY_WAITED) if outcome is None or isinstance(outcome, Waiting) else outcome
            came_down(live, answer.call, proposal, told, self.world.now())
        return outcome

    async def halt(self, live: Live, note: StopNote) -> None:
        """Nothing else is admitted in this run but its finalise call. A run that is halted stays as it is."""
        await self.pending.write(live, note)

    async def _wait(self, live: Live, proposal: Proposal, later: Later) -> None:
        """Until a far end's Retry-After is over, or until a seat may be free."""
        left = max(live.state.deadline - self.world.now(), 0)
        if later.at:
            await asyncio.sleep(min(max(later.at - self.world.now(), 0), left) / 1_000)
        else:
            await self.pending.seat(live, proposal, left / 1_000)

    async def _goes_again(self, live: Live, answer: Verdict, failed: CallFailed, settlement: Settlement) -> bool:
        """Whether there is to be another attempt; waits as long as it takes before it."""
        if not failed.kind.is_transient:
            return False
        await self.pending.write(live)
        health: Health = await self.store.transact(lambda tx: tx.health(live.tenant, answer.proposal.dependency))
        if not may_retry(failed, answer.attempt, live.state, health):
            return False
        wait = wait_before(answer.attempt, self.world.chance(), settlement.retry_after)
        if self.world.now() + wait >= live.state.work_until:
            return False
        await asyncio.sleep(wait / 1_000)
        return True
