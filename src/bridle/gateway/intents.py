"""The row of a write, inside the transaction that settles or resolves it."""

from bridle.rules.data import data
from bridle.rules.effect import Intent
from bridle.rules.events import CallInDoubt, CallResolved, CallSettled, CallVoided, RunHalted
from bridle.rules.failure import FailureKind
from bridle.rules.names import Confidentiality, Digest, Millis, Source
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopReason
from bridle.store.base import Transaction

BRIDLE = "bridle"  # who resolves a doubt when no person does


def intent_ended(
    tx: Transaction, epoch: int, state: RunState, ending: CallSettled | CallVoided | CallInDoubt, happened: bool | None
) -> RunState:
    """An attempt has ended, and the row says what is known now; its earlier attempts are no longer in doubt."""
    intent = next((intent for intent in tx.unresolved(state.run) if intent.call == ending.call), None)
    if intent is None:
        return state
    match ending:
        case CallInDoubt(again=again):
            tx.set_intent(intent.doubted(ending.call, by_bridle=again))
        case CallSettled() if _took_effect(ending, happened):
            tx.set_intent(intent.confirmed(ending.call))
            because = f"{ending.call} was confirmed under the same key"
            found = [CallResolved(ending.at, call, True, BRIDLE, because) for call in intent.doubts]
            return tx.append(state.run, epoch, found) if found else state
        case CallSettled() | CallVoided():
            tx.set_intent(intent.refused())
    return state


def _took_effect(ending: CallSettled, happened: bool | None) -> bool:
    """What the tool said; else an answer, usable or not, says that it did, and a known failure that it did not."""
    return ending.failure in (None, FailureKind.INVALID_OUTPUT) if happened is None else happened


@data
class Resolution:
    """What somebody found out about a write in doubt; a receipt with its labels, where the far end gave one."""

    happened: bool
    by: str
    because: str
    kept: bytes = b""
    result: Digest = Digest("")
    shown: int = 0
    source: Source = Source.TRUSTED
    confidentiality: Confidentiality = Confidentiality.PUBLIC


def resolved(tx: Transaction, epoch: int, intent: Intent, found: Resolution, now: Millis) -> RunState:
    """Every attempt of the write is out of doubt; the receipt stands beside the newest."""
    *others, last = intent.doubts
    events = [CallResolved(now, call, found.happened, found.by, found.because) for call in others]
    told = CallResolved(
        now, last, found.happened, found.by, found.because, found.result, found.shown, found.source,
        found.confidentiality,
    )  # fmt: skip
    state = tx.append(intent.run, epoch, [*events, told])
    if found.kept:
        tx.keep(intent.run, f"{last}.result", found.kept)
    tx.set_intent(intent.confirmed(last) if found.happened else intent.cleared())
    return state


def given_up(tx: Transaction, epoch: int, intent: Intent, now: Millis) -> RunState:
    """Bridle cannot find out: a person has to, and the run goes no further."""
    state = tx.append(intent.run, epoch, [])  # raises Fenced where another delivery finds out
    tx.set_intent(intent.given_up())
    if state.phase is not Phase.OPEN:
        return state
    return tx.append(intent.run, epoch, [RunHalted(now, StopReason.WRITE_IN_DOUBT, {"tool": intent.tool})])


def left(tx: Transaction, state: RunState) -> None:
    """The run ends: what bridle did not find out until now, a person has to."""
    for intent in tx.unresolved(state.run) if state.in_doubt else ():
        if intent.doubts:
            tx.set_intent(intent.given_up())
