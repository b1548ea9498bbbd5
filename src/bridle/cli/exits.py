"""The exit codes, and the failure of a command that already knows its sentence."""

from bridle.rules.failure import BridleError
from bridle.rules.stop import Status

OK = 0
ERROR = 1
FOUND = 2  # there is something to look at
STOPPED = 3  # the policy ended a run
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_OF_A_RUN = {
    Status.OK: OK,
    Status.STOPPED: STOPPED,
    Status.FAILED: ERROR,
    Status.CANCELLED: INTERRUPTED,
    Status.WAITING: STOPPED,
}


class Failed(BridleError):
    """A command cannot do what was asked; its message says what, where, and what to do now."""

    def __init__(self, message: str, code: int = ERROR) -> None:
        super().__init__(message)
        self.code = code


def of_a_run(status: Status) -> int:
    """The exit code that tells how a run ended."""
    return _OF_A_RUN[status]
