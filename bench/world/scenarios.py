"""The six scenarios: what goes wrong, and what the scripted model says in each."""

from dataclasses import dataclass
from enum import StrEnum

MAX_REPLIES = 200
"""A scripted model that loops gives up after so many replies, so that every run ends."""

PARALLEL = 64
HUGE_BYTES = 8_000_000
BURST_RUNS = 10
BURST_SEARCHES = 5


class Scenario(StrEnum):
    """What goes wrong."""

    CRASH = "crash"  # kill -9 after the effect, before its reply; then the same command again
    LOST = "lost"  # the effect happens, and the connection breaks before the reply
    DOWN = "down"  # every search answers 503
    PARALLEL = "parallel"  # the model asks for 64 calls in one turn
    LOOP = "loop"  # the model asks for the same call again and again
    HUGE = "huge"  # a tool returns 8 MB


TITLES = {
    Scenario.CRASH: "kill -9 between effect and record, then the same command again",
    Scenario.LOST: "reply lost after the effect, and when the run has ended the same command again",
    Scenario.DOWN: f"a dependency that is down, {BURST_RUNS} runs at once that want {BURST_SEARCHES} searches each",
    Scenario.PARALLEL: f"{PARALLEL} parallel calls in one turn, under a limit of 15",
    Scenario.LOOP: "the same call again and again",
    Scenario.HUGE: "a tool result of 8 MB",
}


@dataclass(frozen=True, slots=True)
class Use:
    """One call that the model asks for: a tool and its arguments."""

    tool: str
    args: dict[str, str | int]


REFUND = Use("refund", {"order": "B-2", "cents": 4_000})


def reply(scenario: Scenario, replies: int, told: list[str]) -> list[Use] | str:
    """Answer as the scripted model does, after so many replies and with these tool results: calls, or an answer.

    As a model does, it asks for the refund again when it is told of anything but a receipt, at most three times.
    """
    match scenario:
        case Scenario.CRASH | Scenario.LOST:
            is_done = bool(told) and "receipt" in told[-1]
            return "done" if is_done or replies >= 3 else [REFUND]
        case Scenario.DOWN:
            return [Use("search", {"q": f"part {replies}"})] if replies < BURST_SEARCHES else "done without it"
        case Scenario.PARALLEL:
            return [Use("search", {"q": f"part {n}"}) for n in range(PARALLEL)] if replies == 0 else "done"
        case Scenario.LOOP:
            return [Use("search", {"q": "the same"})] if replies < MAX_REPLIES else "gave up"
        case Scenario.HUGE:
            return [Use("search", {"q": "everything"})] if replies == 0 else "done"
