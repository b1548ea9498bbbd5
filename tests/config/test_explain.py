"""Every setting in force is shown with its value and its origin."""

from bridle.config import Origin, explain, load_policy
from bridle.rules.policy import Policy
from tests.config.test_load import ALL, SECOND_OF_THE_BRIEF


def shown(text: str) -> list[str]:
    loaded = load_policy(text)
    return [f"{row.path} = {row.value} ({row.origin})" for row in explain(loaded.policy, loaded.defaults)]


def test_a_small_file_is_explained_in_full() -> None:
    assert shown(SECOND_OF_THE_BRIEF) == [
        "mode.default = explicit_flow (default)",
        "enforcement = enforce (default)",
        "autonomy.allowed_for = [investigation_nodes] (default)",
        "budgets.max_steps = 30 (file)",
        "budgets.max_seconds = 90 (file)",
        "budgets.max_model_calls = 30 (default)",
        "budgets.max_tool_calls = 15 (file)",
        "budgets.max_tokens = 500000 (default)",
        "budgets.max_usd = $1.00 (default)",
        "budgets.max_refusals = 3 (default)",
        "house.max_usd_per_day = $100.00 (default)",
        "tools.allow = [http.get, kb.read, search.read] (file)",
        "tools.deny = [] (default)",
        "writes.require_approval = true (file)",
        "writes.max_per_run = 1000000 (default)",
        "flow.when = tainted (default)",
        "flow.writes.if_sinks_trusted = allow (default)",
        "flow.writes.else = approve (default)",
        "flow.writes.without_sinks = approve (default)",
        "flow.egress.if_sinks_trusted = allow (default)",
        "flow.egress.verbatim_public = allow (default)",
        "flow.egress.else = deny (default)",
        "flow.private_and_untrusted.egress = deny (default)",
        "flow.endorse = per_value_per_run (default)",
        "approvals.expire_after = 24h (default)",
        "monitoring.track = [tool_calls_per_run, tokens_per_request, stop_reason, latency_p95] (file)",
        "kill_switch.mode_when_enabled = disable_writes (file)",
    ]


def test_writes_that_wait_where_the_rule_on_the_flow_wants_it_are_shown_by_that_word() -> None:
    """`false` means the same, and says less."""
    for said in ("when_tainted", "false"):
        assert "writes.require_approval = when_tainted (file)" in shown(f"writes:\n  require_approval: {said}\n")


def test_every_section_is_explained() -> None:
    rows = shown(ALL)
    for row in (
        "enforcement = observe (file)",
        "house.max_usd_per_day = $100.00 (default)",
        "house.max_tool_calls_per_minute = 600 (file)",
        "tenants.acme.max_usd_per_day = $20.00 (file)",
        "tenants.acme.budgets.max_usd = $0.40 (file)",
        "tenants.acme.budgets.max_refusals = 1 (file)",
        "tenants.acme.writes.require_approval = true (file)",
        "flows.support.tools.allow = [] (file)",
        "nodes.research.find_cause.tools.deny = [http.get] (file)",
        "tools.http.get.cost = $0.002 (file)",
        "tools.http.get.timeout = 1500ms (file)",
        "tools.http.get.reuse = 60s (file)",
        "tools.http.get.expensive = true (file)",
        "tools.kb.read.reuse = run (file)",
        "models.openai:gpt-5.usd_per_million_in = $1.25 (file)",
        "models.tiny.context_tokens = 128000 (default)",
        "kill_switch.mode_when_enabled = disable_all (file)",
    ):
        assert row in rows


def test_without_its_file_a_policy_is_compared_with_the_safe_defaults() -> None:
    assert {row.origin for row in explain(Policy())} == {Origin.DEFAULT}
    origins = {row.path: row.origin for row in explain(load_policy(ALL).policy)}
    assert origins["budgets.max_steps"] is Origin.FILE
    assert origins["mode.default"] is Origin.DEFAULT
    assert origins["models.tiny.max_output"] is Origin.DEFAULT
    assert origins["models.openai:gpt-5.max_output"] is Origin.FILE
