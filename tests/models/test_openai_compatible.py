"""The chat completions client against a local server with every fault: one request each, one clear failure, in time."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bridle.models.chat_wire import OutputLimit
from bridle.models.openai_compatible import Endpoint, OpenAICompatible
from bridle.models.port import PolicyNotPinned
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import Millis
from bridle.rules.prompt import Finish, ModelReply, ToolUse, Usage
from tests.models.asking import PINNED, READ, SOON, observed, request, said, user
from tests.wire.provider import Answer, Fault, Provider, answer, calling, chat, error, provider, wish

CANARY = "sk-canary-1"
A_MOMENT = Millis(150)
NOON = datetime(2026, 10, 21, 12, tzinfo=UTC)
Unavailable, Invalid = FailureKind.UNAVAILABLE, FailureKind.INVALID_OUTPUT
Rejected, Limited = FailureKind.REJECTED, FailureKind.RATE_LIMITED


@pytest.fixture
async def far_end() -> AsyncIterator[Provider]:
    async with provider() as serving:
        yield serving


def client(far_end: Provider, key: str | None = CANARY, **endpoint: object) -> OpenAICompatible:
    known = Endpoint(far_end.base_url, **endpoint)  # type: ignore[arg-type]  # fields of Endpoint, by name
    return OpenAICompatible("openai:m", "m", key=lambda: key, endpoint=known, clock=lambda: NOON)


async def ask(far_end: Provider, limit: Millis = SOON) -> ModelReply:
    model = client(far_end)
    try:
        return await model.complete(request(), timeout=limit)
    finally:
        await model.aclose()


async def failure(fault: Fault | Answer, limit: Millis = SOON) -> CallFailed:
    async with provider([fault]) as far_end:
        with pytest.raises(CallFailed) as caught:
            await ask(far_end, limit)
        assert len(far_end.requests) == 1
        return caught.value


@pytest.mark.parametrize(
    ("fault", "kind", "retry_after", "happened"),
    [
        (Fault.RATE_LIMITED, Limited, None, False),
        (Fault.RATE_LIMITED_SECONDS, Limited, 7_000, False),
        (Fault.RATE_LIMITED_MILLIS, Limited, 7_000, False),
        (Fault.RATE_LIMITED_DATE, Limited, 7_000, False),
        (Fault.RATE_LIMITED_NONSENSE, Limited, None, False),
        (Fault.RATE_LIMITED_FOR_YEARS, Limited, 86_400_000, False),
        (Fault.NO_CREDIT, Rejected, None, False),
        (Fault.SERVER_ERROR, Unavailable, None, None),
        (Fault.BAD_GATEWAY, Unavailable, None, None),
        (Fault.OVERLOADED, Unavailable, 2_000, None),
        (Fault.UNAUTHORIZED, FailureKind.CREDENTIALS, None, False),
        (Fault.FORBIDDEN, FailureKind.CREDENTIALS, None, False),
        (Fault.UNKNOWN_MODEL, Rejected, None, False),
        (Fault.TOO_LONG, FailureKind.CONTEXT_OVERFLOW, None, False),
        (Fault.BAD_REQUEST, Rejected, None, False),
        (Fault.REDIRECT, Rejected, None, None),
        (Fault.CUT_OFF, Unavailable, None, None),
        (Fault.RESET, Unavailable, None, None),
        (Fault.ERROR_INSIDE, Unavailable, None, None),
        (Fault.TRUNCATED_JSON, Invalid, None, None),
        (Fault.EMPTY_BODY, Invalid, None, None),
        (Fault.HTML, Invalid, None, None),
        (Fault.INVALID_UTF8, Invalid, None, None),
        (Fault.LONE_SURROGATE, Invalid, None, None),
        (Fault.NUL, Invalid, None, None),
        (Fault.NOT_A_NUMBER, Invalid, None, None),
        (Fault.TOO_LARGE_A_NUMBER, Invalid, None, None),
        (Fault.FIVE_THOUSAND_DIGITS, Invalid, None, None),
        (Fault.TOO_DEEP, Invalid, None, None),
        (Fault.DUPLICATE_KEYS, Invalid, None, None),
        (Fault.HUGE, Invalid, None, None),
        (Fault.COMPRESSED, Invalid, None, None),
        (Fault.NO_CHOICES, Invalid, None, None),
        (Fault.NO_MESSAGE, Invalid, None, None),
        (Fault.TEXT_IS_A_NUMBER, Invalid, None, None),
        (Fault.CALL_WITHOUT_NAME, Invalid, None, None),
    ],
)
async def test_each_fault_is_one_request_and_one_failure(
    fault: Fault, kind: FailureKind, retry_after: int | None, happened: bool | None
) -> None:
    failed = await failure(fault)
    assert (failed.kind, failed.retry_after, failed.happened) == (kind, retry_after, happened)
    assert len(failed.message) < 500


@pytest.mark.parametrize(
    "fault", [Fault.NEVER_ANSWERS, Fault.HEAD_ONLY, Fault.SLOW_DRIP, Fault.SLOW_ERROR, Fault.NEVER_CLOSES]
)
async def test_a_server_that_never_finishes_cannot_extend_the_deadline(fault: Fault) -> None:
    began = asyncio.get_running_loop().time()
    failed = await failure(fault, A_MOMENT)
    assert (failed.kind, failed.happened) == (FailureKind.TIMEOUT, None)
    assert asyncio.get_running_loop().time() - began < 2


async def test_after_a_timeout_the_next_request_is_answered() -> None:
    async with provider([Fault.NEVER_ANSWERS, Fault.SLOW_DRIP]) as far_end:
        model = client(far_end)
        for _ in range(2):
            with pytest.raises(CallFailed):
                await model.complete(request(), timeout=A_MOMENT)
        assert (await model.complete(request(), timeout=SOON)).text == "done"
        await model.aclose()


async def test_without_time_left_nothing_is_sent(far_end: Provider) -> None:
    with pytest.raises(CallFailed) as caught:
        await ask(far_end, Millis(0))
    assert (caught.value.kind, caught.value.happened) == (FailureKind.TIMEOUT, False)
    assert not far_end.requests


async def test_a_server_that_is_not_there_was_certainly_not_asked() -> None:
    async with provider() as far_end:
        pass
    with pytest.raises(CallFailed) as caught:
        await ask(far_end)
    assert (caught.value.kind, caught.value.happened) == (Unavailable, False)


A = ToolUse("call_1", "kb.read", '{"doc":"a"}')


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.NONE, ModelReply("done", usage=Usage(20, 5))),
        (Fault.EMPTY_ANSWER, ModelReply("", usage=Usage(20, 5))),
        (Fault.REFUSAL, ModelReply("I will not.", usage=Usage(20, 5), finish=Finish.REFUSED)),
        (Fault.STOPPED_BY_FILTER, ModelReply("half of", usage=Usage(20, 5), finish=Finish.REFUSED)),
        (Fault.FILTERED, ModelReply("", finish=Finish.REFUSED)),
        (Fault.OUT_OF_TOKENS, ModelReply("half of", usage=Usage(20, 5), finish=Finish.LENGTH)),
        (Fault.NO_USAGE, ModelReply("done")),
        (Fault.NEGATIVE_USAGE, ModelReply("done")),
        (Fault.USAGE_ABOVE_BOUND, ModelReply("done", usage=Usage(10**9, 10**9))),
        (Fault.ABSURD_USAGE, ModelReply("done", usage=Usage(10**12, 5))),
        (calling(wish()), ModelReply("", (A,), Usage(20, 5), Finish.TOOL_CALLS)),
        (
            Fault.MALFORMED_ARGUMENTS,
            ModelReply("", (replace(A, arguments='{"doc": "a'),), Usage(20, 5), Finish.TOOL_CALLS),
        ),
        (Fault.UNKNOWN_TOOL, ModelReply("", (replace(A, name="rm.rf"),), Usage(20, 5), Finish.TOOL_CALLS)),
        (Fault.LOOK_ALIKE, ModelReply("", (replace(A, name="kb__re\u0430d"),), Usage(20, 5), Finish.TOOL_CALLS)),
        (
            Fault.DUPLICATE_IDS,
            ModelReply("", (A, replace(A, arguments='{"doc":"b"}')), Usage(20, 5), Finish.TOOL_CALLS),
        ),
        (
            answer(
                chat("so", tool_calls=[wish()], usage={"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 9})
            ),
            ModelReply("so", (A,), Usage(2, 7), Finish.TOOL_CALLS),
        ),
        (
            calling({"function": {"name": "kb.read", "arguments": {"doc": "a"}}}),
            ModelReply("", (replace(A, id=""),), Usage(20, 5), Finish.TOOL_CALLS),
        ),
    ],
)
async def test_what_can_be_read_is_passed_on_as_it_is(fault: Fault | Answer, expected: ModelReply) -> None:
    async with provider([fault]) as far_end:
        assert await ask(far_end) == expected
        assert len(far_end.requests) == 1


async def test_64_parallel_calls_come_back_as_64_uses() -> None:
    async with provider([Fault.MANY_CALLS]) as far_end:
        assert len((await ask(far_end)).uses) == 64


async def test_the_request_is_the_protocol_with_the_policy_in_front_and_the_output_bounded(far_end: Provider) -> None:
    model = client(far_end, output_limit=OutputLimit.MAX_TOKENS, extra={"service_tier": "default"})
    use = ToolUse("call_9", "kb.read", '{"doc":"a"}')
    await model.complete(request(user("hi \U0001f600"), said("", use), observed("call_9", "text\n")), timeout=SOON)
    await model.aclose()
    assert far_end.requests[0].path == "/v1/chat/completions"
    assert far_end.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    call = {"id": "call_9", "type": "function", "function": {"name": "kb__read", "arguments": '{"doc":"a"}'}}
    function = {"name": "kb__read", "description": READ.description, "parameters": json.loads(READ.parameters)}
    assert far_end.requests[0].body == {
        "model": "m",
        "max_tokens": 256,
        "service_tier": "default",
        "messages": [
            {"role": "system", "content": PINNED},
            {"role": "user", "content": "hi \U0001f600"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "text\n", "tool_call_id": "call_9"},
        ],
        "tools": [{"type": "function", "function": function}],
    }


async def test_a_request_without_its_policy_in_front_is_not_sent(far_end: Provider) -> None:
    asked = request()
    for unpinned in (
        replace(asked, messages=asked.messages[1:]),
        replace(asked, messages=(*asked.messages, asked.messages[0])),
        replace(asked, pinned="another policy"),
        replace(asked, messages=()),
    ):
        model = client(far_end)
        with pytest.raises(PolicyNotPinned):
            await model.complete(unpinned, timeout=SOON)
        await model.aclose()
    assert not far_end.requests


@pytest.mark.parametrize(
    "fault",
    [
        Fault.UNAUTHORIZED,
        error(403, CANARY, CANARY),
        error(500, CANARY, f"key {CANARY} is bad"),
        answer({"error": {"message": f"{CANARY} is bad", "code": 500}}),
        Fault.RESET,
        Fault.NEVER_ANSWERS,
    ],
)
async def test_the_key_is_in_no_failure_and_in_no_frame_of_it(fault: Fault | Answer) -> None:
    async with provider([fault]) as far_end:
        model = client(far_end)
        with pytest.raises(CallFailed) as caught:
            await model.complete(request(), timeout=A_MOMENT)
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        frames = [frame for frame in told.stack if frame.filename.endswith("bridle/models/openai_compatible.py")]
        assert frames
        shown = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r} {model!r} "
        assert CANARY not in shown + " ".join(f"{frame.locals}" for frame in frames)
        await model.aclose()


@pytest.mark.parametrize("key", [None, "", "sk-1\n", "sk 1", "schl\u00fcssel"])
async def test_a_key_that_is_missing_or_unsendable_is_said_before_anything_is_sent(
    far_end: Provider, key: str | None
) -> None:
    model = client(far_end, key)
    with pytest.raises(CallFailed) as caught:
        await model.complete(request(), timeout=SOON)
    await model.aclose()
    assert (caught.value.kind, caught.value.happened) == (FailureKind.CREDENTIALS, False)
    assert not far_end.requests
    assert not key or key not in caught.value.message


async def test_a_cookie_of_the_server_does_not_come_back_to_it() -> None:
    async with provider([answer(chat(), set_cookie="who=tenant-a")]) as far_end:
        model = client(far_end)
        for _ in range(2):
            await model.complete(request(), timeout=SOON)
        await model.aclose()
        assert all("cookie" not in asked.headers for asked in far_end.requests)
        assert far_end.connections == 1


async def test_many_requests_at_once_each_get_their_own_answer() -> None:
    async with provider(plan=lambda number, asked: answer(chat(asked.body["messages"][1]["content"]))) as far_end:  # type: ignore[index]  # a list of messages
        model = client(far_end)
        asked = [request(user(f"question {i}")) for i in range(50)]
        replies = await asyncio.gather(*(model.complete(each, timeout=SOON) for each in asked))
        await model.aclose()
        assert [reply.text for reply in replies] == [f"question {i}" for i in range(50)]
        assert len(far_end.requests) == 50


async def test_a_cancelled_request_ends_at_once_and_is_not_a_failure_of_the_model() -> None:
    async with provider([Fault.NEVER_ANSWERS]) as far_end:
        model = client(far_end)
        asking = asyncio.ensure_future(model.complete(request(), timeout=SOON))
        await far_end.arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await model.aclose()
