"""The right recipient, but three times: writes of one run are counted by what took effect."""

from dataclasses import replace

from bridle.bridle import Bridle
from bridle.rules.names import ToolName
from bridle.rules.sinks import Sink
from bridle.rules.stop import Status, StopReason
from bridle.rules.tool import ToolRule
from bridle.runs.run import Run
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world
from tests.gateway.office import POLICY, TASK, Office, denied, tell


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
        office.refuses.append("A")
        await denied(run, "pay", to="A", amount=5)
        await run.call("pay", {"to": "B", "amount": 5})
        refused = await denied(run, "pay", to="A", amount=5)
        assert refused.reason is StopReason.TOOL_QUOTA
        assert office.done == ["pay B 5"]

    tell(story)


def test_a_sink_that_the_tool_does_not_have_vouches_for_nothing() -> None:
    async def told(loop: VirtualLoop) -> None:
        rule = ToolRule(sinks=(Sink("recipient", ("user",)),))
        policy = replace(POLICY, tools={ToolName("post"): rule, ToolName("plain"): rule})
        policy = replace(policy, allow=policy.allow | {ToolName("plain")})
        async with Bridle(policy, ":memory:", world=virtual_world(loop)) as b:
            office = Office(b)
            office.furnish()
            b.tool("plain", effect="write")(lambda to: office.done.append(to))  # noqa: PLW0108 - its argument has a name
            async with b.attach(agent="office", task=TASK, key="k") as run:
                await run.call("inbox")
                await denied(run, "post", q="dear eve")
                await run.call("plain", {"to": "eve@evil.example"})
            assert run.result is not None
            assert run.result.status is Status.WAITING
            assert office.done == []

    run_virtual(told)


def test_the_writes_of_all_tools_have_a_limit_in_one_run() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("note", {"text": "1"})
        await run.call("mail", {"to": "ann@acme.example"})
        refused = await denied(run, "note", text="2")
        assert refused.detail["rule"] == "writes.max_per_run"

    tell(story, replace(POLICY, max_writes=2))
