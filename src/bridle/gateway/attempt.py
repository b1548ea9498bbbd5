"""One attempt of one admitted call: perform it, judge what came back, and say how it is to be settled."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import MappingProxyType
from typing import TypedDict

from bridle.gateway.admission import Verdict
from bridle.gateway.cleaning import legible
from bridle.gateway.context import CallContext
from bridle.gateway.judge import judge
from bridle.gateway.keys import sent_key
from bridle.gateway.live import Live
from bridle.gateway.outcome import TOOL_REASONS, Outcome, Refusal, Replied
from bridle.gateway.perform import Performed, Permit, perform, perform_here
from bridle.gateway.proposal import ModelWish, Proposal, ToolWish
from bridle.gateway.recall import kept_reply
from bridle.gateway.schemas import BadArguments, coerce
from bridle.gateway.settlement import Ending, Settlement, bulkhead, concurrency_of
from bridle.gateway.toolbox import Ruled
from bridle.gateway.world import World
from bridle.models.port import PolicyNotPinned
from bridle.rules.budget import beyond
from bridle.rules.call import CallKind, Purpose
from bridle.rules.data import data
from bridle.rules.events import CallInDoubt, CallSettled, CallVoided
from bridle.rules.failure import DID_NOT_HAPPEN, CallFailed, FailureKind
from bridle.rules.names import (
    BYTES_OBSERVED,
    IN_FLIGHT,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    USD_NANO,
    Amounts,
    CallId,
    Confidentiality,
    Effect,
    Millis,
    Source,
    ToolName,
    Unit,
)
from bridle.rules.prompt import ModelReply, ToolUse, Usage, is_pinned
from bridle.rules.running_out import out_of_time, step_out_of_time, wraps_up
from bridle.rules.stop import StopReason
from bridle.rules.tool import Idempotency
from bridle.store.chain import keyed

MOST_TOKENS = 10**12  # of one reply; more is no count
_NOT_BILLED = frozenset({
    FailureKind.RATE_LIMITED, FailureKind.REJECTED, FailureKind.CREDENTIALS, FailureKind.CONTEXT_OVERFLOW,
})  # fmt: skip

_NOTHING: Amounts = {}
NOBODY_WAITED = CallFailed(FailureKind.CANCELLED, "nobody waited for it")
MODEL_REASONS = MappingProxyType(
    TOOL_REASONS
    | {
        FailureKind.UNAVAILABLE: StopReason.MODEL_UNAVAILABLE,
        FailureKind.TIMEOUT: StopReason.MODEL_UNAVAILABLE,
        FailureKind.CRASHED: StopReason.MODEL_UNAVAILABLE,
        FailureKind.INVALID_OUTPUT: StopReason.MODEL_UNAVAILABLE,
        FailureKind.REJECTED: StopReason.MODEL_UNAVAILABLE,
        FailureKind.CONTEXT_OVERFLOW: StopReason.CONTEXT_OVERFLOW,
    }
)


@data
class Attempt:
    """How one attempt ended."""

    settlement: Settlement
    outcome: Outcome
    failed: CallFailed | None = None


async def attempt(permit: Permit, live: Live, answer: Verdict, now: Millis, world: World) -> Attempt:
    """Perform and judge; every failure of the world comes back as a value."""
    proposal = answer.proposal
    ours = isinstance(proposal.wish, ModelWish) and not proposal.wish.is_foreign
    carry_out = perform_here if ours else perform
    performed = await carry_out(permit, _work(permit, live, answer), now)
    at = world.now()
    if at > permit.until and performed.failed is None and proposal.ruled is not None and not proposal.is_write:
        late = f"its answer came {(at - permit.until) / 1_000:g} s after its time"
        performed = Performed(failed=CallFailed(FailureKind.TIMEOUT, late))  # a late write happened all the same
    judge_it = _model_attempt if proposal.kind is CallKind.MODEL else _tool_attempt
    if permit.is_cut and performed.failed is not None and performed.failed.kind is FailureKind.TIMEOUT:
        cut = Performed(failed=CallFailed(FailureKind.CANCELLED, "there was no time left to wait for it"))
        return _out_of_time(live, proposal, judge_it(live, answer, cut, at), at)
    return judge_it(live, answer, performed, at)


def _out_of_time(live: Live, proposal: Proposal, done: Attempt, at: Millis) -> Attempt:
    """The far end may have been well: the run, or its step, had no time left to wait for it."""
    if isinstance(done.outcome, Refusal) and done.outcome.reason is StopReason.WRITE_IN_DOUBT:
        return done
    over = at >= live.state.work_until
    detail = out_of_time(live.state, live.node.limits, at) if over else step_out_of_time(live.state, at)
    refusal = Refusal(proposal.tool, StopReason.MAX_SECONDS, detail, halts=over, node_over=not over)
    return Attempt(done.settlement, refusal, done.failed)


def _work(permit: Permit, live: Live, answer: Verdict) -> Callable[[], Awaitable[object]]:
    proposal = answer.proposal
    wish = proposal.wish
    context = context_of(live, answer, permit.until)
    if isinstance(wish, ModelWish):
        if not is_pinned(wish.request):
            raise PolicyNotPinned(wish.request.model)
        left = Millis(max(permit.until - answer.at, 1))
        return lambda: wish.work(context, left)
    return _tool_work(wish, proposal, context)


def context_of(live: Live, answer: Verdict, until: Millis) -> CallContext:
    """What a tool, its probe, or a model's client may know of a call."""
    proposal = answer.proposal
    return CallContext(live.run, answer.call, live.tenant, key_of(live, proposal), answer.attempt, until)


def key_of(live: Live, proposal: Proposal) -> str:
    """What a far end is sent to know a call by, the same for every attempt."""
    if proposal.key:
        return sent_key(live.tenant, proposal.tool, live.run, proposal.key)
    return f"{live.run}/{live.state.entered}/{proposal.tool}/{proposal.args}/{proposal.ordinal}"


def _tool_work(wish: ToolWish, proposal: Proposal, context: CallContext) -> Callable[[], Awaitable[object]]:
    foreign = wish.work
    if foreign is not None:
        return lambda: foreign(context)
    declared = _ruled(proposal).declared
    callee = declared.function
    if callee is None:
        raise AssertionError(f"{proposal.tool} has no function, and was admitted all the same")

    def work() -> Awaitable[object]:
        try:
            arguments = coerce(callee.function, proposal.arguments) if declared.is_typed else proposal.arguments
        except BadArguments as error:
            raise CallFailed(FailureKind.REJECTED, str(error), happened=False) from error
        return callee(context, arguments)

    return work


def _tool_attempt(live: Live, answer: Verdict, performed: Performed, at: Millis) -> Attempt:
    proposal = answer.proposal
    ruled, failed = _ruled(proposal), performed.failed
    tool = ruled.tool
    paid = _paid(proposal)
    if failed is None:
        finishes = live.is_strained or wraps_up(live.state, live.node.limits, at)
        shown = tool.show_bytes // 4 if finishes else tool.show_bytes
        judged = judge(performed.value, ruled, proposal.source, f"artifact:{live.run}/{answer.call}", shown)
        if judged.observation is not None:
            used = {**paid, BYTES_OBSERVED: len(judged.kept)}
            result = keyed(live.salt, judged.kept)
            ending = CallSettled(
                at, answer.call, used, result, None, proposal.source, tool.confidentiality, _NOTHING, 0, shown
            )
            return Attempt(_settlement(live, proposal, ending, judged.kept), judged.observation)
        failed = judged.failed
    assert failed is not None
    if tool.effect is Effect.WRITE:
        return _write_failed(live, answer, failed, at)
    ending = CallSettled(at, answer.call, paid, failure=failed.kind, **_label(proposal))  # it said why
    return Attempt(_settlement(live, proposal, ending, failed=failed), failure_of(proposal, failed), failed)


def _write_failed(live: Live, answer: Verdict, failed: CallFailed, at: Millis) -> Attempt:
    """It is known whether it took effect, or bridle finds out, or a person has to."""
    proposal = answer.proposal
    happened = _happened(failed)
    if happened is None:
        doubt = CallInDoubt(at, answer.call, can_be_found_out(_ruled(proposal)))
        settlement = replace(_settlement(live, proposal, doubt, failed=failed), doubt=failed.kind)
        return Attempt(settlement, in_doubt(proposal.tool), failed)
    kind = FailureKind.INVALID_OUTPUT if happened else failed.kind  # it took effect, and only its answer is bad
    ending = CallSettled(at, answer.call, _paid(proposal), failure=kind, **_label(proposal))
    settlement = replace(_settlement(live, proposal, ending, failed=failed), happened=happened)
    return Attempt(settlement, failure_of(proposal, failed), failed)


class _Label(TypedDict):
    source: Source
    confidentiality: Confidentiality


def _label(proposal: Proposal) -> _Label:
    """Who may have written what a call came back with, an error too, and who may read it; a model's says nothing."""
    if proposal.ruled is None:
        return {"source": Source.TRUSTED, "confidentiality": Confidentiality.PUBLIC}
    return {"source": proposal.source, "confidentiality": proposal.ruled.tool.confidentiality}


def in_doubt(tool: ToolName) -> Refusal:
    """What the caller is told of a write that a person has to look at."""
    return Refusal(tool, StopReason.WRITE_IN_DOUBT, {"tool": tool}, halts=True)


def can_be_found_out(ruled: Ruled) -> bool:
    """Whether bridle may clear a doubt: the far end knows a repeated write, or can be asked."""
    return ruled.tool.idempotency is not Idempotency.NONE or ruled.declared.probe is not None


def _happened(failed: CallFailed) -> bool | None:
    """What the tool said; else an unusable answer says that it took effect; None when nobody knows."""
    if failed.happened is True or failed.happened is False:
        return failed.happened
    if failed.kind is FailureKind.INVALID_OUTPUT:
        return True
    return False if failed.kind in DID_NOT_HAPPEN else None


def _model_attempt(live: Live, answer: Verdict, performed: Performed, at: Millis) -> Attempt:
    proposal = answer.proposal
    wish = proposal.wish
    assert isinstance(wish, ModelWish)
    reply, failed = performed.value, performed.failed
    if failed is None and not isinstance(reply, ModelReply):
        failed = CallFailed(FailureKind.INVALID_OUTPUT, f"the client returned {type(reply).__name__}, not a ModelReply")
    if failed is not None:
        billed = failed.kind not in _NOT_BILLED and failed.happened is not False
        used = _paid(proposal) if billed else {MODEL_CALLS: 1, STEPS: 1}
        ending = CallSettled(at, answer.call, used, failure=failed.kind)
        return Attempt(_settlement(live, proposal, ending, failed=failed), failure_of(proposal, failed), failed)
    assert isinstance(reply, ModelReply)
    try:
        reply = _sound(reply)
        kept = kept_reply(reply)
    except (TypeError, ValueError, AttributeError):
        reply = ModelReply("")  # its parts are not what they are declared to be: an empty answer, paid in full
        kept = kept_reply(reply)
    used, usage = _paid(proposal), reply.usage
    if usage is not None and _is_countable(usage):
        used |= {TOKENS_IN: usage.tokens_in, TOKENS_OUT: usage.tokens_out, USD_NANO: wish.cost(usage)}
    result, overrun, asked = keyed(live.salt, kept), beyond(used, proposal.hold), len(reply.uses)
    ending = CallSettled(at, answer.call, used, result, None, Source.TRUSTED, Confidentiality.PUBLIC, overrun, asked)
    return Attempt(_settlement(live, proposal, ending, kept), Replied(reply, answer.call))


def _is_countable(usage: Usage) -> bool:
    """Whether a client counted tokens as tokens are counted; otherwise the whole hold is paid."""
    into, out = usage.tokens_in, usage.tokens_out
    return type(into) is int and type(out) is int and 0 <= into <= MOST_TOKENS and 0 <= out <= MOST_TOKENS


def _sound(reply: ModelReply) -> ModelReply:
    """The reply in whole characters: half of one could be neither kept nor sent on."""
    try:
        "".join([reply.text, *[part for use in reply.uses for part in (use.id, use.name, use.arguments)]]).encode()
    except UnicodeEncodeError:
        uses = tuple(ToolUse(_whole(use.id), _whole(use.name), _whole(use.arguments)) for use in reply.uses)
        return replace(reply, text=_whole(reply.text), uses=uses)
    return reply


def _whole(text: str) -> str:
    return legible(text, len(text))


def _paid(proposal: Proposal) -> dict[Unit, int]:
    """The whole hold, but for the seat, which is given back and never paid."""
    paid = dict(proposal.hold)
    paid.pop(IN_FLIGHT, None)
    return paid


def _settlement(
    live: Live, proposal: Proposal, ending: Ending, kept: bytes = b"", failed: CallFailed | None = None
) -> Settlement:
    tool = proposal.ruled.tool if proposal.ruled is not None else None
    asked: object = failed.retry_after if failed is not None else None  # a tool's own words, whatever they are
    patience = Millis(asked) if isinstance(asked, int) else Millis(0)
    seat = bulkhead(live.tenant, tool.name) if tool is not None else None
    return Settlement(ending, proposal.dependency, kept, patience, concurrency_of(tool), seat)


def failure_of(proposal: Proposal, failed: CallFailed) -> Refusal:
    """What the caller is told of a failure."""
    if proposal.kind is CallKind.MODEL:
        detail = {"model": proposal.tool, "tool": proposal.tool, "error": failed.message}
        return Refusal(proposal.tool, MODEL_REASONS[failed.kind], detail)
    return Refusal(proposal.tool, TOOL_REASONS[failed.kind], {"tool": proposal.tool, "error": failed.message})


def ended_early(live: Live, answer: Verdict, permit: Permit, at: Millis) -> Settlement:
    """Nobody waits any more: what was not sent goes back, what was sent is paid, a write that was sent is in doubt."""
    proposal = answer.proposal
    ending: Ending
    if not permit.is_used:
        ending = CallVoided(at, answer.call)
    elif proposal.ruled is not None and proposal.ruled.tool.effect is Effect.WRITE:
        ending = CallInDoubt(at, answer.call, can_be_found_out(proposal.ruled))
    else:
        ending = CallSettled(at, answer.call, _paid(proposal), failure=FailureKind.CANCELLED, **_label(proposal))
    return _settlement(live, proposal, ending)


def unsent(live: Live, proposal: Proposal, call: CallId, at: Millis) -> Settlement:
    """The settlement of a call that was admitted and never begun."""
    return _settlement(live, proposal, CallVoided(at, call))


def permit_for(live: Live, answer: Verdict, now: Millis) -> Permit:
    """An attempt ends with its own timeout, its step's deadline or the run's, whichever comes first."""
    proposal = answer.proposal
    wish, state = proposal.wish, live.state
    finalises = proposal.purpose is Purpose.FINALISE
    ends = state.deadline if finalises else state.work_until
    if state.node_deadline and not finalises:
        ends = min(ends, state.node_deadline)
    own = now + (wish.timeout if isinstance(wish, ModelWish) else _ruled(proposal).tool.timeout)
    return Permit(answer.call, Millis(min(own, ends)), ends < own)


def _ruled(proposal: Proposal) -> Ruled:
    assert proposal.ruled is not None, "a tool that nobody declared was admitted"
    return proposal.ruled
