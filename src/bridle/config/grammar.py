"""The grammar of the policy file: every section, every key, and what an editor is told about it."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bridle.config.values import (
    Approval,
    Count,
    CountOrZero,
    Dollars,
    DollarsOrZero,
    Duration,
    Flag,
    Fragment,
    Name,
    Person,
    Price,
    Reuse,
    Seconds,
    SinksOfTool,
    Tool,
    choice,
)
from bridle.rules.flow_of_information import Endorse, Way, When
from bridle.rules.names import Confidentiality, Effect, Source
from bridle.rules.policy import Enforcement, Policy

KILL_WORDS = ("disable_writes", "disable_expensive", "disable_all")
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Section(BaseModel):
    """A mapping of the file; a key that it does not name is a mistake."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    noun: ClassVar[str] = "a setting"


class Mode(Section):
    """How runs are driven."""

    default: Annotated[str, choice("explicit_flow")] = Field(
        default="explicit_flow", description="An explicit flow of steps; the only value there is."
    )


class Autonomy(Section):
    """Where a model may choose the next step."""

    allowed_for: list[Annotated[str, choice("investigation_nodes")]] = Field(
        default=["investigation_nodes"],
        description="Only inside investigation nodes; the only value there is.",
        min_length=1,
    )


class Budgets(Section):
    """The hard limits of one run. Below the house they only narrow: the smaller number holds."""

    noun: ClassVar[str] = "a limit"

    max_steps: Count = Field(default=None, description="Flow steps entered and model requests made. Default 30.")
    max_seconds: Seconds = Field(default=None, description="Seconds of active time. Default 90.")
    max_model_calls: Count = Field(default=None, description="Requests to models. Default 30.")
    max_tool_calls: Count = Field(default=None, description="Calls of tools. Default 15.")
    max_tokens: Count = Field(default=None, description="Tokens in and out together. Default 500000.")
    max_usd: Dollars = Field(default=None, description='Dollars, such as "0.20". Default 1.00.')
    max_refusals: CountOrZero = Field(
        default=None,
        description="Refused calls that the model is told about; 0: the first refusal stops the run. Default 3.",
    )


class Caps(Section):
    """Limits on what many runs use together; windows begin at UTC minute, midnight and month."""

    noun: ClassVar[str] = "a limit"

    max_usd_per_minute: Dollars = Field(default=None, description="Dollars a minute.")
    max_usd_per_day: Dollars = Field(default=None, description="Dollars a day. Default 100 for the house.")
    max_usd_per_month: Dollars = Field(default=None, description="Dollars a month.")
    max_tool_calls_per_minute: Count = Field(default=None, description="Tool calls a minute.")
    max_tool_calls_per_day: Count = Field(default=None, description="Tool calls a day.")
    max_tool_calls_per_month: Count = Field(default=None, description="Tool calls a month.")
    max_model_calls_per_minute: Count = Field(default=None, description="Model requests a minute.")
    max_model_calls_per_day: Count = Field(default=None, description="Model requests a day.")
    max_model_calls_per_month: Count = Field(default=None, description="Model requests a month.")
    max_tokens_in_per_minute: Count = Field(default=None, description="Tokens sent to models a minute.")
    max_tokens_in_per_day: Count = Field(default=None, description="Tokens sent to models a day.")
    max_tokens_in_per_month: Count = Field(default=None, description="Tokens sent to models a month.")
    max_tokens_out_per_minute: Count = Field(default=None, description="Tokens written by models a minute.")
    max_tokens_out_per_day: Count = Field(default=None, description="Tokens written by models a day.")
    max_tokens_out_per_month: Count = Field(default=None, description="Tokens written by models a month.")
    max_steps_per_minute: Count = Field(default=None, description="Steps a minute.")
    max_steps_per_day: Count = Field(default=None, description="Steps a day.")
    max_steps_per_month: Count = Field(default=None, description="Steps a month.")
    max_writes_per_minute: Count = Field(default=None, description="Writes a minute.")
    max_writes_per_day: Count = Field(default=None, description="Writes a day.")
    max_writes_per_month: Count = Field(default=None, description="Writes a month.")


class FewerTools(Section):
    """What a tenant, a flow or a node takes away from the tools of the house."""

    allow: list[Tool] = Field(default=[], description="Only these of what the house allows; absent: all of them.")
    deny: list[Tool] = Field(default=[], description="None of these.")


class LabelSettings(Section):
    """What a tenant or a flow says of one tool: stricter labels and smaller quotas than the house's."""

    noun: ClassVar[str] = "a label of a tool"

    effect: Annotated[str | None, choice(*Effect)] = Field(default=None, description="What a call does to the world.")
    source: Annotated[str | None, choice(*Source)] = Field(
        default=None, description="Who may have written what it returns."
    )
    confidentiality: Annotated[str | None, choice(*Confidentiality)] = Field(
        default=None, description="Who may read what it returns."
    )
    destructive: Flag = Field(default=None, description="Whether what it takes away does not come back.")
    sinks: SinksOfTool = Field(
        default=None, description="The arguments that steer it, and the places their values may come from."
    )
    max_calls: Count = Field(default=None, description="Calls in one run.")
    max_writes: Count = Field(default=None, description="Writes of one run. Default 1 where it has a business key.")


class GroupTools(FewerTools):
    """The tools of a tenant or a flow: fewer of them, and stricter labels of single ones under their names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, LabelSettings] = Field(init=False)


class Writes(Section):
    """What happens before a call changes something."""

    require_approval: Person = Field(
        default=None,
        description="true (default): every write waits for a person. when_tainted, or false: where `flow` wants one.",
    )
    max_per_run: Count = Field(default=None, description="Writes of one run, of all tools. Default 1000000.")


class WriteFlow(Section):
    """What becomes of a write in a run that has read something untrusted."""

    if_sinks_trusted: Annotated[str | None, choice(*Way)] = Field(
        default=None, description="Every controlling argument comes from a place that it may come from. Default allow."
    )
    otherwise: Annotated[str | None, choice(*Way)] = Field(
        default=None, alias="else", description="One of them does not. Default approve."
    )
    without_sinks: Annotated[str | None, choice(*Way)] = Field(
        default=None, description="The tool names no controlling arguments. Default approve."
    )


class EgressFlow(Section):
    """What becomes of an address or a query that leaves the house."""

    if_sinks_trusted: Annotated[str | None, choice(*Way)] = Field(
        default=None, description="It comes from a place that it may come from. Default allow."
    )
    verbatim_public: Annotated[str | None, choice(*Way)] = Field(
        default=None, description="It stood in an earlier result as it is, and nothing private was read. Default allow."
    )
    otherwise: Annotated[str | None, choice(*Way)] = Field(
        default=None, alias="else", description="All else. Default deny."
    )


class PrivateFlow(Section):
    """What becomes of it in a run that has read something private as well."""

    egress: Annotated[str | None, choice(*Way)] = Field(default=None, description="Default deny.")


class FlowOfInformation(Section):
    """Who may steer what a run does once it has read what anybody may have written."""

    noun: ClassVar[str] = "a setting of the flow of information"

    when: Annotated[str | None, choice(*When)] = Field(
        default=None, description="tainted (default): in a run that has read something untrusted. always, never."
    )
    writes: WriteFlow = Field(default=WriteFlow(), description="What becomes of writes.")
    egress: EgressFlow = Field(default=EgressFlow(), description="What becomes of addresses and queries.")
    private_and_untrusted: PrivateFlow = Field(
        default=PrivateFlow(), description="What becomes of them in a run that has read private and untrusted text."
    )
    endorse: Annotated[str | None, choice(*Endorse)] = Field(
        default=None, description="per_value_per_run (default): approved values count as trusted in this run. never."
    )


class HouseFlow(FlowOfInformation):
    """Who may steer what a run does, and what the policy itself vouches for."""

    config: list[Name] = Field(default=[], description="Values that sinks may take from the place `config`.")


class DirectorySettings(Section):
    """Values that may be acted on whoever names them: one of a list, a file, or what a read-only tool returned."""

    noun: ClassVar[str] = "a setting of a directory"

    values: list[Name] = Field(default=[], description="The values themselves.")
    file: Name = Field(default="", description="A file beside the policy, with one value a line.")
    tool: Tool = Field(default="", description="A read-only tool: whole fields of what it returned in this run.")


class ApprovalRules(Section):
    """How long a call waits for a person."""

    expire_after: Duration = Field(
        default=None, description="From when on nobody may answer any more, and the run goes on without. Default 24h."
    )


class Answers(Section):
    """What a run may answer."""

    form: Fragment = Field(
        default=None,
        alias="schema",
        description="A JSON Schema of every answer.",
    )


class NodeRules(Section):
    """What one node of a flow takes away."""

    budgets: Budgets = Field(default=Budgets(), description="Smaller limits for the time in this node.")
    tools: FewerTools = Field(default=FewerTools(), description="Fewer tools.")
    writes: Writes = Field(default=Writes(), description="Whether writes wait for a person here.")


class GroupRules(Caps):
    """What a tenant, a flow or an agent takes away, and what all its runs may use together."""

    noun: ClassVar[str] = "a setting"

    budgets: Budgets = Field(default=Budgets(), description="Smaller limits for each run.")
    tools: GroupTools = Field(default=GroupTools(), description="Fewer tools, and stricter labels.")
    writes: Writes = Field(default=Writes(), description="Whether writes wait for a person here.")
    flow: FlowOfInformation = Field(default=FlowOfInformation(), description="Who may steer what a run does here.")
    answer: Answers = Field(default=Answers(), description="What a run may answer here.")


class ToolSettings(Section):
    """What the policy says of one tool; it only makes the tool's own declaration stricter."""

    noun: ClassVar[str] = "a setting of a tool"

    effect: Annotated[str | None, choice(*Effect)] = Field(default=None, description="What a call does to the world.")
    source: Annotated[str | None, choice(*Source)] = Field(
        default=None, description="Who may have written what it returns."
    )
    confidentiality: Annotated[str | None, choice(*Confidentiality)] = Field(
        default=None, description="Who may read what it returns."
    )
    cost: DollarsOrZero = Field(default=None, description='What one call costs at most, such as "$0.002".')
    timeout: Duration = Field(default=None, description='Seconds, or text with a unit, such as "10s".')
    concurrency: Count = Field(default=None, description="Calls in flight at the same time, over all runs of a tenant.")
    max_calls: Count = Field(default=None, description="Calls in one run.")
    max_bytes: Count = Field(default=None, description="A larger output is refused.")
    show_bytes: Count = Field(default=None, description="How much of an output the model is shown.")
    reuse: Reuse = Field(default=None, description="How long the result of an identical read may stand for it.")
    expensive: Flag = Field(default=None, description="Whether the level `expensive` of the kill switch takes it away.")
    args: Fragment = Field(default=None, description="A JSON Schema that the arguments of every call must satisfy.")
    output: Fragment = Field(default=None, description="A JSON Schema that every output must satisfy.")
    destructive: Flag = Field(default=None, description="Whether what it takes away does not come back.")
    sinks: SinksOfTool = Field(
        default=None, description="The arguments that steer it, and the places their values may come from."
    )
    without_sinks: Flag = Field(default=None, description="true: no argument steers it.")
    max_writes: Count = Field(default=None, description="Writes of one run. Default 1 where it has a business key.")
    require_approval: Approval = Field(
        default=None, description="Which calls wait for a person: true, {above: {amount: 50}}, {when: a JSON Schema}."
    )


class Tools(Section):
    """Which tools there are for agents, and settings of single tools under their names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, ToolSettings] = Field(init=False)

    allow: list[Tool] = Field(default=[], description="The tools that may be called; every other one is denied.")
    deny: list[Tool] = Field(default=[], description="Tools that may not be called, whatever else is said.")


class ModelSettings(Section):
    """What a model costs at its dearest, and what it can read."""

    noun: ClassVar[str] = "a setting of a model"

    usd_per_million_in: Price = Field(description="Dollars for a million tokens in.")
    usd_per_million_out: Price = Field(description="Dollars for a million tokens out.")
    context_tokens: Count = Field(default=None, description="Tokens that it can read at once. Default 128000.")
    max_output: Count = Field(default=None, description="Tokens that it may write in one reply. Default 4096.")


class Monitoring(Section):
    """What `bridle show` and the metrics report."""

    track: list[Annotated[str, choice(*Policy().track)]] = Field(
        default=list(Policy().track), description="Default: all."
    )


class KillSwitchRules(Section):
    """What the kill switch takes away when nobody names a level."""

    mode_when_enabled: Annotated[str | None, choice(*KILL_WORDS)] = Field(
        default=None, description="Default disable_writes; each level includes the ones before it."
    )


class PolicyFile(Section):
    """All that a house allows. Everything is optional; the empty file denies every tool."""

    noun: ClassVar[str] = "a section of a policy"

    mode: Mode = Field(default=Mode(), description="How runs are driven.")
    enforcement: Annotated[str | None, choice(*Enforcement)] = Field(
        default=None, description="enforce (default): a refusal holds. observe: it is only written down."
    )
    autonomy: Autonomy = Field(default=Autonomy(), description="Where a model may choose the next step.")
    budgets: Budgets = Field(default=Budgets(), description="The hard limits of one run.")
    house: Caps = Field(default=Caps(), description="What all runs together may use.")
    tenants: dict[Name, GroupRules] = Field(default={}, description="What each tenant may use; by its name.")
    flows: dict[Name, GroupRules] = Field(
        default={}, description="What each flow or attached agent may use; by its name."
    )
    agents: dict[Name, GroupRules] = Field(default={}, description="Another word for `flows`.")
    nodes: dict[Name, NodeRules] = Field(
        default={}, description='What single nodes take away; by "node" or "flow.node".'
    )
    tools: Tools = Field(default=Tools(), description="Which tools may be called, and how.")
    writes: Writes = Field(default=Writes(), description="What happens before a call changes something.")
    flow: HouseFlow = Field(
        default=HouseFlow(), description="Who may steer what a run does once it has read untrusted text."
    )
    directories: dict[Name, DirectorySettings] = Field(
        default={}, description="Values that may be acted on whoever names them; sinks call them dir:<name>."
    )
    answer: Answers = Field(default=Answers(), description="What a run may answer.")
    approvals: ApprovalRules = Field(default=ApprovalRules(), description="How long a call waits for a person.")
    models: dict[Name, ModelSettings] = Field(
        default={}, description='Prices and sizes of models; by "provider:model".'
    )
    monitoring: Monitoring = Field(default=Monitoring(), description="What `bridle show` and the metrics report.")
    kill_switch: KillSwitchRules = Field(default=KillSwitchRules(), description="What the kill switch takes away.")


def json_schema() -> dict[str, object]:
    """The JSON Schema (draft 2020-12) of the policy file, for editors. A fresh dict on every call."""
    schema: dict[str, object] = PolicyFile.model_json_schema()
    tidy = _without_noise(schema)
    assert isinstance(tidy, dict)
    return {"$schema": DIALECT, "title": "The policy of bridle", **tidy}


def _without_noise(value: object, *, names: bool = False) -> object:
    """A schema without pydantic's titles, and without defaults that only say "absent".

    `names` says that the keys are names of settings, which are all kept: `mode` has one that is called `default`.
    """
    match value:
        case dict():
            return {
                key: _without_noise(item, names=not names and key in ("properties", "$defs"))
                for key, item in value.items()
                if names or not _is_noise(key, item)
            }
        case list():
            return [_without_noise(item) for item in value]
        case _:
            return value


def _is_noise(key: str, value: object) -> bool:
    return key == "title" or (key == "default" and (value in (None, "", []) or isinstance(value, dict)))
