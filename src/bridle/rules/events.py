"""What happened, in the past tense: the only things a journal holds, in a union that only grows."""

from collections.abc import Mapping
from dataclasses import field

from bridle.rules.approval import Answer
from bridle.rules.call import CallKind, Purpose
from bridle.rules.data import event
from bridle.rules.failure import FailureKind
from bridle.rules.flow_of_information import Unproven
from bridle.rules.health import Rung
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


@event
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
    parent: RunId = RunId("")  # of a child: the run that began it and funds it
    within: str = ""  # the parent's step
    depth: int = 0  # generations below the run that somebody asked for
    funds: Amounts = field(default_factory=dict)  # what a child may use at most; its parent holds it
    is_tainted: bool = False  # what its parent had read
    has_read_private: bool = False


@event
class StepEntered:
    """The flow moved on. `state` is the digest of the state with which it did."""

    at: Millis
    step: str
    state: Digest
    limits: LimitsPatch = field(default_factory=dict)  # of an investigation; empty for a plain step
    deadline: Millis = Millis(0)  # of an investigation; 0 means that of the run
    finalise: Amounts = field(default_factory=dict)


@event
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
    approval: CallId = CallId("")  # the question whose answer allowed it; it is used up by this


@event
class CallReused:
    """An identical call's observation answered this one."""

    at: Millis
    call: CallId
    tool: ToolName
    args: Digest
    of: CallId
    turn: int = 0
    ordinal: int = 1
    run: RunId = RunId("")  # of a write: where its receipt was; empty for an observation of this run
    shown: int = 0  # of a receipt: how many bytes of it a model was shown at most
    source: Source = Source.TRUSTED  # of a receipt; observations of this run have told theirs
    confidentiality: Confidentiality = Confidentiality.PUBLIC


@event
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
    unproven: tuple[Unproven, ...] = ()  # arguments that nobody vouches for


@event
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


@event
class CallVoided:
    """An admitted call was certainly never sent; what it held goes back."""

    at: Millis
    call: CallId


@event
class CallInDoubt:
    """A write was sent and nobody knows whether it took effect; what it held stays paid.

    `again` says that bridle finds out by itself: it sends the write again under its key, or asks the far end.
    """

    at: Millis
    call: CallId
    again: bool = False


@event
class CallResolved:
    """It is known now whether a write that was in doubt took effect; it may be known long after the run has ended."""

    at: Millis
    call: CallId
    happened: bool
    by: str  # a person, or bridle
    because: str
    result: Digest = Digest("")  # of the receipt, where the far end gave one
    shown: int = 0  # how many bytes of it a model was shown at most
    source: Source = Source.TRUSTED  # of the receipt
    confidentiality: Confidentiality = Confidentiality.PUBLIC


@event
class ApprovalAsked:
    """A call waits for a person, until `until` at the latest. It holds nothing meanwhile.

    `binding` covers the tool, its schema, the arguments, the policy, the tenant and what a preview showed.
    """

    at: Millis
    call: CallId
    tool: ToolName
    args: Digest
    binding: Digest
    until: Millis
    turn: int = 0
    effect: Effect = Effect.WRITE
    unproven: tuple[Unproven, ...] = ()  # arguments that nobody vouches for


@event
class ApprovalExtended:
    """The clock of a question stood still while the kill switch forbade its call: it is asked until then."""

    at: Millis
    call: CallId
    until: Millis


@event
class ApprovalDecided:
    """A person answered. What he approved may be made once; `edited` binds the arguments that he put in their place."""

    at: Millis
    call: CallId
    answer: Answer
    by: str
    said: str = ""
    edited: Digest = Digest("")


@event
class RunSuspended:
    """Nobody works on the run: it waits for a person, until `until` at the latest."""

    at: Millis
    until: Millis


@event
class RunResumed:
    """Another delivery of the run took over; `epoch` fences off the one before, `away` did not count as active."""

    at: Millis
    epoch: int
    away: Millis


@event
class ChildFunded:
    """A run began a child: it holds what the child may use at most, and the step that this takes is used."""

    at: Millis
    child: RunId
    name: str  # of its flow
    version: str
    hold: Amounts


@event
class ChildRefused:
    """A child was not begun: nothing of it ran, and nothing is held."""

    at: Millis
    name: str  # of its flow
    version: str
    reason: StopReason
    detail: Detail = field(default_factory=dict)


@event
class ChildClosed:
    """A child ended, in the same instant: its parent pays what it used, the rest goes back, its labels are joined."""

    at: Millis
    child: RunId
    used: Amounts
    reason: StopReason
    is_tainted: bool = False
    has_read_private: bool = False
    missing: tuple[ToolName, ...] = ()
    writes: Mapping[ToolName, int] = field(default_factory=dict)  # that may have taken effect, by tool


@event
class RunHalted:
    """Nothing else is admitted but the one finalise call."""

    at: Millis
    reason: StopReason
    detail: Detail = field(default_factory=dict)


@event
class LadderMoved:
    """A call of this run moved a dependency on the degrade ladder, or its tenant: then `dependency` is empty."""

    at: Millis
    dependency: str
    was: Rung
    now: Rung
    until: Millis = Millis(0)  # at least; 0 means that nobody knows


@event
class ToolsWithheld:
    """These tools are not offered to the model any more, until when if that is known; all others are offered again."""

    at: Millis
    off: Mapping[ToolName, Millis]


@event
class RunStopped:
    """The end, once. `answer` is the digest of the answer or of the partial result."""

    at: Millis
    reason: StopReason
    detail: Detail = field(default_factory=dict)
    answer: Digest = Digest("")


@event
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
    | CallResolved
    | ApprovalAsked
    | ApprovalExtended
    | ApprovalDecided
    | RunSuspended
    | RunResumed
    | ChildFunded
    | ChildRefused
    | ChildClosed
    | RunHalted
    | RunStopped
    | LadderMoved
    | ToolsWithheld
    | PayloadErased
)
