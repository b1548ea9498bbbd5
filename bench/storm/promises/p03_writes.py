"""P3: a write takes effect at most once for each key, and what nobody can know is in doubt, never silent."""

from collections import Counter
from collections.abc import Iterator

from bench.storm.evidence import Evidence
from bench.storm.ledger import Deed, Told
from bench.storm.tasks import WRITES
from bridle.rules.events import CallInDoubt
from bridle.rules.stop import Status, StopReason


def violations(seen: Evidence) -> Iterator[str]:
    """Effects that happened twice, and ambiguous writes that the journal is sure of."""
    effects = Counter((line.run, line.key) for line in seen.lines if line.deed is Deed.EFFECT)
    for (run, key), times in effects.items():
        if times > 1:
            yield f"{run} wrote {times} times under {key}"
    for one in seen.admitted.values():
        for line in one.lines:
            if line.name not in WRITES or line.told is not Told.NOTHING:
                continue
            if not isinstance(one.ending, CallInDoubt):
                yield f"{one.journal.run} {line.call}: nobody knows of its effect, and the journal says {one.ending}"
            stop = one.journal.state.stop
            if stop is not None and (stop.status is Status.OK or stop.reason is StopReason.OK):
                yield f"{one.journal.run} ended {stop.reason} with a write in doubt"
