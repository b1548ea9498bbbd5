"""The shared accounts once more, added up from the journals."""

from collections.abc import Mapping, Sequence

from bridle.gateway.settlement import Party, accounts
from bridle.rules.budget import Account, Balance
from bridle.rules.call import CallKind
from bridle.rules.events import CallAdmitted, CallInDoubt, CallRefused, CallSettled, CallVoided, Event
from bridle.rules.names import IN_FLIGHT, Amounts, CallId, Digest, TenantId
from bridle.rules.policy import Policy
from bridle.rules.run import RunState
from bridle.rules.stop import StopReason
from bridle.store.base import Store

PolicyOf = tuple[Digest, TenantId, str]


class Books:
    """Adds up runs, one after another. `models` are those that the runs asked for."""

    def __init__(self) -> None:
        self.models: set[str] = set()
        self._settled: dict[Account, int] = {}
        self._reserved: dict[Account, int] = {}
        self._policies: dict[PolicyOf, Policy | None] = {}

    def post(self, store: Store, state: RunState, events: Sequence[Event]) -> None:
        """Enter every call of a run, under the policy that the run was governed by."""
        policy = self._policy(store, state)
        party = (
            Party(state.run, state.epoch, state.tenant, state.name, policy, state.policy)
            if policy is not None
            else None
        )
        opened: dict[CallId, CallAdmitted] = {}
        for event in events:
            match event:
                case CallAdmitted():
                    opened[event.call] = event
                    if event.kind is CallKind.MODEL:
                        self.models.add(event.tool)
                case CallRefused(reason=StopReason.PRICE_UNKNOWN, tool=tool):
                    self.models.add(tool)
                case CallSettled(used=used):
                    self._pay(party, opened.pop(event.call), used)
                case CallVoided():
                    opened.pop(event.call)
                case CallInDoubt():
                    admitted = opened.pop(event.call)
                    held = {unit: amount for unit, amount in admitted.hold.items() if unit != IN_FLIGHT}
                    self._pay(party, admitted, held)
                case _:
                    pass
        for admitted in opened.values():
            self._hold(party, admitted)

    def differences(self, balances: Mapping[Account, Balance]) -> list[str]:
        """Where an account and the journals disagree, as sentences."""
        found = []
        for account in sorted({*balances, *self._settled, *self._reserved}):
            balance = balances.get(account, Balance(0))
            paid, held = self._settled.get(account, 0), self._reserved.get(account, 0)
            if account.unit == IN_FLIGHT:
                continue  # seats are given back when their process dies
            if (balance.settled, balance.reserved) != (paid, held):
                found.append(
                    f"The account {_named(account)} says {balance.settled} used and {balance.reserved} held;"
                    f" the journals say {paid} and {held}."
                )
        return found

    def _pay(self, party: Party | None, admitted: CallAdmitted, used: Amounts) -> None:
        for account in self._drawn(party, admitted):
            self._settled[account] = self._settled.get(account, 0) + used.get(account.unit, 0)

    def _hold(self, party: Party | None, admitted: CallAdmitted) -> None:
        for account in self._drawn(party, admitted):
            self._reserved[account] = self._reserved.get(account, 0) + admitted.hold.get(account.unit, 0)

    def _drawn(self, party: Party | None, admitted: CallAdmitted) -> list[Account]:
        if party is None:
            return []
        return [account for account, _ in accounts(party, admitted.tool, 0, admitted.hold, admitted.at)]

    def _policy(self, store: Store, state: RunState) -> Policy | None:
        key = (state.policy, state.tenant, state.name)
        if key not in self._policies:
            kept = store.policy(state.policy)
            self._policies[key] = Policy.parse(kept).for_run(state.tenant, state.name) if kept is not None else None
        return self._policies[key]


def _named(account: Account) -> str:
    of = f" {account.of}" if account.of else ""
    window = f" of {account.window.value} {account.period}" if account.period else ""
    return f"{account.level.value}{of} {account.unit}{window}"
