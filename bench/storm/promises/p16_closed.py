"""P16: while the journal is out of reach nothing new is sent, and users are told so."""

from collections.abc import Iterator

from bench.storm.evidence import SENT, Evidence


def violations(seen: Evidence) -> Iterator[str]:
    """What reached the world during an outage of the journal, and was not admitted before it."""
    admitted = {id(line): one.stamp for one in seen.admitted.values() for line in one.lines}
    for since, until in seen.outages:
        for line in seen.lines:
            if line.deed in SENT and since < line.stamp < until and admitted.get(id(line), until) > since:
                yield f"task {line.task} sent {line.name} while nothing could be written down"
