"""YAML that is no policy: each mistake at its line and column, and nothing hostile raises anything else."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridle.config import BadPolicy, load_policy
from bridle.config.grammar import PolicyFile
from bridle.config.yaml_tree import read_yaml
from tests.config.saying import complaints

UNREADABLE = "could not be read as YAML"
MISTAKES = [
    (
        "writes: {require_approval: true}\nbudgets: {}\nwrites: {require_approval: false}",
        "3:1: writes stands here again; the first is in line 1; keep one",
    ),
    (
        "budgets:\n  max_steps: 3\n  max_steps: 4\n  max_steps: 5",
        "3:3: budgets.max_steps stands here again; the first is in line 2; keep one",
        "4:3: budgets.max_steps stands here again; the first is in line 2; keep one",
    ),
    (
        "budgets: {max_steps: 3, 'max_steps': 4, max_stepz: 1}",
        "1:25: budgets.max_steps stands here again; the first is in line 1; keep one",
        "1:41: budgets.max_stepz is not a limit; did you mean max_steps?",
    ),
    ("budgets: &b {}", "1:10: budgets has an anchor (&name); remove it; aliases are not read"),
    (
        "budgets: &b {}\nhouse: *b",
        "1:10: budgets has an anchor (&name); remove it; aliases are not read",
        "2:8: house is an alias (*name); write the value out",
    ),
    ("budgets:\n  <<: {max_steps: 3}", "2:3: budgets has a merge key (<<); write the settings out"),
    (
        "budgets: !!python/object/apply:os.system [ls]",
        "1:10: budgets has a tag (tag:yaml.org,2002:python/object/apply:os.system); remove it",
    ),
    ("budgets: {max_steps: !!int '3'}", "1:22: budgets.max_steps has a tag (tag:yaml.org,2002:int); remove it"),
    ("budgets: {max_steps: ! 3}", "1:22: budgets.max_steps has a tag (!); remove it"),
    ("!!str budgets: {}", "1:1: budgets has a tag (tag:yaml.org,2002:str); remove it"),
    ("budgets: {}\n---\ntools: {}", "2:1: holds a second document; a policy is one document: remove the `---`"),
    ("%YAML 1.1\n---\nbudgets: {}", "2:1: comes after a directive (%YAML, %TAG); remove the line with the %"),
    ("tenants: {42: {}}", "1:11: tenants has a key that is not text: 42; put it in quotes"),
    ("tenants: {null: {}}", "1:11: tenants has a key that is not text: null; put it in quotes"),
    ("tenants: {? [a] : {}}", "1:13: tenants has a key that is not text; write every key as plain text"),
    (
        'tenants: {"\\ud800": {}}',
        "1:11: tenants.\\ud800 holds a lone surrogate, which is no character; write the character itself",
    ),
    (
        'tools: {deny: ["\\udfff"]}',
        "1:16: tools.deny[0] holds a lone surrogate, which is no character; write the character itself",
    ),
    (
        "budgets:\n\tmax_steps: 3",
        "2:1: could not be read as YAML: found character '\\t' that cannot start any token; "
        "indent with spaces: YAML allows no tabs there",
    ),
    ("tools: {allow: [a", "2:1: could not be read as YAML: expected ',' or ']', but got '<stream end>'"),
    (
        "budgets:\n  a: 1\n b: 2",
        "3:2: could not be read as YAML: expected <block end>, but found '<block mapping start>'",
    ),
    ("a: b: c", "1:5: could not be read as YAML: mapping values are not allowed here"),
    ("tools: 'a", "2:1: could not be read as YAML: found unexpected end of stream"),
    ("a: \x07", '1:4: could not be read as YAML: the character "\\x07" is not allowed; remove it'),
    (
        'a: "\\UFFFFFFFF"',
        "1:1: could not be read as YAML after this place; look for an odd escape or directive",
    ),
    (
        "a: 1\na: 2\nb: [",
        "2:1: a stands here again; the first is in line 1; keep one",
        "4:1: could not be read as YAML: expected the node content, but found '<stream end>'",
    ),
]


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: row[0])
def test_a_mistake_of_the_yaml_is_named(row: tuple[str, ...]) -> None:
    said = complaints(row[0])
    assert said == list(row[1:])


def test_words_of_yaml_1_1_are_only_words() -> None:
    assert read_yaml("[yes, on, 1_000, 0x10, 017, 1:30, 2026-01-01, =]", "-").value == [
        "yes", "on", "1_000", "0x10", "017", "1:30", "2026-01-01", "=",
    ]  # fmt: skip


def test_billion_laughs_are_not_laughed() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))]
    assert any("is an alias" in line for line in complaints("\n".join(lines)))


DEEP = "is nested more than 32 levels deep; make it flatter"
HOSTILE = [
    ("[" * 900_000, DEEP),
    ("{a: " * 200_000, DEEP),
    ("- " * 400_000, DEEP),
    ("? " * 400_000, DEEP),
    ("a: b\n" * 190_000, "holds more than 50,000 values; make it smaller"),
    ("tools: {allow: [" + "a," * 400_000, "holds more than 50,000 values; make it smaller"),
]


@pytest.mark.parametrize(("text", "said"), HOSTILE, ids=lambda text: text[:12])
def test_hostile_yaml_is_left_early(text: str, said: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        load_policy(text + "\n")
    assert said in str(caught.value.mistakes[-1])


def test_a_python_mapping_that_holds_itself_is_refused() -> None:
    source: dict[str, object] = {}
    source["tools"] = source
    with pytest.raises(BadPolicy, match="nested more than 32 levels deep"):
        load_policy(source)
    with pytest.raises(BadPolicy, match="holds more than 50,000 values"):
        load_policy({"tools": {"allow": ["a"] * 50_001}})


PIECES = [
    *(
        "a",
        "budgets",
        "max_steps",
        "tools",
        ":",
        ": ",
        " ",
        "\n",
        "\n  ",
        "- ",
        "?",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "!",
    ),
    *(
        "!!int ",
        "|",
        ">",
        "'",
        '"',
        "%",
        "@",
        "`",
        "#",
        ",",
        "\t",
        "0",
        "1",
        ".",
        "-",
        "\\",
        "x",
        "\u2028",
        "\x85",
        "é",
    ),
    *(
        "<<",
        "---",
        "...",
        "\r",
        "~",
        "=",
        "\\UFFFFFFFF",
        "\\xzz",
        "\\ud800",
        "%YAML 1.2",
        "%YAML 1.20",
        "%TAG ! x",
        "!<",
    ),
    *(">-2", "|9", "\ufeff", "1e9", "null", "true", ".inf", "$1", "\0", "😀", "\U0010ffff", "\x1b"),
]


def load_or_complain(source: str | dict[str, object]) -> None:
    try:
        loaded = load_policy(source)
    except BadPolicy as error:
        lines = str(error).split("\n")
        said = len(lines) == len(error.mistakes) > 0 and all(line.isprintable() for line in lines)
    else:
        said = loaded.policy.canonical() != b""
    assert said


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_junk_yaml_raises_nothing_but_bad_policy(junk: str) -> None:
    for text in (junk + "\n", f"tools:\n  http.get: {{args: {junk}}}\n", f"budgets: {{max_usd: {junk}}}\n"):
        load_or_complain(text)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.decimals(allow_nan=True),
    st.binary(max_size=2),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
SECTIONS = [*PolicyFile.model_fields, "zzz"]
SETTINGS = ["max_usd", "max_steps", "allow", "deny", "a", "args", "output", "budgets", "track", "properties"]
settings = st.dictionaries(st.sampled_from(SETTINGS), values, max_size=3)
groups = st.dictionaries(st.sampled_from(SETTINGS), values | settings, max_size=3)


@example({"tools": {"max_usd": {"\x1f": {}}}})  # a control character once reached the hint
@example({"tools": {"allow": ["a\nb"], "deny": ["a\nb"]}})
@given(st.dictionaries(st.sampled_from(SECTIONS), values | groups, max_size=4))
def test_junk_mappings_raise_nothing_but_bad_policy(source: dict[str, object]) -> None:
    load_or_complain(source)
