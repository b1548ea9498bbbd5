"""The messengers: a stop and a hold cross loops that swallow exceptions; a denial is for those loops to show."""

from bridle.rules.failure import BridleError
from bridle.rules.names import CallId, Millis, RunId
from bridle.rules.run import RunState
from bridle.rules.stop import Detail, Retry, StopNote, StopReason


class Stop(BaseException):
    """The run was halted. A BaseException, because foreign loops swallow the other kind; do not raise it yourself."""

    def __init__(self, note: StopNote, partial: object = None) -> None:
        super().__init__(note.text())
        self.note = note
        self.partial = partial

    @property
    def reason(self) -> StopReason:
        """Why."""
        return self.note.reason

    @property
    def detail(self) -> Detail:
        """Limit, used, tool, rule, ..."""
        return self.note.detail


class Held(BaseException):
    """The run waits for a person, `until` (Unix milliseconds) at the latest. A BaseException for the same reason."""

    def __init__(self, run: RunId, call: CallId, until: Millis) -> None:
        super().__init__(f"{run}/{call} waits for a person")
        self.approval = f"{run}/{call}"
        self.until = until


class Denied(Exception):
    """This call was refused or failed, and the run goes on: a loop may show it to its model, a step may catch it."""

    def __init__(self, reason: StopReason, detail: Detail, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.detail = detail

    @property
    def retryable(self) -> bool:
        """Whether the same call may be made later."""
        return StopNote(self.reason).retry is Retry.LATER


class NotStarted(BridleError):
    """The kill switch lets no run of this tenant and flow start; there is no run, and no trace of one."""

    def __init__(self, note: StopNote) -> None:
        super().__init__(f"{note.text()} No run was started. {note.advice}")
        self.note = note


class RunIsOpen(BridleError):
    """A run of this key is open, and its owner is alive: attach later, or take another key."""

    def __init__(self, run: RunId) -> None:
        super().__init__(f"run {run} has this key and is open; wait for it with `await b.result({run!r})`")
        self.run_id = run


class KeyIsTaken(BridleError):
    """A key means one run of one flow or agent, for ever; this one is another's."""

    def __init__(self, run: RunState, key: str) -> None:
        whose = f"the {'flow' if run.loop == 'flow' else 'agent'} {run.name}"
        super().__init__(f"the key {key!r} is that of run {run.run} of {whose}; take another key")
        self.run_id = run.run
