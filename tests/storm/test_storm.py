"""The storm in small: no promise breaks, the world is honest about what was feasible, and one line repeats a run."""

from dataclasses import asdict

import pytest

from bench.storm.day import play
from bench.storm.plan import PLANS, Fault
from bench.storm.promises import PROMISES, violations
from bench.storm.report import facts, markdown
from bench.storm.storm import Order, chunk
from bench.storm.tally import EVERY_RUN
from bench.storm.tasks import KEYED, RUNS_OF_A_HOUSE
from bridle.rules.events import ApprovalAsked, ChildRefused, RunStopped, RunSuspended
from bridle.rules.names import RunId
from bridle.rules.stop import StopReason

SEED = 20_260_101


def test_on_a_calm_day_every_run_is_answered() -> None:
    played = chunk(Order(SEED, "calm", 50, 1), [0])
    whole = played.tally.rows[EVERY_RUN]
    assert not played.tally.violations
    assert (whole.runs, whole.ok, whole.feasible, whole.in_time) == (50, 50, 50, 50)
    assert whole.sent == whole.wanted
    assert list(played.tally.rows) == [EVERY_RUN]


@pytest.mark.parametrize("first", [0, 2, 4, 6])
def test_on_a_bad_day_every_promise_holds(first: int) -> None:
    played = chunk(Order(SEED, "bad_day", 400, 1), [first, first + 1])
    assert not played.tally.violations
    whole = played.tally.rows[EVERY_RUN]
    assert whole.runs == 2 * RUNS_OF_A_HOUSE
    assert whole.overspent == whole.duplicates == 0


@pytest.mark.parametrize(
    "house", [396, 1430]
)  # a bound broken in a garbled reply; a write that is sent again, not retried
def test_a_day_on_which_a_promise_did_not_hold_is_played_again(house: int) -> None:
    assert list(violations(play(7, house, PLANS["bad_day"]))) == []


def test_children_write_wait_have_children_use_up_their_part_are_refused_and_are_left_behind() -> None:
    days = [play(SEED, house, PLANS["calm"]) for house in (0, 1)]
    happened = {
        (
            journal.started.name.partition("-")[0],
            journal.started.depth,
            getattr(entry.event, "reason", ""),
            type(entry.event),
        )
        for day in days
        for journal in day.journals.values()
        for entry in journal.entries
    }
    assert happened >= {
        ("team", 0, StopReason.OK, RunStopped), ("ask", 1, StopReason.OK, RunStopped),
        ("post", 2, StopReason.OK, RunStopped), ("team", 0, StopReason.MAX_USD, ChildRefused),
        ("clerk", 1, "", ApprovalAsked), ("team", 0, "", RunSuspended),
        ("poll", 1, StopReason.MAX_TOOL_CALLS, RunStopped), ("poll", 1, StopReason.CANCELLED, RunStopped),
    }  # fmt: skip
    effects = {
        (day.journals[RunId(line.run)].started.name, line.name) for day in days for line in day.lines if line.run
    }
    assert {("clerk", tool) for tool in (*KEYED, "refund.create")} | {("post", "mail.send")} <= effects


def test_in_hell_every_promise_holds_too() -> None:
    played = chunk(Order(SEED, "hell", 50, 1), [0])
    assert not played.tally.violations
    assert played.tally.rows[Fault.RATE_LIMITED.value].runs > 0


def test_the_same_seed_and_run_give_the_same_day_line_by_line() -> None:
    first, again = (play(SEED, 3, PLANS["bad_day"]) for _ in range(2))
    assert [asdict(line) for line in first.lines] == [asdict(line) for line in again.lines]
    assert first.answers == again.answers
    assert first.commits.stamps == again.commits.stamps
    assert {run: journal.head for run, journal in first.journals.items()} == {
        run: journal.head for run, journal in again.journals.items()
    }
    assert play(SEED + 1, 3, PLANS["bad_day"]).answers != first.answers


def test_every_promise_has_its_check_and_the_report_its_figures() -> None:
    order = Order(SEED, "bad_day", 50, 1)
    played = chunk(order, [1])
    report = "\n".join(markdown(order, played))
    assert all(name.split()[0].startswith("P") for name in PROMISES)
    assert "| violations | 0 | 0 | yes |" in report
    assert "| every run | 50 |" in report
    assert facts(order, played)["violations_in_all"] == 0
    assert not list(violations(play(SEED, 1, PLANS["bad_day"])))
