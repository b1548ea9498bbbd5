"""What every store promises, as tests that any store can be put under: inherit, and give the fixture `store`."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridle.rules.budget import Account, Balance
from bridle.rules.events import CallVoided, Event, RunHalted, RunResumed, RunStopped
from bridle.rules.failure import ControlUnavailable
from bridle.rules.fold import fold
from bridle.rules.health import WELL, Health
from bridle.rules.names import IN_FLIGHT, USD_NANO, CallId, Digest, Millis, RunId, TenantId
from bridle.rules.policy import Level, Window
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopReason
from bridle.store.base import Fenced, RunKey, Store, Transaction, UnknownRun
from bridle.store.chain import Break, verify
from tests.store.intents_contract import IntentsContract
from tests.store.journals import SALT, T0, TENANT, Row, Step, admitted, begin, mutations, settled, steps, written

T = TypeVar("T")
# Every example has a run of its own, so that examples may share a store, and stores may share the examples.
shared_store = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    max_examples=min(settings.default.max_examples if settings.default else 100, 60),
)
money = Account(Level.HOUSE, "", USD_NANO, Window.DAY, 19_676)


class Mischief(RuntimeError):
    """What a function raises that was given to a store."""


class Numbers:
    """Names of runs that no other example of the same store has."""

    given = 0

    @classmethod
    def fresh(cls) -> str:
        cls.given += 1
        return f"r-{cls.given}"


def rows(store: Store, run: str) -> list[Row]:
    return [(entry.seq, entry.body, entry.hash) for entry in store.journal(RunId(run))]


def intact(store: Store, run: str) -> RunState:
    """The state of a run, after its journal, its chain and its row were found to agree."""
    recorded, journal = store.recorded(RunId(run)), store.journal(RunId(run))
    assert [entry.seq for entry in journal] == list(range(1, len(journal) + 1))
    assert fold(entry.event for entry in journal) == recorded.state
    assert verify(RunId(run), rows(store, run), recorded.head) is None
    return recorded.state


def adding(run: str, epoch: int, events: Sequence[Event]) -> Callable[[Transaction], RunState]:
    return lambda tx: tx.append(RunId(run), epoch, events)


def beginning(run: str) -> Callable[[Transaction], RunState]:
    return lambda tx: begin(tx, run)


def keeping(run: str, call: str, name: str, body: bytes) -> Callable[[Transaction], None]:
    def fn(tx: Transaction) -> None:
        tx.append(RunId(run), 1, [admitted(call)])
        tx.keep(RunId(run), name, body)

    return fn


def raising(error: BaseException, first: Callable[[Transaction], object]) -> Callable[[Transaction], object]:
    def fn(tx: Transaction) -> object:
        first(tx)
        raise error

    return fn


class StoreContract(IntentsContract):
    """The contract of `bridle.store.base.Store`."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("a store under contract gives the fixture `store`")

    async def test_a_transaction_returns_the_value_of_its_function_after_the_commit(self, store: Store) -> None:
        state = await store.transact(lambda tx: begin(tx, "r1"))
        assert store.recorded(RunId("r1")).state == state == intact(store, "r1")
        assert store.recorded(RunId("r1")).salt == SALT

    async def test_nothing_of_a_function_that_raises_is_ever_seen(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, "r1"))
        before = store.recorded(RunId("r1"))

        def everything(tx: Transaction) -> None:
            begin(tx, "r2", key="k")
            tx.append(RunId("r1"), 1, [admitted("c1")])
            tx.keep(RunId("r1"), "answer", b"42")
            tx.set_balance(money, Balance(100, 7, 7))
            tx.set_health(TENANT, "kb", Health(failures=3))
            tx.keep_policy(Digest("d"), b"{}", T0)

        with pytest.raises(Mischief):
            await store.transact(raising(Mischief(), everything))
        assert store.recorded(RunId("r1")) == before
        assert store.payload(RunId("r1"), "answer") is None
        assert (store.balances(), store.policy(Digest("d"))) == ({}, None)
        assert await store.transact(lambda tx: tx.health(TENANT, "kb")) == WELL
        assert await store.transact(lambda tx: tx.find(TENANT, RunKey("k", Digest("r2")))) is None
        with pytest.raises(UnknownRun, match="r2"):
            store.recorded(RunId("r2"))

    async def test_a_function_that_raises_fails_alone_among_200_neighbours(self, store: Store) -> None:
        def work(number: int) -> Callable[[Transaction], object]:
            def fn(tx: Transaction) -> int:
                state = begin(tx, f"r{number}")
                balance = tx.balance(money, 10**9)
                tx.set_balance(money, balance.reserve(number))
                if number % 7 == 0:
                    raise Mischief(str(number))
                return state.seq + number

            return fn

        found = await asyncio.gather(*(store.transact(work(n)) for n in range(200)), return_exceptions=True)
        for number, outcome in enumerate(found):
            if number % 7 == 0:
                assert isinstance(outcome, Mischief)
                assert str(outcome) == str(number)
                with pytest.raises(UnknownRun):
                    store.recorded(RunId(f"r{number}"))
            else:
                assert outcome == 1 + number
                intact(store, f"r{number}")
        assert store.balances()[money].reserved == sum(n for n in range(200) if n % 7)

    @pytest.mark.parametrize("what", ["a run started twice", "a payload without a run", "bytes that are no bytes"])
    async def test_a_row_that_cannot_be_stored_takes_no_neighbour_with_it(self, store: Store, what: str) -> None:
        await store.transact(lambda tx: begin(tx, "r1"))

        def bad(tx: Transaction) -> None:
            match what:
                case "a run started twice":
                    begin(tx, "r1")
                case "a payload without a run":
                    tx.keep(RunId("nobody"), "answer", b"x")
                case _:
                    begin(tx, "r2")
                    tx.keep(RunId("r2"), "answer", object())  # type: ignore[arg-type]  # that is the point

        jobs: list[Callable[[Transaction], object]] = [beginning(f"good{n}") for n in range(4)]
        jobs.insert(2, bad)
        found = await asyncio.gather(*(store.transact(job) for job in jobs), return_exceptions=True)
        assert isinstance(found.pop(2), Exception)
        assert [state.run for state in found if isinstance(state, RunState)] == [f"good{n}" for n in range(4)]
        assert {line.state.run for line in store.runs()} == {"r1", "good0", "good1", "good2", "good3"}

    async def test_functions_of_one_batch_see_what_the_ones_before_them_did(self, store: Store) -> None:
        async def add(number: int) -> int:
            def fn(tx: Transaction) -> int:
                state = tx.append(RunId("r1"), 1, [admitted(f"c{number}", turn=number)])
                return state.calls

            return await store.transact(fn)

        await store.transact(lambda tx: begin(tx, "r1"))
        assert await asyncio.gather(*(add(n) for n in range(50))) == list(range(1, 51))
        assert len(intact(store, "r1").open_calls) == 50

    async def test_a_delivery_that_was_taken_over_may_write_nothing_any_more(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, "r1"))
        taken = await store.transact(lambda tx: tx.take_over(RunId("r1"), Millis(T0 + 5_000)))
        assert (taken.epoch, taken.deadline) == (2, T0 + 95_000)
        before = store.recorded(RunId("r1"))

        def zombie(tx: Transaction) -> None:
            tx.set_balance(money, Balance(9, 9, 0))
            tx.append(RunId("r1"), 1, [admitted("c1")])

        with pytest.raises(Fenced, match="epoch 2"):
            await store.transact(zombie)
        assert (store.recorded(RunId("r1")), store.balances()) == (before, {})
        await store.transact(lambda tx: tx.append(RunId("r1"), 2, [admitted("c1")]))
        assert isinstance(store.journal(RunId("r1"))[1].event, RunResumed)
        assert intact(store, "r1").calls == 1

    async def test_of_many_that_take_over_at_once_only_the_newest_may_write(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, "r1"))
        takers = [store.transact(lambda tx: tx.take_over(RunId("r1"), Millis(T0 + 1))) for _ in range(20)]
        epochs = [state.epoch for state in await asyncio.gather(*takers)]
        assert sorted(epochs) == list(range(2, 22))
        writes = [store.transact(adding("r1", e, [admitted("c1")])) for e in epochs]
        found = await asyncio.gather(*writes, return_exceptions=True)
        assert [e for e, state in zip(epochs, found, strict=True) if isinstance(state, RunState)] == [21]
        assert intact(store, "r1").calls == 1

    async def test_a_run_that_has_ended_is_not_taken_over(self, store: Store) -> None:
        def whole(tx: Transaction) -> RunState:
            begin(tx, "r1")
            return tx.append(RunId("r1"), 1, [RunStopped(T0, StopReason.OK)])

        await store.transact(whole)
        state = await store.transact(lambda tx: tx.take_over(RunId("r1"), T0))
        assert (state.epoch, state.phase, state.seq) == (1, Phase.STOPPED, 2)

    @shared_store
    @given(plan=steps, cuts=st.lists(st.integers(1, 7), max_size=20))
    async def test_the_row_of_a_run_is_the_fold_of_its_journal(
        self, store: Store, plan: list[Step], cuts: list[int]
    ) -> None:
        run = Numbers.fresh()
        state = await store.transact(lambda tx: begin(tx, run))
        left = written(state, plan)
        whole = fold(left, state)
        while left:
            cut = cuts.pop() if cuts else 5
            chunk, left = left[:cut], left[cut:]
            state = await store.transact(adding(run, 1, chunk))
            assert intact(store, run) == state
        assert state == whole
        assert [entry.event for entry in store.journal(RunId(run), after=1)] == written(fold_of_first(store, run), plan)

    @shared_store
    @given(plan=steps, seed=st.integers(0, 2**32))
    async def test_any_change_to_the_stored_bytes_is_found(self, store: Store, plan: list[Step], seed: int) -> None:
        run, chance = Numbers.fresh(), random.Random(seed)
        state = await store.transact(lambda tx: begin(tx, run))
        await store.transact(lambda tx: tx.append(RunId(run), 1, written(state, plan)))
        entries, head = rows(store, run), store.recorded(RunId(run)).head
        assert verify(RunId(run), entries, head) is None
        for name, changed in mutations(entries, chance):
            assert changed != entries
            assert isinstance(verify(RunId(run), changed, head), Break), f"{name} of seed {seed} was not found"

    async def test_the_first_payload_of_a_name_stays(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, "r1"))
        await store.transact(keeping("r1", "c1", "answer", b"\x00\xff first"))
        await store.transact(keeping("r1", "c2", "answer", b"second"))
        assert store.payload(RunId("r1"), "answer") == b"\x00\xff first"
        assert store.payload(RunId("r1"), "other") is None
        assert store.payload(RunId("r2"), "answer") is None

    async def test_a_payload_stands_beside_the_event_that_was_appended_last_and_alone_there(self, store: Store) -> None:
        def nowhere(tx: Transaction) -> None:
            tx.keep(RunId("r1"), "answer", b"1")

        def twice(tx: Transaction) -> None:
            keeping("r1", "c1", "one", b"1")(tx)
            tx.keep(RunId("r1"), "two", b"2")

        await store.transact(lambda tx: begin(tx, "r1"))
        for misplaced in (nowhere, twice):
            with pytest.raises(LookupError):
                await store.transact(misplaced)
        assert [store.payload(RunId("r1"), name) for name in ("answer", "one", "two")] == [None] * 3
        assert intact(store, "r1").seq == 1

    async def test_an_empty_payload_is_not_a_missing_one(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, "r1"))
        await store.transact(keeping("r1", "c1", "answer", b""))
        assert store.payload(RunId("r1"), "answer") == b""

    async def test_a_run_is_found_by_its_key_in_its_own_tenant_only(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, "r1", key="order-7", fingerprint="same"))
        await store.transact(lambda tx: begin(tx, "r2", fingerprint="same"))
        await store.transact(lambda tx: begin(tx, "r3", fingerprint="same"))

        async def found(tenant: str, key: str, fingerprint: str) -> str | None:
            state = await store.transact(lambda tx: tx.find(TenantId(tenant), RunKey(key, Digest(fingerprint))))
            return state.run if state is not None else None

        assert await found("acme", "order-7", "another") == "r1"
        assert await found("acme", "order-8", "same") is None
        assert await found("acme", "", "same") == "r3"
        assert await found("acme", "", "none") is None
        assert await found("umbrella", "order-7", "same") is None
        assert await found("umbrella", "", "same") is None

    async def test_of_two_requests_with_one_key_in_one_batch_the_second_finds_the_first(self, store: Store) -> None:
        def ask(run: str) -> Callable[[Transaction], str]:
            def fn(tx: Transaction) -> str:
                earlier = tx.find(TENANT, RunKey("k", Digest("f")))
                return earlier.run if earlier is not None else begin(tx, run, key="k", fingerprint="f").run

            return fn

        assert set(await asyncio.gather(*(store.transact(ask(f"r{n}")) for n in range(9)))) == {"r0"}

    async def test_a_second_run_cannot_be_started_under_a_key_that_is_taken(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, "r1", key="k"))
        with pytest.raises(Exception, match=r"(?i)unique|same key"):
            await store.transact(lambda tx: begin(tx, "r2", key="k"))
        assert [line.state.run for line in store.runs()] == ["r1"]

    async def test_balances_come_back_as_they_were_under_the_limit_of_today(self, store: Store) -> None:
        seat = Account(Level.TENANT, "acme/kb.read", IN_FLIGHT, Window.NONE, 0)

        def write(tx: Transaction) -> None:
            assert tx.balance(money, 100) == Balance(100)
            tx.set_balance(money, Balance(100, 2**53 + 1, 7))
            assert tx.balance(money, 50) == Balance(50, 2**53 + 1, 7)
            tx.set_balance(seat, Balance(16, 0, 3))

        await store.transact(write)
        assert await store.transact(lambda tx: tx.balance(money, 3)) == Balance(3, 2**53 + 1, 7)
        assert await store.transact(lambda tx: tx.balance(seat, 16)) == Balance(16, 0, 3)
        told = {account: (one.settled, one.reserved) for account, one in store.balances().items()}
        assert told[money] == (2**53 + 1, 7)

    async def test_health_comes_back_as_it_was_and_belongs_to_one_tenant(self, store: Store) -> None:
        ill = Health(5, Millis(T0 + 60_000), Millis(T0 + 1), Millis(T0 + 2), 300)
        await store.transact(lambda tx: tx.set_health(TENANT, "kb", ill))
        assert await store.transact(lambda tx: tx.health(TENANT, "kb")) == ill
        assert await store.transact(lambda tx: tx.health(TenantId("umbrella"), "kb")) == WELL
        assert await store.transact(lambda tx: tx.health(TENANT, "search")) == WELL

    async def test_a_policy_is_kept_once_under_its_digest(self, store: Store) -> None:
        await store.transact(lambda tx: tx.keep_policy(Digest("d"), b'{"a":1}', T0))
        await store.transact(lambda tx: tx.keep_policy(Digest("d"), b'{"a":2}', T0))
        assert store.policy(Digest("d")) == b'{"a":1}'
        assert store.policy(Digest("e")) is None

    async def test_a_wish_is_given_out_once(self, store: Store) -> None:
        store.ask_to_cancel(RunId("r1"), "ann", T0)
        store.ask_to_cancel(RunId("r1"), "bob", T0)
        store.ask_to_cancel(RunId("r2"), "bob", T0)
        assert sorted(store.wishes()) == [("r1", "ann"), ("r2", "bob")]
        assert store.wishes() == []

    async def test_the_switch_is_off_until_somebody_turns_it(self, store: Store) -> None:
        assert await store.transact(lambda tx: tx.switches()) == ()

    async def test_the_newest_runs_are_listed_first_and_open_ones_can_be_asked_for(self, store: Store) -> None:
        for number in range(5):
            await store.transact(beginning(f"r{number}"))
        stop = RunStopped(T0, StopReason.MAX_USD)
        await store.transact(lambda tx: tx.append(RunId("r3"), 1, [stop]))
        assert [line.state.run for line in store.runs(limit=3)] == ["r4", "r3", "r2"]
        assert [line.state.run for line in store.runs(limit=3, only_open=True)] == ["r4", "r2", "r1"]
        assert {line.state.run: line.reason for line in store.runs()}[RunId("r3")] is StopReason.MAX_USD

    async def test_400_transactions_on_one_account_at_once_lose_no_update(self, store: Store) -> None:
        async def spend(number: int) -> bool:
            def reserve(tx: Transaction) -> bool:
                balance = tx.balance(money, 1_000)
                if balance.available < 10:
                    return False
                tx.set_balance(money, balance.reserve(10))
                return True

            if number % 3 == 0:
                await asyncio.sleep(0)
            if not await store.transact(reserve):
                return False
            await store.transact(lambda tx: tx.set_balance(money, tx.balance(money, 1_000).settle(10, 10)))
            return True

        spent = await asyncio.gather(*(spend(n) for n in range(400)))
        assert sum(spent) == 100
        assert (store.balances()[money].settled, store.balances()[money].reserved) == (1_000, 0)

    async def test_a_closed_store_says_so_and_has_kept_what_was_queued(self, store: Store) -> None:
        jobs = [asyncio.ensure_future(store.transact(beginning(f"r{n}"))) for n in range(300)]
        await asyncio.sleep(0)
        await store.close()
        assert [state.run for state in await asyncio.gather(*jobs)] == [f"r{n}" for n in range(300)]
        with pytest.raises(ControlUnavailable, match="closed"):
            await store.transact(lambda tx: begin(tx, "late"))

    async def test_an_ended_run_can_still_be_read_and_settled_into(self, store: Store) -> None:
        """A halt, then the end with a call still open: a late settlement is recorded."""

        def whole(tx: Transaction) -> None:
            begin(tx, "r1")
            tx.append(RunId("r1"), 1, [admitted("c1"), admitted("c2"), RunHalted(T0, StopReason.CANCELLED)])
            tx.append(RunId("r1"), 1, [CallVoided(T0, CallId("c2")), RunStopped(T0, StopReason.CANCELLED)])

        await store.transact(whole)
        await store.transact(lambda tx: tx.append(RunId("r1"), 1, [settled("c1")]))
        state = intact(store, "r1")
        assert (state.phase, dict(state.open_calls)) == (Phase.STOPPED, {})


def fold_of_first(store: Store, run: str) -> RunState:
    return fold([store.journal(RunId(run))[0].event])
