"""Which calls of a tool wait for a person, as a policy says it: always, above an amount, or for what a schema says."""

import pytest

from bridle.config import load_policy, mismatches
from bridle.config.explain import explain
from bridle.rules.names import ToolName
from bridle.rules.policy import Policy
from tests.config.saying import complaints

T = ToolName("refund.create")
WAYS = "true, {above: {amount: 50}}, or {when: a JSON Schema of the arguments}"
AT = "tools.refund.create.require_approval"


@pytest.mark.parametrize(
    ("said", "rule", "shown"),
    [
        ("true", "{}", "true"),
        ("{when: {}}", "{}", "true"),
        ("{above: {amount: 50}}", '{"properties":{"amount":{"exclusiveMinimum":50}}}', ""),
        ("{above: {amount: 49.5}}", '{"properties":{"amount":{"exclusiveMinimum":49.5}}}', ""),
        (
            "{above: {fee: 1, amount: 50}}",
            '{"anyOf":[{"properties":{"amount":{"exclusiveMinimum":50}}},{"properties":{"fee":{"exclusiveMinimum":1}}}]}',
            "",
        ),
        ("{when: {properties: {to: {pattern: '@'}}}}", '{"properties":{"to":{"pattern":"@"}}}', ""),
    ],
)
def test_each_way_is_a_schema_of_the_arguments(said: str, rule: str, shown: str) -> None:
    loaded = load_policy(f"tools: {{refund.create: {{require_approval: {said}}}}}\n")
    assert loaded.policy.tools[T].approval == rule
    assert Policy.parse(loaded.policy.canonical()) == loaded.policy
    (row,) = [row for row in explain(loaded.policy, loaded.defaults) if row.path.startswith("tools.refund")]
    assert (row.path, row.value, row.origin) == (AT, shown or rule, "file")


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (
            "false",
            f"1:25: {AT} is false, and the settings of a tool only narrow; remove the line; "
            "`writes: {require_approval: false}` lets every write of the house go without a person",
        ),
        ("yes", f'1:25: {AT} is the text "yes", which cannot be read here; write {WAYS}'),
        ("50", f"1:25: {AT} is 50, which cannot be read here; write {WAYS}"),
        ("null", f"1:25: {AT} is empty, which cannot be read here; write {WAYS}"),
        ("{}", f"1:25: {AT} is empty; write {WAYS}"),
        ("{abvoe: {amount: 50}}", f"1:44: {AT}.abvoe is not a way to choose calls; did you mean above?"),
        ("{above: 50}", f"1:44: {AT}.above is 50, not a mapping; write a mapping, such as {{amount: 50}}"),
        (
            "{above: {}}",
            f"1:44: {AT}.above is empty; name an argument and the most that needs nobody, such as {{amount: 50}}",
        ),
        (
            "{above: {amount: '50'}}",
            f'1:52: {AT}.above.amount is the text "50", not a number; write the most that needs nobody, such as 50',
        ),
        (
            "{above: {amount: true}}",
            f"1:52: {AT}.above.amount is true, not a number; write the most that needs nobody, such as 50",
        ),
        (
            "{above: {amount: .inf}}",
            f"1:52: {AT}.above.amount is Infinity, not a number; write the most that needs nobody, such as 50",
        ),
        ("{when: [a]}", f"1:44: {AT}.when is a list, not a mapping; write a mapping, such as {{properties: {{...}}}}"),
        ("{when: {maximun: 5}}", f"1:51: {AT}.when.maximun is not a keyword of JSON Schema; did you mean maximum?"),
        (
            "{when: {}, above: {amount: 50}}",
            f"1:44: {AT}.when stands beside above, and only one of them is read; keep one of them",
        ),
    ],
)
def test_what_cannot_be_meant_is_a_mistake_with_its_place(said: str, complaint: str) -> None:
    assert complaints(f"tools: {{refund.create: {{require_approval: {said}}}}}") == [complaint]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{above: {amuont: 50}}", "names amuont, which is no argument of refund.create; did you mean amount?"),
        ("{when: {required: [amuont]}}", "names amuont, which is no argument of refund.create; did you mean amount?"),
    ],
)
def test_an_argument_that_the_tool_lacks_is_a_mistake(said: str, message: str) -> None:
    loaded = load_policy(f"tools: {{refund.create: {{require_approval: {said}}}, allow: [refund.create]}}\n")
    schema = {"type": "object", "properties": {"amount": {"type": "integer"}}}
    (found,) = mismatches(loaded.policy, {T: schema}, loaded.positions)
    assert str(found).endswith(f"{AT} {message}")
    (note,) = mismatches(loaded.policy, None, loaded.positions)
    assert note.severity == "note"


def test_how_long_a_call_waits() -> None:
    assert load_policy("approvals: {expire_after: 30m}\n").policy.expire_after == 1_800_000
    assert load_policy("approvals: {}\n").policy.expire_after == Policy().expire_after == 86_400_000
    (said,) = complaints("approvals: {expire_after: never}")
    assert said.startswith('1:13: approvals.expire_after is the text "never", not a duration')
    (said,) = complaints("approvals: {expires_after: 1h}")
    assert said.endswith("did you mean expire_after?")


def test_a_policy_that_was_kept_before_it_had_an_expiry_is_read() -> None:
    kept = Policy().canonical().replace(b'"expire_after":86400000,', b"")
    assert b"expire_after" not in kept
    assert Policy.parse(kept) == Policy()
