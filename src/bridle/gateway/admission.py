"""The first half of a call: everything is read, decided and written down in one transaction."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import field, replace

from bridle.gateway.claims import claim_of, claimed
from bridle.gateway.lineage import beside, lineage
from bridle.gateway.live import Live
from bridle.gateway.proposal import ModelWish, Proposal
from bridle.gateway.settlement import Party, Settlement, accounts, concurrency_of, moved, settle
from bridle.rules.approval import Consent
from bridle.rules.call import Call
from bridle.rules.checks import Snapshot, decide
from bridle.rules.data import data
from bridle.rules.decision import Admit, Decision, Deny, Halt, Hold, Later, Objection, Reuse
from bridle.rules.effect import meant
from bridle.rules.events import ApprovalAsked, CallAdmitted, CallRefused, CallReused, RunHalted, ToolsWithheld
from bridle.rules.health import TENANT, WELL, Health, Rung
from bridle.rules.ladder import nearly_used, reusable_for
from bridle.rules.names import CallId, Digest, Effect, Millis, ToolName
from bridle.rules.policy import Enforcement, Level
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopReason
from bridle.rules.tool import ReuseScope
from bridle.store.base import Transaction

_NEVER_LET_PASS = (StopReason.KILLED, StopReason.CONTROL_UNAVAILABLE)


@data
class Verdict:
    """The decision on a proposal, under the id that the call was given."""

    proposal: Proposal
    call: CallId
    answer: Admit | Objection
    at: Millis
    attempt: int


@data
class Admission:
    """Settles what is pending and answers a group of proposals; run inside a transaction, it may be run again."""

    live: Live
    proposals: Sequence[Proposal]
    now: Millis
    pending: Sequence[Settlement] = ()
    attempt: int = 1
    overran: Collection[str] = ()  # models that took more than they declared: their price is not known any more
    fresh: Callable[[int], bytes] = os.urandom
    given: list[CallId] = field(default_factory=list)  # what it admitted, for who is cancelled while it commits

    def __call__(self, tx: Transaction) -> tuple[list[Verdict], RunState]:
        self.given.clear()
        party = self.live.party
        for settlement in self.pending:
            settle(tx, party, settlement)
        self._withheld(tx, party)
        this_turn: dict[tuple[ToolName, Digest], CallId] = {}
        answers = [self._answer(tx, party, proposal, this_turn) for proposal in self.proposals]
        return answers, tx.state(party.run)

    def foreseen(self, tx: Transaction) -> list[Admit | Objection]:
        """What each proposal would be answered if it came alone and now. Nothing is written."""
        found: list[Admit | Objection] = []
        for proposal in self.proposals:
            state = tx.state(self.live.run)
            seen = self._snapshot(tx, self.live.party, proposal, state, {})
            found.append(self._enforced(decide(self._call(state, proposal), seen), seen))
        return found

    def _withheld(self, tx: Transaction, party: Party) -> None:
        """What is not offered to the model is written down where it changes, before the model is asked."""
        state, off = tx.state(party.run), self.live.off
        if (off or state.withheld) and tuple(off) != state.withheld and state.phase is Phase.OPEN:
            tx.append(party.run, party.epoch, [ToolsWithheld(self.now, dict(off))])

    def _answer(
        self, tx: Transaction, party: Party, proposal: Proposal, this_turn: dict[tuple[ToolName, Digest], CallId]
    ) -> Verdict:
        state = tx.state(party.run)
        call = self._call(state, proposal)
        seen = self._snapshot(tx, party, proposal, state, this_turn)
        self._move_tenant(tx, party, seen)
        answer = self._written(tx, party, proposal, call, seen)
        if isinstance(answer, Admit):
            this_turn[proposal.tool, proposal.args] = call.id
            self.given.append(call.id)
            self.live.unsent.add(call.id)  # if this very commit is lost, the id means nothing
        return Verdict(proposal, call.id, answer, self.now, self.attempt)

    def _call(self, state: RunState, proposal: Proposal) -> Call:
        return Call(
            CallId(f"c{state.calls + 1}"),
            proposal.kind,
            proposal.tool,
            proposal.args,
            proposal.hold,
            proposal.turn,
            proposal.ordinal,
            self.attempt,
            proposal.purpose,
        )

    def _snapshot(
        self,
        tx: Transaction,
        party: Party,
        proposal: Proposal,
        state: RunState,
        this_turn: dict[tuple[ToolName, Digest], CallId],
    ) -> Snapshot:
        tool = proposal.ruled.tool if proposal.ruled is not None else None
        drawn = accounts(party, proposal.tool, concurrency_of(tool), proposal.hold, self.now)
        balances = {account: tx.balance(account, limit) for account, limit in drawn}
        health, tenant = tx.health(party.tenant, proposal.dependency), tx.health(party.tenant, TENANT)
        above = lineage(tx, state) if state.parent else ()
        return Snapshot(
            self.now,
            state,
            self.live.node,
            tool,
            proposal.misfit,
            proposal.broken_rule,
            isinstance(proposal.wish, ModelWish) and (proposal.wish.ceiling is None or proposal.tool in self.overran),
            tx.switches(),
            health,
            proposal.needs_approval,
            Consent(proposal.binding, state.question(proposal.binding)) if proposal.binding else None,
            tenant.strained(self.now) if nearly_used(balances) else tenant,
            self._twin(proposal, this_turn, health) if self.attempt == 1 else None,
            balances,
            claim_of(tx, party.tenant, party.run, proposal, self.attempt) if proposal.key else None,
            above,
            beside(tx, state, above) if proposal.key and (above or state.children) else (),
            proposal.traced,
        )

    def _move_tenant(self, tx: Transaction, party: Party, seen: Snapshot) -> None:
        """Where the tenant stands on the ladder is written down when it changes."""
        better = seen.tenant
        if better is not WELL and seen.run.phase is Phase.OPEN:
            moved(tx, party, TENANT, tx.health(party.tenant, TENANT), better, self.now)
        self.live.is_strained = better is not WELL and better.rung(self.now) >= Rung.READS_ONLY

    def _twin(
        self, proposal: Proposal, this_turn: dict[tuple[ToolName, Digest], CallId], health: Health
    ) -> CallId | None:
        """An identical call whose observation is young enough, or still on its way."""
        if proposal.ruled is None or proposal.ruled.tool.effect is Effect.WRITE:
            return None
        reuse = proposal.ruled.tool.reuse
        if reuse is ReuseScope.NEVER:
            return None
        key = (proposal.tool, proposal.args)
        if key in this_turn:
            return this_turn[key]
        earlier = self.live.seen.get(key)
        if earlier is None:
            return None
        is_young = (
            reuse is ReuseScope.RUN
            or earlier.outcome is None
            or self.now < earlier.at + reusable_for(Millis(int(reuse)), health, self.now)
        )
        return earlier.call if is_young else None

    def _enforced(self, decision: Decision, seen: Snapshot) -> Admit | Objection:
        """In observe mode a refusal is written down and let pass, where there is something that can be performed."""
        answer = decision.answer
        if isinstance(answer, Admit) or seen.policy.enforcement is Enforcement.ENFORCE:
            return answer
        if isinstance(answer, Reuse | Later):
            return answer
        for objection in (answer, *decision.also):  # also where a refusal that would be let pass was the stronger one
            if isinstance(objection, Deny | Halt) and objection.reason in _NEVER_LET_PASS:
                return objection
        is_unknown = isinstance(answer, Deny | Halt) and answer.detail.get("rule") == "unknown"
        taken = meant(seen.claim) if seen.claim is not None else None
        if taken is not None:
            return taken  # nothing lets a write take effect twice
        if seen.run.phase is not Phase.OPEN or seen.misfit or seen.unpriced or is_unknown:
            return answer
        return Admit({})

    def _written(
        self, tx: Transaction, party: Party, proposal: Proposal, call: Call, seen: Snapshot
    ) -> Admit | Objection:
        """The decision, as events and reservations in the transaction that looked."""
        decided = decide(call, seen)
        answer = self._enforced(decided, seen)
        also = tuple([_named(objection) for objection in decided.also if objection is not answer])
        match answer:
            case Admit():
                passed = () if isinstance(decided.answer, Admit) else (_named(decided.answer), *also)
                self._reserve(tx, party, proposal, call, seen, passed)
            case Reuse(of=of, run=run):
                reused = CallReused(self.now, call.id, call.tool, call.args, of, call.turn, call.ordinal)
                if run and seen.tool is not None:
                    reused = replace(
                        reused, run=run, shown=seen.tool.show_bytes, source=proposal.source,
                        confidentiality=seen.tool.confidentiality,
                    )  # fmt: skip
                tx.append(party.run, party.epoch, [reused])
            case Later():
                pass  # nothing happened yet; it is proposed again
            case Hold():
                self._ask(tx, party, proposal, call, seen)
            case Deny() | Halt():
                if answer is not decided.answer and not isinstance(decided.answer, Admit):
                    also = (_named(decided.answer), *also)  # the stronger one, which observe mode would have let pass
                self._refuse(tx, party, proposal, call, answer, also)
        return answer

    def _ask(self, tx: Transaction, party: Party, proposal: Proposal, call: Call, seen: Snapshot) -> None:
        """Put the question to a person; one that waits for its answer already is not asked again."""
        if seen.consent is None or (seen.consent.asked is not None and seen.consent.asked.answer is None):
            return
        until = Millis(self.now + self.live.node.expire_after)
        effect = seen.tool.effect if seen.tool is not None else Effect.WRITE
        asked = ApprovalAsked(
            self.now, call.id, call.tool, call.args, proposal.binding, until, call.turn, effect, seen.traced.unproven
        )
        tx.append(party.run, party.epoch, [asked])
        tx.keep(party.run, f"{call.id}.question", proposal.question)

    def _reserve(
        self, tx: Transaction, party: Party, proposal: Proposal, call: Call, seen: Snapshot, passed: tuple[str, ...]
    ) -> None:  # fmt: skip
        tool = seen.tool
        admitted = CallAdmitted(
            self.now,
            call.id,
            call.kind,
            call.tool,
            call.args,
            call.hold,
            tool.effect if tool is not None else Effect.EGRESS,
            tool.schema if tool is not None else Digest(""),
            call.turn,
            call.ordinal,
            call.attempt,
            call.purpose,
            passed,
            seen.consent.asked.call if seen.consent is not None and seen.consent.asked is not None else CallId(""),
        )
        tx.append(party.run, party.epoch, [admitted])
        if proposal.kept_args and self.attempt == 1:
            tx.keep(party.run, f"{call.id}.args", proposal.kept_args)
        if seen.claim is not None:
            claimed(tx, seen.run, proposal, call.id, seen.claim, self.now, self.fresh)
        for account, balance in seen.balances.items():
            tx.set_balance(account, balance.reserve(call.hold[account.unit]))
        timeout = tool.timeout if tool is not None else Millis(120_000)
        after = seen.health.sent(self.now, call.attempt, timeout)
        if after is not seen.health:
            tx.set_health(party.tenant, proposal.dependency, after)

    def _refuse(
        self, tx: Transaction, party: Party, proposal: Proposal, call: Call, why: Deny | Halt, also: tuple[str, ...]
    ) -> None:  # fmt: skip
        node_over = isinstance(why, Halt) and why.level is Level.NODE
        is_new = tx.state(party.run).phase is Phase.OPEN
        refused = CallRefused(
            self.now, call.id, call.kind, call.tool, call.args, call.turn, why.reason, why.detail, also,
            node_over=node_over, counts=isinstance(why, Deny) and self.attempt == 1, unproven=proposal.traced.unproven,
        )  # fmt: skip
        state = tx.append(party.run, party.epoch, [refused])
        if proposal.kept_args:
            tx.keep(party.run, f"{call.id}.args", proposal.kept_args)
        ends = not node_over if isinstance(why, Halt) else state.refusals > self.live.node.max_refusals
        if ends and is_new:
            tx.append(party.run, party.epoch, [RunHalted(self.now, why.reason, why.detail)])


def _named(objection: Objection) -> str:
    match objection:
        case Deny(reason=reason) | Halt(reason=reason) | Later(reason=reason):
            return reason.value
        case Hold(rule=rule):
            return rule
        case Reuse():
            return "reuse"
