"""P9: every request to a model carries the pinned segment in front, byte for byte."""

from collections.abc import Iterator

from bench.storm.evidence import Evidence


def violations(seen: Evidence) -> Iterator[str]:
    """Requests without it, as the far end saw them."""
    for line in seen.lines:
        if not line.is_pinned:
            yield f"task {line.task} asked {line.name} without its policy in front"
