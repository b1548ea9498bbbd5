"""The constitution: each check has rows in which only it objects, the strongest objection wins, and none is lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.budget import Account, Balance
from bridle.rules.call import Call, Purpose
from bridle.rules.checks import CHECKS, Check, Snapshot, decide
from bridle.rules.decision import Admit, Decision, Deny, Halt, Hold, Later, Objection, Reuse
from bridle.rules.effect import Claim, Intent, IntentStatus
from bridle.rules.events import RunHalted, RunStopped, StepEntered
from bridle.rules.flow_of_information import Tracing, Unproven
from bridle.rules.fold import apply
from bridle.rules.health import OPENS_AFTER, Health, Rung
from bridle.rules.names import (
    ACTIVE_MS,
    IN_FLIGHT,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    CallId,
    Digest,
    Effect,
    Millis,
    RunId,
    TenantId,
    ToolName,
    Unit,
    tool_unit,
)
from bridle.rules.policy import KillLevel, Level, Policy, Window
from bridle.rules.run import Phase, Progress, RunState
from bridle.rules.sinks import Sink
from bridle.rules.stop import StopReason
from bridle.rules.switch import Scope, Switch
from bridle.rules.tool import Tool
from tests.rules.house import ALLOWED, MAIL, NOW, READ, SEARCH, VIDEO, model_call, started, tool_call
from tests.rules.strategies import decisions

R = StopReason
POLICY = Policy(allow=ALLOWED)
RUN = apply(None, started(POLICY))
NODE = apply(
    RUN,
    StepEntered(
        NOW, "look", Digest("s"), {"max_tool_calls": 2, "max_tokens": 90, "max_seconds": 9}, Millis(NOW + 9_000)
    ),
)
IN = Millis(NOW + 1_000)
LATE = Millis(NOW + 90_000)
SEEN = Snapshot(IN, RUN, POLICY, READ)
ASKED = replace(SEEN, tool=None)
ILL = Health(failures=OPENS_AFTER, open_until=LATE)
SLOW = Health(held=Rung.CAREFUL, held_until=LATE)
STRAINED = Health(held=Rung.READS_ONLY, held_until=LATE)
AGED = tuple(Progress(READ.name, Digest("a"), Digest("r"), turn) for turn in (-2, -1))
FETCH = Tool(ToolName("http.get"), effect=Effect.EGRESS, sinks=(Sink("url", ("user", "trusted")),))
STEERED = Tracing(
    is_tainted=True, unproven=(Unproven("url", ("user", "trusted"), CallId("c3"), ToolName("mail.read")),)
)
SEAT = Account(Level.TENANT, "acme/kb.read", IN_FLIGHT, Window.NONE, 0)
HOUSE = Account(Level.HOUSE, "", USD_NANO, Window.MINUTE, 0)
SWITCHED = Scope()
LAST = model_call(purpose=Purpose.FINALISE)


def having(used: Mapping[Unit, int], run: RunState = RUN) -> Snapshot:
    """A run that used this much, in its node too."""
    return replace(SEEN, run=replace(run, used=used, before={}))


def halted(reason: StopReason) -> Snapshot:
    """A run that was halted."""
    return replace(ASKED, run=apply(RUN, RunHalted(IN, reason, {"limit": 1})))


KEY = {"tool": "mail.send", "of": "r-0/c9"}
EARLIER = Intent(
    TenantId("acme"), MAIL.name, "k", IntentStatus.OPEN, RunId("r-0"), CallId("c9"), Digest("a"), b"s", NOW
)


def writing(status: IntentStatus, *, same_args: bool = True) -> Snapshot:
    """A write that needs no approval, and what stands under its key."""
    claim = Claim(replace(EARLIER, status=status), same_args)
    return replace(SEEN, tool=MAIL, claim=claim, policy=Policy(ALLOWED, require_approval=False))


def on(level: KillLevel, scope: Scope = SWITCHED) -> tuple[Switch, ...]:
    """A switch that ann has turned on."""
    return (Switch(level, scope, "ann", "an incident", 1),)


def said(level: KillLevel, scope: Scope = SWITCHED, **more: str) -> Mapping[str, str]:
    """What is said of a call that it took away."""
    return {"level": level.value, "scope": str(scope), "by": "ann", **more}


@dataclass(frozen=True)
class Row:
    """A call to which exactly one check objects."""

    check: str
    seen: Snapshot
    answer: Objection
    call: Call = field(default_factory=tool_call)


ROWS = [
    Row("run_is_open", replace(halted(R.MAX_USD), tool=READ), Halt(R.MAX_USD, {"limit": 1})),
    Row("run_is_open", halted(R.KILLED), Halt(R.KILLED, {"limit": 1}), LAST),
    Row("run_is_open", halted(R.CANCELLED), Halt(R.CANCELLED, {"limit": 1}), LAST),
    Row("run_is_open", halted(R.CONTROL_UNAVAILABLE), Halt(R.CONTROL_UNAVAILABLE, {"limit": 1}), LAST),
    Row("run_is_open", replace(ASKED, run=apply(RUN, RunStopped(IN, R.OK))), Halt(R.OK), LAST),
    Row("run_is_open", replace(SEEN, run=replace(RUN, phase=Phase.HALTED)), Halt(R.INTERNAL_ERROR)),
    Row("time", replace(SEEN, now=LATE), Halt(R.MAX_SECONDS, {"limit": 90, "used": 90})),
    Row("time", replace(ASKED, now=LATE), Halt(R.MAX_SECONDS, {"limit": 90, "used": 90}), LAST),
    Row("time", replace(SEEN, now=Millis(NOW + 85_000), run=replace(RUN, finalise={ACTIVE_MS: 5_000})),
        Halt(R.MAX_SECONDS, {"limit": 90, "used": 85})),
    Row("time", replace(SEEN, now=Millis(NOW + 9_000), run=NODE),
        Halt(R.MAX_SECONDS, {"limit": 9, "used": 9, "step": "look"}, Level.NODE)),
    Row("allowlist", ASKED, Deny(R.TOOL_DENIED, {"tool": "kb.read", "rule": "unknown"})),
    Row("allowlist", replace(SEEN, policy=Policy()), Deny(R.TOOL_DENIED, {"tool": "kb.read", "rule": "allowlist"})),
    Row("allowlist", replace(SEEN, policy=Policy(ALLOWED, deny=ALLOWED)),
        Deny(R.TOOL_DENIED, {"tool": "kb.read", "rule": "allowlist"})),
    Row("allowlist", replace(ASKED, unpriced=True), Halt(R.PRICE_UNKNOWN, {"model": "gpt"}), model_call()),
    Row("arguments_fit", replace(SEEN, misfit="bad"),
        Deny(R.POLICY_DENIED, {"tool": "kb.read", "rule": "arguments", "error": "bad"})),
    Row("argument_rules", replace(SEEN, broken_rule="bad"),
        Deny(R.POLICY_DENIED, {"tool": "kb.read", "rule": "args", "error": "bad"})),
    Row("kill_switch", replace(SEEN, switches=on(KillLevel.ALL)), Halt(R.KILLED, said(KillLevel.ALL))),
    Row("kill_switch", replace(ASKED, switches=on(KillLevel.ALL)), Halt(R.KILLED, said(KillLevel.ALL)), model_call()),
    Row("kill_switch", replace(SEEN, tool=VIDEO, switches=on(KillLevel.EXPENSIVE)),
        Deny(R.KILLED, said(KillLevel.EXPENSIVE, tool="video.make")), tool_call(VIDEO)),
    *(Row("kill_switch", replace(SEEN, switches=on(KillLevel.ALL, scope)), Halt(R.KILLED, said(KillLevel.ALL, scope)))
      for scope in (Scope("acme"), Scope(flow="research"), Scope("acme", "research"))),
    *(Row("kill_switch", replace(SEEN, switches=on(KillLevel.ALL, scope)),
          Deny(R.KILLED, said(KillLevel.ALL, scope, tool="kb.read")))
      for scope in (Scope(tool="kb.read"), Scope("acme", "research", "kb.read"))),
    Row("kill_switch", replace(ASKED, switches=on(KillLevel.ALL, Scope(tool="gpt"))),
        Halt(R.KILLED, said(KillLevel.ALL, Scope(tool="gpt"), tool="gpt")), model_call()),
    *(Row("kill_switch", replace(SEEN, tool=MAIL, switches=on(level), policy=Policy(ALLOWED, require_approval=False)),
          Deny(R.KILLED, said(level, tool="mail.send")), tool_call(MAIL))
      for level in (KillLevel.WRITES, KillLevel.EXPENSIVE, KillLevel.EGRESS)),
    Row("dependency_health", replace(SEEN, health=ILL), Deny(R.TOOL_UNAVAILABLE, {"tool": "kb.read", "until": LATE})),
    Row("dependency_health", replace(SEEN, health=Health(failures=OPENS_AFTER, probing_until=LATE)),
        Deny(R.TOOL_UNAVAILABLE, {"tool": "kb.read", "until": LATE})),
    Row("dependency_health", replace(ASKED, health=ILL), Halt(R.MODEL_UNAVAILABLE, {"model": "gpt", "until": LATE}),
        model_call()),
    Row("dependency_health", replace(SEEN, health=Health(not_before=Millis(LATE - 1))),
        Later(Millis(LATE - 1), R.RATE_LIMITED, {"tool": "kb.read", "until": LATE - 1})),
    Row("dependency_health", replace(SEEN, health=Health(not_before=LATE)),
        Deny(R.RATE_LIMITED, {"tool": "kb.read", "until": LATE})),
    Row("dependency_health", replace(ASKED, health=Health(not_before=LATE)),
        Halt(R.RATE_LIMITED, {"tool": "gpt", "until": LATE}), model_call()),
    Row("degraded", replace(SEEN, tool=VIDEO, health=SLOW),
        Deny(R.TOOL_UNAVAILABLE, {"tool": "video.make", "rule": "degraded", "until": LATE}), tool_call(VIDEO)),
    *(Row("degraded", replace(SEEN, tool=tool, tenant=STRAINED, policy=replace(POLICY, require_approval=False)),
          Deny(R.POLICY_DENIED, {"tool": tool.name, "rule": "reads_only", "until": LATE}), tool_call(tool))
      for tool in (VIDEO, MAIL)),
    Row("wrapping_up", replace(having({TOOL_CALLS: 12}), tool=VIDEO),
        Deny(R.POLICY_DENIED, {"tool": "video.make", "rule": "wrap_up"}), tool_call(VIDEO)),
    Row("looping", replace(SEEN, run=replace(RUN, recent=AGED)), Halt(R.NO_PROGRESS, {"tool": "kb.read"})),
    Row("duplicate", replace(SEEN, twin=CallId("c1")), Reuse(CallId("c1"))),
    Row("duplicate", writing(IntentStatus.CONFIRMED), Reuse(CallId("c9"), RunId("r-0")), tool_call(MAIL)),
    Row("duplicate", writing(IntentStatus.OPEN), Deny(R.POLICY_DENIED, {**KEY, "rule": "key_in_flight"}),
        tool_call(MAIL)),
    Row("duplicate", writing(IntentStatus.IN_DOUBT), Deny(R.WRITE_IN_DOUBT, {**KEY, "rule": "key_in_doubt"}),
        tool_call(MAIL)),
    Row("duplicate", writing(IntentStatus.CONFIRMED, same_args=False),
        Deny(R.POLICY_DENIED, {**KEY, "rule": "key_of_other_arguments"}), tool_call(MAIL)),
    Row("budget", having({TOOL_CALLS: 15}), Halt(R.MAX_TOOL_CALLS, {"limit": 15, "used": 15})),
    Row("budget", having({MODEL_CALLS: 30}), Halt(R.MAX_MODEL_CALLS, {"limit": 30, "used": 30}),
        model_call()),
    Row("budget", having({STEPS: 30}), Halt(R.MAX_STEPS, {"limit": 30, "used": 30}), model_call()),
    Row("budget", having({TOKENS_IN: 250_000, TOKENS_OUT: 249_851}),
        Halt(R.MAX_TOKENS, {"limit": 500_000, "used": 499_851, "wanted": 150}), model_call()),
    Row("budget", having({USD_NANO: 700_000_000}),
        Halt(R.MAX_USD, {"limit": "$1.00", "used": "$0.70", "wanted": "$0.40"}), model_call(cost=400_000_000)),
    Row("budget", replace(SEEN, run=replace(RUN, finalise={TOOL_CALLS: 15})),
        Halt(R.MAX_TOOL_CALLS, {"limit": 15, "used": 15})),
    Row("budget", replace(SEEN, run=replace(RUN, held={TOOL_CALLS: 15})),
        Halt(R.MAX_TOOL_CALLS, {"limit": 15, "used": 15})),
    Row("budget", having({TOOL_CALLS: 2}, NODE), Halt(R.MAX_TOOL_CALLS, {"limit": 2, "used": 2}, Level.NODE)),
    Row("budget", having({}, NODE), Halt(R.MAX_TOKENS, {"limit": 90, "used": 0, "wanted": 150}, Level.NODE),
        model_call()),
    Row("budget", replace(having({tool_unit(READ.name): 3}), tool=replace(READ, max_calls=3)),
        Deny(R.TOOL_QUOTA, {"tool": "kb.read", "limit": 3, "used": 3})),
    Row("budget", replace(SEEN, balances={SEAT: Balance(2, 0, 2)}),
        Later(Millis(0), R.TOOL_UNAVAILABLE, {"tool": "kb.read", "limit": 2})),
    Row("budget", replace(SEEN, tool=SEARCH, balances={HOUSE: Balance(5_000_000_000, 4_999_999_000, 0)}),
        Halt(R.ACCOUNT_BUDGET, {"level": "house", "of": "", "unit": USD_NANO, "limit": "$5.00",
                                "until": NOW + 40_000}), tool_call(SEARCH)),
    Row("flow_of_information", replace(SEEN, tool=FETCH, traced=STEERED, policy=Policy(ALLOWED | {FETCH.name})),
        Deny(R.POLICY_DENIED, {"tool": "http.get", "rule": "flow of information", "argument": "url",
                               "may come from": "user or trusted", "seen in": "c3 (mail.read)"}), tool_call(FETCH)),
    Row("approval", replace(SEEN, tool=MAIL), Hold("approval_required"), tool_call(MAIL)),
    Row("approval", replace(SEEN, tool=MAIL, traced=STEERED, policy=replace(POLICY, require_approval=False)),
        Hold("approval_required"), tool_call(MAIL)),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.check)
def test_only_this_check_objects_and_without_it_the_call_is_admitted(row: Row) -> None:
    others = tuple(check for check in CHECKS if check.__name__ != row.check)
    assert decide(row.call, row.seen) == Decision(row.answer)
    assert decide(row.call, row.seen, checks=others) == Decision(Admit(row.call.hold))


def test_every_check_has_a_row_and_they_are_asked_in_the_order_of_the_constitution() -> None:
    assert [check.__name__ for check in CHECKS] == ORDER
    assert {row.check for row in ROWS} == set(ORDER)


ORDER = [
    "run_is_open", "time", "allowlist", "arguments_fit", "argument_rules", "kill_switch", "dependency_health",
    "degraded", "wrapping_up", "looping", "duplicate", "flow_of_information", "budget", "approval",
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "seen"),
    [
        (tool_call(), SEEN),
        (model_call(), ASKED),
        (LAST, halted(R.MAX_USD)),
        (LAST, halted(R.NO_PROGRESS)),
        (tool_call(), replace(SEEN, now=Millis(LATE - 1))),
        (LAST, replace(halted(R.MAX_USD), now=Millis(NOW + 89_999))),
        (replace(LAST, hold={MODEL_CALLS: 1, STEPS: 1}), replace(ASKED, now=Millis(NOW + 9_000), run=NODE)),
        (
            LAST,
            replace(halted(R.MAX_STEPS), run=replace(halted(R.MAX_STEPS).run, used={STEPS: 29}, finalise={STEPS: 1})),
        ),
        (tool_call(), replace(SEEN, switches=on(KillLevel.EXPENSIVE))),
        (tool_call(VIDEO), replace(SEEN, tool=VIDEO, switches=on(KillLevel.WRITES))),
        (tool_call(VIDEO), replace(SEEN, tool=VIDEO, switches=on(KillLevel.EGRESS))),
        (model_call(), replace(ASKED, switches=on(KillLevel.EGRESS))),
        (model_call(), replace(ASKED, switches=on(KillLevel.EXPENSIVE))),
        (tool_call(), replace(SEEN, switches=on(KillLevel.ALL, Scope("umbrella")))),
        (tool_call(), replace(SEEN, switches=on(KillLevel.ALL, Scope("acme", "other")))),
        (tool_call(), replace(SEEN, switches=on(KillLevel.ALL, Scope("acme", "research", "mail.send")))),
        (tool_call(VIDEO), replace(having({TOOL_CALLS: 11}), tool=VIDEO)),
        (tool_call(MAIL), replace(SEEN, tool=MAIL, policy=Policy(ALLOWED, require_approval=False))),
        (tool_call(), replace(SEEN, health=Health(failures=OPENS_AFTER, open_until=IN))),
        (tool_call(), replace(SEEN, health=Health(failures=OPENS_AFTER - 1, open_until=LATE))),
        (tool_call(attempt=2), replace(SEEN, run=replace(RUN, recent=AGED))),
        (tool_call(), having({TOOL_CALLS: 14})),
        (tool_call(), replace(SEEN, balances={SEAT: Balance(2, 0, 1)})),
    ],
)
def test_one_step_inside_every_bound_the_call_is_admitted(call: Call, seen: Snapshot) -> None:
    assert decide(call, seen) == Decision(Admit(call.hold))


def test_a_reuse_holds_nothing_so_that_an_empty_budget_does_not_stop_it() -> None:
    assert decide(tool_call(), replace(having({TOOL_CALLS: 15}), twin=CallId("c1"))) == Decision(Reuse(CallId("c1")))


def test_a_receipt_holds_nothing_and_waits_for_nobody() -> None:
    seen = replace(writing(IntentStatus.CONFIRMED), run=having({TOOL_CALLS: 15}).run, policy=Policy(ALLOWED))
    assert decide(tool_call(MAIL), seen) == Decision(Reuse(CallId("c9"), RunId("r-0")))
    assert decide(tool_call(MAIL), replace(seen, switches=on(KillLevel.WRITES))).answer == Deny(
        R.KILLED, said(KillLevel.WRITES, tool="mail.send")
    )


def test_looping_is_judged_before_duplicates() -> None:
    decision = decide(tool_call(), replace(SEEN, run=replace(RUN, recent=AGED), twin=CallId("c1")))
    assert decision == Decision(Halt(R.NO_PROGRESS, {"tool": "kb.read"}), (Reuse(CallId("c1")),))


def saying(*objections: Objection | None) -> tuple[Check, ...]:
    """Checks that object in this order."""

    def check(objection: Objection | None) -> Check:
        return lambda call, seen: objection

    return tuple(check(objection) for objection in objections)


STRENGTH: list[Objection] = [
    Halt(R.KILLED),
    Halt(R.CONTROL_UNAVAILABLE),
    Halt(R.WRITE_IN_DOUBT),
    Halt(R.ACCOUNT_BUDGET),
    Halt(R.MAX_TOOL_CALLS),
    Halt(R.MAX_SECONDS, level=Level.NODE),
    Halt(R.NO_PROGRESS),
    Halt(R.PRICE_UNKNOWN),
    Deny(R.KILLED),
    Later(Millis(0), R.RATE_LIMITED),
    Hold("approval_required"),
    Reuse(CallId("c1")),
]


@pytest.mark.parametrize(("first", "second"), list(permutations(range(len(STRENGTH)), 2)))
def test_the_stronger_objection_wins_wherever_it_stands(first: int, second: int) -> None:
    checks = saying(None, STRENGTH[first], None, STRENGTH[second])
    stronger, weaker = STRENGTH[min(first, second)], STRENGTH[max(first, second)]
    assert decide(tool_call(), SEEN, checks=checks) == Decision(stronger, (weaker,))


def test_an_admission_is_what_is_left_when_nothing_objects() -> None:
    assert decide(tool_call(), SEEN, checks=()) == Decision(Admit(tool_call().hold))


@given(st.permutations([Deny(reason) for reason in StopReason]))
def test_the_first_denial_wins(denials: list[Objection]) -> None:
    assert decide(tool_call(), SEEN, checks=saying(*denials)) == Decision(denials[0], tuple(denials[1:]))


@given(st.lists(st.sampled_from(STRENGTH), unique_by=id))
def test_every_objection_is_recorded_in_the_order_of_the_checks(objections: list[Objection]) -> None:
    decision = decide(tool_call(), SEEN, checks=saying(*objections))
    winner = min(objections, key=STRENGTH.index, default=Admit(tool_call().hold))
    assert decision == Decision(winner, tuple(other for other in objections if other != winner))


@given(
    decisions(),
    st.integers(0, len(CHECKS) - 1),
    st.sampled_from([ValueError, KeyError, AssertionError, RecursionError]),
)
def test_a_check_that_raises_never_admits(given_: tuple[Call, Snapshot], broken: int, error: type[Exception]) -> None:
    def cannot(call: Call, seen: Snapshot) -> Objection | None:
        raise error("secret")

    call, seen = given_
    decision = decide(call, seen, checks=(*CHECKS[:broken], cannot, *CHECKS[broken + 1 :]))
    said = Deny(R.POLICY_DENIED, {"tool": call.tool, "rule": "cannot could not be evaluated", "error": error.__name__})
    assert isinstance(decision.answer, Deny | Halt)
    assert said in (decision.answer, *decision.also)


@given(decisions())
def test_an_answer_is_an_admission_exactly_when_no_check_objects(given_: tuple[Call, Snapshot]) -> None:
    call, seen = given_
    objections = [objection for check in CHECKS if (objection := check(call, seen)) is not None]
    decision = decide(call, seen)
    assert isinstance(decision.answer, Admit) == (not objections)
    assert len(decision.also) == max(len(objections) - 1, 0)
