"""An oracle that never fired proves nothing: our own code is broken on purpose, and the storm finds it."""

import pytest

from bench.storm.promises import PROMISES
from bench.storm.sabotage import SABOTAGES
from bench.storm.storm import Order, storm

WITHIN = 5_000  # runs
SAMPLE = (
    "settle_pays_nothing",
    "child_is_not_funded",
    "terminal_event_twice",
    "child_outlives_its_parent",
    "everything_is_allowed",
    "chain_ignores_head",
    "text_may_act",
    "retries_have_no_budget",
    "loop_is_never_found",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sabotage_is_found_by_the_check_of_its_promise(name: str) -> None:
    played = storm(Order(7, "bad_day", WITHIN, 1, name), stop_at_first=True)
    assert played.tally.violations, f"{name} was not found within {WITHIN} runs"


def test_every_promise_of_the_storm_has_a_sabotage() -> None:
    assert {sabotage.promise for sabotage in SABOTAGES.values()} == {name.split()[0] for name in PROMISES}


@pytest.mark.parametrize("name", SABOTAGES)
def test_a_sabotage_breaks_something_that_is_there(name: str) -> None:
    for where, what, _ in SABOTAGES[name].patches:
        assert hasattr(where, what), f"{what} has another name now: correct the sabotage"
