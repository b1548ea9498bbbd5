"""A write whose end nobody knows: sent again under its key, or asked for, or left to a person; never anything else."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridle.gateway.admission import Verdict
from bridle.gateway.attempt import Attempt, context_of, in_doubt
from bridle.gateway.intents import BRIDLE, Resolution, given_up, resolved
from bridle.gateway.judge import Judged, judge
from bridle.gateway.live import Live
from bridle.gateway.outcome import Outcome, Refusal, Waiting
from bridle.gateway.perform import Performed, Permit, perform
from bridle.gateway.proposal import Proposal, ToolWish
from bridle.gateway.recall import no_receipt
from bridle.gateway.retry import ATTEMPTS, wait_before, within_budgets
from bridle.gateway.toolbox import Ruled
from bridle.gateway.world import World
from bridle.rules.effect import Intent, IntentStatus
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.health import Health
from bridle.rules.names import Millis
from bridle.rules.run import RunState
from bridle.rules.stop import StopReason
from bridle.rules.switch import against_run
from bridle.rules.tool import Idempotency
from bridle.store.base import Store, Transaction
from bridle.store.chain import keyed

ASKS = 3  # of a probe: now, when the write must have landed, and once more for a clock that is a little behind
_NOT_WORTH_IT = frozenset({
    FailureKind.REJECTED, FailureKind.CREDENTIALS, FailureKind.CONTEXT_OVERFLOW, FailureKind.CANCELLED,
})  # fmt: skip


class Door(Protocol):
    """What is needed of the gateway."""

    store: Store
    world: World

    async def admit(self, live: Live, proposals: Sequence[Proposal], attempt: int = 1) -> list[Verdict]:
        """Decide on proposals."""

    async def answered(self, live: Live, answer: Verdict) -> Outcome | Waiting:
        """What comes of a decision."""


@dataclass(slots=True)
class Doubt:
    """A write in doubt, while bridle finds out."""

    ruled: Ruled
    newest: Verdict  # the attempt that ended last
    ended: Millis  # when it did: from then on the far end has `lands_within`
    intent: Intent
    failed: CallFailed | None = None  # how it failed; None where its process died

    @property
    def proposal(self) -> Proposal:
        """The write, which is the same in every attempt."""
        return self.newest.proposal


async def cleared(door: Door, live: Live, answer: Verdict, done: Attempt) -> Outcome:
    """The outcome of a write after its doubt; of one that is not in doubt, its own."""
    proposal = answer.proposal
    if not live.state.in_doubt or proposal.ruled is None:
        return done.outcome
    intent = await door.store.transact(lambda tx: tx.intent(live.tenant, proposal.tool, proposal.key))
    if intent is None or not is_ours(intent, live):
        return done.outcome
    doubt = Doubt(proposal.ruled, answer, done.settlement.ending.at, intent, done.failed)
    if await _may_send_again(door, live, doubt):
        outcome = await sent_again(door, live, doubt)
        if outcome is not None:
            return outcome
    return await asked(door, live, doubt)


def is_ours(intent: Intent, live: Live) -> bool:
    """Whether bridle is to find out, and in this run."""
    return intent.run == live.run and intent.status is IntentStatus.OPEN and bool(intent.doubts)


def is_known_again(doubt: Doubt, now: Millis) -> bool:
    """Whether the far end recognises the same write: by its nature, or by a key that it has not forgotten yet."""
    tool = doubt.ruled.tool
    return tool.idempotency is not Idempotency.NONE and now - doubt.intent.at < tool.key_ttl


async def _may_send_again(door: Door, live: Live, doubt: Doubt) -> bool:
    """Whether the same write is sent again: within every budget of retries; waits as long as it takes before it."""
    failed, attempt = doubt.failed, doubt.newest.attempt
    if failed is None or failed.kind in _NOT_WORTH_IT or not _had_its_key(doubt):
        return False
    health: Health = await door.store.transact(lambda tx: tx.health(live.tenant, doubt.proposal.dependency))
    if not within_budgets(attempt, live.state, health):
        return False
    patience = failed.retry_after if isinstance(failed.retry_after, int) else None
    wait = wait_before(attempt, door.world.chance(), patience)
    then = Millis(door.world.now() + wait)
    if then >= live.state.work_until or not is_known_again(doubt, then):
        return False
    await asyncio.sleep(wait / 1_000)
    return True


def _had_its_key(doubt: Doubt) -> bool:
    """Whether the far end can have been sent the key: a foreign client may not have asked for it."""
    wish = doubt.proposal.wish
    by_key = doubt.ruled.tool.idempotency is Idempotency.KEY
    return not by_key or not isinstance(wish, ToolWish) or wish.sends_key


async def sent_again(door: Door, live: Live, doubt: Doubt) -> Outcome | None:
    """The same write under the same key, as a new attempt; None when the door did not let it pass."""
    if doubt.newest.attempt >= ATTEMPTS:
        return None
    (answer,) = await door.admit(live, [doubt.proposal], doubt.newest.attempt + 1)
    outcome = await door.answered(live, answer)
    intent = await _row(door, live, doubt)
    return None if is_ours(intent, live) or isinstance(outcome, Waiting) else outcome


async def asked(door: Door, live: Live, doubt: Doubt) -> Outcome:
    """What the far end says of the key; a person has to look when it cannot be asked, or does not know in time."""
    probe = doubt.ruled.declared.probe
    for _ in range(ASKS if probe is not None else 0):
        if await door.store.transact(lambda tx: against_run(tx.switches(), live.tenant, live.name)) is not None:
            break
        now = door.world.now()  # a "no" is as old as its question
        said = await _probed(door, live, doubt)
        if said.failed is not None:
            break
        if said.value is not None:
            return await _took_effect(door, live, doubt, said.value)
        landed = Millis(doubt.ended + doubt.ruled.tool.lands_within)
        if now >= landed:
            return await _did_not(door, live, doubt)
        if landed >= live.state.work_until:
            break
        await asyncio.sleep(max(landed - door.world.now(), 0) / 1_000)
    return await left_to_a_person(door, live, doubt.intent)


async def _probed(door: Door, live: Live, doubt: Doubt) -> Performed:
    """One question, under the tool's timeout and the run's deadline. It is no call: it changes and admits nothing."""
    now = door.world.now()
    until = Millis(max(min(now + doubt.ruled.tool.timeout, live.state.deadline), now + 1))
    context = context_of(live, doubt.newest, until)
    probe = doubt.ruled.declared.probe
    assert probe is not None
    return await perform(Permit(doubt.newest.call, until), lambda: probe(context, {}, context.key), now)


async def _took_effect(door: Door, live: Live, doubt: Doubt, receipt: object) -> Outcome:
    tool, last = doubt.ruled.tool, doubt.intent.doubts[-1]
    judged: Judged = judge(receipt, doubt.ruled, doubt.proposal.source, f"artifact:{live.run}/{last}", tool.show_bytes)
    found = Resolution(True, BRIDLE, "the far end knows its key")
    if judged.observation is not None:
        found = Resolution(
            True, BRIDLE, "the far end knows its key", judged.kept, keyed(live.salt, judged.kept), tool.show_bytes,
            doubt.proposal.source, tool.confidentiality,
        )  # fmt: skip
    if not await _resolved(door, live, doubt, found):
        return in_doubt(tool.name)
    return judged.observation or no_receipt(doubt.proposal)


async def _did_not(door: Door, live: Live, doubt: Doubt) -> Outcome:
    found = Resolution(False, BRIDLE, "the far end does not know its key, and would have by now")
    if not await _resolved(door, live, doubt, found):
        return in_doubt(doubt.ruled.tool.name)
    error = "it took no effect: the far end never saw it"
    return Refusal(doubt.proposal.tool, StopReason.TOOL_UNAVAILABLE, {"tool": doubt.proposal.tool, "error": error})


async def _resolved(door: Door, live: Live, doubt: Doubt, found: Resolution) -> bool:
    """Write down what was found out; False when somebody else was faster."""
    now = door.world.now()

    def written(tx: Transaction) -> tuple[RunState, bool]:
        intent = tx.intent(live.tenant, doubt.proposal.tool, doubt.proposal.key)
        if intent is None or not is_ours(intent, live):
            return tx.state(live.run), False
        return resolved(tx, live.epoch, intent, found, now), True

    live.state, is_written = await door.store.transact(written)
    return is_written


async def left_to_a_person(door: Door, live: Live, about: Intent) -> Outcome:
    """Bridle gives up: the run is halted, and the write stands in the list of doubts."""
    now = door.world.now()

    def written(tx: Transaction) -> RunState:
        intent = tx.intent(about.tenant, about.tool, about.key)
        if intent is None or not is_ours(intent, live):
            return tx.state(live.run)
        return given_up(tx, live.epoch, intent, now)

    live.state = await door.store.transact(written)
    return in_doubt(about.tool)


async def _row(door: Door, live: Live, doubt: Doubt) -> Intent:
    found = await door.store.transact(lambda tx: tx.intent(live.tenant, doubt.proposal.tool, doubt.proposal.key))
    assert found is not None, "a claimed key lost its row"
    doubt.intent = found
    return found
