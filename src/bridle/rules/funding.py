"""What a run may give a child of its own: a part of what it has left, set aside before the child begins."""

from collections.abc import Mapping
from dataclasses import replace

from bridle.rules.data import data
from bridle.rules.decision import Deny
from bridle.rules.names import (
    MILLIS_PER_SECOND,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Amounts,
    Millis,
    ToolName,
    Unit,
    show_usd,
    tool_unit,
)
from bridle.rules.policy import NO_NARROWING, Limits, LimitsPatch, Policy
from bridle.rules.run import RunState
from bridle.rules.stop import Detail, StopReason
from bridle.rules.tool import ToolRule

DEEPEST = 3  # generations below the run that somebody asked for
_UNITS: Mapping[str, tuple[Unit, ...]] = {  # a limit, and what counts against it; the first is what is held
    "max_steps": (STEPS,),
    "max_model_calls": (MODEL_CALLS,),
    "max_tool_calls": (TOOL_CALLS,),
    "max_tokens": (TOKENS_IN, TOKENS_OUT),
    "max_usd": (USD_NANO,),
}


@data
class Funds:
    """What a child may use at most, and until when."""

    amounts: Amounts
    deadline: Millis


def fund(
    parent: RunState, whole: Limits, usual: Limits, wanted: LimitsPatch, quotas: Mapping[ToolName, int], now: Millis
) -> Funds | Deny:
    """What the parent sets aside for a child, or the first limit that is short; the spawn itself takes a step.

    What is not `wanted` is as `usual`, or what is left of it. `quotas` are those of single tools. `whole` are the
    limits of the parent. A child gets at least 1 of everything, and never more time than its parent has for work.
    """
    if parent.depth >= DEEPEST:
        return Deny(StopReason.POLICY_DENIED, {"tool": "child", "rule": "generations"})
    amounts: dict[Unit, int] = {}
    for name, units in _UNITS.items():
        limit, used = _tightest(parent, name, units, getattr(whole, name))
        left = limit - used - (name == "max_steps")
        given = wanted.get(name, max(min(getattr(usual, name), left), 1))
        if given > left:
            return Deny(StopReason(name), _short(name, limit, used, given))
        amounts[units[0]] = given
    ends = min(parent.work_until, parent.node_deadline or parent.work_until)
    seconds = wanted.get("max_seconds", 0)
    if now >= ends or now + seconds * MILLIS_PER_SECOND > ends:
        used = whole.max_seconds - (ends - now) // MILLIS_PER_SECOND
        return Deny(StopReason.MAX_SECONDS, _short("max_seconds", whole.max_seconds, used, max(seconds, 1)))
    for tool, quota in quotas.items():
        unit = tool_unit(tool)
        amounts[unit] = min(max(quota - parent.committed(unit), 0), amounts[TOOL_CALLS])
    return Funds(amounts, Millis(min(now + (seconds or usual.max_seconds) * MILLIS_PER_SECOND, ends)))


def _tightest(parent: RunState, name: str, units: tuple[Unit, ...], whole: int) -> tuple[int, int]:
    """The limit of the run or of its step, whichever has less left, and what is committed of it."""
    limit, used = whole, sum(parent.committed(unit) for unit in units)
    if name in parent.limits:
        own = sum(parent.node_committed(unit) for unit in units)
        if parent.limits[name] - own < limit - used:
            return parent.limits[name], own
    return limit, used


def _short(name: str, limit: int, used: int, wanted: int) -> Detail:
    shown = show_usd if name == "max_usd" else int
    return {"limit": shown(limit), "used": shown(used), "wanted": shown(wanted), "rule": "child"}


def bound(policy: Policy, child: RunState) -> Policy:
    """The policy of a child: that of the step it was begun in, narrowed by its flow, within what it was given."""
    policy = policy.narrow(policy.flows.get(child.name, NO_NARROWING))
    seconds = -((child.started_at + child.away - child.deadline) // MILLIS_PER_SECOND)  # rounded up
    given = {name: child.funds[units[0]] for name, units in _UNITS.items()}
    tools = {**policy.tools}
    for unit, quota in child.funds.items():
        if unit.startswith("tool:"):
            tool = ToolName(unit.removeprefix("tool:"))
            tools[tool] = replace(tools.get(tool, ToolRule()), max_calls=quota)
    return replace(policy, tools=tools, limits=policy.limits.narrowed({**given, "max_seconds": max(seconds, 1)}))
