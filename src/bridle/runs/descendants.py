"""The ends of a run and of its children hang together: each of these is part of the transaction that writes one."""

from bridle.gateway.intents import left
from bridle.gateway.settlement import Party, Settlement, settle
from bridle.rules.events import CallInDoubt, CallSettled, ChildClosed, RunResumed, RunStopped
from bridle.rules.failure import FailureKind
from bridle.rules.names import IN_FLIGHT, CallId, Effect, Millis
from bridle.rules.policy import Policy
from bridle.rules.run import RunState, ending
from bridle.rules.stop import StopNote, StopReason
from bridle.store.base import Transaction


def end_children(tx: Transaction, parent: RunState, policy: Policy, now: Millis, because: str) -> RunState:
    """End every open child, and theirs, whoever drives them: he is fenced off. Returns the parent without them."""
    for child in tuple(parent.children):
        state = tx.state(child)
        state = tx.append(child, state.epoch, [RunResumed(now, state.epoch + 1, Millis(0))])
        state = end_children(tx, state, policy, now, because)
        party = Party(child, state.epoch, state.tenant, state.name, policy, state.policy)
        for call in tuple(state.open_calls):
            settle(tx, party, lost(state, call, now))
        state = tx.state(child)
        left(tx, state)
        note = ending(state, StopNote(StopReason.CANCELLED, {"by": f"its parent {parent.run} ({because})"}))
        closed_into(tx, tx.append(child, state.epoch, [RunStopped(now, note.reason, note.detail)]), now)
    return tx.state(parent.run)


def closed_into(tx: Transaction, child: RunState, now: Millis) -> None:
    """The parent of a child that has just ended pays what it used, and takes over what it has read."""
    if not child.parent:
        return
    assert child.stop is not None, "a child closes when it has ended"
    parent = tx.state(child.parent)
    if child.run in parent.children:
        closed = ChildClosed(
            now,
            child.run,
            child.used,
            child.stop.reason,
            child.is_tainted,
            child.has_read_private,
            child.missing,
            child.writes,
        )
        tx.append(parent.run, parent.epoch, [closed])


def lost(state: RunState, call: CallId, now: Millis, *, again: bool = False) -> Settlement:
    """How a call ends that nobody waits for any more: paid in full, its seat given back, and a write is in doubt.

    `again` says that recovery finds out about a write.
    """
    opened = state.open_calls[call]
    if opened.effect is Effect.WRITE:
        return Settlement(CallInDoubt(now, call, again), opened.tool, concurrency=1)
    paid = {unit: amount for unit, amount in opened.hold.items() if unit != IN_FLIGHT}
    return Settlement(CallSettled(now, call, paid, failure=FailureKind.CANCELLED), opened.tool, concurrency=1)
