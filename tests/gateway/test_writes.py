"""A write takes effect once, whatever is lost, late or denied on its way; the far end keeps the count."""

import asyncio

import pytest

from bridle.bridle import Bridle
from bridle.gateway.outcome import Refusal
from bridle.rules.effect import IntentStatus
from bridle.rules.events import CallAdmitted, CallInDoubt, CallResolved
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import TenantId, ToolName
from bridle.rules.policy import Limits
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.far_end import (
    CLASSES,
    DONE,
    DOUBT,
    LONG,
    C,
    FarEnd,
    N,
    R,
    one,
    receipt,
    row,
    single,
    told,
)
from tests.gateway.house import allowing, asking, at, journal

MISHAPS = ("lost before", "lost after", "hangs after", "crashes after")


@pytest.mark.parametrize("mishap", MISHAPS)
@pytest.mark.parametrize("probes", [False, True])
@pytest.mark.parametrize("idempotency", CLASSES)
def test_an_unknown_end_is_settled_as_the_class_of_the_tool_allows(idempotency: str, probes: bool, mishap: str) -> None:
    """Sabotage: let `none` be sent again (is_known_again), or count it twice at the far end, and this fails."""
    got, far = told(single, mishap, idempotency=idempotency, probes=probes)
    happened = mishap != "lost before"
    if idempotency != "none":
        assert got == DONE
        assert (len(far.sent), len(set(far.sent)), len(far.effects), far.asked) == (2, 1, 1, [])
    elif not probes:
        assert got == DOUBT
        assert (len(far.sent), len(far.effects)) == (1, int(happened))
    elif happened:
        assert got == DONE
        assert (len(far.sent), len(far.effects)) == (1, 1)
    else:
        assert got == ("tool_unavailable", R.OK, N, 0)
        assert (len(far.sent), far.effects) == (1, [])
        assert far.asked[-1] >= 20


@pytest.mark.parametrize("idempotency", CLASSES)
@pytest.mark.parametrize("mishap", ["rejected", "rate_limited", "credentials", "unavailable"])
def test_a_write_that_certainly_took_no_effect_frees_its_key_and_the_run_goes_on(idempotency: str, mishap: str) -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> list[object]:
        first, refused = await one(b)
        assert (await row(b)).status is N
        second, outcome = await one(b)
        went_on = R.OK_DEGRADED if mishap in ("unavailable", "rate_limited") else R.OK
        assert [run.result.stop and run.result.stop.reason for run in (first, second)] == [went_on, R.OK]
        return [isinstance(refused, Refusal), receipt(outcome)]

    got, far = told(story, mishap, idempotency=idempotency, probes=True)
    assert got == [True, "receipt 1"]
    assert (len(far.sent), far.effects, far.asked) == (2, [("A1", 5)], [])


def test_an_answer_that_is_not_usable_says_that_the_write_took_effect() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> list[object]:
        return [receipt((await one(b))[1]) for _ in range(2)] + [(await row(b)).status]

    got, far = told(story, "nothing usable")
    assert got == ["tool_output_invalid", "tool_output_invalid", C]
    assert far.effects == [("A1", 5)]


def test_a_tool_that_knows_that_it_happened_is_believed() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> IntentStatus:
        @b.tool("note.write", effect="write", key="note:{text}")
        async def note(text: str) -> str:
            far.sent.append(text)
            raise CallFailed(FailureKind.UNAVAILABLE, "it is there, and the line broke", happened=True)

        for _ in range(2):
            async with b.attach(agent="a") as run:
                (outcome,) = await asking(run, "note.write text=x")
                assert isinstance(outcome, Refusal)
        found = await b.store.transact(lambda tx: tx.intent(TenantId("default"), ToolName("note.write"), "note:x"))
        assert found is not None
        return found.status

    got, far = told(story, policy=allowing("note.write"))
    assert (got, far.sent) == (C, ["x"])


@pytest.mark.parametrize("second", ["rate_limited", "rejected", "unavailable", "credentials"])
@pytest.mark.parametrize("probes", [False, True])
def test_a_refused_second_attempt_says_nothing_about_the_first(second: str, probes: bool) -> None:
    """Sabotage: settle a chain by the failure of its newest attempt (Intent.refused), and the far end is paid twice."""

    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> tuple[object, ...]:
        got = await single(b, loop, far)
        far.script.clear()
        return (*got, receipt((await one(b))[1]))

    got, far = told(story, "lost after", *([second] * 5), probes=probes)
    assert len(far.effects) == 1
    assert got == ((*DONE, "receipt 1") if probes else (*DOUBT, "write_in_doubt key_in_doubt"))


def test_a_no_of_the_probe_counts_only_once_the_write_must_have_landed() -> None:
    """Sabotage: believe the first no (leave `lands_within` out of `asked`), and the refund is sent twice."""

    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> list[object]:
        return [receipt((await one(b))[1]) for _ in range(2)]

    got, far = told(story, "lost after", idempotency="none", probes=True, far=FarEnd(lands_after=15.0))
    assert got == ["receipt 1", "receipt 1"]
    assert (far.effects, len(far.sent), len(far.asked)) == ([("A1", 5)], 1, 2)


@pytest.mark.parametrize("limits", [LONG, Limits(max_seconds=15, max_tool_calls=50)])
def test_a_probe_that_fails_or_has_no_time_leaves_the_write_to_a_person(limits: Limits) -> None:
    far = FarEnd(probe_raises=limits is LONG)
    got, far = told(
        single, "lost before", idempotency="none", probes=True, far=far, policy=allowing("refund.create", limits=limits)
    )
    assert got == DOUBT
    assert (len(far.sent), len(far.asked)) == (1, 1)


@pytest.mark.parametrize("level", ["writes", "all"])
def test_a_kill_between_two_attempts_keeps_the_second_from_starting(level: str) -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> object:
        async def turned() -> None:
            await at(loop, 9.9)
            await b.kill(level, by="ann", because="an incident")

        return (await asyncio.gather(single(b, loop, far), turned()))[0]

    got, far = told(story, "hangs after", "well", probes=level == "all")
    assert isinstance(got, tuple)
    assert got[2:] == DOUBT[2:]
    assert (len(far.sent), len(far.asked)) == (1, 0)


def test_the_attempts_of_a_write_are_admitted_counted_and_paid_within_every_budget() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> None:
        run, outcome = await one(b)
        events = journal(b, run.id)
        admitted = [event for event in events if isinstance(event, CallAdmitted)]
        assert [event.attempt for event in admitted] == [1, 2]
        assert [event.again for event in events if isinstance(event, CallInDoubt)] == [True]
        (known,) = [event for event in events if isinstance(event, CallResolved)]
        assert (known.call, known.happened, known.by) == (admitted[0].call, True, "bridle")
        assert (run.spent["tool_calls"], b.store.recorded(run.id).state.retries) == (2, 1)
        assert receipt(outcome) == "receipt 1"
        for order in ("B2", "C3", "D4", "E5"):
            far.script.append("lost after")
            await one(b, f"refund.create order={order}")
        assert len(far.effects) == 5

    _, far = told(story, "lost after")
    assert len(far.sent) <= 5 + 3 * 5


def test_a_write_whose_far_end_is_down_is_sent_at_most_three_times() -> None:
    got, far = told(single, *(["lost before"] * 9))
    assert got == DOUBT
    assert len(far.sent) <= 3
    assert far.effects == []


@pytest.mark.parametrize("idempotency", CLASSES)
def test_a_write_that_is_cancelled_on_its_way_is_in_doubt_and_its_key_is_not_free(idempotency: str) -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> list[object]:
        task = asyncio.create_task(one(b))
        await at(loop, 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (doubt,) = b.store.doubts()
        return [doubt.key, receipt((await one(b))[1])]

    got, far = told(story, "hangs after", idempotency=idempotency)
    assert got == ["refund:A1", "write_in_doubt key_in_doubt"]
    assert len(far.sent) == 1


def test_a_run_that_is_cancelled_while_bridle_finds_out_leaves_the_write_to_a_person() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> int:
        task = asyncio.create_task(one(b))
        await at(loop, 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return len(b.store.doubts())

    got, far = told(story, "lost before", idempotency="none", probes=True)
    assert (got, len(far.asked)) == (1, 1)
