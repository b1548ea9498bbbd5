"""What every store promises of a parent and its child that are moved in one transaction: both move, or none."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from bridle.rules.events import ChildClosed, ChildFunded, Event, RunStopped
from bridle.rules.fold import fold
from bridle.rules.names import STEPS, TOOL_CALLS, Digest, Millis, RunId
from bridle.rules.run import RunState
from bridle.rules.stop import StopReason
from bridle.store.base import Fenced, Recorded, RunKey, Store, Transaction, UnknownRun
from bridle.store.chain import verify
from tests.store.journals import SALT, T0, begin, started

PARENT, CHILD = RunId("r-parent"), RunId("r-child")
FUNDS = {STEPS: 1, TOOL_CALLS: 2}
FUNDED = ChildFunded(T0, CHILD, "part", "1", FUNDS)
CLOSED = ChildClosed(T0, CHILD, {}, StopReason.OK)
END = RunStopped(T0, StopReason.OK)
Move = tuple[RunId, int, Event]  # in this epoch


class Torn(RuntimeError):
    """What a function raises when it has moved both."""


class Pair(NamedTuple):
    """Both, as a reader finds them."""

    parent: Recorded
    child: Recorded | None


def found(store: Store) -> Pair:
    """Both, after the journal of each was found to make its row."""
    whole = store.recorded(PARENT)
    try:
        part = store.recorded(CHILD)
    except UnknownRun:
        part = None
    for one in (whole, part):
        if one is not None:
            entries = store.journal(one.state.run)
            assert fold(entry.event for entry in entries) == one.state
            assert verify(one.state.run, [(e.seq, e.body, e.hash) for e in entries], one.head) is None
    return Pair(whole, part)


def funding(tx: Transaction) -> RunState:
    """The parent sets aside what its child may use, and the child starts."""
    tx.append(PARENT, 1, [FUNDED])
    child = replace(started(CHILD), parent=PARENT, depth=1, funds=FUNDS)
    return tx.start(child, RunKey("", Digest("place")), SALT)


def moving(*moves: Move) -> Callable[[Transaction], None]:
    """Each of these runs, in this epoch, by this event."""

    def fn(tx: Transaction) -> None:
        for run, epoch, event in moves:
            tx.append(run, epoch, [event])

    return fn


class FamiliesContract:
    """The part of the contract that is about parents and children."""

    async def test_a_child_starts_and_ends_in_the_transactions_that_fund_and_settle_it(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, PARENT))
        await store.transact(funding)
        parent, child = found(store)
        assert child is not None
        assert (dict(parent.state.children), child.state.parent) == ({CHILD: FUNDS}, PARENT)
        await store.transact(moving((CHILD, 1, END), (PARENT, 1, CLOSED)))
        parent, child = found(store)
        assert child is not None
        assert (dict(parent.state.children), dict(parent.state.held), child.state.stop is None) == ({}, {}, False)

    async def test_of_a_transaction_that_raises_neither_the_parent_nor_the_child_moves(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, PARENT))
        alone = found(store)

        def torn(tx: Transaction) -> None:
            funding(tx)
            raise Torn

        jobs: list[Callable[[Transaction], object]] = [lambda tx: begin(tx, "r-1"), torn, lambda tx: begin(tx, "r-2")]
        told = await asyncio.gather(*(store.transact(job) for job in jobs), return_exceptions=True)
        assert [isinstance(one, Torn) for one in told] == [False, True, False]
        assert found(store) == alone == Pair(alone.parent, None)

    @pytest.mark.parametrize("taken", [PARENT, CHILD])
    @pytest.mark.parametrize("first", [PARENT, CHILD])
    async def test_a_stale_epoch_of_one_refuses_both(self, store: Store, taken: RunId, first: RunId) -> None:
        await store.transact(lambda tx: begin(tx, PARENT))
        await store.transact(funding)
        await store.transact(lambda tx: tx.take_over(taken, Millis(T0 + 1)))
        before, moves = found(store), list[Move](((CHILD, 1, END), (PARENT, 1, CLOSED)))
        with pytest.raises(Fenced, match=taken):
            await store.transact(moving(*sorted(moves, key=lambda move: move[0] != first)))
        assert found(store) == before
        await store.transact(moving(*((run, 1 + (run == taken), event) for run, _, event in moves)))
        parent, child = found(store)
        assert child is not None
        assert (dict(parent.state.children), child.state.stop is None) == ({}, False)

    async def test_a_stale_parent_begins_no_child(self, store: Store) -> None:
        await store.transact(lambda tx: begin(tx, PARENT))
        await store.transact(lambda tx: tx.take_over(PARENT, Millis(T0 + 1)))
        before = found(store)
        with pytest.raises(Fenced):
            await store.transact(funding)
        assert found(store) == before == Pair(before.parent, None)
