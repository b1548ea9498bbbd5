"""How the world fails a call: one exception, a closed set of kinds, translated once where it enters."""

from enum import StrEnum

from bridle.rules.names import Millis


class FailureKind(StrEnum):
    """What went wrong outside; the gateway decides from the kind alone whether another attempt may help."""

    UNAVAILABLE = "unavailable"  # 5xx, refused connection, reset: the far end is not well
    TIMEOUT = "timeout"  # no answer inside the deadline
    RATE_LIMITED = "rate_limited"  # 429: slow down, not a sign of illness
    REJECTED = "rejected"  # 4xx: this request will not do, another attempt would not either
    CREDENTIALS = "credentials"  # 401 or 403 from the far end
    INVALID_OUTPUT = "invalid_output"  # it answered, and the answer is not usable
    CONTEXT_OVERFLOW = "context_overflow"  # the request is larger than the far end takes
    CRASHED = "crashed"  # the implementation raised something nobody planned
    CANCELLED = "cancelled"  # nobody waited for the answer any more

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self in (FailureKind.UNAVAILABLE, FailureKind.TIMEOUT, FailureKind.RATE_LIMITED)

    @property
    def is_illness(self) -> bool:
        """Whether it counts against the health of the dependency (a 429 slows, it does not trip)."""
        return self in (FailureKind.UNAVAILABLE, FailureKind.TIMEOUT)


# of a write: the far end said no before it did anything
DID_NOT_HAPPEN = frozenset({FailureKind.RATE_LIMITED, FailureKind.REJECTED, FailureKind.CREDENTIALS})


class CallFailed(Exception):
    """A tool or a model could not do what was asked.

    Raise it from a tool to say precisely what happened; anything else a tool raises counts as `CRASHED`.
    `retry_after` is in milliseconds (RFC 9110, section 10.2.3, converted). `happened` is False only when it is
    certain that no effect took place; for a write, None means that nobody knows.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        retry_after: Millis | None = None,
        happened: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after
        self.happened = happened


class BridleError(Exception):
    """A mistake of the caller or of the set-up; its message says what, where, and what to do now."""


class ControlUnavailable(BridleError):
    """The journal is out of reach, so nothing new may start (stop reason `control_unavailable`)."""
