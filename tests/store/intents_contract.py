"""What every store promises of the keys of writes: one row for each, claimed once, seen by the next transaction."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from bridle.rules.effect import Intent, IntentStatus
from bridle.rules.names import CallId, Digest, Millis, RunId, TenantId, ToolName
from bridle.store.base import Store, Transaction

TENANT, TOOL = TenantId("acme"), ToolName("refund.create")
ROW = Intent(
    TENANT, TOOL, "refund:ä\x001", IntentStatus.OPEN, RunId("r1"), CallId("c1"), Digest("a"), b"\x00\xff salt",
    Millis(2**53 + 1), (CallId("c1"), CallId("c2")),
)  # fmt: skip


def looked(tx: Transaction) -> Intent | None:
    return tx.intent(TENANT, TOOL, ROW.key)


class IntentsContract:
    """The part of the contract that is about writes."""

    async def test_a_key_comes_back_as_it_was_claimed_and_belongs_to_one_tenant_and_tool(self, store: Store) -> None:
        assert await store.transact(looked) is None
        await store.transact(lambda tx: tx.set_intent(ROW))
        assert await store.transact(looked) == ROW
        assert await store.transact(lambda tx: tx.intent(TenantId("umbrella"), TOOL, ROW.key)) is None
        assert await store.transact(lambda tx: tx.intent(TENANT, ToolName("charge"), ROW.key)) is None
        assert await store.transact(lambda tx: tx.intent(TENANT, TOOL, "refund:2")) is None

    @pytest.mark.parametrize("status", IntentStatus)
    async def test_there_is_one_row_for_a_key_and_it_says_the_newest(self, store: Store, status: IntentStatus) -> None:
        later = replace(ROW, status=status, run=RunId("r2"), call=CallId("c9"), doubts=())
        await store.transact(lambda tx: tx.set_intent(ROW))
        await store.transact(lambda tx: tx.set_intent(later))
        assert await store.transact(looked) == later
        unresolved = status in (IntentStatus.OPEN, IntentStatus.IN_DOUBT)
        assert await store.transact(lambda tx: tx.unresolved(RunId("r1"))) == []
        assert await store.transact(lambda tx: tx.unresolved(RunId("r2"))) == ([later] if unresolved else [])
        assert store.doubts() == ([later] if status is IntentStatus.IN_DOUBT else [])

    async def test_of_many_that_claim_a_key_at_once_one_gets_it(self, store: Store) -> None:
        def claiming(number: int) -> Callable[[Transaction], bool]:
            def fn(tx: Transaction) -> bool:
                if looked(tx) is not None:
                    return False
                tx.set_intent(replace(ROW, run=RunId(f"r{number}")))
                return True

            return fn

        got = await asyncio.gather(*(store.transact(claiming(number)) for number in range(100)))
        assert sum(got) == 1
        found = await store.transact(looked)
        assert found is not None
        assert found.run == f"r{got.index(True)}"

    async def test_a_claim_of_a_function_that_raises_is_never_seen(self, store: Store) -> None:
        def fails(tx: Transaction) -> None:
            tx.set_intent(replace(ROW, status=IntentStatus.IN_DOUBT))
            assert tx.unresolved(RunId("r1"))
            raise RuntimeError("after the claim")

        fine = store.transact(lambda tx: tx.set_intent(replace(ROW, key="other")))
        found = await asyncio.gather(store.transact(fails), fine, return_exceptions=True)
        assert isinstance(found[0], RuntimeError)
        assert await store.transact(looked) is None
        assert store.doubts() == []
        assert len(await store.transact(lambda tx: tx.unresolved(RunId("r1")))) == 1

    async def test_a_transaction_sees_its_own_changes_among_the_unresolved(self, store: Store) -> None:
        await store.transact(lambda tx: tx.set_intent(ROW))

        def changes(tx: Transaction) -> list[list[Intent]]:
            before = tx.unresolved(RunId("r1"))
            tx.set_intent(replace(ROW, status=IntentStatus.CONFIRMED))
            return [before, tx.unresolved(RunId("r1"))]

        assert await store.transact(changes) == [[ROW], []]

    async def test_the_oldest_doubt_is_listed_first(self, store: Store) -> None:
        def several(tx: Transaction) -> None:
            for at in (3, 1, 2):
                tx.set_intent(replace(ROW, key=f"k{at}", status=IntentStatus.IN_DOUBT, at=Millis(at)))

        await store.transact(several)
        assert [intent.at for intent in store.doubts()] == [1, 2, 3]
