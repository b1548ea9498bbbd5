"""Loops: what repeats itself with nothing new in it is found at the third repeat, and honest work is left alone."""

from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.decision import Admit, Halt, Reuse
from bridle.rules.failure import FailureKind
from bridle.rules.looping import LONGEST_CYCLE, REPEATS, is_looping
from bridle.rules.names import CallId, Digest, ToolName
from bridle.rules.policy import Limits, Policy
from bridle.rules.run import REMEMBERED, REUSED, Progress
from tests.rules.house import ALLOWED, MAIL, READ, SEARCH, House, tool_call

T = ToolName("t")


def told(past: str) -> list[Progress]:
    """A past as letters: `A1` is args A with result 1, `A=` was reused, `A!` failed, `wA1` is a write, `uA1` tool u."""
    found = []
    for turn, word in enumerate(past.split()):
        tool, args, result = word[:-2], word[-2], word[-1]
        shown = {"=": REUSED, "!": Digest("")}.get(result, Digest(result))
        found.append(Progress(ToolName(tool or "t"), Digest(args), shown, turn, tool == "w"))
    return found


@pytest.mark.parametrize(
    ("past", "proposed", "loops"),
    [
        # AAAA: the third is refused
        ("", "A", False),
        ("A1", "A", False),
        ("A1 A1", "A", True),
        ("B2 A1 A1", "A", True),
        ("A1 A1", "B", False),
        ("A1 B2 A1", "A", False),
        # ABAB
        ("A1 B2 A1 B2", "A", False),
        ("A1 B2 A1 B2 A1", "B", True),
        ("A1 B2 A1 B2 A1", "C", False),
        ("A1 B2 A1 C3 A1", "B", False),
        ("A1 uB2 A1 uB2 A1", "uB", True),
        ("A1 uB2 A1 uB2 A1", "B", False),
        # ABCABC
        ("A1 B2 C3 A1 B2 C3 A1", "B", False),
        ("A1 B2 C3 A1 B2 C3 A1 B2", "C", True),
        ("A1 B2 C3 A1 B2 C3 A1 B2", "A", False),
        # ABCDABCD
        ("A1 B2 C3 D4 A1 B2 C3 D4 A1 B2", "C", False),
        ("A1 B2 C3 D4 A1 B2 C3 D4 A1 B2 C3", "D", True),
        # five are no cycle that anybody looks for
        ("A1 B2 C3 D4 E5 A1 B2 C3 D4 E5 A1 B2 C3 D4", "E", False),
        # rotating arguments, always the same result
        ("A1 B1", "C", False),
        ("A1 B1 C1", "D", True),
        ("A1 B1 C2", "D", False),
        ("A1 B1 C1", "uD", False),
        ("A1 uB2 C1 uD2 E1 uF2", "G", True),
        ("A1 uB2 C1 uD2 E1", "uF", False),
        # honest polling: the results change
        ("A1 A2", "A", False),
        ("A1 A2 A3 A4 A5", "A", False),
        ("A1 A1 A2", "A", False),
        ("A1 B1 A1 B2 A1", "B", False),
        ("A1 A2 A2", "A", True),
        # reuse does not hide a loop
        ("A1 A=", "A", True),
        ("A1 B2 A= B= A=", "B", True),
        ("A= B= C=", "D", False),
        # failures: the same call again is a loop, another one is an attempt
        ("A! A!", "A", True),
        ("A! A1", "A", False),
        ("A! B! C!", "D", False),
        # writes: the same one again is a loop, the same result of others is not
        ("wA1 wA1", "wA", True),
        ("wA1 wB1 wC1", "wD", False),
        ("A1 wB1 A1 wC1 A1 wD1", "A", False),
    ],
)
def test_a_loop_is_what_repeats_without_anything_new(past: str, proposed: str, loops: bool) -> None:
    tool, args = ToolName(proposed[:-1] or "t"), Digest(proposed[-1])
    assert is_looping(told(past), tool, args, turn=99) is loops


def test_a_poll_with_a_reuse_between_two_different_results_is_honest() -> None:
    assert not is_looping(told("A1 B9 A= B9 A2"), T, Digest("B"), turn=99)


def test_twins_of_one_turn_are_no_repetition() -> None:
    past = told("A1 A1")
    assert is_looping(past, T, Digest("A"), turn=2)
    assert not is_looping(past, T, Digest("A"), turn=1)


@given(st.lists(st.sampled_from("ABC"), min_size=1, max_size=4), st.lists(st.sampled_from("XYZ"), max_size=6))
def test_every_cycle_of_up_to_four_calls_is_found_by_its_third_repeat(calls: list[str], before: list[str]) -> None:
    first = " ".join(f"{args}{number}" for number, args in enumerate(before, 3))
    whole = list(islice(cycle(calls), REPEATS * len(calls)))
    past = told(f"{first} " + " ".join(f"{args}1" for args in whole[:-1]))
    assert is_looping(past[-REMEMBERED:], T, Digest(whole[-1]), turn=99)


@given(st.lists(st.sampled_from("ABCD"), max_size=REMEMBERED), st.sampled_from("ABCD"))
def test_who_learns_something_from_every_call_is_never_looping(calls: list[str], proposed: str) -> None:
    past = [Progress(T, Digest(args), Digest(f"r{turn}"), turn) for turn, args in enumerate(calls)]
    assert not is_looping(past, T, Digest(proposed), turn=99)


def test_what_is_remembered_is_enough_for_three_repeats_of_the_longest_cycle() -> None:
    assert REMEMBERED >= REPEATS * LONGEST_CYCLE


def looked(house: House, args: str, result: str) -> bool:
    """Propose a reading in a turn of its own; whether it was halted."""
    house.turn += 1
    decision = house.propose(tool_call(args=args, turn=house.turn))
    if isinstance(decision.answer, Halt):
        return True
    house.settle(next(iter(house.run.open_calls)), result=result)
    return False


def test_a_poll_is_no_loop_until_it_sees_nothing_new() -> None:
    house = House(Policy(ALLOWED, limits=Limits(max_tool_calls=200)))
    assert not any(looked(house, "job", f"state {number}") for number in range(140))
    assert not looked(house, "job", "state 139")
    assert looked(house, "job", "state 139")


def test_three_twins_of_one_turn_run_and_a_third_turn_of_them_does_not() -> None:
    house = House(Policy(ALLOWED))
    for turn in (1, 2):
        for _ in range(3):
            house.propose(tool_call(args="a", turn=turn))
        for call in tuple(house.run.open_calls):
            house.settle(call)
    assert isinstance(house.propose(tool_call(args="a", turn=3)).answer, Halt)


def test_a_loop_of_reuses_is_a_loop() -> None:
    house = House(Policy(ALLOWED))
    house.propose(tool_call(SEARCH, "q", turn=1))
    house.settle(next(iter(house.run.open_calls)))
    assert isinstance(house.propose(tool_call(SEARCH, "q", turn=2)).answer, Reuse)
    assert isinstance(house.propose(tool_call(SEARCH, "q", turn=3)).answer, Halt)


def test_writing_ten_things_that_all_say_ok_is_work() -> None:
    house = House(Policy(ALLOWED, require_approval=False))
    for number in range(10):
        decision = house.propose(tool_call(MAIL, f"to {number}", turn=number))
        assert not isinstance(decision.answer, Halt)
        house.settle(next(iter(house.run.open_calls)), result="ok")


def test_calls_that_nobody_waited_for_say_nothing_about_progress() -> None:
    """Found by the storm (seed 7, run 30350): an honest poll whose worker was killed twice was taken for a loop."""
    house = House(Policy(allow=ALLOWED))
    for turn in (1, 2):
        assert house.propose(tool_call(READ, "a", turn=turn)).answer == Admit(tool_call(READ, "a").hold)
        house.settle(CallId(f"c{turn}"), failure=FailureKind.CANCELLED)
    assert isinstance(house.propose(tool_call(READ, "a", turn=3)).answer, Admit)
