"""Whether a run repeats itself: cycles of up to four calls, three times over, with nothing new in them."""

from collections.abc import Sequence

from bridle.rules.names import Digest, ToolName
from bridle.rules.run import REUSED, Progress

REPEATS = 3
LONGEST_CYCLE = 4


def is_looping(recent: Sequence[Progress], tool: ToolName, args: Digest, turn: int) -> bool:
    """Whether proposing this call would complete the third repeat of a cycle in which nothing changes."""
    if len({p.result for p in recent if p.result != REUSED}) == len(recent):
        return False  # every result was a new one
    if any(p.turn == turn and p.tool == tool and p.args == args for p in recent):
        return False  # a twin of the same turn is a duplicate, not a repetition
    if any(p.result == REUSED for p in recent):
        recent = _with_results(recent)
    found = [p for p, before in zip(recent, (None, *recent), strict=False) if not _is_twin(p, before)]
    return any(
        _repeats_calls(recent, tool, args, length) or _repeats_results(found, tool, length)
        for length in range(1, LONGEST_CYCLE + 1)
    )


def _with_results(recent: Sequence[Progress]) -> Sequence[Progress]:
    """A reused result is the one that the same call had before, where that is still remembered."""
    known: dict[tuple[ToolName, Digest], Digest] = {}
    told = []
    for p in recent:
        result = known.get((p.tool, p.args), p.result) if p.result == REUSED else p.result
        known[p.tool, p.args] = result
        told.append(Progress(p.tool, p.args, result, p.turn, p.is_write))
    return told


def _repeats_calls(recent: Sequence[Progress], tool: ToolName, args: Digest, length: int) -> bool:
    """The same calls over and over, with the same results: honest polling sees its results change."""
    needed = REPEATS * length - 1  # with the proposal this makes three whole cycles
    tail = recent[-needed:] if needed <= len(recent) else ()
    if not tail or (tail[-length].tool, tail[-length].args) != (tool, args):
        return False
    return all(
        tail[i].tool == tail[i + length].tool
        and tail[i].args == tail[i + length].args
        and _same(tail[i].result, tail[i + length].result)
        for i in range(needed - length)
    )


def _repeats_results(recent: Sequence[Progress], tool: ToolName, length: int) -> bool:
    """The same results over and over, with whatever arguments; writes and failures are judged elsewhere."""
    needed = REPEATS * length
    tail = recent[-needed:] if needed <= len(recent) else ()
    if not tail or tail[-length].tool != tool or any(p.is_write or p.result in ("", REUSED) for p in tail):
        return False
    return all(tail[i].tool == tail[i + length].tool and tail[i].result == tail[i + length].result
               for i in range(needed - length))  # fmt: skip


def _is_twin(p: Progress, before: Progress | None) -> bool:
    """Whether two neighbours are the same finding of the same turn: calls made at once cannot learn of each other."""
    return before is not None and (p.turn, p.tool, p.result) == (before.turn, before.tool, before.result)


def _same(left: Digest, right: Digest) -> bool:
    return left == right or REUSED in (left, right)
