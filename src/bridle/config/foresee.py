"""What a policy will mean before anything runs: the hold of one call, and limits that leave no room for work."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bridle.config.mistake import Keys, Mistake, Severity, spelled
from bridle.config.values import in_dollars
from bridle.rules.names import (
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    WRITES,
    Amounts,
    Effect,
    Unit,
)
from bridle.rules.policy import LIMIT_NAMES, ModelPrice, Narrowing, Policy
from bridle.rules.prompt import BYTES_PER_TOKEN, FINALISE_CONTEXT, FINALISE_OUTPUT
from bridle.rules.tool import Tool, narrowed

FINALISE_STEPS = 1
FINALISE_MODEL_CALLS = 1
FINALISE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class WorstCase:
    """What one call holds at its worst, by unit, and whether a run of this policy can hold that at all."""

    name: str
    hold: Amounts
    fits: bool
    sentence: str


def worst_case(policy: Policy, call: Tool | str) -> WorstCase:
    """The hold of one call of a declared tool, or of the model with that name.

    A model call holds its whole window in and `max_output` out, at the price of the policy; a tool call holds its
    declared ceiling under the rule of the policy. Raises LookupError for a model without a price in the policy.
    """
    if isinstance(call, Tool):
        return _of_tool(policy, call)
    if call not in policy.models:
        raise LookupError(f"the policy has no price for {call}; put it under `models:`")
    price = policy.models[call]
    hold = {STEPS: 1, MODEL_CALLS: 1, **_tokens(price.context_tokens, price.max_output, price)}
    limits = policy.limits
    tokens = price.context_tokens + price.max_output
    fits = hold[USD_NANO] <= limits.max_usd and tokens <= limits.max_tokens
    sentence = (
        f"One call of {call} holds at most {in_dollars(hold[USD_NANO])} of max_usd {in_dollars(limits.max_usd)} and "
        f"{tokens:,} of max_tokens {limits.max_tokens:,} "
        f"({price.context_tokens:,} tokens in, {price.max_output:,} out)."
    )
    return WorstCase(call, hold, fits, sentence)


def _of_tool(policy: Policy, declared: Tool) -> WorstCase:
    tool = narrowed(declared, policy.tools[declared.name]) if declared.name in policy.tools else declared
    hold: dict[Unit, int] = {TOOL_CALLS: 1, USD_NANO: tool.cost}
    if tool.effect is Effect.WRITE:
        hold[WRITES] = 1
    limit = policy.limits.max_usd
    sentence = f"One call of {tool.name} holds 1 tool call and {in_dollars(tool.cost)} of max_usd {in_dollars(limit)}."
    return WorstCase(tool.name, hold, tool.cost <= limit, sentence)


def _tokens(tokens_in: int, tokens_out: int, price: ModelPrice) -> dict[Unit, int]:
    cost = tokens_in * price.usd_nano_per_token_in + tokens_out * price.usd_nano_per_token_out
    return {TOKENS_IN: tokens_in, TOKENS_OUT: tokens_out, USD_NANO: cost}


def problems(policy: Policy, positions: Mapping[str, str] | None = None) -> tuple[Mistake, ...]:
    """Limits under which runs cannot do their work. `positions` (`Loaded.positions`) gives the mistakes their lines.

    Error: what a run keeps for its last call (1 step, 1 model call, 5 s, one bounded reply of any model of the policy)
    takes over half of a limit. Warning: it does so for some of the models only, or in a flow, which may be an attached
    agent and keeps nothing; or a single call of a model or a tool can hold more than `max_usd` or `max_tokens`.
    """
    found = [each for keys, limits, severity in _scopes(policy) for each in _cramped(policy, keys, limits, severity)]
    found += _dear_models(policy)
    found += _dear_tools(policy)
    where = positions or {}
    return tuple(
        Mistake(where.get(spelled(keys), ""), spelled(keys), message, hint, severity)
        for severity, keys, message, hint in found
    )


_Problem = tuple[Severity, Keys, str, str]


def _scopes(policy: Policy) -> Iterator[tuple[Keys, Mapping[str, int], Severity]]:
    """Every set of limits: that of the house whole, below it what is smaller than the house's."""
    house = {name: getattr(policy.limits, name) for name in LIMIT_NAMES}
    yield (), house, Severity.ERROR
    groups: tuple[tuple[str, Mapping[str, Narrowing], Severity], ...] = (
        ("tenants", {str(name): rules for name, rules in policy.tenants.items()}, Severity.ERROR),
        ("flows", policy.flows, Severity.WARNING),
        ("nodes", policy.nodes, Severity.ERROR),
    )
    for group, members, severity in groups:
        for name, rules in members.items():
            smaller = {limit: value for limit, value in rules.limits.items() if value < house[limit]}
            yield (group, name), smaller, severity


def _cramped(policy: Policy, keys: Keys, limits: Mapping[str, int], severity: Severity) -> Iterator[_Problem]:
    """The limits that the last call of a run takes over half of."""
    replies = [
        _tokens(FINALISE_CONTEXT * BYTES_PER_TOKEN, min(price.max_output, FINALISE_OUTPUT), price)
        for price in policy.models.values()
    ]
    kept = {
        "max_steps": [FINALISE_STEPS],
        "max_seconds": [FINALISE_SECONDS],
        "max_model_calls": [FINALISE_MODEL_CALLS],
        "max_tokens": [reply[TOKENS_IN] + reply[TOKENS_OUT] for reply in replies],
        "max_usd": [reply[USD_NANO] for reply in replies],
    }
    for name, amounts in kept.items():
        limit = limits.get(name)
        if limit is None or not amounts or 2 * max(amounts) <= limit:
            continue
        always = 2 * min(amounts) > limit
        most, least = _shown(name, max(amounts)), _shown(name, 2 * max(amounts))
        message = (
            f"is {_shown(name, limit)}, and a run keeps {'' if always else 'up to '}{most} of it for its last call"
        )
        yield severity if always else Severity.WARNING, (*keys, "budgets", name), message, f"write at least {least}"


def _shown(name: str, limit: int) -> str:
    return in_dollars(limit) if name == "max_usd" else f"{limit:,}"


def _dear_models(policy: Policy) -> Iterator[_Problem]:
    for model in policy.models:
        case = worst_case(policy, model)
        if not case.fits:
            message = "may hold more in one call than a run has. " + case.sentence.removesuffix(".")
            yield Severity.WARNING, ("models", model), message, "lower context_tokens or max_output, or raise the limit"


def _dear_tools(policy: Policy) -> Iterator[_Problem]:
    limit = policy.limits.max_usd
    for tool, rule in policy.tools.items():
        if rule.cost is not None and rule.cost > limit:
            message = (
                f"is {in_dollars(rule.cost)}, more than max_usd {in_dollars(limit)}: no call of it is ever admitted"
            )
            yield Severity.WARNING, ("tools", tool, "cost"), message, "lower it, or raise budgets.max_usd"
