"""Makes the pure rules out of a policy file that has no mistakes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeGuard, TypeVar

from bridle.config.grammar import (
    KILL_WORDS,
    Budgets,
    Caps,
    GroupRules,
    GroupTools,
    ModelSettings,
    NodeRules,
    PolicyFile,
    ToolSettings,
)
from bridle.config.schemas import asked_about, canonical
from bridle.config.steering import LOOSEST, flow_rule
from bridle.rules.names import (
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    WRITES,
    Confidentiality,
    Effect,
    Millis,
    Source,
    TenantId,
    ToolName,
    Unit,
    UsdNanos,
)
from bridle.rules.policy import (
    LIMIT_NAMES,
    Cap,
    Enforcement,
    KillLevel,
    Level,
    Limits,
    ModelPrice,
    Narrowing,
    Policy,
    Window,
)
from bridle.rules.sinks import Directory
from bridle.rules.text_index import normal
from bridle.rules.tool import ReuseScope, ToolRule

UNIT_WORDS: Mapping[Unit, str] = {
    USD_NANO: "usd",
    TOOL_CALLS: "tool_calls",
    MODEL_CALLS: "model_calls",
    TOKENS_IN: "tokens_in",
    TOKENS_OUT: "tokens_out",
    STEPS: "steps",
    WRITES: "writes",
}
WINDOWS = (Window.MINUTE, Window.DAY, Window.MONTH)
KILL_LEVELS: Mapping[str, KillLevel] = dict(
    zip(KILL_WORDS, (KillLevel.WRITES, KillLevel.EXPENSIVE, KillLevel.ALL), strict=True)
)
T = TypeVar("T")

_TOKENS = 1_000_000  # the tokens that a price is given for


def policy_of(file: PolicyFile, directories: Mapping[str, Directory]) -> Policy:
    """The policy that a file says, with its directories; what it does not say has its safe default."""
    default = Policy()
    flows = {**file.flows, **file.agents}
    extra = file.tools.__pydantic_extra__
    kill = file.kill_switch.mode_when_enabled
    return Policy(
        allow=_tools(file.tools.allow),
        deny=_tools(file.tools.deny),
        limits=_limits(file.budgets),
        tools={ToolName(name): _tool(settings) for name, settings in extra.items()},
        models={name: _price(settings) for name, settings in file.models.items()},
        tenants={TenantId(name): _narrowing(rules) for name, rules in file.tenants.items()},
        flows={name: _narrowing(rules) for name, rules in flows.items()},
        nodes={name: _narrowing(rules) for name, rules in file.nodes.items()},
        caps=tuple(_all_caps(file, flows)),
        require_approval=_or(file.writes.require_approval, default.require_approval),
        max_refusals=_or(file.budgets.max_refusals, default.max_refusals),
        kill_level=default.kill_level if kill is None else KILL_LEVELS[kill],
        enforcement=default.enforcement if file.enforcement is None else Enforcement(file.enforcement),
        track=tuple(dict.fromkeys(file.monitoring.track)),
        expire_after=Millis(_or(file.approvals.expire_after, default.expire_after)),
        flow_rule=flow_rule(file.flow, default.flow_rule),
        constants=frozenset(normal(value) for value in file.flow.config),
        directories=directories,
        max_writes=_or(file.writes.max_per_run, default.max_writes),
        answers=() if file.answer.form is None else (canonical(file.answer.form),),
    )


def cap_word(cap: Cap) -> str:
    """The key under which a cap stands in the file: `max_usd_per_day`."""
    return f"max_{UNIT_WORDS[cap.unit]}_per_{cap.window}"


def _tools(names: list[str]) -> frozenset[ToolName]:
    return frozenset(ToolName(name) for name in names)


def limits_patch(budgets: Budgets) -> dict[str, int]:
    """The limits that a section names."""
    named = {name: getattr(budgets, name) for name in LIMIT_NAMES}
    return {name: value for name, value in named.items() if value is not None}


def _limits(said: Budgets) -> Limits:
    default = Limits()
    return Limits(
        max_steps=_or(said.max_steps, default.max_steps),
        max_seconds=_or(said.max_seconds, default.max_seconds),
        max_model_calls=_or(said.max_model_calls, default.max_model_calls),
        max_tool_calls=_or(said.max_tool_calls, default.max_tool_calls),
        max_tokens=_or(said.max_tokens, default.max_tokens),
        max_usd=UsdNanos(_or(said.max_usd, default.max_usd)),
    )


def _or(said: T | None, default: T) -> T:
    """What the file says, or the safe default; 0 and false are said too."""
    return default if said is None else said


def _narrowing(rules: GroupRules | NodeRules) -> Narrowing:
    tools = rules.tools
    return Narrowing(
        allow=_tools(tools.allow) if "allow" in tools.model_fields_set else None,
        deny=_tools(tools.deny),
        limits=limits_patch(rules.budgets),
        require_approval=bool(rules.writes.require_approval),
        max_refusals=rules.budgets.max_refusals,
        max_writes=rules.writes.max_per_run,
        answer=_answer(rules),
        tools=_labels(tools) if isinstance(tools, GroupTools) else {},
        flow_rule=flow_rule(rules.flow, LOOSEST) if _says_flow(rules) else None,
    )


def _answer(rules: GroupRules | NodeRules) -> str:
    return canonical(rules.answer.form) if isinstance(rules, GroupRules) and rules.answer.form is not None else ""


def _says_flow(rules: GroupRules | NodeRules) -> TypeGuard[GroupRules]:
    return isinstance(rules, GroupRules) and "flow" in rules.model_fields_set


def _labels(tools: GroupTools) -> dict[ToolName, ToolRule]:
    """What a tenant or a flow says of single tools."""
    return {
        ToolName(name): ToolRule(
            effect=None if said.effect is None else Effect(said.effect),
            source=None if said.source is None else Source(said.source),
            confidentiality=None if said.confidentiality is None else Confidentiality(said.confidentiality),
            destructive=said.destructive,
            sinks=said.sinks,
            max_calls=said.max_calls,
            max_writes=said.max_writes,
        )
        for name, said in tools.__pydantic_extra__.items()
    }


def _all_caps(file: PolicyFile, flows: Mapping[str, GroupRules]) -> Iterator[Cap]:
    """House, tenants, agents; inside each by name, so that the order in the file does not change the digest."""
    house = {cap_word(cap): cap for cap in (*Policy().caps, *_caps(file.house, Level.HOUSE, ""))}
    yield from house.values()
    for name in sorted(file.tenants):
        yield from _caps(file.tenants[name], Level.TENANT, name)
    for name in sorted(flows):
        yield from _caps(flows[name], Level.AGENT, name)


def _caps(section: Caps, level: Level, of: str) -> Iterator[Cap]:
    for unit, word in UNIT_WORDS.items():
        for window in WINDOWS:
            limit = getattr(section, f"max_{word}_per_{window}")
            if limit is not None:
                yield Cap(level, unit, window, limit, of)


def _tool(settings: ToolSettings) -> ToolRule:
    reuse = settings.reuse
    return ToolRule(
        effect=None if settings.effect is None else Effect(settings.effect),
        source=None if settings.source is None else Source(settings.source),
        confidentiality=None if settings.confidentiality is None else Confidentiality(settings.confidentiality),
        reuse=ReuseScope(reuse) if isinstance(reuse, str) else None if reuse is None else Millis(reuse),
        expensive=settings.expensive,
        cost=None if settings.cost is None else UsdNanos(settings.cost),
        timeout=None if settings.timeout is None else Millis(settings.timeout),
        concurrency=settings.concurrency,
        max_calls=settings.max_calls,
        max_bytes=settings.max_bytes,
        show_bytes=settings.show_bytes,
        args="" if settings.args is None else canonical(settings.args),
        output="" if settings.output is None else canonical(settings.output),
        approval="" if settings.require_approval is None else canonical(asked_about(settings.require_approval)),
        destructive=settings.destructive,
        sinks=() if settings.without_sinks else settings.sinks,
        max_writes=settings.max_writes,
    )


def _price(settings: ModelSettings) -> ModelPrice:
    price = ModelPrice(_per_token(settings.usd_per_million_in), _per_token(settings.usd_per_million_out))
    return replace(
        price,
        context_tokens=_or(settings.context_tokens, price.context_tokens),
        max_output=_or(settings.max_output, price.max_output),
    )


def _per_token(nanos_per_million: int) -> int:
    """Rounded up: an error in money never favours the spender."""
    return -(-nanos_per_million // _TOKENS)
