"""The door: admit, perform, judge, settle."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from bridle.gateway.admission import Admission, Verdict
from bridle.gateway.asking import put
from bridle.gateway.attempt import Attempt, attempt, ended_early, failure_of, permit_for, unsent
from bridle.gateway.doubt import cleared
from bridle.gateway.live import Live
from bridle.gateway.outcome import Observation, Outcome, Refusal, Replied, Waiting
from bridle.gateway.proposal import Proposal, Wish, propose
from bridle.gateway.recall import recall, replayed
from bridle.gateway.retry import may_retry, wait_before
from bridle.gateway.seats import Seats
from bridle.gateway.settlement import Settlement, bulkhead, settle
from bridle.gateway.together import together
from bridle.gateway.toolbox import Toolbox
from bridle.gateway.twins import came_down, took_off, twin_of
from bridle.gateway.world import World
from bridle.rules.budget import Account
from bridle.rules.decision import Admit, Deny, Halt, Hold, Later, Reuse
from bridle.rules.events import CallVoided, RunHalted
from bridle.rules.failure import CallFailed, ControlUnavailable, FailureKind
from bridle.rules.health import Health
from bridle.rules.names import CallId, RunId
from bridle.rules.policy import Level
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopNote
from bridle.rules.switch import Switch
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
        if any(proposal.needs_approval for proposal in proposals):
            proposals = await put(self.store, self.world, live, proposals)
        answers = await self.admit(live, proposals)
        try:
            if len(answers) == 1:
                return [await self.answered(live, answers[0])]
            return await together([self.answered(live, answer) for answer in answers])
        finally:
            if live.unsent:
                self._drop_unsent(live, answers)

    async def admit(self, live: Live, proposals: Sequence[Proposal], attempt: int = 1) -> list[Verdict]:
        """One transaction: what is pending is settled, then every proposal is decided."""
        pending = tuple(live.pending)
        admission = Admission(live, proposals, self.world.now(), pending, attempt, self._overran, self.world.fresh, [])
        try:
            answers, live.state = await self.store.transact(admission)
        except asyncio.CancelledError:  # it is committed all the same, and nobody will perform what it admitted
            await asyncio.shield(self._void(live, admission.given))
            raise
        self._landed(live, pending)
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
                assert asked is not None, "a call that is held has its question in the journal"
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
        permit = permit_for(live, proposal, answer, now)
        live.unsent.discard(answer.call)
        outcome: Outcome | Waiting | None = None
        try:
            done = await attempt(permit, live, proposal, answer, now, self.world)
            live.pending.append(done.settlement)
            outcome = done.outcome
            if done.settlement.overran:
                self._overran.add(proposal.tool)
            if proposal.is_write:
                await self.settle(live)
                outcome = await cleared(self, live, proposal, answer, done)
            elif await self._goes_again(live, proposal, answer, done):
                (again,) = await self.admit(live, [proposal], answer.attempt + 1)
                outcome = await self.answered(live, again)
            elif self._rides(live, proposal, done.settlement.seat):
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
            told = (
                outcome if isinstance(outcome, Observation | Replied | Refusal) else failure_of(proposal, NOBODY_WAITED)
            )
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

    # Below: who waits, and for what

    def _rides(self, live: Live, proposal: Proposal, seat: Account | None) -> bool:
        """Whether the settlement may wait for the next admission: losing it then errs on the safe side.

        That of a probe may not: until it is written, nobody else may go, and no model is offered the tool.
        """
        if self.store.health(live.tenant, proposal.dependency).failures:
            return False
        if seat is None:  # a model's
            return live.loop == "flow"
        return not self._seats.is_wanted(seat)

    def _landed(self, live: Live, settled: Sequence[Settlement]) -> None:
        """After the commit: the settlements are done, and one waiter for each freed seat may try again."""
        if settled:
            live.pending = [settlement for settlement in live.pending if settlement not in settled]
            if not live.pending:
                self._riding.pop(live.run, None)
            for settlement in settled:
                self._seats.free(settlement.seat)

    def _drop_unsent(self, live: Live, answers: Sequence[Verdict]) -> None:
        """Calls that were admitted and then cancelled before they began: what they held goes back."""
        for answer in answers:
            proposal, is_admitted = answer.proposal, isinstance(answer.answer, Admit)
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

    async def _goes_again(self, live: Live, proposal: Proposal, answer: Verdict, done: Attempt) -> bool:
        """Whether there is to be another attempt; waits as long as it takes before it."""
        failed = done.failed
        if failed is None or not failed.kind.is_transient:
            return False
        await self.settle(live)
        health: Health = await self.store.transact(lambda tx: tx.health(live.tenant, proposal.dependency))
        if not may_retry(failed, answer.attempt, live.state, health):
            return False
        wait = wait_before(answer.attempt, self.world.chance(), done.settlement.retry_after)
        if self.world.now() + wait >= live.state.work_until:
            return False
        await asyncio.sleep(wait / 1_000)
        return True
