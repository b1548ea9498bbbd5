"""Each promise about writes, broken on purpose: the tests that are there for it have to find it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from bridle.gateway import admission, attempt, doubt, labels
from bridle.rules import checks, effect
from bridle.rules.effect import Intent, IntentStatus
from tests.gateway import test_write_keys as keys
from tests.gateway import test_writes as writes

Patch = pytest.MonkeyPatch
DAY = 86_400_000
NUMBERS = count()


def _lasting(patch: Patch, label: str, millis: int) -> None:
    duration = labels._duration

    def changed(tool: str, of: str, given: str | int) -> int:
        return millis if of == label else duration(tool, of, given)

    patch.setattr(labels, "_duration", changed)


def none_is_sent_again(patch: Patch) -> None:
    patch.setattr(doubt, "is_known_again", lambda about, now: True)


def the_first_no_is_believed(patch: Patch) -> None:
    _lasting(patch, "lands_within", 0)


def a_key_never_expires(patch: Patch) -> None:
    _lasting(patch, "key_ttl", 1_000 * DAY)


def a_refused_attempt_frees_the_key(patch: Patch) -> None:
    patch.setattr(Intent, "refused", lambda self: replace(self, status=IntentStatus.REFUSED, doubts=()))


def a_key_means_nothing(patch: Patch) -> None:
    for module in (checks, admission, effect):
        patch.setattr(module, "meant", lambda claim: None)


def nobody_claims(patch: Patch) -> None:
    patch.setattr(admission, "claimed", lambda *given: None)


def keys_have_no_scope(patch: Patch) -> None:
    patch.setattr(attempt, "sent_key", lambda tenant, tool, run, key: key)


def every_attempt_has_a_key_of_its_own(patch: Patch) -> None:
    patch.setattr(attempt, "sent_key", lambda tenant, tool, run, key: f"{key}{next(NUMBERS)}")


SABOTAGES: list[tuple[Callable[[Patch], None], Callable[[], None]]] = [
    (none_is_sent_again, lambda: writes.test_an_unknown_end_is_settled_as_the_class_of_the_tool_allows(
        "none", True, "lost after")),
    (the_first_no_is_believed, writes.test_a_no_of_the_probe_counts_only_once_the_write_must_have_landed),
    (a_key_never_expires, keys.test_a_key_that_the_far_end_has_forgotten_is_not_sent_again),
    (a_refused_attempt_frees_the_key, lambda: writes.test_a_refused_second_attempt_says_nothing_about_the_first(
        "rejected", False)),
    (a_key_means_nothing, keys.test_a_replay_returns_the_recorded_receipt_in_another_run_and_performs_nothing),
    (nobody_claims, lambda: keys.test_of_two_writes_under_one_key_at_once_one_is_sent_and_the_other_refused(True)),
    (keys_have_no_scope, keys.test_tenants_and_tools_have_keys_of_their_own_also_at_the_far_end),
    (every_attempt_has_a_key_of_its_own, keys.test_a_key_is_the_same_for_every_attempt_and_every_run),
]  # fmt: skip


@pytest.mark.parametrize(("sabotage", "test"), SABOTAGES, ids=lambda part: getattr(part, "__name__", ""))
def test_a_broken_promise_is_found(sabotage: Callable[[Patch], None], test: Callable[[], None]) -> None:
    test()
    with pytest.MonkeyPatch.context() as patch:
        sabotage(patch)
        with pytest.raises(AssertionError):
            test()
