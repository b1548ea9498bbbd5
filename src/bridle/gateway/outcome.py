"""What comes back through the door: an observation, a model's reply, or a refusal; all of them plain values."""

from types import MappingProxyType

from bridle.rules.data import data
from bridle.rules.failure import FailureKind
from bridle.rules.names import CallId, Confidentiality, Millis, Source, ToolName
from bridle.rules.prompt import ModelReply
from bridle.rules.stop import Detail, Retry, StopNote, StopReason
from bridle.rules.strict_json import Json

TOOL_REASONS = MappingProxyType({
    FailureKind.UNAVAILABLE: StopReason.TOOL_UNAVAILABLE,
    FailureKind.TIMEOUT: StopReason.TOOL_UNAVAILABLE,
    FailureKind.CRASHED: StopReason.TOOL_UNAVAILABLE,
    FailureKind.CANCELLED: StopReason.CANCELLED,
    FailureKind.RATE_LIMITED: StopReason.RATE_LIMITED,
    FailureKind.REJECTED: StopReason.INPUT_REJECTED,
    FailureKind.CREDENTIALS: StopReason.CREDENTIALS_INVALID,
    FailureKind.INVALID_OUTPUT: StopReason.TOOL_OUTPUT_INVALID,
    FailureKind.CONTEXT_OVERFLOW: StopReason.INPUT_REJECTED,
})  # fmt: skip


@data
class Label:
    """Where an observation came from, kept on it from the first day."""

    tool: ToolName
    source: Source
    confidentiality: Confidentiality


@data
class Observation:
    """What a tool returned: the strict value, and the text a model is shown of it, with a handle to all of it."""

    value: Json
    text: str
    truncated: bool
    handle: str
    label: Label
    call: CallId


@data
class Replied:
    """What a model returned."""

    reply: ModelReply
    call: CallId


@data
class Refusal:
    """The call was not performed, or failed where another attempt is not worth it.

    `halts` says that the run goes no further, `node_over` that its investigation does not.
    """

    tool: ToolName
    reason: StopReason
    detail: Detail
    halts: bool = False
    node_over: bool = False

    @property
    def note(self) -> StopNote:
        """The stop that a run ends with when this ends it."""
        return StopNote(self.reason, self.detail)

    @property
    def text(self) -> str:
        """One compact line for a model: the reason, and what it may do instead."""
        said = ", ".join(
            f"{key}: {value}" for key, value in self.detail.items() if key not in ("tool", "limit", "used")
        )
        again = " It may work later." if self.note.retry is Retry.LATER else " Do not repeat this call."
        return f"refused: {self.reason} ({self.tool}{', ' + said if said else ''}).{again}"


@data
class Waiting:
    """The call was not made: a person is asked about it, until `until` (Unix milliseconds) at the latest."""

    tool: ToolName
    call: CallId
    until: Millis


Outcome = Observation | Replied | Refusal
