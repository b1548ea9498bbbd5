"""The writes that a dead process left behind: sent again, asked for, or left to a person, before the run goes on."""

from dataclasses import replace
from typing import Protocol

from bridle.gateway.admission import Verdict
from bridle.gateway.doubt import Door, Doubt, asked, is_known_again, is_ours, left_to_a_person, sent_again
from bridle.gateway.live import Live
from bridle.gateway.proposal import ToolWish, propose
from bridle.gateway.toolbox import Toolbox
from bridle.gateway.tracing import traced
from bridle.rules.decision import Admit
from bridle.rules.effect import Intent
from bridle.rules.events import CallAdmitted, CallInDoubt
from bridle.rules.names import CallId, Millis


class ToolDoor(Door, Protocol):
    """A door that knows the tools."""

    toolbox: Toolbox


async def resolve_leftovers(house: ToolDoor, live: Live) -> None:
    """Find out about every write of the run that is in doubt and that no person was asked about yet.

    What came of it stands in the journal: whoever resumes the run has to read it from there.
    """
    for intent in await house.store.transact(lambda tx: tx.unresolved(live.run)):
        if is_ours(intent, live):
            await _recovered(house, live, intent)
    live.ordinals.clear()  # the step begins anew, and counts its proposals from 1


async def _recovered(house: ToolDoor, live: Live, intent: Intent) -> None:
    admitted, ended = _newest(house, live, intent)
    kept = next((k for call in intent.doubts if (k := house.store.payload(live.run, f"{call}.args")) is not None), b"")
    wish = ToolWish(intent.tool, kept.decode())
    (proposal,) = traced(house.store, live, house.toolbox, [propose(wish, live, house.toolbox)])
    proposal = replace(proposal, ordinal=admitted.ordinal, turn=admitted.turn, key=intent.key, recovers=True)
    newest = Verdict(proposal, admitted.call, Admit(admitted.hold), admitted.at, admitted.attempt)
    if proposal.ruled is None:
        await left_to_a_person(house, live, intent)
        return
    doubt = Doubt(proposal.ruled, newest, ended, intent)
    can_be_performed = proposal.ruled.declared.function is not None and not proposal.misfit
    if can_be_performed and is_known_again(doubt, house.world.now()):
        outcome = await sent_again(house, live, doubt)
        if outcome is not None:
            return
    await asked(house, live, doubt)


def _newest(house: ToolDoor, live: Live, intent: Intent) -> tuple[CallAdmitted, Millis]:
    """The newest attempt that is in doubt, and when that was written down: by then nothing of it was being sent."""
    admitted: dict[CallId, CallAdmitted] = {}
    ended: dict[CallId, Millis] = {}
    for entry in house.store.journal(live.run):
        match entry.event:
            case CallAdmitted(call=call):
                admitted[call] = entry.event
            case CallInDoubt(call=call, at=at):
                ended[call] = at
            case _:
                pass
    last = admitted[intent.doubts[-1]]
    same = (last.tool, last.args, last.ordinal, last.turn)
    attempts = [a.attempt for a in admitted.values() if (a.tool, a.args, a.ordinal, a.turn) == same]
    return replace(last, attempt=max(attempts)), ended[last.call]
