"""Every setting in force, its value, and whether the file said it or the safe default."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from bridle.config.build import KILL_LEVELS, cap_word
from bridle.config.grammar import Autonomy, Mode
from bridle.config.mistake import Keys, spelled
from bridle.config.notes import cap_text
from bridle.config.steering import FLOW_WORDS, LOOSEST
from bridle.config.values import WHEN_TAINTED, in_dollars
from bridle.rules.flow_of_information import FlowRule
from bridle.rules.names import MILLIS_PER_SECOND
from bridle.rules.policy import LIMIT_NAMES, Level, ModelPrice, Narrowing, Policy
from bridle.rules.sinks import Sinks
from bridle.rules.tool import ToolRule

ALWAYS = "{}"  # the schema that every call satisfies
HOUR = 3_600 * MILLIS_PER_SECOND
_TOKENS = 1_000_000
_DEFAULT_PRICE = ModelPrice(0, 0)


class Origin(StrEnum):
    """Who said it."""

    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: its path in the file, its value as people write it, and who said it."""

    path: str
    value: str
    origin: Origin


def explain(policy: Policy, defaults: Collection[str] | None = None) -> list[Row]:
    """Every setting in force. `defaults` are the paths that the file left out (`Loaded.defaults`).

    Without them, what equals the safe default is taken for it.
    """
    if defaults is None:
        unsaid = dict(settings(Policy()))
        same = {keys for keys, value in settings(policy) if unsaid.get(keys) == value or _is_default(policy, keys)}
        defaults = {spelled(keys) for keys in same}
    rows = ((spelled(keys), value) for keys, value in settings(policy))
    return [Row(path, value, Origin.DEFAULT if path in defaults else Origin.FILE) for path, value in rows]


def _is_default(policy: Policy, keys: Keys) -> bool:
    """Whether a size of a model is the one that models have when nothing is said."""
    if keys[0] != "models" or keys[-1] not in ("context_tokens", "max_output"):
        return False
    field = str(keys[-1])
    return bool(getattr(policy.models[str(keys[1])], field) == getattr(_DEFAULT_PRICE, field))


def settings(policy: Policy) -> Iterator[tuple[Keys, str]]:
    """Every setting in force, in the order of the reference."""
    yield ("mode", "default"), Mode().default
    yield ("enforcement",), policy.enforcement
    yield ("autonomy", "allowed_for"), _list(Autonomy().allowed_for)
    limits = {name: getattr(policy.limits, name) for name in LIMIT_NAMES}
    yield from _budgets((), {**limits, "max_refusals": policy.max_refusals})
    yield from _caps(policy, Level.HOUSE, "", ("house",))
    for tenant, rules in sorted(policy.tenants.items()):
        yield from _caps(policy, Level.TENANT, tenant, ("tenants", tenant))
        yield from _narrowing(("tenants", tenant), rules)
    for flow, rules in sorted(policy.flows.items()):
        yield from _caps(policy, Level.AGENT, flow, ("flows", flow))
        yield from _narrowing(("flows", flow), rules)
    for node, rules in sorted(policy.nodes.items()):
        yield from _narrowing(("nodes", node), rules)
    yield ("tools", "allow"), _list(sorted(policy.allow))
    yield ("tools", "deny"), _list(sorted(policy.deny))
    for tool, rule in sorted(policy.tools.items()):
        yield from _tool(("tools", tool), rule)
    yield ("writes", "require_approval"), "true" if policy.require_approval else WHEN_TAINTED
    yield ("writes", "max_per_run"), str(policy.max_writes)
    yield from _flow((), policy.flow_rule)
    if policy.constants:
        yield ("flow", "config"), _list(sorted(policy.constants))
    for name, directory in sorted(policy.directories.items()):
        held = f"the tool {directory.tool}" if directory.tool else f"{len(directory.values):,} values"
        yield ("directories", name), held
    for schema in policy.answers:
        yield ("answer", "schema"), schema
    yield ("approvals", "expire_after"), _span(policy.expire_after)
    for model, price in sorted(policy.models.items()):
        yield from _model(("models", model), price)
    yield ("monitoring", "track"), _list(policy.track)
    words = {level: word for word, level in KILL_LEVELS.items()}
    yield ("kill_switch", "mode_when_enabled"), words.get(policy.kill_level, policy.kill_level)


def _list(words: Collection[str]) -> str:
    return f"[{', '.join(words)}]"


def _flag(value: bool) -> str:
    return str(value).lower()


def _budgets(keys: Keys, limits: Mapping[str, int]) -> Iterator[tuple[Keys, str]]:
    for name, value in limits.items():
        yield (*keys, "budgets", name), in_dollars(value) if name == "max_usd" else str(value)


def _caps(policy: Policy, level: Level, of: str, keys: Keys) -> Iterator[tuple[Keys, str]]:
    for cap in policy.caps:
        if (cap.level, cap.of) == (level, of):
            yield (*keys, cap_word(cap)), cap_text(cap, cap.limit)


def _narrowing(keys: Keys, rules: Narrowing) -> Iterator[tuple[Keys, str]]:
    refusals = {} if rules.max_refusals is None else {"max_refusals": rules.max_refusals}
    yield from _budgets(keys, {**rules.limits, **refusals})
    if rules.allow is not None:
        yield (*keys, "tools", "allow"), _list(sorted(rules.allow))
    if rules.deny:
        yield (*keys, "tools", "deny"), _list(sorted(rules.deny))
    if rules.require_approval:
        yield (*keys, "writes", "require_approval"), "true"
    if rules.max_writes is not None:
        yield (*keys, "writes", "max_per_run"), str(rules.max_writes)
    if rules.answer:
        yield (*keys, "answer", "schema"), rules.answer
    for tool, rule in sorted(rules.tools.items()):
        yield from _tool((*keys, "tools", tool), rule)
    if rules.flow_rule is not None:
        yield from _flow(keys, rules.flow_rule, LOOSEST)


def _tool(keys: Keys, rule: ToolRule) -> Iterator[tuple[Keys, str]]:
    for field in fields(rule):
        value = getattr(rule, field.name)
        if value is None or value == "":
            continue
        if field.name == "sinks":
            yield from _sinks(keys, value)
            continue
        if field.name == "cost":
            shown = in_dollars(value)
        elif isinstance(value, bool):
            shown = _flag(value)
        elif field.name in ("timeout", "reuse") and isinstance(value, int):
            shown = _span(value)
        else:
            shown = str(value)
        if field.name == "approval":
            yield (*keys, "require_approval"), "true" if value == ALWAYS else shown
        else:
            yield (*keys, field.name), shown


def _sinks(keys: Keys, sinks: Sinks) -> Iterator[tuple[Keys, str]]:
    if not sinks:
        yield (*keys, "without_sinks"), "true"
    for sink in sinks:
        hosts = f", hosts: {_list(sink.hosts)}" if sink.hosts else ""
        most = f", max: {sink.most}" if sink.most else ""
        places = _list(sink.places)
        yield (*keys, "sinks", sink.argument), f"{{from: {places}{hosts}{most}}}" if hosts or most else places


def _flow(keys: Keys, rule: FlowRule, loosest: FlowRule | None = None) -> Iterator[tuple[Keys, str]]:
    """The rule on the flow of information; below the house only what is said there."""
    for name, at in FLOW_WORDS.items():
        value = getattr(rule, name)
        if loosest is None or value is not getattr(loosest, name):
            yield (*keys, "flow", *at), value


def _span(millis: int) -> str:
    if millis % HOUR == 0:
        return f"{millis // HOUR}h"
    return f"{millis // MILLIS_PER_SECOND}s" if millis % MILLIS_PER_SECOND == 0 else f"{millis}ms"


def _model(keys: Keys, price: ModelPrice) -> Iterator[tuple[Keys, str]]:
    yield (*keys, "usd_per_million_in"), in_dollars(price.usd_nano_per_token_in * _TOKENS)
    yield (*keys, "usd_per_million_out"), in_dollars(price.usd_nano_per_token_out * _TOKENS)
    yield (*keys, "context_tokens"), str(price.context_tokens)
    yield (*keys, "max_output"), str(price.max_output)
