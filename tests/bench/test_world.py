"""Peers in the same world, as far as it needs no peer: bridle's own adapter in every scenario, and the page."""

from pathlib import Path

import pytest

from bench.world.report import PAGE, cell, table
from bench.world.scenarios import BURST_RUNS, BURST_SEARCHES, HUGE_BYTES, PARALLEL, Scenario
from bench.world.trial import Facts, TrialFailed, trial

CRASHED = Facts(
    offered=2,
    searches=0,
    at_once=0,
    refunds=2,
    refunds_again=0,
    keys=1,
    model_calls=3,
    largest_request=120,
    seconds=1.0,
    stored=4_096,
    ended=[{"answers": 1}],
    grown_mb=1,
)


def bridle(scenario: Scenario, folder: Path) -> Facts:
    return trial("bridle", scenario, folder)


@pytest.mark.parametrize("scenario", [Scenario.CRASH, Scenario.LOST])
def test_a_refund_whose_reply_never_came_is_asked_for_once_and_is_in_doubt(scenario: Scenario, tmp_path: Path) -> None:
    facts = bridle(scenario, tmp_path)
    assert (facts.refunds, facts.refunds_again) == (1, 0)
    assert all(ended == {"`write_in_doubt`": 1} for ended in facts.ended)


@pytest.mark.parametrize("scenario", [Scenario.CRASH, Scenario.LOST])
def test_a_refund_that_declares_its_key_is_asked_for_again_under_it_and_the_run_ends_well(
    scenario: Scenario, tmp_path: Path
) -> None:
    facts = trial("bridle, its key declared", scenario, tmp_path)
    assert (facts.refunds, facts.keys, facts.refunds_again) == (2, 1, 0)
    assert all(ended == {"`ok`": 1} for ended in facts.ended)


def test_a_dependency_that_is_down_sees_fewer_calls_than_the_models_asked_for(tmp_path: Path) -> None:
    facts = bridle(Scenario.DOWN, tmp_path)
    assert facts.offered == BURST_RUNS * BURST_SEARCHES
    assert facts.searches <= 1.1 * facts.offered
    assert facts.ended == [{"`tool_unavailable`": BURST_RUNS}]


def test_64_calls_in_one_turn_are_15_on_the_wire(tmp_path: Path) -> None:
    facts = bridle(Scenario.PARALLEL, tmp_path)
    assert (facts.offered, facts.searches) == (PARALLEL, 15)


def test_the_same_call_again_and_again_is_made_once_and_stopped(tmp_path: Path) -> None:
    facts = bridle(Scenario.LOOP, tmp_path)
    assert (facts.searches, facts.ended) == (1, [{"`no_progress`": 1}])


def test_of_8_mb_the_model_is_shown_an_excerpt(tmp_path: Path) -> None:
    facts = bridle(Scenario.HUGE, tmp_path)
    assert facts.largest_request < 20_000 < HUGE_BYTES < facts.stored


def test_a_trial_that_went_wrong_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(TrialFailed, match="KeyError: 'nobody'"):
        trial("nobody", Scenario.LOOP, tmp_path)


def test_the_table_has_a_row_for_each_scenario_that_was_tried() -> None:
    assert cell(Scenario.CRASH, CRASHED) == "refunds asked for: 2, distinct keys: 1; answers"
    rows = table({"bridle": {Scenario.CRASH: CRASHED}, "a peer": {Scenario.CRASH: CRASHED}}).splitlines()
    assert rows[0] == "|  | bridle | a peer |"
    assert len(rows) == 3


def test_the_page_in_the_documentation_is_the_one_that_the_script_writes() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "peers_in_the_same_world.md").read_text()
    for part in PAGE.split("{table}")[1].split("{settings}"):
        assert part in page
