"""What happened, in the past tense: the only things a journal holds, in a union that only grows."""

from dataclasses import field

from bridle.rules.call import CallKind, Purpose
from bridle.rules.data import data
from bridle.rules.failure import FailureKind
from bridle.rules.names import (
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
)
from bridle.rules.policy import LimitsPatch
from bridle.rules.stop import Detail, StopReason


@data
class RunStarted:
    """Somebody asked for a run. `loop` says whose loop it is: bridle's own (`flow`) or a foreign one (`attach`)."""

    at: Millis
    run: RunId
    tenant: TenantId
    by: str
    loop: str
    name: str  # of the flow, or of the attached agent
    version: str
    policy: Digest
    input: Digest
    deadline: Millis
    finalise: Amounts = field(default_factory=dict)  # held from the start for the last call


@data
class StepEntered:
    """The flow moved on. `state` is the digest of the state with which it did."""

    at: Millis
    step: str
    state: Digest
    limits: LimitsPatch = field(default_factory=dict)  # of an investigation; empty for a plain step
    deadline: Millis = Millis(0)  # of an investigation; 0 means that of the run
    finalise: Amounts = field(default_factory=dict)


@data
class CallAdmitted:
    """A call may be performed, and `hold` is set aside for it. Durable before a byte leaves."""

    at: Millis
    call: CallId
    kind: CallKind
    tool: ToolName
    args: Digest
    hold: Amounts
    effect: Effect = Effect.READ
    schema: Digest = Digest("")
    turn: int = 0
    ordinal: int = 1
    attempt: int = 1
    purpose: Purpose = Purpose.WORK
    also: tuple[str, ...] = ()  # objections that observe mode let pass


@data
class CallReused:
    """An identical call's observation answered this one."""

    at: Millis
    call: CallId
    tool: ToolName
    args: Digest
    of: CallId
    turn: int = 0
    ordinal: int = 1


@data
class CallRefused:
    """A call was not admitted; `also` names the objections that did not win."""

    at: Millis
    call: CallId
    kind: CallKind
    tool: ToolName
    args: Digest
    turn: int
    reason: StopReason
    detail: Detail = field(default_factory=dict)
    also: tuple[str, ...] = ()
    node_over: bool = False  # the node's budget is used up, the run's is not
    counts: bool = True  # against max_refusals


@data
class CallSettled:
    """A performed call ended and was paid. `failure` is None when its result is usable."""

    at: Millis
    call: CallId
    used: Amounts
    result: Digest = Digest("")
    failure: FailureKind | None = None
    source: Source = Source.TRUSTED
    confidentiality: Confidentiality = Confidentiality.PUBLIC
    overrun: Amounts = field(default_factory=dict)  # what the far end took beyond its declared bound
    asked: int = 0  # of a model call: how many tool calls it asked for
    shown: int = 0  # of a tool call: how many bytes of its result a model was shown at most


@data
class CallVoided:
    """An admitted call was certainly never sent; what it held goes back."""

    at: Millis
    call: CallId


@data
class CallInDoubt:
    """A write was sent and nobody knows whether it took effect; what it held stays paid."""

    at: Millis
    call: CallId


@data
class RunResumed:
    """Another delivery of the run took over; `epoch` fences off the one before, `away` did not count as active."""

    at: Millis
    epoch: int
    away: Millis


@data
class RunHalted:
    """Nothing else is admitted but the one finalise call."""

    at: Millis
    reason: StopReason
    detail: Detail = field(default_factory=dict)


@data
class RunStopped:
    """The end, once. `answer` is the digest of the answer or of the partial result."""

    at: Millis
    reason: StopReason
    detail: Detail = field(default_factory=dict)
    answer: Digest = Digest("")


@data
class PayloadErased:
    """What the run kept beside its journal is gone, and its salt with it; the digests in the events stay."""

    at: Millis
    by: str
    because: str
    payloads: int
    bytes: int


Event = (
    RunStarted
    | StepEntered
    | CallAdmitted
    | CallReused
    | CallRefused
    | CallSettled
    | CallVoided
    | CallInDoubt
    | RunResumed
    | RunHalted
    | RunStopped
    | PayloadErased
)
