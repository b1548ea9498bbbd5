"""The protocol as bytes: names of tools, messages encoded once, and replies of any shape."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.models import chat_wire
from bridle.models.chat_wire import Encoder, OutputLimit, own_name, read_reply, wire_name
from bridle.rules.failure import CallFailed
from bridle.rules.prompt import Message, Role, ToolOffer
from bridle.rules.strict_json import Json
from tests.models.asking import READ, observed, request, said, user
from tests.wire.provider import chat, wish

NEWEST = OutputLimit.MAX_COMPLETION_TOKENS
NAMES = st.text(st.sampled_from("ab_.-/ \u00e9"), max_size=12) | st.text(max_size=100)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sets(NAMES, max_size=20))
def test_every_tool_has_a_legal_name_of_its_own_on_the_wire(names: set[str]) -> None:
    wire = {wire_name(name) for name in names}
    assert len(wire) == len(names)
    assert all(1 <= len(name) <= 64 and name.replace("_", "a").replace("-", "a").isalnum() for name in wire)
    assert all(name.isascii() for name in wire)


@given(st.sets(NAMES, max_size=20))
def test_an_offered_tool_is_recognised_by_the_name_that_was_sent(names: set[str]) -> None:
    offers = [ToolOffer(name, "", "{}") for name in names]
    taken = {name for name in names if len(name) <= chat_wire.MAX_NAME}
    assert all(own_name(wire_name(name), offers) == name for name in names if wire_name(name) not in names)
    assert all(own_name(name, offers) == name for name in taken)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("kb__read", "kb.read"),
        ("kb.read", "kb.read"),
        ("mail__send", "mail.send"),
        ("mail_send", "mail_send"),
        ("kb___read", "kb._read"),
        ("kb__re\u0430d", "kb__re\u0430d"),
        ("", ""),
        ("x" * 1_000_000, "x" * 1_000_000),
    ],
)
def test_a_name_that_was_not_offered_is_passed_on_for_the_gateway_to_judge(written: str, meant: str) -> None:
    assert own_name(written, [READ]) == meant


def test_a_message_is_encoded_once_however_many_requests_it_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Message] = []
    encode: Callable[[Message], bytes] = chat_wire._message

    def counted(message: Message) -> bytes:
        encoded.append(message)
        return encode(message)

    monkeypatch.setattr(chat_wire, "_message", counted)
    encoder, messages = Encoder(), [user("question")]
    for turn in range(50):
        messages += [said(f"thought {turn}"), observed("1", f"seen {turn}")]
        encoder.body("m", request(*messages), NEWEST, {})
    assert len(encoded) == 2 + 2 * 50


def test_what_the_encoder_keeps_is_bounded_and_what_it_dropped_is_written_again() -> None:
    encoder = Encoder(max_cached_bytes=2_000)
    messages = [user(f"{i} " + "x" * 50) for i in range(100)] + [user("y" * 5_000)]
    bodies = {encoder.body("m", request(*messages), NEWEST, {}) for _ in range(3)}
    assert len(bodies) == 1
    assert sum(map(len, encoder._encoded.values())) <= 2_000


def test_a_lone_surrogate_in_a_message_does_not_keep_it_from_being_sent() -> None:
    broken = replace(request(), messages=(Message(Role.USER, "a\ud800b"),))
    assert json.loads(Encoder().body("m", broken, NEWEST, {}))["messages"][0]["content"] == "a?b"


@given(JSON)
def test_a_reply_of_any_shape_is_read_or_is_a_failure(body: Json) -> None:
    for inside in (body, {"choices": body}, chat("x", tool_calls=body), chat("x", usage=body), {"error": body}):
        raw = json.dumps(inside).encode()
        with contextlib.suppress(CallFailed):
            read_reply(raw, [READ], max_bytes=1_000_000)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_are_a_failure(raw: bytes) -> None:
    with pytest.raises(CallFailed):
        read_reply(raw, [READ], max_bytes=1_000)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ([], "$"),
        ({}, "$.choices"),
        ({"choices": [1]}, "$.choices[0]"),
        ({"choices": [{}]}, "$.choices[0].message"),
        (chat("x", content=[]), "$.choices[0].message.content"),
        (chat("x", tool_calls={}), "$.choices[0].message.tool_calls"),
        (chat("x", tool_calls=[wish(), None]), "$.choices[0].message.tool_calls[1]"),
        (chat("x", tool_calls=[{"function": {"name": 1}}]), "$.choices[0].message.tool_calls[0].function.name"),
        (
            chat("x", tool_calls=[{"function": {"name": "a", "arguments": [1]}}]),
            "$.choices[0].message.tool_calls[0].function.arguments",
        ),
    ],
)
def test_a_wrong_shape_is_named_by_its_path(body: object, where: str) -> None:
    with pytest.raises(CallFailed, match="the answer of the model has") as caught:
        read_reply(json.dumps(body).encode(), [], max_bytes=10_000)
    assert f" at {where}, not " in caught.value.message
