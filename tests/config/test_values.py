"""Every wrong number, amount, duration, word and name, and what its author is told to write."""

from decimal import Decimal, localcontext

import pytest

from bridle.config import BadPolicy, load_policy
from bridle.config.values import in_dollars
from tests.config.saying import complaints

WRITE_COUNT = "write a whole number greater than 0"
UNITS = 'write seconds (90), or text with a unit ("1500ms", "90s", "2m", "1h")'
NAME = "a tool's name is ASCII letters, digits and . _ - : /, at most 128 of them"

COUNTS = [
    ("0", f"is 0; {WRITE_COUNT}"),
    ("-3", f"is -3; {WRITE_COUNT}"),
    ("null", f'is empty, and "no limit" cannot be said; {WRITE_COUNT}, or remove the line'),
    ("~", f'is empty, and "no limit" cannot be said; {WRITE_COUNT}, or remove the line'),
    ("", f'is empty, and "no limit" cannot be said; {WRITE_COUNT}, or remove the line'),
    (".inf", f'is infinite, and "no limit" cannot be said; {WRITE_COUNT}, as large as it may get'),
    ("-.INF", f'is infinite, and "no limit" cannot be said; {WRITE_COUNT}, as large as it may get'),
    (".nan", f"is not a number; {WRITE_COUNT}"),
    ("true", f"is true, not a number; {WRITE_COUNT}"),
    ('"15"', 'is the text "15", not a number; write 15 without quotes'),
    ("15.0", "is 15.0, not a whole number; write 15"),
    ("1e2", "is 1E+2, not a whole number; write 100"),
    ("1.5", f"is 1.5, not a whole number; {WRITE_COUNT}"),
    ("015", f'is the text "015", not a number; {WRITE_COUNT}'),
    ("0x10", f'is the text "0x10", not a number; {WRITE_COUNT}'),
    ("1_000", f'is the text "1_000", not a number; {WRITE_COUNT}'),
    ("unlimited", f'is the text "unlimited", not a number; {WRITE_COUNT}'),
    ("[1]", f"is a list, not a number; {WRITE_COUNT}"),
    ("9999999999999", "is more than 1,000,000,000,000; write a smaller number"),
    ("9" * 41, "is a number of more than 40 digits; write a smaller one"),
    ("9" * 5_000, "is a number of more than 40 digits; write a smaller one"),
    ("1e1000", "is a number of more than 40 digits; write a smaller one"),
]
MONEY = [
    ("0", "is 0; write an amount of more than 0 dollars"),
    ("-1", "is -1; write an amount of more than 0 dollars"),
    ("$0.00", "is $0.00; write an amount of more than 0 dollars"),
    ("-0.0", "is -0.0; write an amount of more than 0 dollars"),
    ("'-1'", 'is the text "-1", not an amount of dollars; write dollars, such as "0.20"'),
    ("1 USD", 'is the text "1 USD", not an amount of dollars; write dollars, such as "0.20"'),
    ("'$1,000'", 'is the text "$1,000", not an amount of dollars; write dollars, such as "0.20"'),
    ("true", 'is true, not an amount of dollars; write dollars, such as "0.20"'),
    ("null", 'is empty, and "no limit" cannot be said; write dollars, such as "0.20", or remove the line'),
    (".inf", 'is infinite, and "no limit" cannot be said; write dollars, such as "0.20"'),
    (".nan", 'is not a number; write dollars, such as "0.20"'),
    ("0.0000000001", "has more than 9 decimals; the smallest amount is $0.000000001"),
    ("'0.0000000001'", "has more than 9 decimals; the smallest amount is $0.000000001"),
    ("1e-10", "has more than 9 decimals; the smallest amount is $0.000000001"),
    ("1000000001", "is more than $1,000,000,000; write a smaller amount"),
    ("1e999", "is more than $1,000,000,000; write a smaller amount"),
    ("{}", 'is a mapping, not an amount of dollars; write dollars, such as "0.20"'),
]
DURATIONS = [
    ("0", "is 0; write a duration greater than 0"),
    ("-1", "is -1; write a duration greater than 0"),
    ("1.5", f"is 1.5, not a duration; {UNITS}"),
    ("90sec", f'is the text "90sec", not a duration; {UNITS}'),
    ("'90'", f'is the text "90", not a duration; {UNITS}'),
    ("0s", f'is the text "0s", not a duration; {UNITS}'),
    ("1:30", f'is the text "1:30", not a duration; {UNITS}'),
    ("true", f"is true, not a duration; {UNITS}"),
    ("null", f'is empty, and "no limit" cannot be said; {UNITS}, or remove the line'),
    ("8761h", "is longer than a year; write a shorter duration"),
]
OTHERS = [
    ("reuse: rum", 'is the text "rum"; write run, never, or how long a result stays good, such as "60s"'),
    ("reuse: 0", "is 0; write a duration greater than 0"),
    ("reuse: true", f"is true, not a duration; {UNITS}"),
    ("effect: reed", 'is the text "reed"; did you mean read?'),
    ("effect: 1", "is 1; write read, egress or write"),
    ("effect: null", "is empty; write read, egress or write"),
    ("source: internet", 'is the text "internet"; write trusted or untrusted'),
    ("confidentiality: secret", 'is the text "secret"; write public or private'),
    ("expensive: yes", 'is the text "yes", neither true nor false; write true'),
    ("expensive: Off", 'is the text "Off", neither true nor false; write false'),
    ("expensive: 1", "is 1, neither true nor false; write true or false"),
    ("cost: -1", "is -1; write an amount of 0 or more dollars"),
    ("args: [1]", "is a list, not a JSON Schema; write a mapping, such as {properties: {...}}"),
    ("output: true", "is true, not a JSON Schema; write a mapping, such as {properties: {...}}"),
    ("max_calls: 0", f"is 0; {WRITE_COUNT}"),
]
TOOLS = [
    ('"search.*"', 'is the text "search.*", and wildcards are not read; list every tool by its name'),
    ("kb read", f'is the text "kb read", not the name of a tool; {NAME}'),
    ("kb.réad", f'is the text "kb.réad", not the name of a tool; {NAME}'),
    ("kb.reаd", f'is the text "kb.reаd", not the name of a tool; {NAME}'),
    ("''", f'is the text "", not the name of a tool; {NAME}'),
    ("3", f"is 3, not the name of a tool; {NAME}"),
    ("x" * 129, f'is the text "{"x" * 57}...", not the name of a tool; {NAME}'),
]


@pytest.mark.parametrize(("value", "said"), COUNTS)
def test_a_limit_is_a_whole_number_greater_than_0(value: str, said: str) -> None:
    assert complaints(f"budgets: {{max_steps: {value}}}") == [f"1:11: budgets.max_steps {said}"]
    assert complaints(f"house: {{max_steps_per_day: {value}}}") == [f"1:9: house.max_steps_per_day {said}"]


def test_only_max_refusals_may_be_0() -> None:
    assert load_policy("budgets: {max_refusals: 0}\n").policy.max_refusals == 0
    said = "1:11: budgets.max_refusals is -1; write a whole number, 0 or more"
    assert complaints("budgets: {max_refusals: -1}") == [said]


def test_a_run_of_more_than_a_year_is_no_run() -> None:
    said = "1:11: budgets.max_seconds is more than 31,536,000; write a smaller number"
    assert complaints("budgets: {max_seconds: 31536001}") == [said]


@pytest.mark.parametrize(("value", "said"), MONEY)
def test_an_amount_is_dollars_greater_than_0(value: str, said: str) -> None:
    assert complaints(f"budgets: {{max_usd: {value}}}") == [f"1:11: budgets.max_usd {said}"]


@pytest.mark.parametrize(("value", "said"), DURATIONS)
def test_a_duration_is_seconds_or_has_a_unit(value: str, said: str) -> None:
    assert complaints(f"tools: {{deny: [t], t: {{timeout: {value}}}}}") == [f"1:24: tools.t.timeout {said}"]


@pytest.mark.parametrize(("setting", "said"), OTHERS)
def test_a_setting_of_a_tool_is_read_strictly(setting: str, said: str) -> None:
    assert complaints(f"tools: {{t: {{{setting}}}}}") == [f"1:13: tools.t.{setting.partition(':')[0]} {said}"]


@pytest.mark.parametrize(("value", "said"), TOOLS)
def test_the_name_of_a_tool_is_plain(value: str, said: str) -> None:
    assert complaints(f"tools: {{allow: [{value}]}}") == [f"1:17: tools.allow[0] {said}"]


def test_a_free_model_and_a_free_tool_may_be_declared() -> None:
    text = "models: {m: {usd_per_million_in: 0, usd_per_million_out: $0.00}}\ntools: {deny: [t], t: {cost: 0}}\n"
    policy = load_policy(text).policy
    assert (policy.models["m"].usd_nano_per_token_in, policy.models["m"].usd_nano_per_token_out) == (0, 0)


@pytest.mark.parametrize(
    ("value", "hint"), [(0.1, 'text: "0.1"'), (1e-7, 'text: "0.0000001"'), (1e300, "0.20"), (float("inf"), "0.20")]
)
def test_a_float_in_python_never_becomes_money(value: float, hint: str) -> None:
    with pytest.raises(BadPolicy, match=r"no float touches money") as caught:
        load_policy({"budgets": {"max_usd": value}})
    assert hint in str(caught.value)


HUGE = [10**5_000, -(10**5_000), Decimal("1e99999"), Decimal("-1e-99999")]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 3.0, True, None, "3", 0, -1, *HUGE], ids=lambda _: "value"
)
def test_python_values_are_as_strict_as_yaml(value: object) -> None:
    with pytest.raises(BadPolicy, match=r"^policy: budgets\.max_steps is "):
        load_policy({"budgets": {"max_steps": value}})


def test_money_does_not_depend_on_the_precision_of_somebody_else() -> None:
    with localcontext() as context:
        context.prec = 3
        assert load_policy("budgets: {max_usd: 1234.567890123}\n").policy.limits.max_usd == 1_234_567_890_123
        assert in_dollars(1_234_567_890_123) == "$1,234.567890123"


def test_dollars_are_shown_to_the_last_digit() -> None:
    assert [in_dollars(nanos) for nanos in (0, 10**9, 2 * 10**8, 125, 1_999_000_000, 1_234 * 10**9)] == [
        "$0.00", "$1.00", "$0.20", "$0.000000125", "$1.999", "$1,234.00",
    ]  # fmt: skip
