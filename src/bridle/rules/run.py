"""The state of a run: the fold of its events, total over every sequence that the rules can emit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from bridle.rules.budget import minus, plus
from bridle.rules.call import CallKind, Purpose
from bridle.rules.data import data
from bridle.rules.events import (
    CallAdmitted,
    CallInDoubt,
    CallRefused,
    CallReused,
    CallSettled,
    CallVoided,
    Event,
    PayloadErased,
    RunHalted,
    RunResumed,
    RunStarted,
    RunStopped,
    StepEntered,
)
from bridle.rules.names import (
    ACTIVE_MS,
    BYTES_OBSERVED,
    IN_FLIGHT,
    STEPS,
    Amounts,
    CallId,
    Confidentiality,
    Digest,
    Effect,
    Millis,
    RunId,
    Source,
    TenantId,
    ToolName,
    Unit,
)
from bridle.rules.policy import LimitsPatch
from bridle.rules.stop import StopNote, StopReason, strongest

REMEMBERED = 12  # results that looping is judged by: three repeats of a cycle of four
REUSED = Digest("=")  # the result of a call that another one's observation answered


class Phase(StrEnum):
    """Where a run is in its life."""

    OPEN = "open"
    HALTED = "halted"  # nothing new but the finalise call
    STOPPED = "stopped"


@data
class OpenCall:
    """A call that was admitted and is not settled."""

    kind: CallKind
    tool: ToolName
    args: Digest
    hold: Amounts
    effect: Effect
    turn: int
    entered: int  # the step it belongs to, by the number of that step's entry
    at: Millis


@data
class Progress:
    """One result, by what looping is judged."""

    tool: ToolName
    args: Digest
    result: Digest  # empty when it failed
    turn: int
    is_write: bool = False


@dataclass(frozen=True)
class RunState:
    """Everything the rules need to know of a run; its size has a bound that does not depend on the run's length.

    It has no slots: `with_` copies a dict, which costs a tenth of `dataclasses.replace` on this many fields.
    """

    run: RunId
    tenant: TenantId
    by: str
    loop: str
    name: str
    version: str
    policy: Digest
    started_at: Millis
    deadline: Millis
    last_at: Millis
    seq: int = 0  # events folded
    epoch: int = 1
    phase: Phase = Phase.OPEN
    calls: int = 0  # proposals; also the number in the newest call id
    retries: int = 0
    restarts: int = 0  # of the step it is in: how often its worker was lost
    refusals: int = 0
    refused_turn: int = -1
    refused_tools: tuple[ToolName, ...] = ()
    step: str = ""
    entered: int = 0  # steps entered
    limits: LimitsPatch = field(default_factory=dict)
    node_deadline: Millis = Millis(0)
    used: Amounts = field(default_factory=dict)
    held: Amounts = field(default_factory=dict)
    finalise: Amounts = field(default_factory=dict)
    before: Amounts = field(default_factory=dict)  # what calls of earlier steps have used or hold
    node_finalise: Amounts = field(default_factory=dict)
    open_calls: Mapping[CallId, OpenCall] = field(default_factory=dict)
    recent: tuple[Progress, ...] = ()
    in_doubt: Mapping[CallId, ToolName] = field(default_factory=dict)
    is_tainted: bool = False
    has_read_private: bool = False
    halt: StopNote | None = None
    stop: StopNote | None = None

    def with_(self, **changes: object) -> "RunState":
        """This state with some fields changed."""
        changed = object.__new__(RunState)
        changed.__dict__.update(self.__dict__)
        changed.__dict__.update(changes)
        return changed

    def spent(self, unit: Unit) -> int:
        """What is settled of a unit."""
        return self.used.get(unit, 0)

    def committed(self, unit: Unit) -> int:
        """What is settled or held of a unit, the finalise reserve included."""
        return self.used.get(unit, 0) + self.held.get(unit, 0) + self.finalise.get(unit, 0)

    def node_committed(self, unit: Unit) -> int:
        """The same, for the investigation the run is in."""
        own = self.used.get(unit, 0) + self.held.get(unit, 0) - self.before.get(unit, 0)
        return own + self.node_finalise.get(unit, 0)

    @property
    def work_until(self) -> Millis:
        """When work ends: the deadline, less the time that the finalise call needs."""
        return Millis(self.deadline - self.finalise.get(ACTIVE_MS, 0))


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
            progress = Progress(event.tool, event.args, REUSED, event.turn)
            return state.with_(
                seq=state.seq + 1, last_at=event.at, calls=state.calls + 1, recent=_remember(state, progress)
            )
        case CallRefused():
            return _refused(state, event)
        case CallVoided():
            return _closed(state, event.call, {}, seq=state.seq + 1, last_at=event.at)
        case CallInDoubt():
            opened = _open(state, event.call)
            doubts = {**state.in_doubt, event.call: opened.tool}
            paid = _paid(opened.hold)
            return _closed(state, event.call, paid, seq=state.seq + 1, last_at=event.at, in_doubt=doubts)
        case StepEntered():
            return _entered(state, event)
        case RunResumed():
            return state.with_(
                seq=state.seq + 1,
                last_at=event.at,
                epoch=event.epoch,
                restarts=state.restarts + 1,
                deadline=Millis(state.deadline + event.away),
                node_deadline=Millis(state.node_deadline + event.away if state.node_deadline else 0),
            )
        case RunHalted():
            halted = StopNote(event.reason, event.detail)
            return state.with_(seq=state.seq + 1, last_at=event.at, phase=Phase.HALTED, halt=halted)
        case RunStopped():
            stopped = StopNote(event.reason, event.detail)
            return state.with_(seq=state.seq + 1, last_at=event.at, phase=Phase.STOPPED, stop=stopped, finalise={},
                node_finalise={},
            )  # fmt: skip
        case PayloadErased():  # it took no time of the run
            return state.with_(seq=state.seq + 1)
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
    )


def _entered(state: RunState, event: StepEntered) -> RunState:
    used = plus(state.used, {STEPS: 1})
    return state.with_(
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


def _admitted(state: RunState, event: CallAdmitted) -> RunState:
    opened = OpenCall(event.kind, event.tool, event.args, event.hold, event.effect, event.turn, state.entered, event.at)
    finalises = event.purpose is Purpose.FINALISE
    return state.with_(
        seq=state.seq + 1,
        last_at=event.at,
        calls=state.calls + 1,
        retries=state.retries + (event.attempt > 1),
        held=plus(state.held, event.hold),
        finalise={} if finalises and state.phase is Phase.HALTED else state.finalise,
        node_finalise={} if finalises else state.node_finalise,
        open_calls={**state.open_calls, event.call: opened},
    )


def _settled(state: RunState, event: CallSettled) -> RunState:
    call, recent = _open(state, event.call), state.recent
    if call.kind is CallKind.TOOL:
        result = Digest("") if event.failure else event.result
        progress = Progress(call.tool, call.args, result, call.turn, call.effect is Effect.WRITE)
        recent = _remember(state, progress)
    usable = event.failure is None
    return _closed(
        state,
        event.call,
        event.used,
        seq=state.seq + 1,
        last_at=event.at,
        recent=recent,
        is_tainted=state.is_tainted or (usable and event.source is Source.UNTRUSTED),
        has_read_private=state.has_read_private or (usable and event.confidentiality is Confidentiality.PRIVATE),
    )


def _refused(state: RunState, event: CallRefused) -> RunState:
    same_turn = event.turn == state.refused_turn
    tools = state.refused_tools if same_turn else ()
    counted = event.counts and event.tool not in tools
    return state.with_(
        seq=state.seq + 1,
        last_at=event.at,
        calls=state.calls + 1,
        refusals=state.refusals + counted,
        refused_turn=event.turn,
        refused_tools=(*tools, event.tool)[-REMEMBERED:] if counted else tools,
    )


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
    rest = {other: kept for other, kept in state.open_calls.items() if other != call}
    return state.with_(held=minus(state.held, opened.hold), used=plus(state.used, used), open_calls=rest, **changes)


def _remember(state: RunState, progress: Progress) -> tuple[Progress, ...]:
    """Looping is judged across turns: twins of one turn count once."""
    if any(p.turn == progress.turn and p.tool == progress.tool and p.args == progress.args for p in state.recent):
        return state.recent
    return (*state.recent, progress)[-REMEMBERED:]


def ending(state: RunState, wanted: StopNote) -> StopNote:
    """With which stop a run really ends: a halt and a write in doubt speak before what the flow wanted to say."""
    if state.in_doubt:
        detail = {"tool": ", ".join(dict.fromkeys(state.in_doubt.values())), "calls": ", ".join(state.in_doubt)}
        doubt = StopNote(StopReason.WRITE_IN_DOUBT, detail)
        return strongest([doubt, *([state.halt] if state.halt else [])])
    return state.halt or wanted
