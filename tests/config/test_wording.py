"""Every mistake of the grammar in the words, the line and the column that its author is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.config import BadPolicy, load_policy
from bridle.rules.policy import Policy
from tests.config.saying import complaints

MISTAKES = [
    ("budgets:\n  max_tool_cals: 3", "2:3: budgets.max_tool_cals is not a limit; did you mean max_tool_calls?"),
    ("budgts: {}", "1:1: budgts is not a section of a policy; did you mean budgets?"),
    ("zzz: 1", "1:1: zzz is not a section of a policy"),
    ("max_steps: 3", "1:1: max_steps is not a section of a policy; it belongs under budgets:"),
    ("house: {max_steps: 3}", "1:9: house.max_steps is not a limit; it belongs under budgets:"),
    ("budgets: {max_usd_per_day: 3}", "1:11: budgets.max_usd_per_day is not a limit; it belongs under house:"),
    ("house: {max_usd_per_hour: 3}", "1:9: house.max_usd_per_hour is not a limit; did you mean max_usd_per_month?"),
    (
        "tenants: {acme: {budget: {}}}",
        "1:18: tenants.acme.budget is not a setting; did you mean budgets?",
    ),
    ("nodes: {a.b: {toolz: {}}}", "1:15: nodes.a.b.toolz is not a setting; did you mean tools?"),
    (
        "tools: {http.get: {tmeout: 3}}",
        "1:20: tools.http.get.tmeout is not a setting of a tool; did you mean timeout?",
    ),
    (
        "tools:\n  http:\n    get: {effect: read}",
        "3:5: tools.http.get is not a setting of a tool; write a tool's name in one key: http.get:",
    ),
    ("tools: {alow: [a]}", "1:9: tools.alow is a list, not a mapping; did you mean allow?"),
    (
        "models: {m: {usd_per_million_in: 1, usd_per_million_ot: 2}}",
        "1:10: models.m.usd_per_million_out is missing; write usd_per_million_out: followed by its value",
        "1:37: models.m.usd_per_million_ot is not a setting of a model; did you mean usd_per_million_out?",
    ),
    (
        "- a",
        "1:1: is a list, not a mapping; a policy is a mapping of sections: budgets, tools, writes, ...",
    ),
    (
        "just words",
        '1:1: is the text "just words", not a mapping; a policy is a mapping of sections: budgets, tools, writes, ...',
    ),
    ("budgets:", "1:1: budgets is empty; write its settings below it, or remove the line"),
    ("tenants:\n  acme:", "2:3: tenants.acme is empty; write its settings below it, or remove the line"),
    ("budgets: 3", "1:1: budgets is 3, not a mapping; write its settings below it, or remove the line"),
    ("tenants: [a]", "1:1: tenants is a list, not a mapping; write its settings below it, or remove the line"),
    ("tools: {allow: kb.read}", '1:9: tools.allow is the text "kb.read", not a list; write [kb.read]'),
    ("tools: {allow: {kb.read: 1}}", "1:9: tools.allow is a mapping, not a list; write [...]"),
    ("tools: {allow: }", "1:9: tools.allow is empty, not a list; write [...]"),
    ("tenants: {a: {tools: {allow: }}}", "1:23: tenants.a.tools.allow is empty, not a list; write [...]"),
    (
        "autonomy: {allowed_for: []}",
        "1:12: autonomy.allowed_for is an empty list; name at least one, or remove the line",
    ),
    (
        "autonomy: {allowed_for: [all]}",
        '1:26: autonomy.allowed_for[0] is the text "all"; write investigation_nodes',
    ),
    ("mode: {default: chaos}", '1:8: mode.default is the text "chaos"; write explicit_flow'),
    ("enforcement: observ", '1:1: enforcement is the text "observ"; did you mean observe?'),
    ("enforcement: true", "1:1: enforcement is true; write enforce or observe"),
    (
        "kill_switch: {mode_when_enabled: writes}",
        '1:15: kill_switch.mode_when_enabled is the text "writes"; '
        "write disable_writes, disable_expensive or disable_all",
    ),
    (
        "monitoring: {track: [latency_p99]}",
        '1:22: monitoring.track[0] is the text "latency_p99"; did you mean latency_p95?',
    ),
    (
        "monitoring: {track: [tokens]}",
        '1:22: monitoring.track[0] is the text "tokens"; write tool_calls_per_run, tokens_per_request, stop_reason, '
        "latency_p95 or spend_per_run",
    ),
    (
        'tenants: {"a\\nb": {}}',
        '1:11: tenants.a\\nb is the text "a\\nb", not a name; '
        "a name is 1 to 200 printable characters without spaces around",
    ),
]


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: row[0])
def test_a_mistake_of_the_grammar_is_named(row: tuple[str, ...]) -> None:
    assert complaints(row[0]) == list(row[1:])


PLANTED = {
    "budgets": ["  max_stepz: 3", "  max_tokens: 0", "  max_seconds: .inf", "  max_usd: -1", "  max_model_calls: '15'"],
    "house": ["  max_usd_per_day: 0", "  max_cats_per_day: 3", "  max_steps_per_day: true"],
    "tenants": ["  a: 3", "  b: {budgetz: {}}", "  c: {tools: {allow: x}}", "  d: {tools: {allow: [x], deny: [x]}}"],
    "tools": ["  deny: [a b]", "  x.y: {efect: read}", "  x.z: {timeout: 0}", "  x.w: {args: {propertes: {}}}"],
    "writes": ["  require_approval: yes", "  require_approvl: true"],
    "kill_switch": ["  mode_when_enabled: all"],
    "models": ["  m: {usd_per_million_in: 1}", "  n: []", "  o: &x {}", "  p: *x", "  q: !!set {}"],
    "nodes": ["  1: {}", "  <<: {}", "  n: {budgets: {max_steps: 0x10}}"],
}


@given(st.fixed_dictionaries({name: st.lists(st.sampled_from(lines), unique=True) for name, lines in PLANTED.items()}))
def test_a_file_with_n_mistakes_is_told_all_n_in_their_order(planted: dict[str, list[str]]) -> None:
    lines: list[str] = []
    wrong: list[int] = []
    for name, some in planted.items():
        lines.append(f"{name}:" if some else f"{name}: {{}}")
        wrong += range(len(lines) + 1, len(lines) + 1 + len(some))
        lines += some
    if not wrong:
        assert load_policy("\n".join(lines) + "\n").policy == Policy()
        return
    with pytest.raises(BadPolicy) as caught:
        load_policy("\n".join(lines) + "\n")
    assert [int(mistake.where.split(":")[1]) for mistake in caught.value.mistakes] == wrong


def test_very_many_mistakes_are_counted() -> None:
    said = complaints("\n".join(f"key_{i}: 1" for i in range(5_000)))
    assert len(said) == 201
    assert said[199] == "200:1: key_199 is not a section of a policy"
    assert said[200] == "policy: has 4,800 more mistakes".removeprefix("policy:")
