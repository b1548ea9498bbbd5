"""The state of a run: the fold of its events, total over every sequence that the rules can emit."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from bridle.rules.approval import Asked
from bridle.rules.call import CallKind
from bridle.rules.data import data
from bridle.rules.names import (
    ACTIVE_MS,
    Amounts,
    CallId,
    Digest,
    Effect,
    Millis,
    RunId,
    TenantId,
    ToolName,
    Unit,
)
from bridle.rules.policy import LimitsPatch
from bridle.rules.stop import StopNote, StopReason, strongest

REMEMBERED = 12  # results that looping is judged by: three repeats of a cycle of four
NEVER_BY_ITSELF = Millis(2**53)  # when a run wakes that waits for a child
RETRIES_OF_A_RUN = 3  # so that N calls send at most N + 3
MISSING_AT_MOST = 16  # names of what was not available
REUSED = Digest("=")  # the result of a call that another one's observation answered


# What a run had to do without: calls that failed like this, and calls that were refused for this.
class Phase(StrEnum):
    """Where a run is in its life."""

    OPEN = "open"
    SUSPENDED = "suspended"  # nobody works on it until a person has answered
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
    attempt: int = 1


@data
class Progress:
    """One result, by what looping is judged."""

    tool: ToolName
    args: Digest
    result: Digest  # empty when it failed
    turn: int
    is_write: bool = False


@data
class RunState:
    """Everything the rules need to know of a run; its size has a bound that does not depend on the run's length."""

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
    asked: tuple[Asked, ...] = ()  # questions to a person that no call has used up, the oldest first
    suspended_at: Millis = Millis(0)
    is_tainted: bool = False
    has_read_private: bool = False
    missing: tuple[ToolName, ...] = ()  # was not available, and no later call of it came to something
    withheld: tuple[ToolName, ...] = ()  # is not offered to the model now
    away: Millis = Millis(0)  # how long nobody worked on it
    halt: StopNote | None = None
    stop: StopNote | None = None
    parent: RunId = RunId("")  # of a child
    within: str = ""  # the parent's step that it was begun in
    depth: int = 0
    funds: Amounts = field(default_factory=dict)  # what a child may use at most
    children: Mapping[RunId, Amounts] = field(default_factory=dict)  # open ones, with what is held for each
    writes: Mapping[ToolName, int] = field(default_factory=dict)  # that may have taken effect, by tool

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
    def wakes_at(self) -> Millis | None:
        """When a suspended run goes on: once every question is answered, or the first of them expires.

        One with an open child waits for that too, and its questions have no say twice.
        """
        if self.phase is not Phase.SUSPENDED:
            return None
        until = [asked.until for asked in self.asked if asked.answer is None]
        if self.children:
            return min((at for at in until if at > self.suspended_at), default=NEVER_BY_ITSELF)
        return min(until, default=Millis(0))

    def waits(self, now: Millis) -> bool:
        """Whether nothing goes on before a person answers, the loop that was suspended comes back, or time is over."""
        if self.phase is Phase.SUSPENDED and self.loop == "attach":
            return not self.is_late(now)
        return self.wakes_at is not None and self.wakes_at > now

    def active(self, now: Millis) -> Millis:
        """How long the run has worked by `now`: what it waited for a person, or for a worker, does not count."""
        if self.phase in (Phase.SUSPENDED, Phase.STOPPED):
            now = self.suspended_at if self.phase is Phase.SUSPENDED else self.last_at
        return Millis(max(now, self.started_at + self.away) - self.started_at - self.away)

    def is_late(self, now: Millis) -> bool:
        """Whether every question of the run has expired."""
        return all(asked.expired(now) for asked in self.asked)

    def question(self, binding: Digest) -> Asked | None:
        """The newest question that is about exactly this call, or whose answer put this call in its place."""
        return next((asked for asked in reversed(self.asked) if binding in (asked.binding, asked.edited)), None)

    @property
    def work_until(self) -> Millis:
        """When work ends: the deadline, less the time that the finalise call needs."""
        return Millis(self.deadline - self.finalise.get(ACTIVE_MS, 0))


def ending(state: RunState, wanted: StopNote) -> StopNote:
    """With which stop a run really ends: a halt and a write in doubt speak before what the flow wanted to say.

    What it answered without something that was not available is said to be that.
    """
    if state.in_doubt:
        detail = {"tool": ", ".join(dict.fromkeys(state.in_doubt.values())), "calls": ", ".join(state.in_doubt)}
        doubt = StopNote(StopReason.WRITE_IN_DOUBT, detail)
        return strongest([doubt, *([state.halt] if state.halt else [])])
    if state.halt is None and wanted.reason is StopReason.OK and state.missing:
        return StopNote(StopReason.OK_DEGRADED, {"missing": ", ".join(state.missing)})
    return state.halt or wanted
