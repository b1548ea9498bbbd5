"""The degrade ladder: what may still be begun when a far end is ill or slow, or a budget is nearly used."""

from collections.abc import Mapping

from bridle.rules.budget import Account, Balance
from bridle.rules.decision import Deny
from bridle.rules.health import Condition, Health, Rung
from bridle.rules.names import Effect, Millis
from bridle.rules.policy import Level, Window
from bridle.rules.stop import StopReason
from bridle.rules.tool import Tool

NEARLY_USED = (19, 20)  # of a window of a tenant's: from here on it only reads
REUSED_FOR = 4  # times as long as when its far end is well


def taken_away(tool: Tool, health: Health, tenant: Health, now: Millis) -> Deny | None:
    """What the ladder has against a call of this tool: `health` is its far end's, `tenant` the tenant's own.

    A probe goes whatever it costs: nothing else would ever tell that the far end is well again. An open breaker is
    no matter of this function, because nothing at all goes then.
    """
    if tool.expensive and health.rung(now) >= Rung.CAREFUL and health.condition(now) is Condition.WELL:
        return Deny(StopReason.TOOL_UNAVAILABLE, {"tool": tool.name, "rule": "degraded", "until": health.until(now)})
    if (tool.expensive or tool.effect is not Effect.READ) and tenant.rung(now) >= Rung.READS_ONLY:
        return Deny(StopReason.POLICY_DENIED, {"tool": tool.name, "rule": "reads_only", "until": tenant.until(now)})
    return None


def off_until(tool: Tool, health: Health, tenant: Health, now: Millis) -> Millis | None:
    """Until when a model is not offered this tool, 0 when nobody knows; None when it is offered."""
    if health.condition(now) is Condition.OPEN:
        return health.until(now)
    taken = taken_away(tool, health, tenant, now)
    return None if taken is None else Millis(int(taken.detail["until"]))


def nearly_used(balances: Mapping[Account, Balance]) -> bool:
    """Whether 95 % of a window of the tenant's is settled or reserved."""
    part, whole = NEARLY_USED
    for account, balance in balances.items():
        is_near = (balance.settled + balance.reserved) * whole >= balance.limit * part
        if is_near and account.level is Level.TENANT and account.window is not Window.NONE:
            return True
    return False


def reusable_for(window: Millis, health: Health, now: Millis) -> int:
    """How old a result may be that stands for a new call, in milliseconds; older than usual when it is not well."""
    return window * REUSED_FOR if health.rung(now) >= Rung.CAREFUL else window
