"""A run while this process works on it: its committed state, and what is on its way."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridle.gateway.outcome import Outcome
from bridle.gateway.settlement import Party, Settlement
from bridle.gateway.trail import Trail
from bridle.rules.call import CallKind
from bridle.rules.data import data
from bridle.rules.failure import FailureKind
from bridle.rules.names import CallId, Digest, Millis, RunId, Source, TenantId, ToolName
from bridle.rules.policy import Policy
from bridle.rules.run import RunState

MemoryKey = tuple[CallKind, ToolName, Digest, int]  # the last is the how-manieth of its step


@data
class Seen:
    """An earlier identical call. `at` is when its outcome came; the outcome is None while it is in flight."""

    call: CallId
    at: Millis
    outcome: Outcome | None


@dataclass(slots=True)
class Flying:
    """A call that is being performed; `outcome` is there when a twin waits for it."""

    tool: ToolName
    since: Millis
    outcome: "asyncio.Future[Outcome] | None" = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A call that this step made before a crash: its result is a payload, and it is not made again."""

    call: CallId
    kept: bytes
    shown: int  # bytes of it that the model was shown at most
    run: RunId = RunId("")  # of a receipt that another run had
    source: Source = Source.UNTRUSTED  # who may have written it
    failure: FailureKind | None = None  # it came to nothing, and the step was told so


def memory_args(kind: CallKind, args: Digest) -> Digest:
    """By what a call is remembered beside its number: a model's by the number alone.

    What a model is sent depends on the time and the budget that are left, which are others after a crash.
    """
    return args if kind is CallKind.TOOL else Digest("")


@dataclass(slots=True)
class Live:
    """One run in this process. `policy` is the run's, `node` the same narrowed to its step."""

    run: RunId
    tenant: TenantId
    name: str
    loop: str
    policy: Policy
    node: Policy
    salt: bytes
    state: RunState
    epoch: int
    turn: int = 0
    asked: int = 0  # tool calls that the last model reply asked for and that were not proposed yet
    pending: list[Settlement] = field(default_factory=list)
    seen: dict[tuple[ToolName, Digest], Seen] = field(default_factory=dict)
    flying: dict[CallId, Flying] = field(default_factory=dict)
    remembered: dict[MemoryKey, Remembered] = field(default_factory=dict)
    ordinals: dict[tuple[CallKind, ToolName, Digest], int] = field(default_factory=dict)
    is_closing: bool = False  # its end is being written: nothing begins any more
    is_handed_over: bool = False  # this process ends before the run does: another worker goes on
    unsent: set[CallId] = field(default_factory=set)  # admitted by this process, and not performed yet
    off: Mapping[ToolName, Millis] = field(default_factory=dict)  # what the model is not offered now, until when
    is_strained: bool = False  # its tenant is near the end of a budget: time to finish
    trail: Trail = field(default_factory=Trail)  # what it has read, for the calls that this matters for
    party: Party = field(init=False)

    def __post_init__(self) -> None:
        self.party = Party(self.run, self.epoch, self.tenant, self.name, self.policy, self.state.policy)

    def next_ordinal(self, kind: CallKind, tool: ToolName, args: Digest) -> int:
        """The how-manieth identical proposal of this step this one is, from 1."""
        ordinal = self.ordinals.get((kind, tool, args), 0) + 1
        self.ordinals[kind, tool, args] = ordinal
        return ordinal

    def enter(self, node: Policy) -> None:
        """A new step begins: its proposals are counted afresh."""
        self.node = node
        self.ordinals.clear()
