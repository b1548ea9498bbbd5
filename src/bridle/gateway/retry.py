"""The only owner of retries: which failure is worth another attempt, and how long to wait before it."""

from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.health import Health
from bridle.rules.names import Millis
from bridle.rules.run import RETRIES_OF_A_RUN, RunState

ATTEMPTS = 3  # of one call
FIRST_WAIT = Millis(250)
LONGEST_WAIT = Millis(8_000)


def may_retry(failed: CallFailed, attempt: int, run: RunState, health: Health) -> bool:
    """Whether a call that changes nothing may be attempted again: only within every budget.

    To a far end at which nobody answers nothing is lent: while it is down it gets no more than was earned.
    """
    is_paid = _is_up(failed) or health.has_earned
    return failed.kind.is_transient and is_paid and within_budgets(attempt, run, health)


def _is_up(failed: CallFailed) -> bool:
    """Whether somebody answered, or at least took the request: it was neither refused nor left waiting."""
    is_refused = failed.kind is FailureKind.UNAVAILABLE and failed.happened is False
    return failed.kind is not FailureKind.TIMEOUT and not is_refused


def within_budgets(attempt: int, run: RunState, health: Health) -> bool:
    """Whether the call, its run and its dependency have an attempt left."""
    return attempt < ATTEMPTS and run.retries < RETRIES_OF_A_RUN and health.may_retry


def wait_before(attempt: int, chance: float, retry_after: Millis | None) -> Millis:
    """Full jitter (Brooker, "Exponential Backoff and Jitter", AWS 2015), never before Retry-After.

    `attempt` is the one that failed, from 1; `chance` lies in [0, 1). Milliseconds.
    """
    ceiling = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
    return Millis((retry_after or 0) + int(chance * ceiling))
