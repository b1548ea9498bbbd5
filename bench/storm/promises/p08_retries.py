"""P8: one layer retries, within a budget: a run sends at most three calls more, what is down gets at most 1.1x."""

from collections import Counter
from collections.abc import Iterator

from bench.storm.evidence import Admitted, Evidence, Journal
from bench.storm.plan import Fault
from bridle.rules.events import CallAdmitted, CallInDoubt, RunResumed
from bridle.rules.names import Digest, RunId, TenantId, ToolName

FarEnd = tuple[TenantId, ToolName]
Attempt = tuple[RunId, ToolName, Digest, int, int, int]  # the last is its number
MORE = 3
FIRST_TOKENS = 1  # what each tenant may retry of a dependency before it has earned a retry


def violations(seen: Evidence) -> Iterator[str]:
    """What was sent, against what was wanted, by run and by (tenant, dependency)."""
    wanted, sent = Counter[RunId](), Counter[RunId]()
    offered, tried, met_nobody = Counter[FarEnd](), Counter[FarEnd](), Counter[FarEnd]()
    refused = {
        _attempt(one, one.event.attempt)
        for one in seen.admitted.values()
        if one.lines and one.lines[0].fault is Fault.DOWN
    }
    for one in seen.admitted.values():
        run, far_end = one.journal.run, (one.journal.state.tenant, one.event.tool)
        is_first = one.event.attempt == 1
        wanted[run] += is_first
        sent[run] += len(one.lines)
        offered[far_end] += is_first
        tried[far_end] += len(one.lines) if not is_first else max(len(one.lines) - 1, 0)
        met_nobody[far_end] += _attempt(one, one.event.attempt - 1) in refused
    recovered = Counter((one.state.tenant, tool) for one in seen.journals.values() for tool in _recovered(one))
    for run, number in sent.items():
        if number > wanted[run] + MORE + len(_recovered(seen.journals[run])):
            yield f"{run} wanted {wanted[run]} calls and sent {number}"
    for far_end, number in tried.items():
        if number > FIRST_TOKENS * _lives(seen) + offered[far_end] / 10:
            yield f"{far_end[1]} of {far_end[0]} was offered {offered[far_end]} calls and retried {number}"
    for far_end, number in met_nobody.items():
        if number > max(_lives(seen) - 1, 0) + recovered[far_end] + offered[far_end] / 10:
            yield f"{far_end[1]} of {far_end[0]} was down, was offered {offered[far_end]} calls and had {number} more"


def _attempt(one: Admitted, number: int) -> Attempt:
    event = one.event
    return one.journal.run, event.tool, event.args, event.ordinal, event.turn, number


def _recovered(journal: Journal) -> list[ToolName]:
    """The tools of writes that were on their way when a worker died: to send them again under their key is no retry."""
    events = [entry.event for entry in journal.entries]
    resumed = {event.at for event in events if isinstance(event, RunResumed)}
    tools = {event.call: event.tool for event in events if isinstance(event, CallAdmitted)}
    return [tools[one.call] for one in events if isinstance(one, CallInDoubt) and one.again and one.at in resumed]


def _lives(seen: Evidence) -> int:
    """Health is written with its settlement; a worker that dies may forget what it had seen."""
    return max((line.worker for line in seen.lines), default=1)
