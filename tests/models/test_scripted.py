"""The scripted model: its turn follows from the conversation, so that runs share it and a resumed run goes on."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.models import scripted
from bridle.models.scripted import FOREVER, Block, Reported, ScriptedModel, ScriptError, Turn
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import Millis
from bridle.rules.prompt import Finish, Message, ModelReply, Prompt, Role, ToolUse, Usage
from tests.models.asking import PINNED, observed, request, said, user

SCRIPT = """
- call: {tool: search.read, args: {query: "caf\u00e9"}}
- calls:
    - {tool: kb.read, args: {doc: a}}
    - {tool: kb.read, args: '{"doc": "a', id: same}
- fail: unavailable
  repeat: 2
- answer: half
  calls: [{tool: kb.read}]
  usage: {in: 120, out: 8}
- repeat: 2
  turns:
    - call: {tool: a}
    - call: {tool: b}
- refuse: I will not.
  usage: missing
"""


@pytest.fixture
def script(tmp_path: Path) -> ScriptedModel:
    return read(tmp_path, SCRIPT)


def read(folder: Path, text: str) -> ScriptedModel:
    path = folder / "script.yaml"
    path.write_text(text, encoding="utf-8")
    return ScriptedModel.from_yaml(path)


async def ask(model: ScriptedModel, *messages: Message) -> ModelReply:
    return await model.complete(request(*messages), timeout=Millis(1))


async def failure(model: ScriptedModel, *messages: Message) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await ask(model, *messages)
    return caught.value


def after(turns: int) -> list[Message]:
    return [user("task"), *(message for i in range(turns) for message in (said(f"{i}"), observed("x", f"seen {i}")))]


async def test_a_script_is_played_turn_by_turn(script: ScriptedModel) -> None:
    first = await ask(script, *after(0))
    assert first.uses == (ToolUse("call_0_0", "search.read", '{"query":"caf\u00e9"}'),)
    assert (first.finish, first.text) == (Finish.TOOL_CALLS, "")
    second = await ask(script, *after(1))
    assert [use.arguments for use in second.uses] == ['{"doc":"a"}', '{"doc": "a']
    assert [use.id for use in second.uses] == ["call_1_0", "same"]
    for _ in range(2):
        assert (await failure(script, *after(2))).kind is FailureKind.UNAVAILABLE
    third = await ask(script, *after(2))
    assert (third.text, third.usage, third.uses[0].arguments) == ("half", Usage(120, 8), "{}")
    played = [(await ask(script, *after(turn))).uses[0].name for turn in range(3, 7)]
    assert played == ["a", "b", "a", "b"]
    assert await ask(script, *after(7)) == ModelReply("I will not.", finish=Finish.REFUSED)
    over = await failure(script, *after(8))
    assert (over.kind, over.message, over.happened) == (FailureKind.REJECTED, "the script is over", False)


async def test_a_failure_that_repeats_forever_never_passes() -> None:
    model = ScriptedModel([Block((Turn(fail=FailureKind.TIMEOUT),), FOREVER)])
    for _ in range(5):
        assert (await failure(model)).kind is FailureKind.TIMEOUT


async def test_a_turn_that_repeats_forever_is_the_loop_of_a_runaway_agent() -> None:
    model = ScriptedModel([Block((Turn(uses=(ToolUse("", "a", "{}"),)),), FOREVER)])
    assert (await ask(model, *after(1_799))).uses[0].id == "call_1799_0"


@given(st.lists(st.sampled_from(["said", "seen"]), max_size=12), st.integers(1, 4))
async def test_the_turn_is_the_number_of_assistant_messages_whoever_asked_before(kinds: list[str], step: int) -> None:
    model = ScriptedModel([Turn(answer=str(turn)) for turn in range(20)])
    shared = {"said": said("same"), "seen": observed("x", "same")}  # one object in many places of many conversations
    messages = [user("task"), *(shared[kind] for kind in kinds)]
    for end in [*range(1, len(messages) + 1, step), len(messages), 1, len(messages)]:
        conversation = messages[:end]
        expected = sum(message is shared["said"] for message in conversation)
        assert (await ask(model, *conversation)).text == str(expected)


def test_turns_that_were_counted_before_are_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[Message] = []

    def role(message: Message) -> Role:
        counted.append(message)
        return message.role

    monkeypatch.setattr(scripted, "_role", role)
    model, prompt = ScriptedModel([Turn()]), Prompt(PINNED)
    for turn in range(1_000):
        for message in (said("same"), observed("x", "same")):
            prompt = prompt.with_message(message)
        assert model._turns_spoken(prompt.request("m", (), 1).messages) == turn + 1
    assert len(counted) == 1


async def test_counted_usage_stays_within_the_bound_of_the_request() -> None:
    asked = request(user("x" * 1_000), max_output=3)
    reply = await ScriptedModel([Turn(answer="y" * 1_000)]).complete(asked, timeout=Millis(1))
    assert reply.usage is not None
    assert reply.usage.tokens_in <= asked.size
    assert reply.usage.tokens_out == 3
    assert Turn().usage is Reported.COUNTED


@pytest.mark.parametrize(
    ("text", "said_so"),
    [
        ("", "turns are a list"),
        ("[]", "turns are a list"),
        ("answer: done", "turns are a list"),
        ("- [", "this is not YAML"),
        ("- answer: a\n  answer: b", "this is not YAML"),
        ("- done", "turn 1: a turn is a mapping"),
        ("- answer: a\n- anwser: b", "turn 2: anwser is not a key of a turn; did you mean answer?"),
        ("- zzz: b", "turn 1: zzz is not a key of a turn; the keys are answer, call,"),
        ("- usage: {in: 1, out: 1}", "turn 1: a turn has call, calls, answer, refuse or fail"),
        ("- {answer: a, refuse: b}", "turn 1: a turn has call"),
        ("- {call: {tool: a}, calls: []}", "turn 1: a turn has call"),
        ("- {call: {tool: a}, refuse: b}", "turn 1: a turn has call"),
        ("- answer: 42", "turn 1: an answer is text"),
        ("- calls: {tool: a}", "turn 1: calls is a list"),
        ("- call: kb.read", "turn 1: a call has a tool"),
        ("- call: {tool: a, arguments: {}}", "turn 1: a call has a tool"),
        ("- call: {tool: a, args: {day: 2026-01-01}}", "turn 1: the args of a are no JSON"),
        ("- fail: sometimes", "turn 1: sometimes is no failure; the failures are unavailable, timeout"),
        ("- fail: [timeout]", "is no failure"),
        ("- {fail: timeout, answer: a}", "turn 1: beside fail only repeat"),
        ("- {answer: a, repeat: 0}", "turn 1: repeat is a whole number from 1, or forever"),
        ("- {answer: a, repeat: true}", "turn 1: repeat is a whole number"),
        ("- {answer: a, usage: {in: -1, out: 1}}", "turn 1: usage is"),
        ("- {answer: a, usage: [1, 2]}", "turn 1: usage is"),
        ("- {turns: [{answer: a}], answer: b}", "turn 1: beside turns only repeat"),
        ("- {turns: [{answer: a}, {x: b}]}", "turn 1, turn 2: x is not a key"),
        ("- {turns: [{answer: a, repeat: 2}]}", "turn 1: turns that repeat cannot hold"),
        ("- {turns: [{answer: a}, {fail: timeout}]}", "a turn that fails stands alone"),
    ],
)
def test_a_script_with_a_mistake_is_told_where_and_what_to_write(tmp_path: Path, text: str, said_so: str) -> None:
    with pytest.raises(ScriptError) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "script.yaml") in str(caught.value)
    assert said_so in str(caught.value)


def test_a_script_that_is_no_text_or_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_bytes(b"- answer: \xff\xfe")
    with pytest.raises(ScriptError, match="not YAML"):
        ScriptedModel.from_yaml(path)
    path.write_bytes(b"#" * 10_000_001)
    with pytest.raises(ScriptError, match="at most 10,000,000 bytes"):
        ScriptedModel.from_yaml(path)
