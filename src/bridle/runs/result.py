"""What a caller gets: how the run ended, its answer or its partial result, and what it spent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bridle.rules.names import ACTIVE_MS, TOOL_CALLS, Millis, RunId, ToolName, Unit
from bridle.rules.run import RunState
from bridle.rules.stop import Status, StopNote
from bridle.rules.strict_json import Json
from bridle.store.base import Recorded, Store


@dataclass(frozen=True, slots=True)
class RunResult:
    """The end of a run, or its state while it waits (`stop` is None then).

    `spent` is in whole units by name (`usd_nano`, `tokens_in`, `tokens_out`, `model_calls`, `tool_calls`, `steps`,
    `active_ms`, ...). `head` is the end of the run's hash chain, as hex. `missing` names the tools and models that were
    not available when the run wanted them, and of which no later call came to something.
    """

    run_id: RunId
    status: Status
    stop: StopNote | None
    answer: Json
    partial: Json
    spent: Mapping[Unit, int]
    head: str
    approval: str | None = None
    until: Millis | None = None
    missing: tuple[ToolName, ...] = ()
    is_erased: bool = False  # its answer was erased, with everything else it kept
    is_tainted: bool = False  # it has read something untrusted: its answer may say what somebody else wanted said

    @property
    def tool_calls(self) -> int:
        """Tool calls that were performed, failed ones included."""
        return self.spent.get(TOOL_CALLS, 0)

    def to_dict(self) -> dict[str, object]:
        """The result as JSON has it: `status`, `stop_reason`, and `answer` or `partial`."""
        found: dict[str, object] = {"run_id": self.run_id, "status": self.status.value}
        if self.stop is not None:
            found |= {"stop_reason": self.stop.reason.value, "stop_text": self.stop.text(), "advice": self.stop.advice}
            found |= {"message_key": self.stop.message_key}
            found |= {"detail": dict(self.stop.detail), "retry": self.stop.retry.value, "who": self.stop.who}
        found["answer" if self.status is Status.OK else "partial"] = (
            self.answer if self.status is Status.OK else self.partial
        )
        found["missing"] = list(self.missing)
        if self.is_tainted:
            found["tainted"] = True
        if self.approval is not None:
            found |= {"approval": self.approval, "until": self.until}
        if self.is_erased:
            found["erased"] = True
        return {**found, "spent": {str(unit): used for unit, used in self.spent.items()}, "head": self.head}


def result_of(recorded: Recorded, said: bytes | None) -> RunResult:
    """The result of a run as it is in the store; `said` is the payload `answer`."""
    state = recorded.state
    waiting = next((asked for asked in state.asked if asked.answer is None), None)
    status = state.stop.status if state.stop is not None else Status.WAITING
    words: Json = json.loads(said) if said else None
    return RunResult(
        run_id=state.run,
        status=status,
        stop=state.stop,
        answer=words if status is Status.OK else None,
        partial=None if status is Status.OK else words,
        spent=spent_by(state),
        head=recorded.head.hex(),
        approval=f"{state.run}/{waiting.call}" if waiting is not None else None,
        until=waiting.until if waiting is not None else None,
        missing=state.missing,
        is_erased=recorded.is_erased,
        is_tainted=state.is_tainted,
    )


def not_started(note: StopNote) -> RunResult:
    """What is told of a run that was never made: it has no id, no head, and cost nothing."""
    return RunResult(RunId(""), note.status, note, None, None, {}, "")


def spent_by(state: RunState) -> dict[Unit, int]:
    """What a run has spent so far, its active time included."""
    return {**state.used, ACTIVE_MS: state.active(state.last_at)}


def read_result(store: Store, run: RunId) -> RunResult:
    """The result of a run from the store; what its child waits for, it waits for too. Raises UnknownRun."""
    recorded = store.recorded(run)
    found = result_of(recorded, store.payload(run, "answer"))
    if found.stop is None and found.approval is None:
        for child in recorded.state.children:
            below = read_result(store, child)
            if below.approval is not None:
                return replace(found, approval=below.approval, until=below.until)
    return found
