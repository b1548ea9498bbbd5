"""P3: a write takes effect at most once for each key, and what nobody can know is in doubt, never silent."""

from collections import Counter
from collections.abc import Iterator

from bench.storm.evidence import Admitted, Evidence
from bench.storm.ledger import Deed, Told
from bench.storm.tasks import KEYED, UNKEYED
from bridle.rules.events import CallInDoubt, CallSettled
from bridle.rules.stop import Status


def violations(seen: Evidence) -> Iterator[str]:
    """Effects that happened twice, ambiguous writes that the journal is sure of, and certainties that are wrong."""
    effects = [line for line in seen.lines if line.deed is Deed.EFFECT]
    for (tenant, key), times in Counter((seen.tasks[line.task].tenant, line.key) for line in effects).items():
        if times > 1:
            yield f"{tenant} wrote {times} times under {key}"
    for (name, task), times in Counter((line.name, line.task) for line in effects if line.name in KEYED).items():
        if times > 1:  # whatever its keys and its runs were
            yield f"task {task} had {name} {times} times"
    keys, calls = {line.key for line in effects}, {(line.run, line.call) for line in effects}
    for one in seen.admitted.values():
        yield from _of_call(one, keys, calls)


def _of_call(one: Admitted, keys: set[str], calls: set[tuple[str, str]]) -> Iterator[str]:
    """What the journal says of one write, against what took place."""
    name, stop = f"{one.journal.run} {one.event.call} ({one.event.tool})", one.journal.state.stop
    for line in one.lines:
        if line.name in UNKEYED and line.told is Told.NOTHING:
            if not isinstance(one.ending, CallInDoubt):
                yield f"{name}: nobody knows of its effect, and the journal says {one.ending}"
            if stop is not None and stop.status is Status.OK:
                yield f"{name} is in doubt, and its run ended {stop.reason}"
        is_done = isinstance(one.ending, CallSettled) and one.ending.failure is None
        if line.name in KEYED and is_done and line.key not in keys:
            yield f"{name} counts as done, and the far end never did it"
        found = one.journal.resolved.get(one.event.call)
        if found is not None and found.happened and line.key not in keys:
            yield f"{name} was resolved as done, and the far end never did it"
        if found is not None and not found.happened and (line.run, line.call) in calls:
            yield f"{name} was resolved as not done, and the far end did it"
