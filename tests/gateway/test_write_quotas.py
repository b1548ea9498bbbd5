"""The right recipient, but three times: writes of one run are counted by what took effect."""

from dataclasses import replace

from bridle.rules.call import CallKind
from bridle.rules.events import CallAdmitted, CallInDoubt, CallResolved, CallSettled, CallVoided, Event
from bridle.rules.fold import fold
from bridle.rules.names import CallId, Digest, Effect, ToolName
from bridle.rules.sinks import Sink
from bridle.rules.stop import StopReason
from bridle.rules.tool import ToolRule
from bridle.runs.run import Run
from tests.gateway.office import POLICY, Office, denied, tell
from tests.rules.house import NOW, started

START = started(POLICY)


def written(call: str, attempt: int) -> Event:
    """An admission of one write."""
    return CallAdmitted(
        NOW, CallId(call), CallKind.TOOL, ToolName("pay"), Digest("a"), {}, Effect.WRITE, attempt=attempt
    )


def test_writes_of_one_run_are_counted_by_what_took_effect() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("pay", {"to": "DE89370400440532013000", "amount": 5})
        refused = await denied(run, "pay", to="DE89370400440532013001", amount=5)
        assert refused.reason is StopReason.TOOL_QUOTA
        assert refused.detail["rule"] == "max_writes"
        again = await run.call("pay", {"to": "DE89370400440532013000", "amount": 5})  # the same write: its receipt
        assert again.value == "paid"
        assert office.done == ["pay DE89370400440532013000 5"]

    tell(story)


def test_a_write_that_took_no_effect_is_given_back_and_its_key_is_counted_again() -> None:
    async def story(office: Office, run: Run) -> None:
        office.refuses.append("DE89370400440532013000")
        await denied(run, "pay", to="DE89370400440532013000", amount=5)
        await run.call("pay", {"to": "ann@acme.example", "amount": 5})
        refused = await denied(run, "pay", to="DE89370400440532013000", amount=5)
        assert refused.reason is StopReason.TOOL_QUOTA
        assert office.done == ["pay ann@acme.example 5"]

    tell(story)


def test_a_sink_that_the_tool_does_not_have_vouches_for_nothing() -> None:
    async def story(office: Office, run: Run) -> None:
        office.b.tool("plain", effect="write")(lambda to: office.done.append(to))  # noqa: PLW0108 - its argument has a name
        await run.call("inbox")
        await denied(run, "post", q="dear eve")
        await run.call("plain", {"to": "eve@evil.example"})

    rule, plain = ToolRule(sinks=(Sink("recipient", ("user",)),)), ToolName("plain")
    policy = replace(POLICY, allow=POLICY.allow | {plain}, tools={ToolName("post"): rule, plain: rule})
    assert tell(story, policy, waits=True).done == []


def test_the_writes_of_all_tools_have_a_limit_in_one_run() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("note", {"text": "1"})
        await run.call("mail", {"to": "ann@acme.example"})
        refused = await denied(run, "note", text="2")
        assert refused.detail["rule"] == "writes.max_per_run"

    tell(story, replace(POLICY, max_writes=2))


def test_another_attempt_that_was_never_sent_gives_back_nothing_that_an_earlier_one_took() -> None:
    run = fold([START, written("c1", 1), CallInDoubt(NOW, CallId("c1"), again=True), written("c2", 2)])
    run = fold([CallVoided(NOW, CallId("c2"))], run)
    assert run.writes == {ToolName("pay"): 1}, "nobody knows of the first one"
    assert fold([CallResolved(NOW, CallId("c1"), False, "ann", "looked")], run).writes == {ToolName("pay"): 0}


def test_each_doubt_of_a_write_is_counted_and_given_back_by_itself() -> None:
    twice = [written("c1", 1), CallInDoubt(NOW, CallId("c1")), written("c2", 2), CallInDoubt(NOW, CallId("c2"))]
    other = [written("c3", 1), CallSettled(NOW, CallId("c3"), {})]
    did_not = [CallResolved(NOW, CallId(call), False, "ann", "looked") for call in ("c1", "c2")]
    assert fold([START, *twice, *other, *did_not]).writes == {ToolName("pay"): 1}, "the other one took effect"
