"""Policies: what stands below can only take away, and the bytes of a policy are the policy."""

import hashlib
import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.call import Call
from bridle.rules.checks import Snapshot, decide
from bridle.rules.decision import Admit, Hold, Later, Reuse
from bridle.rules.names import Effect, Millis, TenantId, ToolName, UsdNanos
from bridle.rules.policy import LIMIT_NAMES, NO_NARROWING, Limits, LimitsPatch, Narrowing, Policy
from bridle.rules.tool import ReuseScope, ToolRule
from tests.rules.house import ALLOWED
from tests.rules.strategies import LIMITS, NARROWINGS, PATCHES, POLICIES, RULES, TOOL_NAMES, decisions

A, B, C = ToolName("a"), ToolName("b"), ToolName("c")
LENIENCE = (Admit, Reuse)


@given(decisions(), NARROWINGS)
def test_what_a_policy_refuses_no_narrowing_of_it_admits(case: tuple[Call, Snapshot], narrowing: Narrowing) -> None:
    call, seen = case
    wide = decide(call, seen).answer
    narrow = decide(call, replace(seen, policy=seen.policy.narrow(narrowing))).answer
    if not isinstance(wide, LENIENCE):
        assert not isinstance(narrow, LENIENCE)
    if not isinstance(wide, (*LENIENCE, Hold)):
        assert not isinstance(narrow, Hold)
    if not isinstance(wide, (*LENIENCE, Hold, Later)):
        assert not isinstance(narrow, Later)


@given(decisions(), PATCHES)
def test_limits_of_a_step_admit_no_more_than_the_run_without_them(
    case: tuple[Call, Snapshot], patch: LimitsPatch
) -> None:
    call, seen = case
    free = replace(seen, run=replace(seen.run, limits={}))
    if not isinstance(decide(call, free).answer, LENIENCE):
        inside = replace(seen, run=replace(seen.run, limits=patch, before={}))
        assert not isinstance(decide(call, inside).answer, LENIENCE)


@given(POLICIES, NARROWINGS)
def test_narrowing_twice_is_narrowing_once(policy: Policy, narrowing: Narrowing) -> None:
    once = policy.narrow(narrowing)
    assert once.narrow(narrowing) == once


@given(POLICIES, NARROWINGS, NARROWINGS)
def test_the_order_of_narrowings_does_not_matter(policy: Policy, one: Narrowing, other: Narrowing) -> None:
    assert policy.narrow(one).narrow(other) == policy.narrow(other).narrow(one)


@given(POLICIES, NARROWINGS, TOOL_NAMES)
def test_a_narrowed_policy_has_less_in_it(policy: Policy, narrowing: Narrowing, tool: ToolName) -> None:
    narrow = policy.narrow(narrowing)
    assert policy.allows(tool) or not narrow.allows(tool)
    assert narrow.allow <= policy.allow
    assert narrow.deny >= policy.deny
    assert narrow.max_refusals <= policy.max_refusals
    assert narrow.require_approval >= policy.require_approval
    assert all(getattr(narrow.limits, name) <= getattr(policy.limits, name) for name in LIMIT_NAMES)
    assert policy.narrow(NO_NARROWING) == policy


@pytest.mark.parametrize(
    ("narrowing", "narrow"),
    [
        (Narrowing(), Policy(frozenset({A, B}))),
        (Narrowing(allow=frozenset({B, C})), Policy(frozenset({B}))),
        (Narrowing(allow=frozenset()), Policy()),
        (Narrowing(deny=frozenset({A})), Policy(frozenset({A, B}), frozenset({A}))),
        (Narrowing(limits={"max_usd": 5}), Policy(frozenset({A, B}), limits=Limits(max_usd=UsdNanos(5)))),
        (Narrowing(limits={"max_steps": 10**9}), Policy(frozenset({A, B}))),
        (Narrowing(max_refusals=0), Policy(frozenset({A, B}), max_refusals=0)),
        (Narrowing(max_refusals=9), Policy(frozenset({A, B}))),
    ],
)
def test_a_narrowing_takes_away_what_it_names(narrowing: Narrowing, narrow: Policy) -> None:
    assert Policy(frozenset({A, B})).narrow(narrowing) == narrow


def test_an_approval_that_the_house_wants_cannot_be_narrowed_away() -> None:
    assert Policy().narrow(Narrowing(require_approval=False)).require_approval
    assert Policy(require_approval=False).narrow(Narrowing(require_approval=True)).require_approval


def test_a_run_has_the_policy_of_its_house_its_tenant_and_its_flow() -> None:
    policy = Policy(
        frozenset({A, B, C}),
        tenants={TenantId("acme"): Narrowing(deny=frozenset({A}))},
        flows={"research": Narrowing(limits={"max_steps": 3})},
    )
    own = policy.for_run(TenantId("acme"), "research")
    assert ([tool for tool in (A, B, C) if own.allows(tool)], own.limits.max_steps) == ([B, C], 3)
    other = policy.for_run(TenantId("zeta"), "other")
    assert other == policy


def test_the_empty_policy_denies_every_tool_and_asks_a_person_before_every_write() -> None:
    policy = Policy()
    assert not any(policy.allows(tool) for tool in (*ALLOWED, A))
    assert (policy.require_approval, policy.max_refusals, policy.kill_level) == (True, 3, "writes")
    assert asdict(policy.limits) == {
        "max_steps": 30, "max_seconds": 90, "max_model_calls": 30, "max_tool_calls": 15, "max_tokens": 500_000,
        "max_usd": 1_000_000_000,
    }  # fmt: skip


@given(LIMITS, PATCHES)
def test_the_smaller_of_two_limits_holds(limits: Limits, patch: LimitsPatch) -> None:
    assert asdict(limits.narrowed(patch)) == {
        name: min(limit, patch.get(name, limit)) for name, limit in asdict(limits).items()
    }


@given(POLICIES)
def test_a_policy_is_read_back_as_it_was_written(policy: Policy) -> None:
    written = policy.canonical()
    read = Policy.parse(written)
    assert read == policy
    assert read.canonical() == written
    assert read.digest() == policy.digest() == hashlib.sha256(written).hexdigest()[:32]


@given(RULES)
def test_what_a_rule_says_of_reuse_and_effect_keeps_its_kind(rule: ToolRule) -> None:
    read = Policy.parse(Policy(tools={A: rule}).canonical()).tools[A]
    assert isinstance(read.reuse, ReuseScope) == isinstance(rule.reuse, ReuseScope)
    assert isinstance(read.effect, Effect) == isinstance(rule.effect, Effect)


@given(POLICIES, POLICIES)
def test_two_policies_have_one_digest_exactly_when_they_are_equal(one: Policy, other: Policy) -> None:
    assert (one.digest() == other.digest()) == (one == other)


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_writing_is_no_part_of_a_policy(names: list[str]) -> None:
    tools = {ToolName(name): ToolRule(timeout=Millis(5)) for name in names}
    shuffled = Policy(frozenset(tools), tools=tools)
    tidy = {ToolName(name): ToolRule(timeout=Millis(5)) for name in sorted(names)}
    assert shuffled.digest() == Policy(frozenset(tidy), tools=tidy).digest()


def test_the_canonical_form_is_sorted_throughout() -> None:
    canonical = Policy(frozenset({B, A})).canonical()
    assert json.loads(canonical)["allow"] == ["a", "b"]
    assert list(json.loads(canonical)) == sorted(json.loads(canonical))


@pytest.mark.parametrize("broken", [b"", b"[]", b"{}", b'{"allow": 3}', b"\xff"])
def test_bytes_that_are_no_policy_are_refused(broken: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Policy.parse(broken)


@pytest.mark.parametrize("name", ["limits", "caps", "kill_level", "require_approval", "tools"])
def test_a_policy_without_one_of_its_parts_is_no_policy(name: str) -> None:
    known = json.loads(Policy().canonical())
    del known[name]
    with pytest.raises(KeyError):
        Policy.parse(json.dumps(known).encode())
