"""Who may steer, as the policy file says it: the rule, the sinks and the directories, with every mistake of them."""

from pathlib import Path

import pytest

from bridle.config import BadPolicy, load_policy, mismatches
from bridle.config.explain import explain
from bridle.rules.flow_of_information import Endorse, FlowRule, Way, When
from bridle.rules.names import Effect, Source, ToolName
from bridle.rules.policy import Policy
from bridle.rules.sinks import Directory, Sink
from bridle.rules.tool import Tool, ToolRule, narrowed

WHOLE = """
tools:
  allow: [pay, mail.send]
  pay:
    sinks: {to: [user, "dir:payees"], amount: {from: [user], max: 99.50}, url: {from: [], hosts: ["*.Cdn.example"]}}
    destructive: true
    max_writes: 2
  mail.send: {without_sinks: true}
writes: {require_approval: when_tainted, max_per_run: 3}
tenants:
  acme:
    tools: {allow: [pay], pay: {source: untrusted, sinks: {to: ["dir:payees"]}, max_writes: 1}}
    writes: {max_per_run: 1}
    answer: {schema: {maxLength: 9}}
    flow: {writes: {else: deny}}
directories:
  payees: {values: ["DE89 3704", Ann]}
  people: {tool: people.find}
flow:
  when: always
  writes: {if_sinks_trusted: approve, else: deny, without_sinks: allow}
  egress: {if_sinks_trusted: approve, verbatim_public: deny, else: approve}
  private_and_untrusted: {egress: approve}
  endorse: never
  config: [Ops@acme.example]
answer: {schema: {type: string}}
"""
PAY = ToolName("pay")


def complaints(text: str, folder: Path | None = None) -> list[str]:
    """What is said of a policy; from a file where there is a folder for it."""
    source: str | Path = text
    if folder is not None:
        source = folder / "policy.yaml"
        source.write_text(text)
    with pytest.raises(BadPolicy) as bad:
        load_policy(source)
    return [str(mistake).replace(f"{folder}/policy.yaml:", "") for mistake in bad.value.mistakes]


def test_everything_that_can_be_said_is_read() -> None:
    policy = load_policy(WHOLE).policy
    assert policy.flow_rule == FlowRule(
        When.ALWAYS, Way.APPROVE, Way.DENY, Way.ALLOW, Way.APPROVE, Way.DENY, Way.APPROVE, Way.APPROVE, Endorse.NEVER
    )
    assert policy.tools[PAY].sinks == (
        Sink("to", ("user", "dir:payees")), Sink("amount", ("user",), most="99.5"), Sink("url", (), ("*.cdn.example",)),
    )  # fmt: skip
    assert policy.tools[PAY].destructive is True
    assert policy.tools[ToolName("mail.send")].sinks == ()
    assert policy.directories == {
        "payees": Directory(frozenset({"de89 3704", "ann"})), "people": Directory(tool=ToolName("people.find")),
    }  # fmt: skip
    assert policy.constants == {"ops@acme.example"}
    assert (policy.require_approval, policy.max_writes) == (False, 3)
    assert policy.answers == ('{"type":"string"}',)
    assert Policy.parse(policy.canonical()) == policy


def test_a_tenant_has_stricter_labels_of_its_own() -> None:
    policy = load_policy(WHOLE).policy
    acme = policy.narrow(next(iter(policy.tenants.values())))
    assert acme.tools[PAY].source is Source.UNTRUSTED
    sinks = narrowed(Tool(PAY), acme.tools[PAY]).sinks
    assert sinks is not None
    assert sinks[0] == Sink("to", ("dir:payees",))
    assert (acme.tools[PAY].max_writes, acme.max_writes) == (1, 1)
    assert acme.answers == ('{"type":"string"}', '{"maxLength":9}')
    assert acme.flow_rule == policy.flow_rule, "what a tenant leaves out loosens nothing"


def test_what_is_in_force_can_be_read_again() -> None:
    loaded = load_policy(WHOLE)
    rows = {row.path: row.value for row in explain(loaded.policy, loaded.defaults)}
    assert rows["tools.pay.sinks.amount"] == "{from: [user], max: 99.5}"
    assert rows["tools.mail.send.without_sinks"] == "true"
    assert rows["tenants.acme.tools.pay.sinks.to"] == "[dir:payees]"
    assert rows["tenants.acme.flow.writes.else"] == "deny"
    assert "tenants.acme.flow.when" not in rows
    assert rows["flow.endorse"] == "never"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("flow: {when: tained}", 'flow.when is the text "tained"; did you mean tainted?'),
        ("flow: {writes: {else: ask}}", 'flow.writes.else is the text "ask"; write'),
        ("flow: {writes: {els: deny}}", "flow.writes.els is not a setting; did you mean else?"),
        ("flow: {config: ops}", 'flow.config is the text "ops", not a list'),
        ("writes: {require_approval: tainted}", "neither true nor false"),
        ("tools: {x: {sinks: {to: [usr]}}}", "tools.x.sinks cannot be read: to: 'usr' is no place"),
        (
            'tools: {x: {sinks: {to: ["dir:contcts"]}}}\ndirectories: {contacts: {values: [a]}}',
            "did you mean contacts?",
        ),
        ('tools: {x: {sinks: {to: {from: ["dir:a"]}}}}', "names the directory a, which is not there"),
        ("tools: {x: {sinks: {to: [user]}, without_sinks: true}}", "stands beside sinks"),
        ("tenants: {t: {tools: {x: {timeout: 3}}}}", "tenants.t.tools.x.timeout is not a label of a tool"),
        ('tenants: {t: {tools: {x: {sinks: {to: ["dir:a"]}}}}}', "names the directory a"),
        ("nodes: {t: {flow: {}}}", "nodes.t.flow is not"),
        ("answer: {schema: {tpye: string}}", "answer.schema.tpye"),
        ("directories: {a: {}}", "directories.a says nothing"),
        ("directories: {a: {values: [x], tool: y}}", "says values and tool"),
        ("directories: {a: {file: contacts.txt}}", "has no folder to look in"),
        ("directories: {a: {fil: x}}", "directories.a.fil is not a setting of a directory; did you mean file?"),
    ],
)
def test_each_mistake_says_what_and_where(text: str, complaint: str) -> None:
    assert any(complaint in said for said in complaints(text + "\n")), complaints(text + "\n")


def test_a_mistake_elsewhere_hides_none_of_a_directory() -> None:
    said = complaints("budgets: {max_stepz: 3}\ndirectories: {a: {}, b: {values: [x], tool: y}, c: {fil: x}}\n")
    assert [one.split(" ")[1] for one in said] == [
        "budgets.max_stepz",
        "directories.a",
        "directories.b",
        "directories.c.fil",
    ], said


def test_a_directory_may_be_a_file_beside_the_policy(tmp_path: Path) -> None:
    (tmp_path / "contacts.txt").write_text("# ours\n\n Ann@acme.example \nbob@acme.example\n")
    (tmp_path / "policy.yaml").write_text("directories: {contacts: {file: contacts.txt}}\n")
    policy = load_policy(tmp_path / "policy.yaml").policy
    assert policy.directories["contacts"].values == {"ann@acme.example", "bob@acme.example"}
    (tmp_path / "contacts.txt").write_text("eve@evil.example\n")
    assert load_policy(tmp_path / "policy.yaml").digest != policy.digest(), "another list is another policy"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"ann\nb\xe9b\n", "contacts.txt:2 is not UTF-8"),
        ("ann\nb\u200bob\n".encode(), "contacts.txt:2 holds a sign that nobody can see"),
        (b"ann\nbob\x00\n", "contacts.txt:2 holds a sign that nobody can see"),
        (b"a" * 501, "contacts.txt:1 is no single value"),
        (None, "contacts.txt cannot be read: No such file"),
        (b"x\n" * 2_500_001, "more than 5,000,000 bytes"),
    ],
)
def test_a_bad_file_is_a_mistake_of_the_policy(tmp_path: Path, data: bytes | None, complaint: str) -> None:
    if data is not None:
        (tmp_path / "contacts.txt").write_bytes(data)
    (said,) = complaints("directories: {contacts: {file: contacts.txt}}\n", tmp_path)
    assert complaint in said


def test_the_tools_of_an_application_are_compared() -> None:
    loaded = load_policy(
        "tools: {allow: [pay, note, log], pay: {sinks: {too: [user]}}}\nwrites: {require_approval: when_tainted}\n"
        "directories: {people: {tool: note}}\n"
    )
    tools = [
        Tool(PAY, sinks=(Sink("to", ("dir:contacts",)),)), Tool(ToolName("note")), Tool(ToolName("log"), sinks=()),
        Tool(ToolName("read"), effect=Effect.READ),
    ]  # fmt: skip
    schemas = {tool.name: {"type": "object", "properties": {"to": {"type": "string"}}} for tool in tools}
    said = [f"{one.severity} {one}" for one in mismatches(loaded.policy, schemas, loaded.positions, tools)]
    assert len(said) == 4
    assert "names too, which is no argument of pay; did you mean to?" in said[0]
    assert "error" in said[1]
    assert "of pay names the directory contacts, which is not there" in said[1]
    assert "of note, which writes, are not named" in said[2]
    assert "is note, whose effect is write" in said[3]
    careful = load_policy("tools: {allow: [note]}\n")
    (noted,) = mismatches(careful.policy, schemas, {}, tools[1:2])
    assert noted.severity == "note", "every write waits for a person anyway"


def test_stricter_labels_never_admit_more() -> None:
    loose = ToolRule(effect=Effect.READ, sinks=(Sink("to", ("user", "trusted"), ("a.example",), "5"),))
    strict = ToolRule(effect=Effect.WRITE, sinks=(Sink("to", ("user",), (), "3"), Sink("cc", ())), max_writes=1)
    both = loose.stricter(strict)
    assert both.effect is Effect.WRITE
    assert both.max_writes == 1
    tool = Tool(PAY)
    assert narrowed(tool, both).sinks == (Sink("to", ("user",), (), "3"), Sink("cc", ()))
    assert narrowed(tool, both.stricter(loose)) == narrowed(tool, both)
    unsaid = ToolRule().stricter(strict)
    assert narrowed(tool, unsaid).sinks is None, "a tenant names no sinks that nobody named: it would loosen them"
    assert narrowed(Tool(PAY, sinks=()), unsaid).sinks == ()
