"""A tap between a worker and its store: it numbers what is committed, and cuts the worker off when it dies."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from bench.storm.ledger import Ledger
from bridle.rules.budget import Account, Balance
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import RunId
from bridle.store.base import Store, Transaction
from bridle.store.work import Work

T = TypeVar("T")


class Crashed(BaseException):
    """This worker is dead; whatever it still does, it does in nobody's name."""


@dataclass(slots=True)
class Commits:
    """What the tap saw of one house: the number of each event's commit, and accounts that held more than they may."""

    stamps: dict[tuple[RunId, int], int] = field(default_factory=dict)
    overdrawn: list[tuple[Account, Balance]] = field(default_factory=list)
    count: int = 0


class Tap:
    """Keeps the contract of a store for one life of a worker.

    A function is numbered while it runs inside the transaction: with the inline writer nothing else happens between
    that and the commit, and when the commit is lost, so are its numbers.
    """

    def __init__(self, inner: Store, ledger: Ledger, commits: Commits, dies_at: int, die: Callable[[], None]) -> None:
        self.inner = inner
        self.is_out = False  # out of reach: a full disk, a database that is locked
        self.is_dead = False
        self._ledger, self._commits = ledger, commits
        self._dies_at, self._die = dies_at, die  # odd: before a commit; even: after it; 0: not at a commit
        self._seen = 0

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    @property
    def crowd(self) -> int:
        """As of the store."""
        return self.inner.crowd

    @crowd.setter
    def crowd(self, crowd: int) -> None:
        self.inner.crowd = crowd

    async def transact(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` in the store, unless the worker is dead or the store out of reach. Raises Crashed."""
        self._pass(odd=1)
        noted: list[tuple[RunId, int]] = []

        def tapped(tx: Transaction) -> T:
            noted.clear()
            result = fn(tx)
            work = cast(Work, tx)
            for line in work.lines:
                key = (line[0], line[1])
                self._commits.stamps[key] = self._ledger.stamp()
                noted.append(key)
            for account, balance in work.accounts.items():
                if balance.settled + balance.reserved > balance.limit:
                    self._commits.overdrawn.append((account, balance))
            return result

        try:
            result = await self.inner.transact(tapped)
        except ControlUnavailable:
            for key in noted:
                self._commits.stamps.pop(key, None)
            raise
        self._pass(odd=0)
        return result

    def _pass(self, odd: int) -> None:
        if odd and not self.is_dead:
            self._commits.count += 1
            self._seen += 1
        if 2 * self._seen - odd == self._dies_at and not self.is_dead:
            self._die()
        if self.is_dead:
            raise Crashed
        if self.is_out and odd:
            raise ControlUnavailable("database or disk is full")
