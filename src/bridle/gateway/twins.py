"""Identical reads of a run answer each other: one that is on its way, or one that is young enough."""

import asyncio

from bridle.gateway.live import Flying, Live, Seen
from bridle.gateway.outcome import Observation, Outcome, Refusal
from bridle.gateway.proposal import Proposal
from bridle.rules.names import CallId, Millis
from bridle.rules.stop import StopReason


def took_off(live: Live, call: CallId, proposal: Proposal, at: Millis) -> None:
    """A call is on its way: twins wait for its outcome."""
    live.flying[call] = Flying(proposal.tool, at)
    if proposal.is_reusable:
        live.seen[proposal.tool, proposal.args] = Seen(call, at, None)


def came_down(live: Live, call: CallId, proposal: Proposal, outcome: Outcome, at: Millis) -> None:
    """Its outcome is here. Only ok observations are reused; a write makes every earlier reading old."""
    flying = live.flying.pop(call)
    if flying.outcome is not None and not flying.outcome.done():
        flying.outcome.set_result(outcome)
    if proposal.is_write:
        live.seen.clear()
    elif proposal.is_reusable:
        key = (proposal.tool, proposal.args)
        if isinstance(outcome, Observation):
            live.seen[key] = Seen(outcome.call, at, outcome)
        else:
            live.seen.pop(key, None)


async def twin_of(live: Live, proposal: Proposal, of: CallId) -> Outcome | None:
    """The outcome of an identical call, which may still be on its way; None when nothing is left of it."""
    flying = live.flying.get(of)
    if flying is not None:
        flying.outcome = flying.outcome or asyncio.get_running_loop().create_future()
        outcome = await asyncio.shield(flying.outcome)
        return None if isinstance(outcome, Refusal) and outcome.reason is StopReason.CANCELLED else outcome
    seen = live.seen.get((proposal.tool, proposal.args))
    return seen.outcome if seen is not None and seen.call == of else None
