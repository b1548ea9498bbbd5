"""What is worth a second look in a good policy: settings that change nothing where they stand."""

from collections.abc import Iterator

from bridle.config.build import cap_word
from bridle.config.crossing import GROUPS
from bridle.config.mistake import Found, Keys, Mistake, did_you_mean, shown
from bridle.config.tree import Tree
from bridle.config.values import in_dollars
from bridle.rules.names import USD_NANO, TenantId
from bridle.rules.policy import Cap, Level, Narrowing, Policy

_GROUP_OF = {Level.TENANT: "tenants", Level.AGENT: "flows"}
_ONLY_NARROWS = "the smaller one holds: raise the one above, or lower this one"


def notes_of(policy: Policy, tree: Tree) -> tuple[Mistake, ...]:
    """The notes on a policy, by position."""
    found = [*_idle_tools(policy), *_wide_caps(policy, tree)]
    for group in GROUPS:
        for name in tree.mapping((group,)):
            found += _widening(policy, _narrowing(policy, group, name), tree, (group, name))
    return tuple(tree.note(*each) for each in sorted(found, key=lambda each: tree.at(each[0])))


def _narrowing(policy: Policy, group: str, name: str) -> Narrowing:
    match group:
        case "tenants":
            return policy.tenants[TenantId(name)]
        case "nodes":
            return policy.nodes[name]
        case _:
            return policy.flows[name]


def _idle_tools(policy: Policy) -> Iterator[Found]:
    for name in policy.tools:
        if name not in policy.allow | policy.deny:
            guess = did_you_mean(name, policy.allow) or "allow it, deny it, or remove its settings"
            yield ("tools", name), "has settings, and the tool is neither allowed nor denied", guess


def _widening(policy: Policy, rules: Narrowing, tree: Tree, keys: Keys) -> Iterator[Found]:
    """What a tenant, a flow or a node seems to give, and cannot: limits only narrow."""
    for i, name in tree.names((*keys, "tools", "allow")):
        if name not in {str(tool) for tool in policy.allow - policy.deny}:
            guess = did_you_mean(name, policy.allow) or "allow it under tools: first, or remove it here"
            yield (*keys, "tools", "allow", i), f"allows {name}, which the house does not allow", guess
    for name, limit in rules.limits.items():
        above = getattr(policy.limits, name)
        if limit > above:
            here, there = (in_dollars(limit), in_dollars(above)) if name == "max_usd" else (f"{limit:,}", f"{above:,}")
            yield (*keys, "budgets", name), f"is {here}, more than the {there} of the house", _ONLY_NARROWS
    if rules.max_refusals is not None and rules.max_refusals > policy.max_refusals:
        message = f"is {rules.max_refusals:,}, more than the {policy.max_refusals:,} of the house"
        yield (*keys, "budgets", "max_refusals"), message, _ONLY_NARROWS
    if policy.require_approval and tree.mapping((*keys, "writes")).get("require_approval") is False:
        message = f"is {shown(False)}, and the house wants approval"
        yield (*keys, "writes", "require_approval"), message, "approval stays required: limits only narrow"


def _wide_caps(policy: Policy, tree: Tree) -> Iterator[Found]:
    house = {(cap.unit, cap.window): cap.limit for cap in policy.caps if cap.level is Level.HOUSE}
    for cap in policy.caps:
        above = house.get((cap.unit, cap.window), cap.limit)
        if cap.limit > above:
            message = f"is {cap_text(cap, cap.limit)}, more than the {cap_text(cap, above)} of the house"
            yield _keys_of(cap, tree), message, _ONLY_NARROWS


def _keys_of(cap: Cap, tree: Tree) -> Keys:
    group = _GROUP_OF[cap.level]
    if cap.level is Level.AGENT and not tree.holds((group, cap.of)):
        group = "agents"
    return (group, cap.of, cap_word(cap))


def cap_text(cap: Cap, limit: int) -> str:
    """An amount in the unit of a cap, as people write it."""
    return in_dollars(limit) if cap.unit == USD_NANO else f"{limit:,}"
