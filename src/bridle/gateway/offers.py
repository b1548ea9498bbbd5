"""What a model is shown of its tools: the allowed ones, without those that are taken away for now."""

from collections.abc import Sequence

from bridle.gateway.gateway import Gateway
from bridle.gateway.live import Live
from bridle.rules.health import TENANT
from bridle.rules.ladder import off_until
from bridle.rules.names import Millis, ToolName
from bridle.rules.policy import Enforcement
from bridle.rules.prompt import ToolOffer
from bridle.rules.switch import against_call


def allowed(gateway: Gateway, live: Live, tools: tuple[ToolName, ...]) -> tuple[ToolOffer, ...]:
    """Which of these the policy of the run's step allows."""
    return gateway.toolbox.offers(live.node, tools)


def offered(
    gateway: Gateway, live: Live, tools: tuple[ToolName, ...], *, finishing: bool = False
) -> tuple[ToolOffer, ...]:
    """The allowed ones that are not off, and nothing expensive when the run has to finish.

    What is off is in `live.off` from then on, and in the journal with the next call.
    """
    live.off = _off(gateway, live, tools)
    shown = tuple([tool for tool in tools if tool not in live.off]) if live.off else tools
    if finishing:
        shown = tuple(tool for tool in shown if not _is_expensive(gateway, live, tool))
    return allowed(gateway, live, shown)


def _is_expensive(gateway: Gateway, live: Live, tool: ToolName) -> bool:
    ruled = gateway.toolbox.under(live.policy, tool)
    return ruled is not None and ruled.tool.expensive


def _off(gateway: Gateway, live: Live, tools: Sequence[ToolName]) -> dict[ToolName, Millis]:
    """Which of these tools are taken away for now, and until when; 0 where nobody knows.

    By the kill switch as this process has seen it last: it is a hint, and every admission looks for itself.
    """
    found: dict[ToolName, Millis] = {}
    store, switches, observes = gateway.store, gateway.switches, live.node.enforcement is Enforcement.OBSERVE
    now, tenant = gateway.world.now(), store.health(live.tenant, TENANT)
    for name in tools:
        ruled = gateway.toolbox.under(live.policy, name)
        if ruled is None or not live.node.allows(name):
            continue
        if switches and against_call(switches, live.tenant, live.name, name, ruled.tool) is not None:
            found[name] = Millis(0)
            continue
        until = off_until(ruled.tool, store.health(live.tenant, ruled.tool.depends_on), tenant, now)
        if until is not None and not observes:
            found[name] = until
    return found
