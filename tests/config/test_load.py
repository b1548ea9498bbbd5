"""Good policies: what they mean, what they leave to safe defaults, and that equal ones have equal digests."""

import dataclasses
import io
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bridle.config import BadPolicy, load_policy
from bridle.rules.names import (
    MODEL_CALLS,
    TOKENS_IN,
    TOOL_CALLS,
    USD_NANO,
    WRITES,
    Confidentiality,
    Effect,
    Millis,
    Source,
    TenantId,
    ToolName,
    UsdNanos,
)
from bridle.rules.policy import Cap, Enforcement, KillLevel, Level, Limits, ModelPrice, Narrowing, Policy, Window
from bridle.rules.tool import ReuseScope, ToolRule

FIRST_OF_THE_BRIEF = """\
mode:
  default: "explicit_flow"
autonomy:
  allowed_for: ["investigation_nodes"]
budgets:
  max_steps: 30
  max_seconds: 90
  max_tool_calls: 15
tools:
  allow: ["search.read", "kb.read", "http.get"]
writes:
  require_approval: true
"""
SECOND_OF_THE_BRIEF = """\
tools:
  allow: ["search.read", "kb.read", "http.get"]
budgets:
  max_steps: 30
  max_seconds: 90
  max_tool_calls: 15
writes:
  require_approval: true
monitoring:
  track: ["tool_calls_per_run", "tokens_per_request", "stop_reason", "latency_p95"]
kill_switch:
  mode_when_enabled: "disable_writes"
"""
ALL = """\
mode: {default: explicit_flow}
enforcement: observe
autonomy: {allowed_for: [investigation_nodes]}
budgets: {max_steps: 40, max_seconds: 80, max_model_calls: 31, max_tool_calls: 16, max_tokens: 600000,
          max_usd: "2.50", max_refusals: 0}
house: {max_usd_per_month: 2000, max_tool_calls_per_minute: 600, max_model_calls_per_day: 9000}
tenants:
  acme:
    max_usd_per_day: 20
    budgets: {max_usd: $0.40, max_refusals: 1}
    tools: {allow: [kb.read], deny: [mail.send]}
    writes: {require_approval: true}
flows:
  research: {max_usd_per_day: 5.25, max_tokens_in_per_minute: 100000, budgets: {max_tool_calls: 5}}
agents:
  support: {max_writes_per_month: 9, tools: {allow: []}}
nodes:
  research.find_cause: {budgets: {max_steps: 3}, tools: {deny: [http.get]}}
tools:
  allow: [search.read, kb.read, http.get]
  deny: [mail.send]
  http.get:
    effect: egress
    source: untrusted
    confidentiality: public
    cost: $0.002
    timeout: 1500ms
    concurrency: 4
    max_calls: 5
    max_bytes: 2000000
    show_bytes: 16000
    reuse: 60s
    expensive: true
    args: {required: [url], properties: {url: {pattern: "^https://docs\\\\.example\\\\.com/"}}}
    output: {maxLength: 20000, maximum: 1.50}
  kb.read: {reuse: run, timeout: 2m}
writes: {require_approval: false}
models:
  "openai:gpt-5": {usd_per_million_in: 1.25, usd_per_million_out: 10, context_tokens: 400000, max_output: 8192}
  tiny: {usd_per_million_in: 0, usd_per_million_out: "0.0001"}
monitoring: {track: [stop_reason, spend_per_run]}
kill_switch: {mode_when_enabled: disable_all}
"""
STEERING = (
    "writes.max_per_run",
    "flow.when",
    "flow.writes.if_sinks_trusted",
    "flow.writes.else",
    "flow.writes.without_sinks",
    "flow.egress.if_sinks_trusted",
    "flow.egress.verbatim_public",
    "flow.egress.else",
    "flow.private_and_untrusted.egress",
    "flow.endorse",
)


def nano(dollars: str) -> UsdNanos:
    return UsdNanos(int(Decimal(dollars) * 10**9))


@pytest.mark.parametrize("text", [FIRST_OF_THE_BRIEF, SECOND_OF_THE_BRIEF])
def test_both_files_that_users_have_load_word_for_word(text: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = load_policy(path)
    assert loaded.policy.allow == {"search.read", "kb.read", "http.get"}
    assert loaded.policy.limits == Limits(max_steps=30, max_seconds=90, max_tool_calls=15)
    assert loaded.policy.limits.max_usd == nano("1")
    assert loaded.policy.require_approval
    assert loaded.policy.kill_level is KillLevel.WRITES
    assert loaded.notes == ()
    assert loaded.text == text
    assert load_policy(str(path)) == loaded


def test_every_setting_of_the_file_reaches_the_rules() -> None:
    args = '{"properties":{"url":{"pattern":"^https://docs\\\\.example\\\\.com/"}},"required":["url"]}'
    assert load_policy(ALL).policy == Policy(
        allow=frozenset({ToolName("search.read"), ToolName("kb.read"), ToolName("http.get")}),
        deny=frozenset({ToolName("mail.send")}),
        limits=Limits(40, 80, 31, 16, 600_000, nano("2.5")),
        tools={
            ToolName("http.get"): ToolRule(
                effect=Effect.EGRESS,
                source=Source.UNTRUSTED,
                confidentiality=Confidentiality.PUBLIC,
                reuse=Millis(60_000),
                expensive=True,
                cost=nano("0.002"),
                timeout=Millis(1_500),
                concurrency=4,
                max_calls=5,
                max_bytes=2_000_000,
                show_bytes=16_000,
                args=args,
                output='{"maxLength":20000,"maximum":1.5}',
            ),
            ToolName("kb.read"): ToolRule(reuse=ReuseScope.RUN, timeout=Millis(120_000)),
        },
        models={"openai:gpt-5": ModelPrice(1_250, 10_000, 400_000, 8_192), "tiny": ModelPrice(0, 1)},
        tenants={
            TenantId("acme"): Narrowing(
                allow=frozenset({ToolName("kb.read")}),
                deny=frozenset({ToolName("mail.send")}),
                limits={"max_usd": nano("0.4")},
                require_approval=True,
                max_refusals=1,
            )
        },
        flows={"research": Narrowing(limits={"max_tool_calls": 5}), "support": Narrowing(allow=frozenset())},
        nodes={"research.find_cause": Narrowing(deny=frozenset({ToolName("http.get")}), limits={"max_steps": 3})},
        caps=(
            Cap(Level.HOUSE, USD_NANO, Window.DAY, nano("100")),
            Cap(Level.HOUSE, USD_NANO, Window.MONTH, nano("2000")),
            Cap(Level.HOUSE, TOOL_CALLS, Window.MINUTE, 600),
            Cap(Level.HOUSE, MODEL_CALLS, Window.DAY, 9_000),
            Cap(Level.TENANT, USD_NANO, Window.DAY, nano("20"), "acme"),
            Cap(Level.AGENT, USD_NANO, Window.DAY, nano("5.25"), "research"),
            Cap(Level.AGENT, TOKENS_IN, Window.MINUTE, 100_000, "research"),
            Cap(Level.AGENT, WRITES, Window.MONTH, 9, "support"),
        ),
        require_approval=False,
        max_refusals=0,
        kill_level=KillLevel.ALL,
        enforcement=Enforcement.OBSERVE,
        track=("stop_reason", "spend_per_run"),
    )


@pytest.mark.parametrize(
    "source", [None, {}, "\n", "# nothing\n", "---\n", "---\n...\n", "\n\n", "null\n", "~\n", "{}\n", "\ufeff\n"]
)
def test_a_policy_that_says_nothing_denies_every_tool(source: str | dict[str, object] | None) -> None:
    loaded = load_policy(source)
    assert loaded.policy == Policy()
    assert loaded.digest == Policy().digest()
    assert not loaded.policy.allows(ToolName("kb.read"))
    assert {"budgets.max_usd", "house.max_usd_per_day", "writes.require_approval", "tools.allow"} <= {*loaded.defaults}


def test_defaults_are_what_the_file_does_not_say() -> None:
    assert load_policy(SECOND_OF_THE_BRIEF).defaults == (
        "mode.default",
        "enforcement",
        "autonomy.allowed_for",
        "budgets.max_model_calls",
        "budgets.max_tokens",
        "budgets.max_usd",
        "budgets.max_refusals",
        "house.max_usd_per_day",
        "tools.deny",
        *STEERING,
        "approvals.expire_after",
    )
    assert load_policy(ALL).defaults == (
        "house.max_usd_per_day",
        *STEERING,
        "approvals.expire_after",
        "models.tiny.context_tokens",
        "models.tiny.max_output",
    )


def test_a_house_with_a_month_keeps_its_day() -> None:
    caps = load_policy("house: {max_usd_per_month: 3}\n").policy.caps
    assert caps == (*Policy().caps, Cap(Level.HOUSE, USD_NANO, Window.MONTH, nano("3")))
    own = load_policy("house: {max_usd_per_day: 3}\n").policy.caps
    assert own == (Cap(Level.HOUSE, USD_NANO, Window.DAY, nano("3")),)


def test_positions_tell_where_each_setting_stands(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(SECOND_OF_THE_BRIEF, encoding="utf-8")
    positions = load_policy(path).positions
    assert positions["budgets.max_steps"] == f"{path}:4:3"
    assert positions["tools.allow[1]"] == f"{path}:2:26"
    assert load_policy("agents:\n  a: {budgets: {}}\n").positions["flows.a.budgets"] == "policy:2:7"


def test_the_order_of_the_file_does_not_change_its_digest() -> None:
    one = "tenants: {a: {max_usd_per_day: 1}, b: {max_steps_per_day: 2}}\nagents: {x: {}}\nflows: {y: {}}\n"
    other = "flows: {x: {}, y: {}}\ntenants: {b: {max_steps_per_day: 2}, a: {max_usd_per_day: 1.00}}\n"
    assert load_policy(one).digest == load_policy(other).digest


def test_the_text_of_a_mapping_is_the_same_policy() -> None:
    source = {"budgets": {"max_usd": Decimal("0.25")}, "tools": {"allow": ("kb.read",)}}
    loaded = load_policy(source)
    assert loaded.policy.limits.max_usd == nano("0.25")
    assert load_policy(loaded.text).digest == loaded.digest


def test_money_is_exact_however_it_is_written() -> None:
    for written in ("0.20", "'0.20'", "$0.2", "'$0.200000000'", "2e-1", "0.2E0"):
        assert load_policy(f"budgets: {{max_usd: {written}}}\n").policy.limits.max_usd == 200_000_000
    assert load_policy("budgets: {max_usd: 0.100000001}\n").policy.limits.max_usd == 100_000_001
    assert load_policy("budgets: {max_usd: 1}\n").policy.limits.max_usd == 10**9


def test_a_mapping_is_told_its_mistakes_by_path() -> None:
    with pytest.raises(BadPolicy) as caught:
        load_policy({"budgets": {"max_tool_cals": 3, "max_usd": 0.2}, "tools": {"allow": {"a"}}, 3: 4})  # type: ignore[dict-item] # wrong on purpose
    assert str(caught.value).split("\n") == [
        "policy: tools.allow is a value of type set; write a mapping, a list, text, a number, true or false",
        "policy: has a key that is not text: 3; write every key as a str",
        'policy: budgets.max_usd is the float 0.2, and no float touches money; write it as text: "0.2"',
        "policy: budgets.max_tool_cals is not a limit; did you mean max_tool_calls?",
    ]


amounts = st.one_of(
    st.integers(1, 10**6),
    st.decimals("0.000000001", 10**6, places=9, allow_nan=False, allow_infinity=False).map(lambda each: f"{each:f}"),
)
counts = st.integers(1, 10**9)
tool_names = st.sampled_from(["kb.read", "http.get", "mail.send", "search.read"])
budgets = st.fixed_dictionaries(
    {}, optional={"max_steps": counts, "max_tool_calls": counts, "max_usd": amounts, "max_refusals": st.integers(0, 9)}
)
narrowings = st.fixed_dictionaries(
    {},
    optional={
        "budgets": budgets,
        "max_usd_per_day": amounts,
        "tools": st.fixed_dictionaries({"deny": st.lists(tool_names)}),
    },
)
tool_settings = st.fixed_dictionaries(
    {},
    optional={
        "cost": amounts,
        "timeout": st.integers(1, 999).map(lambda n: f"{n}ms"),
        "reuse": st.sampled_from(["run", "never", 3]),
        "require_approval": st.one_of(
            st.just(True),
            st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.integers(-99, 99), min_size=1).map(
                lambda above: {"above": above}
            ),
        ),
        "args": st.fixed_dictionaries({"maximum": st.integers(-(10**20), 10**20)}),
    },
)
policies = st.fixed_dictionaries(
    {},
    optional={
        "budgets": budgets,
        "house": st.fixed_dictionaries({}, optional={"max_usd_per_minute": amounts, "max_writes_per_day": counts}),
        "tenants": st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), narrowings, max_size=3),
        "tools": st.dictionaries(tool_names, tool_settings, max_size=3),
        "models": st.dictionaries(
            st.from_regex(r"[a-z]{1,8}:[a-z0-9é]{1,8}", fullmatch=True),
            st.fixed_dictionaries({"usd_per_million_in": amounts, "usd_per_million_out": amounts}),
            max_size=2,
        ),
        "writes": st.fixed_dictionaries({"require_approval": st.booleans()}),
    },
)


def numbers(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list | tuple | set | frozenset):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float | Decimal) else []


@given(policies)
def test_a_policy_and_its_yaml_and_its_text_have_one_digest(source: dict[str, object]) -> None:
    loaded = load_policy(source)
    dumped = io.StringIO()
    YAML(typ="safe", pure=True).dump(source, dumped)
    again = load_policy(dumped.getvalue() + "\n")
    assert again.digest == loaded.digest == load_policy(loaded.text).digest == load_policy(source).digest
    assert again.policy == loaded.policy
    assert again.defaults == loaded.defaults
    assert all(type(number) in (int, bool) for number in numbers(dataclasses.asdict(loaded.policy)))
