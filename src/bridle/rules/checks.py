"""The constitution: every objection to a call, in order, to be read from top to bottom."""

from collections.abc import Callable, Mapping
from dataclasses import field
from types import MappingProxyType

from bridle.rules.approval import REMEMBERED, Consent, consented
from bridle.rules.budget import Account, Balance, first_short, until
from bridle.rules.call import Call, CallKind, Purpose
from bridle.rules.data import data
from bridle.rules.decision import Admit, Decision, Deny, Halt, Hold, Later, Objection, Reuse
from bridle.rules.effect import Claim, meant
from bridle.rules.flow_of_information import UNTRACED, Tracing, Way, told_of, way_of
from bridle.rules.health import WELL, Condition, Health
from bridle.rules.ladder import taken_away
from bridle.rules.looping import is_looping
from bridle.rules.names import (
    IN_FLIGHT,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Amounts,
    CallId,
    Effect,
    Millis,
    Unit,
    show_usd,
    tool_unit,
)
from bridle.rules.policy import Level, LimitsPatch, Policy
from bridle.rules.run import RETRIES_OF_A_RUN, Phase, RunState
from bridle.rules.running_out import out_of_time, step_out_of_time, tokens, wraps_up
from bridle.rules.stop import STOPS, Detail, Precedence, StopReason
from bridle.rules.switch import Switch, against_call
from bridle.rules.tool import Tool


@data
class Snapshot:
    """Everything a decision may look at, as it stood in one transaction."""

    now: Millis
    run: RunState
    policy: Policy  # of this run, narrowed to its node
    tool: Tool | None  # None: nobody declared it
    misfit: str = ""  # what the tool's schema has against the arguments
    broken_rule: str = ""  # what the policy's `args` rule has against them
    unpriced: bool = False
    switches: tuple[Switch, ...] = ()  # all that are on
    health: Health = WELL
    asks: bool = False  # the policy's rule for this tool wants a person to see these arguments
    consent: Consent | None = None  # what stands of a person's answer
    tenant: Health = WELL  # where the tenant itself stands on the degrade ladder
    twin: CallId | None = None  # an identical call whose observation may stand for this one
    balances: Mapping[Account, Balance] = field(default_factory=dict)  # shared accounts this call would draw on
    claim: Claim | None = None  # of a write: what stands under its key
    above: tuple[RunState, ...] = ()  # of a child: its parent, and the parents of that
    beside: tuple[RunState, ...] = ()  # of a write in a family: every other run of it that is open
    traced: Tracing = UNTRACED  # where the values of the arguments came from

    @property
    def is_answered(self) -> bool:
        """Whether something that was recorded answers the call, so that nothing is performed."""
        return self.twin is not None or (self.claim is not None and self.claim.is_replay)


Check = Callable[[Call, Snapshot], Objection | None]


def run_is_open(call: Call, seen: Snapshot) -> Objection | None:
    """After the halt only the finalise call is admitted; after the end, nothing."""
    if seen.above and seen.run.stop is None:
        over = next((one for one in seen.above if one.phase in (Phase.HALTED, Phase.STOPPED)), None)
        if over is not None:
            return Halt(StopReason.CANCELLED, {"by": f"its parent {over.run}"})
    if seen.run.phase is Phase.OPEN:
        return None
    if seen.run.phase is Phase.SUSPENDED:
        return Hold("suspended")
    ending = seen.run.stop or seen.run.halt
    reason = ending.reason if ending else StopReason.INTERNAL_ERROR
    no_last_word = reason in (StopReason.KILLED, StopReason.CANCELLED, StopReason.CONTROL_UNAVAILABLE)
    if seen.run.phase is Phase.HALTED and call.purpose is Purpose.FINALISE and not no_last_word:
        return None
    return Halt(reason, ending.detail if ending else {})


def time(call: Call, seen: Snapshot) -> Objection | None:
    """Work ends early enough that the finalise call still fits."""
    last_word = call.purpose is Purpose.FINALISE and seen.run.phase is Phase.HALTED
    ends = seen.run.deadline if last_word else seen.run.work_until
    if seen.now >= ends:
        return Halt(StopReason.MAX_SECONDS, out_of_time(seen.run, seen.policy.limits, seen.now))
    if seen.above and any(one.phase is Phase.OPEN and seen.now >= one.work_until for one in seen.above):
        return Halt(StopReason.MAX_SECONDS, out_of_time(seen.run, seen.policy.limits, seen.now))
    if call.purpose is Purpose.WORK and seen.run.node_deadline and seen.now >= seen.run.node_deadline:
        return Halt(StopReason.MAX_SECONDS, step_out_of_time(seen.run, seen.now), Level.NODE)
    return None


def allowlist(call: Call, seen: Snapshot) -> Objection | None:
    """What is not listed, or not declared, is denied."""
    if call.kind is CallKind.MODEL:
        return Halt(StopReason.PRICE_UNKNOWN, {"model": call.tool}) if seen.unpriced else None
    if seen.tool is None:
        hint = {"error": seen.misfit} if seen.misfit else {}
        return Deny(StopReason.TOOL_DENIED, {"tool": call.tool, "rule": "unknown", **hint})
    if not seen.policy.allows(call.tool):
        return Deny(StopReason.TOOL_DENIED, {"tool": call.tool, "rule": "allowlist"})
    return None


def arguments_fit(call: Call, seen: Snapshot) -> Objection | None:
    """The arguments have the form that the tool declared."""
    if seen.misfit:
        return Deny(StopReason.POLICY_DENIED, {"tool": call.tool, "rule": "arguments", "error": seen.misfit})
    return None


def argument_rules(call: Call, seen: Snapshot) -> Objection | None:
    """The arguments have the values that the policy wants."""
    if seen.broken_rule:
        return Deny(StopReason.POLICY_DENIED, {"tool": call.tool, "rule": "args", "error": seen.broken_rule})
    return None


def kill_switch(call: Call, seen: Snapshot) -> Objection | None:
    """`all` halts the run; a smaller level, or one that names a tool, takes calls away. A model has no other way."""
    if not seen.switches:
        return None
    names = (seen.run.name, *(one.name for one in seen.above))
    against = (against_call(seen.switches, seen.run.tenant, name, call.tool, seen.tool) for name in names)
    found = [switch for switch in against if switch is not None]
    switch = next((switch for switch in found if switch.halts), found[0] if found else None)
    if switch is None:
        return None
    if switch.halts:
        return Halt(StopReason.KILLED, switch.detail)
    detail = {**switch.detail, "tool": call.tool}
    return Halt(StopReason.KILLED, detail) if call.kind is CallKind.MODEL else Deny(StopReason.KILLED, detail)


def dependency_health(call: Call, seen: Snapshot) -> Objection | None:
    """What is ill is left alone; what asked for time gets it, if the run has it. A reuse asks nobody."""
    if seen.twin is not None:
        return None
    if seen.health.condition(seen.now) is Condition.OPEN:
        again = max(seen.health.open_until, seen.health.probing_until)
        if call.kind is CallKind.MODEL:
            return Halt(StopReason.MODEL_UNAVAILABLE, {"model": call.tool, "until": again})
        return Deny(StopReason.TOOL_UNAVAILABLE, {"tool": call.tool, "until": again})
    recovers = seen.claim is not None and seen.claim.recovers
    if call.attempt > 1 and not (recovers or (seen.health.may_retry and seen.run.retries < RETRIES_OF_A_RUN)):
        is_model = call.kind is CallKind.MODEL
        reason = StopReason.MODEL_UNAVAILABLE if is_model else StopReason.TOOL_UNAVAILABLE
        return Deny(reason, {"model" if is_model else "tool": call.tool, "rule": "retry budget"})
    patient_until = seen.health.not_before
    if seen.now < patient_until:
        detail: Detail = {"tool": call.tool, "until": patient_until}
        if patient_until < seen.run.work_until:
            return Later(patient_until, StopReason.RATE_LIMITED, detail)
        if call.kind is CallKind.MODEL:
            return Halt(StopReason.RATE_LIMITED, detail)
        return Deny(StopReason.RATE_LIMITED, detail)
    return None


def degraded(call: Call, seen: Snapshot) -> Objection | None:
    """The lower a far end or a tenant stands on the ladder, the less begins."""
    if seen.tool is None or seen.twin is not None:
        return None
    return taken_away(seen.tool, seen.health, seen.tenant, seen.now)


def wrapping_up(call: Call, seen: Snapshot) -> Objection | None:
    """At 80 % of any limit nothing expensive starts."""
    if seen.tool is not None and seen.tool.expensive and wraps_up(seen.run, seen.policy.limits, seen.now):
        return Deny(StopReason.POLICY_DENIED, {"tool": call.tool, "rule": "wrap_up"})
    return None


def looping(call: Call, seen: Snapshot) -> Objection | None:
    """Judged before duplicates, so that a cache cannot hide a loop."""
    is_new = call.kind is CallKind.TOOL and call.attempt == 1
    if is_new and is_looping(seen.run.recent, call.tool, call.args, call.turn):
        return Halt(StopReason.NO_PROGRESS, {"tool": call.tool})
    return None


def duplicate(call: Call, seen: Snapshot) -> Objection | None:
    """An identical read is answered by the one before it; a write takes effect once under its key."""
    if seen.claim is not None:
        return meant(seen.claim)
    return Reuse(seen.twin) if seen.twin is not None else None


def flow_of_information(call: Call, seen: Snapshot) -> Objection | None:
    """In a run that has read untrusted text, only users, trusted tools and directories steer an effect."""
    if _flow(seen) is not Way.DENY:
        return None
    return Deny(StopReason.POLICY_DENIED, {"tool": call.tool, "rule": "flow of information", **told_of(seen.traced)})


def _flow(seen: Snapshot) -> Way:
    """What the rule on the flow of information says; a receipt, and another attempt of a write, moves nothing new."""
    if seen.tool is None or seen.is_answered or (seen.claim is not None and seen.claim.is_another_attempt):
        return Way.ALLOW
    return way_of(seen.policy.flow_rule, seen.tool, seen.traced)


def budget(call: Call, seen: Snapshot) -> Objection | None:
    """Node, run, tool, then the shared accounts: the worst case must fit into every one of them.

    The finalise call may use what was reserved for it, and no more. An empty shared account is said before anything
    else, because it halts more than this run.
    """
    if seen.is_answered:
        return None  # a reuse holds nothing
    shared = _over_shared(call, seen)
    if isinstance(shared, Halt):
        return shared
    run, finalises = seen.run, call.purpose is Purpose.FINALISE
    if run.limits and not (finalises and run.phase is Phase.HALTED):
        kept = _NOTHING if finalises else run.node_finalise
        node = _over(call.hold, run.limits, run, kept, run.before)
        if node is not None:
            return Halt(*node, Level.NODE)
    reserve = _NOTHING if finalises and run.phase is Phase.HALTED else run.finalise
    whole = _over(call.hold, seen.policy.limits.by_name, run, reserve)
    if whole is not None:
        return Halt(*whole)
    return _over_quota(call, seen) or shared


_NOTHING: Amounts = {}
_LIMITED: Mapping[Unit, tuple[str, StopReason]] = MappingProxyType({
    STEPS: ("max_steps", StopReason.MAX_STEPS),
    MODEL_CALLS: ("max_model_calls", StopReason.MAX_MODEL_CALLS),
    TOOL_CALLS: ("max_tool_calls", StopReason.MAX_TOOL_CALLS),
    USD_NANO: ("max_usd", StopReason.MAX_USD),
})  # fmt: skip


def _over(
    hold: Amounts, limits: LimitsPatch, run: RunState, reserve: Amounts, before: Amounts = _NOTHING
) -> tuple[StopReason, Detail] | None:
    """The first limit that a worst case does not fit into, beside what was used, held and reserved since `before`."""
    used, held = run.used, run.held
    for unit, wanted in hold.items():
        if unit in _LIMITED:
            name, reason = _LIMITED[unit]
            if name in limits:
                committed = used.get(unit, 0) + held.get(unit, 0) + reserve.get(unit, 0) - before.get(unit, 0)
                if committed + wanted > limits[name]:
                    return reason, _shown(unit, limits[name], committed, wanted)
    if (TOKENS_IN in hold or TOKENS_OUT in hold) and "max_tokens" in limits:
        committed, wanted = tokens(used) + tokens(held) + tokens(reserve) - tokens(before), tokens(hold)
        if committed + wanted > limits["max_tokens"]:
            return StopReason.MAX_TOKENS, {"limit": limits["max_tokens"], "used": committed, "wanted": wanted}
    return None


def _shown(unit: Unit, limit: int, used: int, wanted: int) -> dict[str, str | int]:
    if unit != USD_NANO:
        return {"limit": limit, "used": used}
    return {"limit": show_usd(limit), "used": show_usd(used), "wanted": show_usd(wanted)}


def _over_quota(call: Call, seen: Snapshot) -> Objection | None:
    """A tool's own number of calls in one run, and of writes: the right recipient, but three times, is refused."""
    if seen.tool is None or call.kind is CallKind.MODEL:
        return None
    used = seen.run.committed(tool_unit(call.tool))
    if used >= seen.tool.max_calls:
        return Deny(StopReason.TOOL_QUOTA, {"tool": call.tool, "limit": seen.tool.max_calls, "used": used})
    if seen.claim is None or call.attempt > 1:
        return None  # no write, or one that was counted when it was first sent
    family = (seen.run, *seen.above, *seen.beside)
    written = sum(one.writes.get(call.tool, 0) for one in family)
    if written >= seen.tool.max_writes:
        return _too_many(call, "max_writes", seen.tool.max_writes, written)
    everything = sum(sum(one.writes.values()) for one in family)
    if everything >= seen.policy.max_writes:
        return _too_many(call, "writes.max_per_run", seen.policy.max_writes, everything)
    return None


def _too_many(call: Call, rule: str, limit: int, used: int) -> Deny:
    return Deny(StopReason.TOOL_QUOTA, {"tool": call.tool, "rule": rule, "limit": limit, "used": used})


def _over_shared(call: Call, seen: Snapshot) -> Objection | None:
    """A full bulkhead is waited for; an empty account halts the run until its window ends."""
    short = first_short(call.hold, seen.balances.items())
    if short is None:
        return None
    account, balance = short
    if account.unit == IN_FLIGHT:
        return Later(Millis(0), StopReason.TOOL_UNAVAILABLE, {"tool": call.tool, "limit": balance.limit})
    ends = until(account.window, seen.now)
    shown = show_usd(balance.limit) if account.unit == USD_NANO else balance.limit
    detail = {"level": account.level, "of": account.of, "unit": account.unit, "limit": shown, "until": ends}
    return Halt(StopReason.ACCOUNT_BUDGET, detail)


def approval(call: Call, seen: Snapshot) -> Objection | None:
    """What the policy wants a person to see waits for him, and is then made once, exactly as he saw it.

    A receipt that is there already waits for nobody, and neither does another attempt of the very write he saw.
    """
    writes = seen.tool is not None and seen.tool.effect is Effect.WRITE and seen.policy.require_approval
    if not (writes or seen.asks or _flow(seen) is Way.APPROVE):
        return None
    if seen.claim is not None and (seen.claim.is_replay or seen.claim.is_another_attempt):
        return None
    objection = consented(seen.consent, seen.now) if seen.consent is not None else Hold("approval_required")
    asks = isinstance(objection, Hold) and (seen.consent is None or seen.consent.asked is None)
    if asks and len(seen.run.asked) >= REMEMBERED and seen.run.asked[0].answer is None:
        return Deny(StopReason.POLICY_DENIED, {"tool": call.tool, "rule": "too many open questions"})
    return objection


CHECKS: tuple[Check, ...] = (
    run_is_open,
    time,
    allowlist,
    arguments_fit,
    argument_rules,
    kill_switch,
    dependency_health,
    degraded,
    wrapping_up,
    looping,
    duplicate,
    flow_of_information,
    budget,
    approval,
)


def decide(call: Call, seen: Snapshot, checks: tuple[Check, ...] = CHECKS) -> Decision:
    """The answer to one proposed call. All checks are asked; the strongest objection wins.

    Halt > Deny > Later > Hold > Reuse > Admit; among halts the precedence of their reasons, among denies the order
    of the checks. A check that raises is an objection.
    """
    objections: list[Objection] = []
    for check in checks:
        try:
            objection = check(call, seen)
        except Exception as error:  # noqa: BLE001 - an objection that cannot be evaluated is an objection
            rule = f"{check.__name__} could not be evaluated"
            objection = Deny(StopReason.POLICY_DENIED, {"tool": call.tool, "rule": rule, "error": type(error).__name__})
        if objection is not None:
            objections.append(objection)
    if not objections:
        return Decision(Admit(call.hold))
    winner = min(objections, key=_strength)
    return Decision(winner, tuple(other for other in objections if other is not winner))


def _strength(objection: Objection) -> tuple[int, int]:
    """Smaller is stronger; `min` keeps the first of equals, which is the order of the checks."""
    match objection:
        case Halt(reason=reason, level=level):
            own = Precedence.RUN_LIMIT if level is Level.NODE else STOPS[reason].precedence
            return 0, 2 * own + (level is Level.NODE)
        case Deny():
            return 1, 0
        case Later():
            return 2, 0
        case Hold():
            return 3, 0
        case Reuse():
            return 4, 0
