"""What a house allows: tools, limits, prices and caps, which can only be narrowed on the way down."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property

from bridle.rules.flow_of_information import Endorse, FlowRule, Way, When
from bridle.rules.names import (
    MODEL_CALLS,
    NANOS_PER_USD,
    STEPS,
    TOOL_CALLS,
    USD_NANO,
    Confidentiality,
    Digest,
    Effect,
    Millis,
    Source,
    TenantId,
    ToolName,
    Unit,
    UsdNanos,
)
from bridle.rules.sinks import Directory, as_sinks
from bridle.rules.tool import ReuseScope, ToolRule

EXPIRES_AFTER = Millis(24 * 3_600_000)  # of a question to a person
SAFE_FLOW = FlowRule()


class Level(StrEnum):
    """Whose limit it is, the widest first."""

    HOUSE = "house"
    TENANT = "tenant"
    AGENT = "agent"
    RUN = "run"
    NODE = "node"


class Window(StrEnum):
    """How long an account counts before it starts again; windows begin at UTC midnight, minute or month."""

    NONE = "none"
    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"


class KillLevel(StrEnum):
    """What the kill switch takes away: writes < expensive < all, and beside `expensive`, writes < egress < all."""

    WRITES = "writes"
    EXPENSIVE = "expensive"
    EGRESS = "egress"
    ALL = "all"


class Enforcement(StrEnum):
    """Whether a refusal holds, or is only written down."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


@dataclass(frozen=True)
class Limits:
    """The hard limits of one run, or of one node in it. Every field is a whole number greater than 0."""

    max_steps: int = 30
    max_seconds: int = 90
    max_model_calls: int = 30
    max_tool_calls: int = 15
    max_tokens: int = 500_000  # in and out together
    max_usd: UsdNanos = UsdNanos(NANOS_PER_USD)

    def narrowed(self, to: "LimitsPatch") -> "Limits":
        """The smaller of each pair."""
        return replace(self, **{name: min(getattr(self, name), value) for name, value in to.items()})

    @cached_property
    def marks(self) -> tuple[tuple[Unit, int], ...]:
        """How much of what is counted in calls, steps and dollars is so much that a run is told to finish."""
        counted = {
            STEPS: "max_steps",
            MODEL_CALLS: "max_model_calls",
            TOOL_CALLS: "max_tool_calls",
            USD_NANO: "max_usd",
        }
        return tuple((unit, -(-4 * getattr(self, name) // 5)) for unit, name in counted.items())  # 80 %, rounded up

    @cached_property
    def by_name(self) -> "LimitsPatch":
        """The limits by their names."""
        return {limit.name: getattr(self, limit.name) for limit in fields(self)}


LimitsPatch = Mapping[str, int]  # names of fields of Limits; only what is to be narrowed
LIMIT_NAMES = tuple(limit.name for limit in fields(Limits))


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit on an account that many runs share."""

    level: Level
    unit: Unit
    window: Window
    limit: int
    of: str = ""  # the tenant or the agent; empty for the house


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What a model costs at its dearest, in nano-dollars a token, and what it can read."""

    usd_nano_per_token_in: int
    usd_nano_per_token_out: int
    context_tokens: int = 128_000
    max_output: int = 4_096  # tokens; always sent, clamped to what the budget can still pay


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What a tenant, a flow or a node takes away from what stands above it."""

    allow: frozenset[ToolName] | None = None  # None takes nothing away
    deny: frozenset[ToolName] = frozenset()
    limits: LimitsPatch = field(default_factory=dict)
    require_approval: bool = False
    max_refusals: int | None = None
    max_writes: int | None = None
    answer: str = ""  # a JSON Schema that every answer must satisfy, as canonical JSON
    tools: Mapping[ToolName, ToolRule] = field(default_factory=dict)  # labels and quotas of single tools
    flow_rule: FlowRule | None = None


NO_NARROWING = Narrowing()


@dataclass(frozen=True, slots=True)
class Policy:
    """All that a house allows. The empty policy denies every tool."""

    allow: frozenset[ToolName] = frozenset()
    deny: frozenset[ToolName] = frozenset()
    limits: Limits = Limits()
    tools: Mapping[ToolName, ToolRule] = field(default_factory=dict)
    models: Mapping[str, ModelPrice] = field(default_factory=dict)
    tenants: Mapping[TenantId, Narrowing] = field(default_factory=dict)
    flows: Mapping[str, Narrowing] = field(default_factory=dict)
    nodes: Mapping[str, Narrowing] = field(default_factory=dict)
    caps: tuple[Cap, ...] = (Cap(Level.HOUSE, USD_NANO, Window.DAY, 100 * NANOS_PER_USD),)
    require_approval: bool = True
    max_refusals: int = 3
    kill_level: KillLevel = KillLevel.WRITES  # what `bridle kill` without a level means
    enforcement: Enforcement = Enforcement.ENFORCE
    track: tuple[str, ...] = ("tool_calls_per_run", "tokens_per_request", "stop_reason", "latency_p95", "spend_per_run")
    expire_after: Millis = EXPIRES_AFTER  # from the question on; then nobody may answer it any more
    flow_rule: FlowRule = SAFE_FLOW  # what a run that has read untrusted text may do
    constants: frozenset[str] = frozenset()  # normal values that sinks may take as `config`
    directories: Mapping[str, Directory] = field(default_factory=dict)
    max_writes: int = 1_000_000  # of one run
    answers: tuple[str, ...] = ()  # JSON Schemas that every answer must satisfy, as canonical JSON

    def allows(self, tool: ToolName) -> bool:
        """Whether the tool is on the list and not on the other one."""
        return tool in self.allow and tool not in self.deny

    def narrow(self, by: Narrowing) -> "Policy":
        """This policy with less in it. Nothing that this policy refuses is admitted by what it returns."""
        return replace(
            self,
            allow=self.allow if by.allow is None else self.allow & by.allow,
            deny=self.deny | by.deny,
            limits=self.limits.narrowed(by.limits),
            require_approval=self.require_approval or by.require_approval,
            max_refusals=self.max_refusals if by.max_refusals is None else min(self.max_refusals, by.max_refusals),
            max_writes=self.max_writes if by.max_writes is None else min(self.max_writes, by.max_writes),
            answers=(*self.answers, by.answer) if by.answer else self.answers,
            tools={**self.tools, **{name: self._rule(name).stricter(rule) for name, rule in by.tools.items()}},
            flow_rule=self.flow_rule if by.flow_rule is None else self.flow_rule.stricter(by.flow_rule),
        )

    def _rule(self, tool: ToolName) -> ToolRule:
        return self.tools.get(tool, ToolRule())

    def for_run(self, tenant: TenantId, flow: str) -> "Policy":
        """The policy of one run: the house's, narrowed by its tenant, then by its flow."""
        by_tenant = self.narrow(self.tenants.get(tenant, NO_NARROWING))
        return by_tenant.narrow(self.flows.get(flow, NO_NARROWING))

    def digest(self) -> Digest:
        """The name of exactly this policy: SHA-256 over its canonical JSON, 32 hex digits."""
        return Digest(hashlib.sha256(self.canonical()).hexdigest()[:32])

    @classmethod
    def parse(cls, canonical: bytes) -> "Policy":
        """The policy of these canonical bytes. Raises ValueError, KeyError or TypeError when they are none."""
        known = json.loads(canonical)
        return cls(
            allow=frozenset(known["allow"]),
            deny=frozenset(known["deny"]),
            limits=Limits(**known["limits"]),
            tools={ToolName(name): _rule(rule) for name, rule in known["tools"].items()},
            models={name: ModelPrice(**price) for name, price in known["models"].items()},
            tenants={TenantId(name): _narrowing(one) for name, one in known["tenants"].items()},
            flows={name: _narrowing(one) for name, one in known["flows"].items()},
            nodes={name: _narrowing(one) for name, one in known["nodes"].items()},
            caps=tuple(
                Cap(Level(cap["level"]), Unit(cap["unit"]), Window(cap["window"]), cap["limit"], cap["of"])
                for cap in known["caps"]
            ),
            require_approval=known["require_approval"],
            max_refusals=known["max_refusals"],
            kill_level=KillLevel(known["kill_level"]),
            enforcement=Enforcement(known["enforcement"]),
            track=tuple(known["track"]),
            expire_after=Millis(known.get("expire_after", EXPIRES_AFTER)),
            flow_rule=_flow_rule(known.get("flow_rule", {})),
            constants=frozenset(known.get("constants", ())),
            directories={
                name: Directory(frozenset(one["values"]), ToolName(one["tool"]))
                for name, one in known.get("directories", {}).items()
            },
            max_writes=known.get("max_writes", 1_000_000),
            answers=tuple(known.get("answers", ())),
        )

    def canonical(self) -> bytes:
        """The policy as JSON with sorted keys; two equal policies give equal bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _narrowing(known: dict[str, object]) -> Narrowing:
    allow, deny, tools, rule = known["allow"], known["deny"], known.get("tools"), known.get("flow_rule")
    return Narrowing(**{  # type: ignore[arg-type]  # read back as `canonical` wrote it
        **known,
        "tools": {ToolName(name): _rule(one) for name, one in tools.items()} if isinstance(tools, dict) else {},
        "flow_rule": _flow_rule(rule) if isinstance(rule, dict) else None,
        "allow": frozenset(allow) if isinstance(allow, list) else None,
        "deny": frozenset(deny) if isinstance(deny, list) else frozenset(),
    })  # fmt: skip


def _rule(known: dict[str, object]) -> ToolRule:
    kinds: dict[str, Callable[[str], object]] = {
        "effect": Effect, "source": Source, "confidentiality": Confidentiality, "reuse": ReuseScope,
    }  # fmt: skip
    known = {**known, "sinks": as_sinks(known.get("sinks")), "narrower": as_sinks(known.get("narrower"))}
    read = {name: kinds[name](value) if name in kinds and isinstance(value, str) else value
            for name, value in known.items()}  # fmt: skip
    return ToolRule(**read)  # type: ignore[arg-type]  # read back as `canonical` wrote it


def _flow_rule(known: Mapping[str, str]) -> FlowRule:
    kinds: dict[str, type[StrEnum]] = {"when": When, "endorse": Endorse}
    return FlowRule(**{name: kinds.get(name, Way)(value) for name, value in known.items()})  # type: ignore[arg-type]  # read back as `canonical` wrote it


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"a policy cannot hold {type(value).__name__}")
