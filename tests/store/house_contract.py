"""What every store promises of the chain of the house and of erasure; a part of the contract, see contract.py."""

import asyncio
from collections.abc import Callable

import pytest

from bridle.rules.events import PayloadErased, RunHalted, RunStopped
from bridle.rules.house import Matter, Note
from bridle.rules.names import CallId, Digest, Millis, RunId
from bridle.rules.run import Phase
from bridle.rules.stop import StopReason
from bridle.store.base import Grounds, Recorded, RunKey, Store, Transaction
from bridle.store.chain import HOUSE, Head, root, verify
from tests.store.contract import Mischief, intact, keeping, raising, rows
from tests.store.journals import T0, TENANT, admitted, begin, settled

GROUNDS = Grounds(Millis(T0 + 5_000), "ann", "she asked")


def whole(run: str, end: bool = True) -> Callable[[Transaction], None]:
    """A run with a payload, to its end."""

    def fn(tx: Transaction) -> None:
        begin(tx, run, fingerprint=f"f-{run}")
        keeping(run, "c1", "c1.args", b"the secret of ann")(tx)
        tx.append(RunId(run), 1, [settled("c1")])
        if end:
            tx.append(RunId(run), 1, [RunStopped(T0, StopReason.OK)])

    return fn


def turned(level: str) -> Callable[[Transaction], None]:
    return lambda tx: tx.note(Note(T0, Matter.SWITCH_TURNED, "house", {"level": level}))


class HouseContract:
    """The contract of the chain of the house."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("a store under contract gives the fixture `store`")

    async def test_an_empty_house_ends_where_it_begins(self, store: Store) -> None:
        assert store.house() == Head(0, root(HOUSE))

    async def test_the_house_moves_at_the_end_of_a_run_and_at_no_other_of_its_events(self, store: Store) -> None:
        await store.transact(whole("r1", end=False))
        assert store.house().seq == 0
        await store.transact(lambda tx: tx.append(RunId("r1"), 1, [RunStopped(T0, StopReason.OK)]))
        assert store.house().seq == 1

    async def test_a_late_settlement_moves_it_again(self, store: Store) -> None:
        def ended(tx: Transaction) -> None:
            begin(tx, "r1")
            tx.append(RunId("r1"), 1, [admitted("c1"), RunHalted(T0, StopReason.CANCELLED)])
            tx.append(RunId("r1"), 1, [RunStopped(T0, StopReason.CANCELLED)])

        await store.transact(ended)
        await store.transact(lambda tx: tx.append(RunId("r1"), 1, [settled("c1")]))
        assert store.house().seq == 2

    async def test_a_policy_is_noted_once(self, store: Store) -> None:
        for _ in range(3):
            await store.transact(lambda tx: tx.keep_policy(Digest("d"), b"{}", T0))
        assert store.house().seq == 1

    async def test_a_note_is_kept_with_its_transaction_or_not_at_all(self, store: Store) -> None:
        await store.transact(turned("writes"))
        before = store.house()
        with pytest.raises(Mischief):
            await store.transact(raising(Mischief(), turned("all")))
        assert store.house() == before
        assert before.seq == 1

    async def test_200_at_once_have_200_places(self, store: Store) -> None:
        jobs = [turned("all") if n % 2 else whole(f"r{n}") for n in range(200)]
        jobs.insert(77, raising(Mischief(), turned("writes")))  # type: ignore[arg-type]  # it returns nothing either
        found = await asyncio.gather(*(store.transact(job) for job in jobs), return_exceptions=True)
        assert [number for number, outcome in enumerate(found) if isinstance(outcome, Mischief)] == [77]
        assert store.house().seq == 200

    async def test_what_is_erased_is_gone_and_the_chain_holds(self, store: Store) -> None:
        await store.transact(whole("r1"))
        before = store.recorded(RunId("r1"))
        (done,) = store.erase([RunId("r1")], GROUNDS)
        assert (done.payloads, done.bytes, done.kept) == (1, len(b"the secret of ann"), "")
        after: Recorded = store.recorded(RunId("r1"))
        assert (after.is_erased, after.salt, store.payload(RunId("r1"), "c1.args")) == (True, b"", None)
        assert store.journal(RunId("r1"))[-1].event == PayloadErased(GROUNDS.at, "ann", "she asked", 1, done.bytes)
        assert intact(store, "r1").phase is Phase.STOPPED
        assert after.state.last_at == before.state.last_at, "it took no time of the run"
        assert verify(RunId("r1"), rows(store, "r1")[:-1], before.head) is None
        assert store.house().seq == 2

    async def test_a_guess_at_the_input_cannot_be_tested_any_more(self, store: Store) -> None:
        await store.transact(whole("r1"))
        store.erase([RunId("r1")], GROUNDS)
        assert await store.transact(lambda tx: tx.find(TENANT, RunKey("", Digest("f-r1")))) is None

    async def test_a_second_erasure_writes_nothing(self, store: Store) -> None:
        await store.transact(whole("r1"))
        store.erase([RunId("r1")], GROUNDS)
        before = store.recorded(RunId("r1"))
        assert [one.payloads for one in store.erase([RunId("r1")], GROUNDS)] == [0]
        assert (store.recorded(RunId("r1")), store.house().seq) == (before, 2)

    async def test_runs_that_need_their_payloads_keep_them_and_say_why(self, store: Store) -> None:
        def late(tx: Transaction) -> None:
            begin(tx, "r2")
            tx.append(RunId("r2"), 1, [admitted("c1"), RunHalted(T0, StopReason.CANCELLED)])
            tx.append(RunId("r2"), 1, [RunStopped(T0, StopReason.CANCELLED)])

        await store.transact(whole("r1", end=False))
        await store.transact(late)
        await store.transact(whole("r3"))
        wanted = [RunId(run) for run in ("r1", "r2", "nobody", "r3")]
        done = store.erase(wanted, GROUNDS)
        said = ("not ended", "may still come back", "not in the store", "")
        assert [sentence in one.kept for sentence, one in zip(said, done, strict=True)] == [True] * 4
        assert (done[3].kept, done[3].payloads) == ("", 1)
        assert store.payload(RunId("r1"), "c1.args") == b"the secret of ann"

    async def test_nothing_is_kept_for_a_run_that_was_erased(self, store: Store) -> None:
        await store.transact(whole("r1"))
        store.erase([RunId("r1")], GROUNDS)

        def late(tx: Transaction) -> None:
            tx.append(RunId("r1"), 1, [RunHalted(T0, StopReason.CANCELLED)])
            tx.keep(RunId("r1"), "late", b"x")

        await store.transact(late)
        assert store.payload(RunId("r1"), "late") is None

    async def test_a_house_that_is_written_beside_a_batch_goes_on(self, store: Store) -> None:
        for number in range(3):
            await store.transact(whole(f"r{number}"))
            store.erase([RunId(f"r{number}")], GROUNDS)
        assert store.house().seq == 6
        assert CallId("c1") not in store.recorded(RunId("r0")).state.open_calls
