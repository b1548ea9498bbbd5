"""The fold: the state of a run is what its events make of it, whatever sequence the rules emit."""

from collections.abc import Iterable
from typing import assert_never

from bridle.rules.approval import REMEMBERED as QUESTIONS
from bridle.rules.approval import Asked
from bridle.rules.budget import minus, plus
from bridle.rules.call import CallKind, Purpose
from bridle.rules.data import changed
from bridle.rules.events import (
    ApprovalAsked,
    ApprovalDecided,
    ApprovalExtended,
    CallAdmitted,
    CallInDoubt,
    CallRefused,
    CallResolved,
    CallReused,
    CallSettled,
    CallVoided,
    ChildClosed,
    ChildFunded,
    ChildRefused,
    Event,
    LadderMoved,
    PayloadErased,
    RunHalted,
    RunResumed,
    RunStarted,
    RunStopped,
    RunSuspended,
    StepEntered,
    ToolsWithheld,
)
from bridle.rules.failure import FailureKind
from bridle.rules.names import (
    BYTES_OBSERVED,
    IN_FLIGHT,
    STEPS,
    Amounts,
    CallId,
    Confidentiality,
    Digest,
    Effect,
    Millis,
    Source,
    ToolName,
    Unit,
)
from bridle.rules.run import MISSING_AT_MOST, REMEMBERED, REUSED, OpenCall, Phase, Progress, RunState
from bridle.rules.stop import StopNote, StopReason

_NOT_THERE = frozenset({
    FailureKind.UNAVAILABLE, FailureKind.TIMEOUT, FailureKind.RATE_LIMITED, FailureKind.CRASHED,
})  # fmt: skip
_WRITTEN = (None, FailureKind.INVALID_OUTPUT)  # of a write: it took effect, whatever its answer was
_UNAVAILABLE = frozenset({StopReason.TOOL_UNAVAILABLE, StopReason.MODEL_UNAVAILABLE, StopReason.RATE_LIMITED})


class JournalBroken(AssertionError):
    """A journal holds something the rules never emit: an event before the start, or a call settled twice."""


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """The state after these events. Raises JournalBroken when they are no run."""
    for event in events:
        state = apply(state, event)
    if state is None:
        raise JournalBroken("a journal without events is no run")
    return state


def apply(state: RunState | None, event: Event) -> RunState:
    """The state after one more event."""
    if isinstance(event, RunStarted):
        if state is not None:
            raise JournalBroken("a run starts once")
        return _started(event)
    if state is None:
        raise JournalBroken(f"{type(event).__name__} before RunStarted")
    match event:
        case CallAdmitted():
            return _admitted(state, event)
        case CallSettled():
            return _settled(state, event)
        case CallReused():
            recent = _remember(state, Progress(event.tool, event.args, REUSED, event.turn))
            seen = _received(state, event, event.tool) if event.run else {}
            return changed(state, seq=state.seq + 1, last_at=event.at, calls=state.calls + 1, recent=recent, **seen)
        case CallRefused():
            return _refused(state, event)
        case CallVoided() | CallInDoubt():
            return _unsettled(state, event)
        case CallResolved():
            return _resolved(state, event)
        case ApprovalAsked() | ApprovalDecided() | ApprovalExtended() | RunSuspended():
            return _asked(state, event)
        case StepEntered():
            return _entered(state, event)
        case ChildFunded() | ChildRefused() | ChildClosed():
            return _child(state, event)
        case RunResumed():
            return changed(
                state,
                seq=state.seq + 1,
                last_at=event.at,
                epoch=event.epoch,
                phase=Phase.OPEN if state.phase is Phase.SUSPENDED else state.phase,
                restarts=state.restarts + (state.phase is not Phase.SUSPENDED),
                away=Millis(state.away + event.away),
                deadline=Millis(state.deadline + event.away),
                node_deadline=Millis(state.node_deadline + event.away if state.node_deadline else 0),
            )
        case LadderMoved():
            return changed(state, seq=state.seq + 1, last_at=event.at)
        case ToolsWithheld():
            off = tuple(event.off)
            return changed(
                state, seq=state.seq + 1, last_at=event.at, withheld=off, missing=_missing(state.missing, *off)
            )
        case RunHalted() | RunStopped():
            return _over(state, event)
        case PayloadErased():  # it took no time of the run
            return changed(state, seq=state.seq + 1)
        case _:
            assert_never(event)


def _started(event: RunStarted) -> RunState:
    return RunState(
        run=event.run,
        tenant=event.tenant,
        by=event.by,
        loop=event.loop,
        name=event.name,
        version=event.version,
        policy=event.policy,
        started_at=event.at,
        deadline=event.deadline,
        last_at=event.at,
        seq=1,
        finalise=event.finalise,
        parent=event.parent,
        within=event.within,
        depth=event.depth,
        funds=event.funds,
        is_tainted=event.is_tainted,
        has_read_private=event.has_read_private,
    )


def _entered(state: RunState, event: StepEntered) -> RunState:
    used = plus(state.used, {STEPS: 1})
    return changed(
        state,
        seq=state.seq + 1,
        last_at=event.at,
        step=event.step,
        entered=state.entered + 1,
        restarts=0,
        limits=event.limits,
        node_deadline=event.deadline,
        used=used,
        before=plus(used, state.held),
        node_finalise=event.finalise,
    )


def _child(state: RunState, event: ChildFunded | ChildRefused | ChildClosed) -> RunState:
    if isinstance(event, ChildRefused):
        return changed(state, seq=state.seq + 1, last_at=event.at, refusals=state.refusals + 1)
    if isinstance(event, ChildFunded):
        if event.child in state.children:
            raise JournalBroken(f"{event.child} is funded once")
        children = {**state.children, event.child: event.hold}
        used, held = plus(state.used, {STEPS: 1}), plus(state.held, event.hold)
        return changed(state, seq=state.seq + 1, last_at=event.at, used=used, held=held, children=children)
    if event.child not in state.children:
        raise JournalBroken(f"{event.child} is no open child")
    return changed(
        state,
        seq=state.seq + 1,
        last_at=event.at,
        children={child: hold for child, hold in state.children.items() if child != event.child},
        held=minus(state.held, state.children[event.child]),
        used=plus(state.used, event.used),
        missing=_missing(state.missing, *event.missing),
        is_tainted=state.is_tainted or event.is_tainted,
        has_read_private=state.has_read_private or event.has_read_private,
        writes={
            tool: state.writes.get(tool, 0) + event.writes.get(tool, 0) for tool in {**state.writes, **event.writes}
        },
    )


def _admitted(state: RunState, event: CallAdmitted) -> RunState:
    opened = OpenCall(
        event.kind, event.tool, event.args, event.hold, event.effect, event.turn, state.entered, event.at, event.attempt
    )
    finalises = event.purpose is Purpose.FINALISE
    writes = state.writes
    if event.effect is Effect.WRITE and event.attempt == 1:
        writes = {**writes, event.tool: writes.get(event.tool, 0) + 1}
    return changed(
        state,
        seq=state.seq + 1,
        last_at=event.at,
        calls=state.calls + 1,
        retries=state.retries + (event.attempt > 1),
        held=plus(state.held, event.hold),
        finalise={} if finalises and state.phase is Phase.HALTED else state.finalise,
        node_finalise={} if finalises else state.node_finalise,
        asked=tuple(one for one in state.asked if one.call != event.approval) if event.approval else state.asked,
        open_calls={**state.open_calls, event.call: opened},
        writes=writes,
    )


def _not_written(state: RunState, call: OpenCall) -> dict[str, object]:
    """A write that certainly took no effect is given back to the quota of its tool, where it was what counted."""
    return _counted(state, call.tool, -1) if call.effect is Effect.WRITE and call.attempt == 1 else {}


def _counted(state: RunState, tool: ToolName, more: int) -> dict[str, object]:
    return {"writes": {**state.writes, tool: max(state.writes.get(tool, 0) + more, 0)}}


def _over(state: RunState, event: RunHalted | RunStopped) -> RunState:
    note = StopNote(event.reason, event.detail)
    if isinstance(event, RunHalted):
        return changed(state, seq=state.seq + 1, last_at=event.at, phase=Phase.HALTED, halt=note)
    return changed(
        state,
        seq=state.seq + 1,
        last_at=event.at,
        phase=Phase.STOPPED,
        stop=note,
        finalise={},
        node_finalise={},
        asked=(),
    )


def _asked(state: RunState, event: ApprovalAsked | ApprovalDecided | ApprovalExtended | RunSuspended) -> RunState:
    if isinstance(event, RunSuspended):
        return changed(state, seq=state.seq + 1, last_at=event.at, phase=Phase.SUSPENDED, suspended_at=event.at)
    if isinstance(event, ApprovalAsked):
        asked = Asked(event.call, event.tool, event.binding, event.at, event.until, effect=event.effect)
        known = (*state.asked, asked)[-QUESTIONS:]
        return changed(state, seq=state.seq + 1, last_at=event.at, calls=state.calls + 1, asked=known)
    if isinstance(event, ApprovalExtended):
        known = tuple(
            changed(one, until=event.until, counted_at=event.at) if one.call == event.call else one
            for one in state.asked
        )
        return changed(state, seq=state.seq + 1, last_at=event.at, asked=known)
    if all(one.call != event.call or one.answer is not None for one in state.asked):
        raise JournalBroken(f"nobody waits for an answer about {event.call}")
    known = tuple(
        changed(one, answer=event.answer, by=event.by, said=event.said, edited=event.edited)
        if one.call == event.call
        else one
        for one in state.asked
    )
    return changed(state, seq=state.seq + 1, last_at=event.at, asked=known)


def _settled(state: RunState, event: CallSettled) -> RunState:
    call, recent = _open(state, event.call), state.recent
    if call.kind is CallKind.TOOL and event.failure is not FailureKind.CANCELLED:  # which proves nothing
        result = Digest("") if event.failure else event.result
        progress = Progress(call.tool, call.args, result, call.turn, call.effect is Effect.WRITE)
        recent = _remember(state, progress)
    usable, missing = event.failure is None, state.missing
    if usable and missing:
        missing = tuple([name for name in missing if name != call.tool])
    elif event.failure in _NOT_THERE:
        missing = _missing(missing, call.tool)
    return _closed(
        state,
        event.call,
        event.used,
        **({} if event.failure in _WRITTEN else _not_written(state, call)),
        seq=state.seq + 1,
        last_at=event.at,
        recent=recent,
        missing=missing,
        is_tainted=state.is_tainted or event.source is Source.UNTRUSTED,  # an error is read, too
        has_read_private=state.has_read_private or event.confidentiality is Confidentiality.PRIVATE,
    )


def _unsettled(state: RunState, event: CallVoided | CallInDoubt) -> RunState:
    """Nothing came back: a call that was never sent pays nothing, one that nobody knows the end of pays all."""
    opened = _open(state, event.call)
    if isinstance(event, CallVoided):
        back = _not_written(state, opened)
        return _closed(state, event.call, {}, seq=state.seq + 1, last_at=event.at, **back)
    doubts = {**state.in_doubt, event.call: opened.tool}
    counted = {} if opened.attempt == 1 else _counted(state, opened.tool, 1)  # each doubt is given back by itself
    return _closed(
        state, event.call, _paid(opened.hold), seq=state.seq + 1, last_at=event.at, in_doubt=doubts, **counted
    )


def _resolved(state: RunState, event: CallResolved) -> RunState:
    """A doubt is over. What becomes known after the end of a run does not change how long the run took."""
    if event.call not in state.in_doubt:
        raise JournalBroken(f"{event.call} is not in doubt")
    rest = {call: tool for call, tool in state.in_doubt.items() if call != event.call}
    last_at = state.last_at if state.phase is Phase.STOPPED else event.at
    tool = state.in_doubt[event.call]
    came = _received(state, event, tool) if event.happened else _counted(state, tool, -1)
    return changed(state, seq=state.seq + 1, last_at=last_at, in_doubt=rest, **came)


def _received(state: RunState, event: CallResolved | CallReused, tool: ToolName) -> dict[str, object]:
    """What a receipt makes of the run: its labels, and that nothing of its tool is missing any more."""
    return {
        "missing": tuple([name for name in state.missing if name != tool]),
        "is_tainted": state.is_tainted or event.source is Source.UNTRUSTED,
        "has_read_private": state.has_read_private or event.confidentiality is Confidentiality.PRIVATE,
    }


def _refused(state: RunState, event: CallRefused) -> RunState:
    same_turn = event.turn == state.refused_turn
    tools = state.refused_tools if same_turn else ()
    counted = event.counts and event.tool not in tools
    return changed(
        state,
        seq=state.seq + 1,
        last_at=event.at,
        calls=state.calls + 1,
        refusals=state.refusals + counted,
        refused_turn=event.turn,
        refused_tools=(*tools, event.tool)[-REMEMBERED:] if counted else tools,
        missing=_missing(state.missing, event.tool) if event.reason in _UNAVAILABLE else state.missing,
    )


def _missing(known: tuple[ToolName, ...], *more: ToolName) -> tuple[ToolName, ...]:
    return tuple(dict.fromkeys((*known, *more)))[:MISSING_AT_MOST]


def _open(state: RunState, call: CallId) -> OpenCall:
    if call not in state.open_calls:
        raise JournalBroken(f"{call} is not open")
    return state.open_calls[call]


def _paid(hold: Amounts) -> dict[Unit, int]:
    """What a hold becomes when it is posted: everything but the seat, which is always given back."""
    return {unit: amount for unit, amount in hold.items() if unit not in (IN_FLIGHT, BYTES_OBSERVED)}


def _closed(state: RunState, call: CallId, used: Amounts, **changes: object) -> RunState:
    """A call leaves the open ones: what it held goes back, what it used is paid; with whatever else changes."""
    opened = _open(state, call)
    if opened.entered != state.entered:
        changes["before"] = plus(minus(state.before, opened.hold), used)
    changes["open_calls"] = rest = dict(state.open_calls)
    del rest[call]
    changes["held"], changes["used"] = minus(state.held, opened.hold), plus(state.used, used)
    return changed(state, **changes)


def _remember(state: RunState, progress: Progress) -> tuple[Progress, ...]:
    """Looping is judged across turns: twins of one turn count once."""
    for p in state.recent:
        if p.turn == progress.turn and p.tool == progress.tool and p.args == progress.args:
            return state.recent
    return (*state.recent, progress)[-REMEMBERED:]
