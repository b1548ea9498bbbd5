"""What a key says: at most one write under it takes effect, whatever its attempts come to and in whatever order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.decision import Deny, Reuse
from bridle.rules.effect import Claim, Intent, IntentStatus, blanks, meant
from bridle.rules.names import CallId, Digest, Millis, RunId, TenantId, ToolName
from bridle.rules.stop import StopReason

R, S = StopReason, IntentStatus
A, B, C = CallId("c1"), CallId("c2"), CallId("c3")
TOOL = ToolName("refund.create")
OPEN = Intent(TenantId("acme"), TOOL, "refund:1", S.OPEN, RunId("r-1"), A, Digest("a"), b"salt", Millis(7))
ABOUT = {"tool": TOOL, "of": "r-1/c1"}
OTHER = Deny(R.POLICY_DENIED, {**ABOUT, "rule": "key_of_other_arguments"})
FLYING = Deny(R.POLICY_DENIED, {**ABOUT, "rule": "key_in_flight"})
DOUBTED = Deny(R.WRITE_IN_DOUBT, {**ABOUT, "rule": "key_in_doubt"})


@pytest.mark.parametrize(
    ("status", "same", "ours", "answer"),
    [
        (None, True, False, None),
        (S.OPEN, True, False, FLYING),
        (S.OPEN, False, False, OTHER),
        (S.OPEN, True, True, None),
        (S.CONFIRMED, True, False, Reuse(A, RunId("r-1"))),
        (S.CONFIRMED, True, True, Reuse(A, RunId("r-1"))),
        (S.CONFIRMED, False, False, OTHER),
        (S.CONFIRMED, False, True, OTHER),
        (S.IN_DOUBT, True, False, DOUBTED),
        (S.IN_DOUBT, True, True, DOUBTED),
        (S.IN_DOUBT, False, False, OTHER),
        (S.REFUSED, True, False, None),
        (S.REFUSED, False, False, None),
    ],
)
def test_what_an_earlier_write_means_for_a_new_one(
    status: IntentStatus | None, same: bool, ours: bool, answer: Reuse | Deny | None
) -> None:
    earlier = replace(OPEN, status=status) if status is not None else None
    claim = Claim(earlier, same, is_ours=ours)
    assert meant(claim) == answer
    assert claim.is_replay is isinstance(answer, Reuse)


def test_a_refused_second_attempt_says_nothing_about_the_first() -> None:
    """Sabotage: let `refused` free the key whatever its doubts are, and this fails."""
    second = OPEN.doubted(A, by_bridle=True).again(B)
    assert second.refused() == replace(OPEN, call=A, doubts=(A,))
    assert meant(Claim(second.refused())) is not None
    assert OPEN.refused().status is S.REFUSED


EVENTS = st.sampled_from(["again", "confirmed", "refused", "doubted", "left", "given up", "cleared", "resolved"])


@given(st.lists(EVENTS, max_size=12))
def test_a_key_is_free_only_when_no_attempt_can_have_taken_effect(story: list[str]) -> None:
    intent, maybe, number = OPEN, {A}, 1
    for what in story:
        match what:
            case "again" if intent.status is S.OPEN and intent.call in intent.doubts:
                number += 1
                intent = intent.again(CallId(f"c{number}"))
                maybe.add(intent.call)
            case "confirmed" if intent.status is S.OPEN:
                intent = intent.confirmed(intent.call)
            case "refused" if intent.status is S.OPEN and intent.call not in intent.doubts:
                maybe.discard(intent.call)
                intent = intent.refused()
            case "doubted" | "left" if intent.status is S.OPEN and intent.call not in intent.doubts:
                intent = intent.doubted(intent.call, by_bridle=what == "doubted")
            case "given up" if intent.is_unresolved:
                intent = intent.given_up()
            case "cleared" if intent.is_unresolved and intent.doubts and intent.call in intent.doubts:
                maybe.clear()
                intent = intent.cleared()
            case "resolved" if intent.is_unresolved and intent.doubts:
                intent = intent.confirmed(intent.doubts[-1])
            case _:
                continue
        assert (meant(Claim(intent)) is None) == (intent.status is S.REFUSED)
        if intent.status is S.REFUSED:
            assert not maybe
            return
        assert set(intent.doubts) <= maybe


@pytest.mark.parametrize(
    ("template", "found"), [("refund:{order_id}", ["order_id"]), ("{a}/{b}", ["a", "b"]), ("x", []), ("{{a}}", [])]
)
def test_the_blanks_of_a_template(template: str, found: list[str]) -> None:
    assert blanks(template) == found


@pytest.mark.parametrize("template", ["{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "{}", "{0}", "{a", "a}", "{__class__.x}"])
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        blanks(template)
