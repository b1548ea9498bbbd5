"""What a person's answer allows: exactly this call, in time, once; and an edit only ever narrows."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.approval import REMEMBERED, Answer, Asked, Consent, consented, widened
from bridle.rules.decision import Admit, Decision, Deny, Hold
from bridle.rules.events import CallAdmitted, Event
from bridle.rules.names import CallId, Digest, Millis, ToolName
from bridle.rules.policy import Policy
from bridle.rules.stop import StopReason
from bridle.rules.strict_json import Json
from tests.rules.house import ALLOWED, MAIL, House, tool_call

Rule = Callable[[Consent, Millis], Hold | Deny | None]
BINDINGS = (Digest(""), Digest("a"), Digest("b"))
TIMES = tuple(map(Millis, range(4)))
QUESTIONS = (None, *(
    Asked(CallId("c1"), ToolName("mail.send"), binding, Millis(0), until, answer, "ann", "", edited)
    for binding, until, answer, edited in product(BINDINGS, TIMES, (None, *Answer), BINDINGS)
))  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


def is_allowed(consent: Consent, now: Millis) -> bool:
    """Said again, in other words than the rule's."""
    asked = consent.asked
    if asked is None or asked.until <= now or consent.binding == "":
        return False
    approved = asked.answer is Answer.APPROVE and asked.binding == consent.binding
    return approved or (asked.answer is Answer.EDIT and asked.edited == consent.binding)


def never_admits_without_a_yes(rule: Rule) -> None:
    """For every consent and time: admitted exactly when this very call was allowed, and in time."""

    for binding, asked, now in product(BINDINGS, QUESTIONS, TIMES):
        consent = Consent(binding, asked)
        objection = rule(consent, now)
        assert (objection is None) == is_allowed(consent, now)
        if isinstance(objection, Deny):
            assert objection.reason in (StopReason.APPROVAL_DENIED, StopReason.APPROVAL_EXPIRED)


def test_nothing_is_admitted_without_an_unexpired_yes_to_exactly_this_call() -> None:
    never_admits_without_a_yes(consented)


def _without_binding(consent: Consent, now: Millis) -> Hold | Deny | None:
    asked = consent.asked
    is_yes = asked is not None and asked.answer in (Answer.APPROVE, Answer.EDIT) and not asked.expired(now)
    return None if is_yes else consented(consent, now)


def _without_expiry(consent: Consent, now: Millis) -> Hold | Deny | None:
    asked = consent.asked
    return consented(replace(consent, asked=asked and replace(asked, until=Millis(now + 1))), now)


def _without_an_answer(consent: Consent, now: Millis) -> Hold | Deny | None:
    asked = consent.asked
    return None if asked is not None and asked.answer is None else consented(consent, now)


@pytest.mark.parametrize("sabotage", [_without_binding, _without_expiry, _without_an_answer])
def test_a_rule_that_lets_more_pass_is_found(sabotage: Rule) -> None:
    with pytest.raises(AssertionError):
        never_admits_without_a_yes(sabotage)


class Forgetful(House):
    """A house in which an admission does not name the question that it used up."""

    def write(self, event: Event) -> None:
        super().write(replace(event, approval=CallId("")) if isinstance(event, CallAdmitted) else event)


def _second_call(house: House) -> Decision:
    for _ in range(2):
        house.propose(tool_call(MAIL))
        house.answer(0, Answer.APPROVE)
    (sent,) = house.run.open_calls
    house.settle(sent)
    return house.propose(tool_call(MAIL))


def test_a_yes_is_used_up_by_the_call_that_it_allowed() -> None:
    policy = Policy(allow=ALLOWED)
    assert _second_call(House(policy)).answer == Hold("approval_required")
    assert isinstance(_second_call(Forgetful(policy)).answer, Admit), "this sabotage is seen"


def test_a_run_has_only_so_many_open_questions() -> None:
    house = House(Policy(allow=ALLOWED, max_refusals=99))
    for number in range(REMEMBERED):
        assert house.propose(tool_call(MAIL, f"a{number}")).answer == Hold("approval_required")
    refusal = house.propose(tool_call(MAIL, "one more")).answer
    assert isinstance(refusal, Deny)
    assert refusal.detail["rule"] == "too many open questions"
    assert house.propose(tool_call(MAIL, "a0")).answer == Hold("approval_required"), "it waits already"
    house.answer(0, Answer.REJECT)
    assert house.propose(tool_call(MAIL, "one more")).answer == Hold("approval_required")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"n": 40}, {"n": 25}, ""),
        ({"n": 40}, {"n": 0}, ""),
        ({"n": -40}, {"n": -3}, ""),
        ({"n": 40}, {"n": 41}, "n was 40 and would be 41"),
        ({"n": 40}, {"n": -40}, "n was 40 and would be -40"),
        ({"n": 40}, {"n": 40.5}, "n was 40 and would be 40.5"),
        ({"n": 40}, {"n": "40000"}, "n was 40 and would be '40000'"),
        ({"n": 40}, {"n": None}, "n was 40 and would be nothing"),
        ({"n": 40}, {"n": True}, "n was 40 and would be True"),
        ({"n": 40}, {}, "n is missing"),
        ({"n": 40}, {"n": 40, "m": 1}, "m is new"),
        ({"o": {"n": 4}}, {"o": {"n": 5}}, "o.n was 4 and would be 5"),
        ({"o": [{"n": 4}]}, {"o": [{"n": 5}]}, "o[].n was 4 and would be 5"),
        ({"o": ["a", "b"]}, {"o": ["a"]}, ""),
        ({"o": ["a"]}, {"o": ["a", "b"]}, "o had 1 items and would have 2"),
        ({"to": "a"}, {"to": "b"}, ""),
    ],
)
def test_an_edit_only_narrows(before: Json, after: Json, said: str) -> None:
    assert said in widened(before, after, "")
    assert bool(said) == bool(widened(before, after, ""))


@given(JSON, JSON)
def test_what_does_not_widen_has_no_larger_number_anywhere(before: Json, after: Json) -> None:
    assert widened(before, before, "") == ""
    if not widened(before, after, ""):
        assert _most(after) <= _most(before)


def _most(value: Json) -> float:
    match value:
        case bool() | str() | None:
            return 0
        case int() | float():
            return abs(value)
        case list():
            return sum(_most(item) for item in value)
        case dict():
            return sum(_most(item) for item in value.values())
