"""What a run had to do without, from its journal alone; an answer without it is degraded."""

import pytest

from bridle.rules.call import CallKind
from bridle.rules.events import (
    CallInDoubt,
    CallRefused,
    CallReused,
    CallSettled,
    Event,
    LadderMoved,
    RunHalted,
    ToolsWithheld,
)
from bridle.rules.failure import FailureKind
from bridle.rules.fold import fold
from bridle.rules.health import Rung
from bridle.rules.names import CallId, Digest, Millis, ToolName
from bridle.rules.run import MISSING_AT_MOST, ending
from bridle.rules.stop import StopNote, StopReason
from tests.rules.house import NOW
from tests.rules.test_run import START, A, B, admitted

R, F = StopReason, FailureKind


def failed(failure: FailureKind | None, call: CallId = A) -> Event:
    """A call that ended like this."""
    return CallSettled(NOW, call, {}, failure=failure)


def refused_for(reason: StopReason, tool: str = "t") -> Event:
    """A refusal for this."""
    return CallRefused(NOW, A, CallKind.TOOL, ToolName(tool), Digest("a"), 1, reason)


def withheld(*tools: str) -> Event:
    """What is not offered from now on."""
    return ToolsWithheld(NOW, {ToolName(tool): Millis(0) for tool in tools})


@pytest.mark.parametrize(
    ("journal", "missing"),
    [
        ([], ()),
        ([admitted(), failed(None)], ()),
        *(([admitted(), failed(kind)], ("t",)) for kind in (F.UNAVAILABLE, F.TIMEOUT, F.RATE_LIMITED, F.CRASHED)),
        *(([admitted(), failed(kind)], ()) for kind in (F.REJECTED, F.CREDENTIALS, F.INVALID_OUTPUT, F.CANCELLED)),
        ([admitted(), failed(F.TIMEOUT), admitted(B), failed(None, B)], ()),
        ([admitted(), failed(None), admitted(B), failed(F.TIMEOUT, B)], ("t",)),
        ([admitted(), admitted(B), failed(F.TIMEOUT), failed(F.REJECTED, B)], ("t",)),
        ([admitted(), failed(F.TIMEOUT), CallReused(NOW, B, ToolName("t"), Digest("a"), A)], ("t",)),
        ([refused_for(R.TOOL_UNAVAILABLE)], ("t",)),
        ([refused_for(R.RATE_LIMITED)], ("t",)),
        ([refused_for(R.TOOL_DENIED), refused_for(R.KILLED), refused_for(R.POLICY_DENIED)], ()),
        ([refused_for(R.TOOL_UNAVAILABLE), refused_for(R.TOOL_UNAVAILABLE)], ("t",)),
        ([refused_for(R.TOOL_UNAVAILABLE), admitted(B), failed(None, B)], ()),
        ([refused_for(R.TOOL_UNAVAILABLE, "u"), admitted(B), failed(None, B)], ("u",)),
        ([withheld("u", "v")], ("u", "v")),
        ([withheld("u"), withheld()], ("u",)),
        ([withheld("t"), withheld(), admitted(), failed(None)], ()),
        ([refused_for(R.TOOL_UNAVAILABLE, "v"), withheld("u", "v")], ("v", "u")),
        ([LadderMoved(NOW, "t", Rung.NORMAL, Rung.READS_ONLY)], ()),
    ],
)
def test_what_was_not_available_is_missing_until_a_later_call_of_it_comes_to_something(
    journal: list[Event], missing: tuple[str, ...]
) -> None:
    run = fold([START, *journal])
    assert run.missing == missing
    expected = StopNote(R.OK_DEGRADED, {"missing": ", ".join(missing)}) if missing else StopNote(R.OK)
    assert ending(run, StopNote(R.OK)) == expected
    for other in (R.NO_PROGRESS, R.ANSWER_INVALID):
        assert ending(run, StopNote(other)).reason is other, "only an answer is degraded"


def test_a_run_that_was_halted_or_is_in_doubt_is_not_called_degraded() -> None:
    halted = fold([START, withheld("u"), RunHalted(NOW, R.MAX_USD)])
    assert ending(halted, StopNote(R.OK)).reason is R.MAX_USD
    assert ending(fold([START, withheld("u"), admitted(), CallInDoubt(NOW, A)]), StopNote(R.OK)).reason is (
        R.WRITE_IN_DOUBT
    )


def test_what_is_withheld_now_is_the_newest_of_its_events() -> None:
    assert fold([START, withheld("u", "v"), withheld("v")]).withheld == ("v",)
    assert fold([START, withheld("u"), withheld()]).withheld == ()


def test_only_so_many_names_of_what_is_missing_are_kept() -> None:
    run = fold([START, *(refused_for(R.TOOL_UNAVAILABLE, f"t{number}") for number in range(99))])
    assert run.missing == tuple(f"t{number}" for number in range(MISSING_AT_MOST))
