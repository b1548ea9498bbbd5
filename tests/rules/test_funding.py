"""What a parent sets aside for a child: it always fits, it is paid once, and nothing is given that the parent lacks."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.checks import Snapshot, decide
from bridle.rules.data import changed
from bridle.rules.decision import Admit, Deny, Halt
from bridle.rules.events import ChildClosed, ChildFunded, ChildRefused, RunHalted, RunStarted, RunSuspended, StepEntered
from bridle.rules.fold import JournalBroken, apply, fold
from bridle.rules.funding import DEEPEST, Funds, bound, fund
from bridle.rules.names import (
    ACTIVE_MS,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Digest,
    Millis,
    RunId,
    ToolName,
    Unit,
    UsdNanos,
    tool_unit,
)
from bridle.rules.policy import KillLevel, Limits, LimitsPatch, Narrowing, Policy
from bridle.rules.run import NEVER_BY_ITSELF, RunState
from bridle.rules.stop import StopNote, StopReason
from bridle.rules.switch import Scope, Switch
from tests.rules.house import ALLOWED, NOW, READ, started, tool_call

LIMITS = Limits(max_steps=10, max_seconds=60, max_tool_calls=8, max_usd=UsdNanos(1_000))
POLICY = Policy(allow=ALLOWED, limits=LIMITS)
CHILD = RunId("r-2")
UNITS = {"max_steps": STEPS, "max_model_calls": MODEL_CALLS, "max_tool_calls": TOOL_CALLS, "max_usd": USD_NANO}


def parent(used: dict[Unit, int] | None = None, **changes: object) -> RunState:
    return changed(fold([started(POLICY)]), used=used or {}, **changes)


def funded(run: RunState, wanted: LimitsPatch, now: Millis = NOW, usual: Limits = LIMITS) -> Funds | Deny:
    return fund(run, LIMITS, usual, wanted, {}, now)


def child_of(run: RunState, funds: Funds, name: str = "part") -> RunStarted:
    return replace(
        started(POLICY), run=CHILD, name=name, parent=run.run, depth=run.depth + 1, funds=funds.amounts,
        deadline=funds.deadline,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("run", "wanted", "short"),
    [
        (parent(), {"max_tool_calls": 8}, ""),
        (parent(), {"max_tool_calls": 9}, "max_tool_calls"),
        (parent({TOOL_CALLS: 8}), {}, "max_tool_calls"),  # at least one
        (parent(held={TOOL_CALLS: 4}), {"max_tool_calls": 5}, "max_tool_calls"),
        (parent(finalise={MODEL_CALLS: 30}), {}, "max_model_calls"),  # the last word of the parent is not given away
        (parent({STEPS: 8}), {"max_steps": 1}, ""),
        (parent({STEPS: 9}), {"max_steps": 1}, "max_steps"),  # the spawn itself takes the last one
        (parent({TOKENS_IN: 300_000, TOKENS_OUT: 199_999}), {"max_tokens": 2}, "max_tokens"),
        (parent({USD_NANO: 1_001}), {}, "max_usd"),  # after an overrun
        (parent(), {"max_seconds": 60}, ""),
        (parent(), {"max_seconds": 61}, "max_seconds"),
        (parent(finalise={ACTIVE_MS: 60_000}), {}, "max_seconds"),
        (parent(node_deadline=Millis(NOW + 999)), {"max_seconds": 1}, "max_seconds"),
        (parent(limits={"max_tool_calls": 3}), {"max_tool_calls": 4}, "max_tool_calls"),  # of its step
        (parent({TOOL_CALLS: 5}, before={TOOL_CALLS: 5}, limits={"max_tool_calls": 3}), {"max_tool_calls": 3}, ""),
        (parent(depth=DEEPEST), {}, "policy_denied"),
        (parent(depth=DEEPEST - 1), {}, ""),
    ],
)
def test_a_child_is_refused_by_the_first_limit_that_is_short(run: RunState, wanted: LimitsPatch, short: str) -> None:
    found = funded(run, wanted)
    assert (found.reason if isinstance(found, Deny) else "") == short


def test_a_refusal_says_what_was_wanted_and_what_is_left() -> None:
    found = funded(parent({TOOL_CALLS: 3}), {"max_tool_calls": 6})
    assert isinstance(found, Deny)
    said = StopNote(found.reason, found.detail).text()
    assert said == "A child asks for 6 of max_tool_calls, and 3 of 8 are used or held."


def test_what_is_left_out_is_the_default_of_its_flow_or_what_is_left() -> None:
    found = fund(parent({TOOL_CALLS: 5}), LIMITS, replace(LIMITS, max_steps=4), {}, {READ.name: 2}, NOW)
    assert isinstance(found, Funds)
    assert (found.amounts[STEPS], found.amounts[TOOL_CALLS], found.amounts[tool_unit(READ.name)]) == (4, 3, 2)
    assert found.deadline == NOW + 60_000


AMOUNTS = st.dictionaries(st.sampled_from(sorted(UNITS.values())), st.integers(0, 12))
WANTED = st.dictionaries(st.sampled_from(sorted(UNITS)), st.integers(1, 12))


@given(AMOUNTS, AMOUNTS, st.lists(st.tuples(WANTED, AMOUNTS, st.booleans()), max_size=4), st.integers(0, 70_000))
def test_a_parent_and_its_children_never_hold_or_use_more_than_its_limits(
    used: dict[Unit, int], held: dict[Unit, int], wishes: list[tuple[LimitsPatch, dict[Unit, int], bool]], late: int
) -> None:
    run, now, opened = parent(used, held=held), Millis(NOW + late), dict[RunId, Funds]()
    for number, (wanted, spent, closes) in enumerate(wishes):
        before, funds, child = run, funded(run, wanted, now), RunId(f"r-{number + 2}")
        if isinstance(funds, Deny):
            continue
        assert now < funds.deadline <= run.work_until
        run = apply(run, ChildFunded(now, child, "part", "1", funds.amounts))
        assert all(run.committed(unit) <= getattr(LIMITS, name) for name, unit in UNITS.items())
        opened[child] = funds
        if closes:
            paid = {unit: min(amount, funds.amounts[unit]) for unit, amount in spent.items()}
            run = apply(run, ChildClosed(now, child, paid, StopReason.OK))
            del opened[child]
            gained = {unit: run.spent(unit) - before.spent(unit) for unit in UNITS.values()}
            assert gained == {unit: paid.get(unit, 0) + (unit == STEPS) for unit in UNITS.values()}
            assert all(run.held.get(unit, 0) == before.held.get(unit, 0) for unit in UNITS.values())
    assert set(run.children) == set(opened)


@given(WANTED, st.dictionaries(st.sampled_from(sorted(UNITS)), st.integers(1, 12)))
def test_the_policy_of_a_child_only_narrows_and_is_what_it_was_given(wanted: LimitsPatch, own: LimitsPatch) -> None:
    whole = replace(POLICY, flows={"part": Narrowing(allow=frozenset({READ.name}), limits=own)})
    usual = whole.narrow(whole.flows["part"])
    funds = fund(parent(), LIMITS, usual.limits, wanted, {READ.name: 3}, NOW)
    if isinstance(funds, Funds):
        policy = bound(whole, fold([child_of(parent(), funds)]))
        assert all(limit <= LIMITS.by_name[name] for name, limit in policy.limits.by_name.items())
        assert all(getattr(policy.limits, name) <= funds.amounts[unit] for name, unit in UNITS.items())
        assert policy.allow == {READ.name}
        assert policy.tools[READ.name].max_calls == funds.amounts[tool_unit(READ.name)]
        assert policy.limits.max_seconds * 1_000 == funds.deadline - NOW


def seen(run: RunState, *above: RunState, switches: tuple[Switch, ...] = (), now: Millis = NOW) -> Snapshot:
    return Snapshot(now, run, POLICY, READ, switches=switches, above=above)


def test_a_childs_call_is_answered_by_what_stands_above_it() -> None:
    top = parent()
    funds = funded(top, {})
    assert isinstance(funds, Funds)
    child, call = fold([child_of(top, funds)]), tool_call(READ)
    assert isinstance(decide(call, seen(child, top)).answer, Admit)
    halted = apply(top, RunHalted(NOW, StopReason.MAX_USD))
    answer = decide(call, seen(child, halted)).answer
    assert answer == Halt(StopReason.CANCELLED, {"by": "its parent r-1"})
    switch = Switch(KillLevel.ALL, Scope(flow=top.name), by="ann", because="smoke", at=NOW)
    killed = decide(call, seen(child, top, switches=(switch,))).answer
    assert isinstance(killed, Halt)
    assert killed.reason is StopReason.KILLED
    late = decide(call, seen(changed(child, deadline=Millis(NOW + 99_000)), top, now=Millis(NOW + 60_000))).answer
    assert isinstance(late, Halt)
    assert late.reason is StopReason.MAX_SECONDS
    waiting = apply(top, RunSuspended(NOW, NOW))  # for another of its children
    assert isinstance(decide(call, seen(child, waiting)).answer, Admit)


def test_a_child_closes_once_joins_its_labels_and_wakes_its_parent() -> None:
    entered = StepEntered(NOW, "ask", Digest("s"))
    run = apply(apply(parent(), entered), ChildFunded(NOW, CHILD, "part", "1", {TOOL_CALLS: 3}))
    with pytest.raises(JournalBroken):
        apply(run, ChildFunded(NOW, CHILD, "part", "1", {}))
    run = apply(run, RunSuspended(NOW, NOW))
    assert run.wakes_at == NEVER_BY_ITSELF
    closed = ChildClosed(NOW, CHILD, {TOOL_CALLS: 1}, StopReason.OK, True, True, (ToolName("kb.read"),))
    run = apply(run, closed)
    assert (run.wakes_at, run.held, run.used) == (0, {}, {STEPS: 2, TOOL_CALLS: 1})
    assert (run.is_tainted, run.has_read_private, run.missing) == (True, True, ("kb.read",))
    assert run.node_committed(TOOL_CALLS) == 1
    with pytest.raises(JournalBroken):
        apply(run, closed)
    assert apply(run, ChildRefused(NOW, "part", "1", StopReason.MAX_USD)).refusals == 1
