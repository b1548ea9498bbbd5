"""Settings that change nothing where they stand are noted, and do not make a policy bad."""

import pytest

from tests.config.saying import notes

NARROWS = "the smaller one holds: raise the one above, or lower this one"
NOTES = [
    ("tools: {allow: [kb.read], deny: [x], x: {}, kb.read: {max_calls: 3}}",),
    (
        "tools: {allow: [search.read], serch.read: {max_calls: 3}}",
        "1:31: tools.serch.read has settings, and the tool is neither allowed nor denied; did you mean search.read?",
    ),
    (
        "tools: {x: {}}",
        "1:9: tools.x has settings, and the tool is neither allowed nor denied; "
        "allow it, deny it, or remove its settings",
    ),
    (
        "tools: {allow: [kb.read]}\ntenants: {a: {tools: {allow: [kb.reed]}}}",
        "2:31: tenants.a.tools.allow[0] allows kb.reed, which the house does not allow; did you mean kb.read?",
    ),
    (
        "agents: {a: {budgets: {max_tool_calls: 50, max_usd: 0.5, max_refusals: 4}}}",
        f"1:24: agents.a.budgets.max_tool_calls is 50, more than the 15 of the house; {NARROWS}",
        f"1:58: agents.a.budgets.max_refusals is 4, more than the 3 of the house; {NARROWS}",
    ),
    (
        "nodes: {n: {budgets: {max_usd: 3}}}",
        f"1:23: nodes.n.budgets.max_usd is $3.00, more than the $1.00 of the house; {NARROWS}",
    ),
    (
        "flows: {f: {writes: {require_approval: false}}}",
        "1:22: flows.f.writes.require_approval is false, and the house wants approval; "
        "approval stays required: limits only narrow",
    ),
    ("writes: {require_approval: false}\nflows: {f: {writes: {require_approval: false}}}",),
    (
        "tenants: {a: {max_usd_per_day: 101, max_usd_per_month: 9000}}\nagents: {b: {max_usd_per_day: 200}}",
        f"1:15: tenants.a.max_usd_per_day is $101.00, more than the $100.00 of the house; {NARROWS}",
        f"2:14: agents.b.max_usd_per_day is $200.00, more than the $100.00 of the house; {NARROWS}",
    ),
]


@pytest.mark.parametrize("row", NOTES, ids=lambda row: row[0])
def test_what_changes_nothing_is_noted(row: tuple[str, ...]) -> None:
    assert notes(row[0]) == list(row[1:])
