"""P8: one layer retries, within a budget: a run sends at most three calls more, a dependency gets 1.1x."""

from collections import Counter
from collections.abc import Iterator

from bench.storm.evidence import Evidence
from bridle.rules.names import RunId, TenantId, ToolName

FarEnd = tuple[TenantId, ToolName]
MORE = 3
FIRST_TOKENS = 1  # what each tenant may retry of a dependency before it has earned a retry


def violations(seen: Evidence) -> Iterator[str]:
    """What was sent, against what was wanted, by run and by (tenant, dependency)."""
    wanted, sent = Counter[RunId](), Counter[RunId]()
    offered, tried = Counter[FarEnd](), Counter[FarEnd]()
    for one in seen.admitted.values():
        run, far_end = one.journal.run, (one.journal.state.tenant, one.event.tool)
        is_first = one.event.attempt == 1
        wanted[run] += is_first
        sent[run] += len(one.lines)
        offered[far_end] += is_first
        tried[far_end] += len(one.lines) if not is_first else max(len(one.lines) - 1, 0)
    for run, number in sent.items():
        if number > wanted[run] + MORE:
            yield f"{run} wanted {wanted[run]} calls and sent {number}"
    for far_end, number in tried.items():
        if number > FIRST_TOKENS * _lives(seen) + offered[far_end] / 10:
            yield f"{far_end[1]} of {far_end[0]} was offered {offered[far_end]} calls and retried {number}"


def _lives(seen: Evidence) -> int:
    """Health is written with its settlement; a worker that dies may forget what it had seen."""
    return max((line.worker for line in seen.lines), default=1)
