"""What a step that begins again knows of its calls: what came of them, and what it was told."""

from collections.abc import Mapping
from dataclasses import replace

from bridle.gateway.live import Live, MemoryKey, Remembered, memory_args
from bridle.rules.call import CallKind
from bridle.rules.events import (
    ApprovalAsked,
    CallAdmitted,
    CallRefused,
    CallResolved,
    CallReused,
    CallSettled,
    RunResumed,
    StepEntered,
)
from bridle.rules.failure import FailureKind
from bridle.rules.names import CallId, Digest, Effect
from bridle.store.base import Store

Failed = dict[MemoryKey, tuple[int, Remembered]]  # with the turn in which it was proposed


def remember(store: Store, live: Live) -> None:
    """Every call of the step the run is in, by what it was; turns are numbered on, as no turn comes twice."""
    admitted: dict[CallId, CallAdmitted] = {}
    asked: dict[CallId, Digest] = {}  # the arguments of questions: the step proposes these again, not an edit's
    failed: Failed = {}
    came: dict[CallId, CallSettled] = {}
    begun = 0  # the turn in which the step was when it last began anew
    for entry in store.journal(live.run):
        if isinstance(entry.event, CallAdmitted | CallReused | CallRefused | ApprovalAsked):
            live.turn = max(live.turn, entry.event.turn)
        match entry.event:
            case StepEntered():
                live.remembered.clear()
                failed.clear()
            case RunResumed():
                begun = live.turn
            case ApprovalAsked(call=call, args=args):
                asked[call] = args
                _proposed_again(failed, entry.event, begun)
            case CallAdmitted(call=call):
                admitted[call] = entry.event
                failed.pop(_proposed(entry.event, asked), None)
            case CallSettled(call=call, failure=failure):
                came[call] = entry.event
                key = _proposed(admitted[call], asked)
                if failure is None:
                    _keep(store, live, key, Remembered(call, b"", entry.event.shown, source=entry.event.source))
                else:
                    _failed(live, failed, key, admitted[call], failure)
            case CallReused():
                _keep_reused(store, live, entry.event, came.get(entry.event.of))
            case CallResolved(call=call, happened=True):
                key = _proposed(admitted[call], asked)
                live.remembered.setdefault(key, Remembered(call, b"", 0))
                _keep(store, live, key, Remembered(call, b"", entry.event.shown, source=entry.event.source))
            case CallResolved(call=call):
                _failed(live, failed, _proposed(admitted[call], asked), admitted[call], FailureKind.UNAVAILABLE)
            case _:
                pass
    for key, (turn, about) in failed.items():
        if turn < live.turn:  # the step went on from there: told anything else, it might take another way this time
            live.remembered.setdefault(key, about)


def _keep_reused(store: Store, live: Live, event: CallReused, twin: CallSettled | None) -> None:
    """What another call's result, or a receipt of another run, answered; a twin that came to nothing, did not."""
    was = event if event.run else twin
    if was is not None:
        about = Remembered(event.of, b"", was.shown, event.run, was.source)
        _keep(store, live, (CallKind.TOOL, event.tool, event.args, event.ordinal), about)


def _failed(live: Live, failed: Failed, key: MemoryKey, event: CallAdmitted, failure: FailureKind) -> None:
    if event.effect is Effect.WRITE and failure is FailureKind.INVALID_OUTPUT:
        live.remembered[key] = Remembered(event.call, b"", 0)  # it took effect, and only its answer was bad
    elif event.kind is CallKind.TOOL and failure is not FailureKind.CANCELLED:
        failed[key] = event.turn, Remembered(event.call, b"", 0, failure=failure)


def _proposed_again(failed: Failed, event: ApprovalAsked, begun: int) -> None:
    """The step began anew without being told that a call of its last turn failed, and a person was asked about it."""
    for key in [key for key, (turn, _) in failed.items() if key[1:3] == (event.tool, event.args) and turn == begun]:
        del failed[key]


def _proposed(event: CallAdmitted, asked: Mapping[CallId, Digest]) -> MemoryKey:
    args = asked.get(event.approval, event.args)
    return event.kind, event.tool, memory_args(event.kind, args), event.ordinal


def _keep(store: Store, live: Live, key: MemoryKey, about: Remembered) -> None:
    kept = store.payload(about.run or live.run, f"{about.call}.result")
    if kept is not None:
        live.remembered[key] = replace(about, kept=kept)
