"""`bridle runs`: the newest runs of a store."""

from typing import Annotated

from cyclopts import Parameter

from bridle.cli.exits import OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.place import reading
from bridle.cli.screen import OUT, Span, ago, bad, bold, cut, dim, doubtful, duration, good
from bridle.cli.where import now, option_for, path_of
from bridle.rules.names import TOOL_CALLS, USD_NANO, Millis, show_usd
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import Status, StopNote
from bridle.runs.result import spent_by
from bridle.store.base import RunLine

MOST = 10_000
HEAD = ("run", "status", "reason", "flow", "calls", "spent", "age", "took", "tenant", "by")
WIDE = 100  # columns; a narrower terminal does not show the last three


def runs(
    *,
    only_open: Annotated[bool, Parameter(name="--open", negative="", show_default=False)] = False,
    limit: int = 20,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """List the newest runs; what one has spent includes its children.

    Parameters
    ----------
    only_open
        Only runs that have not ended.
    limit
        How many.
    """
    if not 1 <= limit <= MOST:
        raise Failed(f"--limit is between 1 and {MOST:,}, not {limit}")
    path = path_of(store)
    with reading(path) as opened:
        found = opened.runs(limit=limit, only_open=only_open)
    if as_json:
        OUT.json({"store": str(path), "runs": [as_document(line) for line in found]})
        return OK
    if not found:
        which = "open run" if only_open else "run"
        OUT.line(f"There is no {which} in {path}.")
        return OK
    at = now()
    head = tuple(dim(word) for word in HEAD)
    shown = len(HEAD) if OUT.width >= WIDE else len(HEAD) - 3
    OUT.table([row[:shown] for row in (head, *(_row(line, at) for line in found))])
    if any(line.state.parent for line in found):
        OUT.line(dim("calls and spent of a run include those of its children; bridle top counts each call once"))
    OUT.line(dim(f"bridle show RUN{option_for(store)} tells the story of one"))
    if any(asked.answer is None for line in found for asked in line.state.asked):
        OUT.line(dim(f"bridle approvals{option_for(store)} lists what waits for a person"))
    return OK


def _row(line: RunLine, at: Millis) -> tuple[Span, ...]:
    state = line.state
    until = state.last_at if state.phase is Phase.STOPPED else at
    return (
        bold(state.run),
        status_of(line),
        str(line.reason or (state.halt.reason if state.halt else _waits_for(state))),
        f"{state.name} (child)" if state.parent else state.name,
        str(state.spent(TOOL_CALLS)),
        show_usd(state.spent(USD_NANO)),
        ago(state.started_at, at),
        duration(max(until - state.started_at, 0)),
        state.tenant,
        state.by,
    )


def status_of(line: RunLine) -> Span:
    """The status, in its colour."""
    if line.reason is None:
        return doubtful(word_of(line.state))
    status = StopNote(line.reason).status
    return {Status.OK: good, Status.FAILED: bad}.get(status, doubtful)(status.value)


def word_of(state: RunState) -> str:
    """Where an open run is: a suspended one is waiting, as its result says."""
    return Status.WAITING.value if state.phase is Phase.SUSPENDED else state.phase.value


def _waits_for(state: RunState) -> str:
    """Whom a suspended run waits for: a person, or a worker once he has answered."""
    if state.phase is not Phase.SUSPENDED:
        return ""
    asked = next((asked for asked in state.asked if asked.answer is None), None)
    if asked is None and state.children:
        return f"child {next(iter(state.children))}"
    return f"approval of {cut(asked.tool, 40)}" if asked is not None else "a worker"


def as_document(line: RunLine) -> dict[str, object]:
    """One run as JSON has it; the names are those of `RunResult.to_dict` where they are the same thing."""
    state = line.state
    asked = next((asked for asked in state.asked if asked.answer is None), None)
    waiting = {"approval": f"{state.run}/{asked.call}", "until": asked.until} if asked is not None else {}
    return {
        "run_id": state.run,
        "status": StopNote(line.reason).status.value if line.reason is not None else word_of(state),
        "stop_reason": line.reason.value if line.reason is not None else None,
        "loop": state.loop,
        "flow": state.name,
        "version": state.version,
        "parent": state.parent or None,
        "tenant": state.tenant,
        "by": state.by,
        "step": state.step,
        "started_at_ms": state.started_at,
        "updated_at_ms": line.updated_at,
        **waiting,
        "spent": {str(unit): used for unit, used in spent_by(state).items()},
    }
