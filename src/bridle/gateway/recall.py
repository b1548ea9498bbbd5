"""Calls that a step made before a crash answer from the journal, and are not made again."""

import json

from msgspec.json import Encoder

from bridle.gateway.judge import observe
from bridle.gateway.live import Live, memory_args
from bridle.gateway.outcome import TOOL_REASONS, Outcome, Refusal, Replied
from bridle.gateway.proposal import Proposal
from bridle.rules import strict_json
from bridle.rules.call import CallKind
from bridle.rules.names import CallId, RunId, Source
from bridle.rules.prompt import Finish, ModelReply, ToolUse, Usage
from bridle.rules.stop import StopReason
from bridle.store.base import Store

_encode = Encoder().encode


def recall(live: Live, proposal: Proposal) -> Outcome | None:
    """The outcome that this proposal had before the crash, or None when it is new."""
    if not live.remembered:
        return None
    known = live.remembered.get(
        (proposal.kind, proposal.tool, memory_args(proposal.kind, proposal.args), proposal.ordinal)
    )
    if known is None:
        return None
    if proposal.kind is CallKind.MODEL:
        return Replied(reply_of(known.kept), known.call)
    if proposal.ruled is None:
        return None
    if known.failure is not None:
        error = f"it failed ({known.failure}) before the run was taken up again"
        return Refusal(proposal.tool, TOOL_REASONS[known.failure], {"tool": proposal.tool, "error": error})
    if not known.kept:
        return no_receipt(proposal)
    return _read(proposal, known.kept, known.source, f"artifact:{known.run or live.run}/{known.call}", known.shown)


def replayed(store: Store, proposal: Proposal, run: RunId, call: CallId) -> Outcome:
    """The recorded receipt of a write that took effect, perhaps in another run."""
    assert proposal.ruled is not None, "a tool that nobody declared has a receipt"
    kept = store.payload(run, f"{call}.result")
    if not kept:
        return no_receipt(proposal)
    return _read(proposal, kept, proposal.source, f"artifact:{run}/{call}", proposal.ruled.tool.show_bytes)


def no_receipt(proposal: Proposal) -> Refusal:
    """A write that took effect, and of which no usable answer is kept."""
    error = "it took effect, and no usable receipt of it is kept"
    return Refusal(proposal.tool, StopReason.TOOL_OUTPUT_INVALID, {"tool": proposal.tool, "error": error})


def _read(proposal: Proposal, kept: bytes, source: Source, handle: str, shown: int) -> Outcome:
    assert proposal.ruled is not None
    value = strict_json.parse(kept, max_bytes=len(kept) + 1)
    return observe(value, kept, proposal.ruled, source, handle, shown)


def kept_reply(reply: ModelReply) -> bytes:
    """A model's reply as it is kept."""
    usage = [reply.usage.tokens_in, reply.usage.tokens_out] if reply.usage else None
    uses = [[use.id, use.name, use.arguments] for use in reply.uses]
    return _encode((reply.text, uses, usage, reply.finish))


def reply_of(kept: bytes) -> ModelReply:
    """A model's reply again."""
    text, uses, usage, finish = json.loads(kept)
    return ModelReply(text, tuple(ToolUse(*use) for use in uses), Usage(*usage) if usage else None, Finish(finish))
