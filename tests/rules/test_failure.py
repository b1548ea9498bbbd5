"""The kinds of failure: which may go away by themselves, and which are illness."""

import pytest

from bridle.rules.failure import BridleError, CallFailed, ControlUnavailable, FailureKind
from bridle.rules.names import Millis

TRANSIENT = {"unavailable", "timeout", "rate_limited"}
ILLNESS = {"unavailable", "timeout"}


@pytest.mark.parametrize("kind", FailureKind)
def test_a_kind_is_transient_or_not_and_illness_or_not(kind: FailureKind) -> None:
    assert (kind.is_transient, kind.is_illness) == (kind in TRANSIENT, kind in ILLNESS)


def test_a_failure_says_what_is_known_of_its_effect() -> None:
    failed = CallFailed(FailureKind.RATE_LIMITED, "slow down", retry_after=Millis(9), happened=False)
    assert (str(failed), failed.kind, failed.retry_after, failed.happened) == ("slow down", "rate_limited", 9, False)
    unknown = CallFailed(FailureKind.TIMEOUT, "no answer")
    assert (unknown.message, unknown.retry_after, unknown.happened) == ("no answer", None, None)


def test_a_journal_out_of_reach_is_an_error_of_the_house() -> None:
    assert issubclass(ControlUnavailable, BridleError)
