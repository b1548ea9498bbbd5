"""Two-phase money: reserve the worst case, settle what it was, over every account at once or over none."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bridle.rules.data import data
from bridle.rules.names import Amounts, Millis, Unit
from bridle.rules.policy import Level, Window


class Account(NamedTuple):
    """The name of a shared account. `period` counts the windows since 1970; it is 0 where there is no window.

    A tuple, because it is the key of every look at a balance.
    """

    level: Level
    of: str
    unit: Unit
    window: Window
    period: int


@data
class Balance:
    """What an account has given out. `settled` never falls; `reserved` comes back."""

    limit: int
    settled: int = 0
    reserved: int = 0

    @property
    def available(self) -> int:
        """What can still be reserved; negative after an overrun, which is posted in full."""
        return self.limit - self.settled - self.reserved

    def reserve(self, amount: int) -> "Balance":
        """Set the worst case aside. The caller has looked at `available` in the same transaction."""
        assert amount >= 0
        return Balance(self.limit, self.settled, self.reserved + amount)

    def settle(self, held: int, used: int) -> "Balance":
        """Pay what it was; the rest of what was held goes back."""
        assert 0 <= held <= self.reserved
        assert used >= 0
        return Balance(self.limit, self.settled + used, self.reserved - held)

    def void(self, held: int) -> "Balance":
        """Give all of it back: it was certainly never sent."""
        return self.settle(held, 0)

    def post(self, held: int) -> "Balance":
        """Pay all of it: it was sent and nobody knows what it cost."""
        return self.settle(held, held)


SHORTEST_WINDOW = _MINUTE = 60_000  # milliseconds
_DAY = 86_400_000


def period(window: Window, now: Millis) -> int:
    """Which window `now` (Unix milliseconds, UTC) falls into."""
    match window:
        case Window.NONE:
            return 0
        case Window.MINUTE:
            return now // _MINUTE
        case Window.DAY:
            return now // _DAY
        case Window.MONTH:
            return _month(now // _DAY)


def until(window: Window, now: Millis) -> Millis:
    """When the window of `now` ends, in Unix milliseconds; 0 where there is no window."""
    match window:
        case Window.NONE:
            return Millis(0)
        case Window.MINUTE:
            return Millis((now // _MINUTE + 1) * _MINUTE)
        case Window.DAY:
            return Millis((now // _DAY + 1) * _DAY)
        case Window.MONTH:
            day = now // _DAY
            while _month(day) == _month(now // _DAY):  # ends after at most 31 days
                day += 1
            return Millis(day * _DAY)


def _month(day: int) -> int:
    """Months since 1970-01 of a day since 1970-01-01 (civil-from-days of Howard Hinnant's chrono algorithms)."""
    shifted = day + 719_468
    era, of_era = divmod(shifted, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    months_since_march = (5 * of_year + 2) // 153
    return (year + era * 400 - 1970) * 12 + 2 + months_since_march


def plus(left: Amounts, right: Amounts) -> dict[Unit, int]:
    """Both together, unit by unit."""
    if not left:
        return dict(right)
    total = dict(left)
    for unit, amount in right.items():
        total[unit] = total.get(unit, 0) + amount
    return total


def minus(left: Amounts, right: Amounts) -> dict[Unit, int]:
    """What is left; units that come to 0 are dropped. Never below 0: nothing gives back more than it took."""
    if left == right:  # a run that makes one call at a time holds what that call holds
        return {}
    rest = dict(left)
    for unit, amount in right.items():
        remaining = rest.get(unit, 0) - amount
        assert remaining >= 0, f"{unit} would fall to {remaining}"
        if remaining:
            rest[unit] = remaining
        else:
            rest.pop(unit, None)
    return rest


def beyond(used: Amounts, held: Amounts) -> dict[Unit, int]:
    """What was used over what was held, unit by unit; empty when the far end kept its bound."""
    return {unit: amount - held.get(unit, 0) for unit, amount in used.items() if amount > held.get(unit, 0)}


def first_short(wanted: Amounts, balances: Iterable[tuple[Account, Balance]]) -> tuple[Account, Balance] | None:
    """The first account that cannot bear its part, or None when all can."""
    for account, balance in balances:
        if wanted.get(account.unit, 0) > balance.limit - balance.settled - balance.reserved:
            return account, balance
    return None


def reserve_all(
    wanted: Amounts, balances: Mapping[Account, Balance]
) -> dict[Account, Balance] | tuple[Account, Balance]:
    """Every account after the reservation, or the first one that is short; all or nothing."""
    short = first_short(wanted, balances.items())
    if short is not None:
        return short
    return {account: balance.reserve(wanted.get(account.unit, 0)) for account, balance in balances.items()}


def transfer(parent: Balance, amount: int) -> tuple[Balance, Balance]:
    """Fund a child beforehand: the parent reserves it, the child may spend that and no more."""
    assert 0 <= amount <= parent.available
    return parent.reserve(amount), Balance(limit=amount)


def close(parent: Balance, child: Balance) -> Balance:
    """The child ended: the parent pays what it spent, the rest goes back."""
    assert child.reserved == 0, "a child closes when its calls are settled"
    return parent.settle(child.limit, child.settled)
