"""P5: nothing in the scope of a kill is admitted after it was acknowledged, until somebody turns it off."""

from collections.abc import Iterator

from bench.storm.evidence import Admitted, Evidence, Killed
from bench.storm.tasks import WRITES


def violations(seen: Evidence) -> Iterator[str]:
    """Calls that reached the world and were admitted between the acknowledgement and the end of a kill."""
    for kill in seen.kills:
        for one in seen.admitted.values():
            if kill.since < one.stamp < kill.until and one.lines and _is_in_scope(seen, kill, one):
                yield f"{one.journal.run} {one.event.call} ({one.event.tool}) began while {kill.level} was off"


def _is_in_scope(seen: Evidence, kill: Killed, one: Admitted) -> bool:
    """A run is in the scope of a kill when its parent is."""
    above = (journal.state for journal in seen.lineage(one.journal))
    is_theirs = any(kill.scope.covers_run(run.tenant, run.name) for run in above)
    return is_theirs and (kill.level == "all" or one.event.tool in WRITES)
