"""Keys of writes: whose they are, what a second write under one is answered, and what a person may say of them."""

import asyncio
from contextlib import suppress

import pytest

from bridle.bridle import Bridle
from bridle.gateway.context import CallContext
from bridle.gateway.labels import Labels
from bridle.gateway.outcome import Observation
from bridle.rules.events import CallReused
from bridle.rules.failure import BridleError
from bridle.rules.fold import fold
from bridle.rules.names import TenantId, ToolName
from bridle.rules.policy import Enforcement, Policy
from bridle.rules.stop import StopReason
from bridle.runs.doubts import NotInDoubt
from bridle.runs.signals import Denied
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.far_end import (
    LONG,
    POLICY,
    FarEnd,
    R,
    furnished,
    one,
    receipt,
    told,
)
from tests.gateway.house import allowing, asking, at, journal


def test_a_replay_returns_the_recorded_receipt_in_another_run_and_performs_nothing() -> None:
    """Sabotage: make `meant` return None for a confirmed key, or key the digest with the run's salt, and this fails."""

    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> None:
        first, outcome = await one(b)
        await at(loop, 10 * 86_400)
        second, again = await one(b)
        assert isinstance(outcome, Observation)
        assert isinstance(again, Observation)
        assert (again.value, again.handle) == (outcome.value, f"artifact:{first.id}/{outcome.call}")
        (reused,) = [event for event in journal(b, second.id) if isinstance(event, CallReused)]
        assert (reused.run, reused.of) == (first.id, outcome.call)
        assert b.store.recorded(second.id).state.is_tainted
        assert second.spent.get("tool_calls", 0) == 0

    _, far = told(story)
    assert (len(far.sent), far.effects) == (1, [("A1", 5)])


def test_the_same_key_with_other_arguments_is_its_own_refusal() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> list[object]:
        await one(b)
        return [
            receipt((await one(b, call))[1]) for call in ("refund.create order=A1 amount=9", "refund.create order=B2")
        ]

    got, far = told(story)
    assert got == ["policy_denied key_of_other_arguments", "receipt 2"]
    assert far.effects == [("A1", 5), ("B2", 5)]


@pytest.mark.parametrize("same_turn", [True, False])
def test_of_two_writes_under_one_key_at_once_one_is_sent_and_the_other_refused(same_turn: bool) -> None:
    """Sabotage: read the row before the transaction of the admission, or do not claim it there, and this fails."""

    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> list[str]:
        call = "refund.create order=A1"
        if same_turn:
            async with b.attach(agent="a") as run:
                outcomes = await asking(run, call, call)
        else:
            outcomes = [outcome for _, outcome in await asyncio.gather(one(b, call), one(b, call))]
        return sorted(str(receipt(outcome)) for outcome in outcomes)

    got, far = told(story, "slow", "slow")
    assert got == ["policy_denied key_in_flight", "receipt 1"]
    assert far.effects == [("A1", 5)]


def test_tenants_and_tools_have_keys_of_their_own_also_at_the_far_end() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> None:
        for tenant in ("acme", "umbrella/x"):
            async with b.attach(agent="a", tenant=tenant) as run:
                await asking(run, "refund.create order=A1")

    _, far = told(story)
    assert far.sent == ["acme/refund.create/refund:A1", "umbrella%2Fx/refund.create/refund:A1"]
    assert len(far.effects) == 2


def test_a_write_without_a_template_has_a_key_for_each_call() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> None:
        async with b.attach(agent="a") as run:
            await asking(run, "refund.create order=A1", "refund.create order=A1")

    _, far = told(story, key=False)
    assert len(set(far.sent)) == len(far.effects) == 2


def test_a_key_that_the_far_end_has_forgotten_is_not_sent_again() -> None:
    """Sabotage: leave `key_ttl` out of is_known_again, and the far end is paid twice."""

    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> int:
        calls = 0

        @b.tool("wire.send", effect="write", idempotency="key", key="wire:{to}", key_ttl="5s", timeout="6s")
        async def wire(to: str) -> str:
            nonlocal calls
            calls += 1
            await asyncio.Event().wait()
            return to

        async with b.attach(agent="a") as run:
            await asking(run, "wire.send to=ann")
        assert run.result.stop is not None
        assert run.result.stop.reason is R.WRITE_IN_DOUBT
        return calls

    got, _ = told(story, policy=allowing("wire.send", limits=LONG))
    assert got == 1


def test_observe_mode_lets_no_write_take_effect_twice() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> list[object]:
        return [receipt((await one(b))[1]) for _ in range(2)]

    policy = Policy(limits=LONG, enforcement=Enforcement.OBSERVE)
    got, far = told(story, policy=policy)
    assert got == ["receipt 1", "receipt 1"]
    assert len(far.sent) == 1


def test_a_write_that_waits_for_a_person_claims_no_key() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> object:
        async with b.attach(agent="a") as run:
            await asking(run, "refund.create order=A1")
        key = ("default", "refund.create", "refund:A1")
        return await b.store.transact(lambda tx: tx.intent(TenantId(key[0]), ToolName(key[1]), key[2]))

    got, far = told(story, policy=allowing("refund.create", require_approval=True))
    assert (got, far.sent) == (None, [])


@pytest.mark.parametrize("happened", [True, False])
def test_what_a_person_says_is_an_event_after_the_end_and_the_fate_of_the_key(happened: bool) -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> object:
        run, _ = await one(b)
        before = b.store.recorded(run.id).state
        (doubt,) = b.doubts()
        why = "the bank's page shows it"
        assert (doubt.write, doubt.key) == (f"{run.id}/c1", "refund:A1")
        assert doubt.arguments == {"order": "A1"}
        assert await b.resolve(doubt.write, happened=happened, by="ann", because=why)
        assert not await b.resolve(doubt.write, happened=happened, by="ann", because=why)
        with pytest.raises(NotInDoubt, match="resolved before"):
            await b.resolve(doubt.write, happened=not happened, by="ann", because=why)
        after = b.store.recorded(run.id).state
        assert fold(entry.event for entry in b.store.journal(run.id)) == after
        assert (after.in_doubt, after.stop, after.last_at) == ({}, before.stop, before.last_at)
        assert b.doubts() == []
        return receipt((await one(b))[1])

    got, far = told(story, "lost after", idempotency="none")
    assert got == ("tool_output_invalid" if happened else "receipt 2")
    assert len(far.sent) == (1 if happened else 2)


async def test_what_cannot_be_resolved_is_a_sentence() -> None:
    b = Bridle(POLICY, ":memory:")
    furnished(b, FarEnd())
    async with b:
        run, outcome = await one(b)
        assert isinstance(outcome, Observation)
        for write, because, error in (
            (f"{run.id}/{outcome.call}", "I looked", "is not in doubt"),
            (f"{run.id}/c9", "I looked", "sent no call c9"),
            (f"{run.id}/{outcome.call}", "  ", "has a reason"),
            (run.id, "I looked", "names no write"),
            ("r-9/c1", "I looked", "there is no run r-9"),
        ):
            with pytest.raises(BridleError, match=error):
                await b.resolve(write, happened=True, by="ann", because=because)


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (Labels(effect="write", key="refund:{ordr}"), "there is no argument ordr; there are order, amount"),
        (Labels(effect="write", key="refund:{amount}"), "amount may be left out"),
        (Labels(effect="write", key="refund"), "names no argument"),
        (Labels(effect="write", key="{order.id}"), "is no blank"),
        (Labels(effect="write", key="{order"), "key '{order'"),
        (Labels(effect="read", key="{order}"), "key is for writes, and its effect is read"),
        (Labels(effect="read", lands_within="3s"), "lands_within is for writes"),
        (Labels(effect="write", key_ttl="soon"), "key_ttl is a time like"),
        (Labels(effect="write", probe="yes"), "probe is a function"),  # type: ignore[typeddict-item]  # the point
        (Labels(effect="write", key=7), "key is a text"),  # type: ignore[typeddict-item]  # the point
    ],
)
def test_a_declaration_that_cannot_hold_is_refused_when_it_is_made(labels: Labels, error: str) -> None:
    async def refund(order: str, amount: int = 5) -> str:
        return order

    with pytest.raises(BridleError, match=error):
        Bridle(None, ":memory:").declare("refund.create", refund, **labels)


@pytest.mark.parametrize("value", ["A\r\nX-Evil: 1", "\u202eé", "a b", "x" * 400, "%", ""])
def test_a_key_is_printable_and_bounded_whatever_the_arguments_are(value: str) -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> None:
        async with b.attach(agent="a") as run:
            await run.call("refund.create", {"order": value})

    _, far = told(story)
    (key,) = far.sent
    assert key.isascii()
    assert key.isprintable()
    assert " " not in key
    assert len(key) <= 255


def test_a_key_is_the_same_for_every_attempt_and_every_run() -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> None:
        await one(b)
        await one(b)

    _, far = told(story, "rejected", "lost before", "well")
    assert far.sent == ["default/refund.create/refund:A1"] * 3


@pytest.mark.parametrize("takes_the_key", [True, False])
def test_a_foreign_client_is_sent_again_only_where_it_was_given_the_key(takes_the_key: bool) -> None:
    async def story(b: Bridle, loop: VirtualLoop, far: FarEnd) -> StopReason | None:
        async def with_key(order: str, *, call: CallContext) -> str:
            return await far.refund(order, 5, call.key)

        async def without(order: str) -> str:
            return await far.refund(order, 5, "")

        async with b.attach(agent="a") as run:
            with suppress(Denied):
                await run.call("refund.create", {"order": "A1"}, with_key if takes_the_key else without)
        return run.result.stop.reason if run.result.stop else None

    got, far = told(story, "lost after")
    assert (got, len(far.sent)) == ((R.OK, 2) if takes_the_key else (R.WRITE_IN_DOUBT, 1))
