"""P7: what a model is sent for one tenant never holds what belongs to another."""

from collections.abc import Iterator

from bench.storm.evidence import Evidence


def violations(seen: Evidence) -> Iterator[str]:
    """Canaries of other tenants in requests to models."""
    for line in seen.lines:
        own = seen.tasks[line.task].tenant
        for other in line.tenants - {own}:
            yield f"task {line.task} of {own} showed its model what belongs to {other}"
