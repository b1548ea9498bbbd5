"""The second half of a call: what it used is paid, the rest goes back, and the journal says how it ended."""

from collections.abc import Sequence
from functools import lru_cache

from bridle.gateway.intents import intent_ended
from bridle.rules.budget import SHORTEST_WINDOW, Account, period
from bridle.rules.data import changed, data
from bridle.rules.events import CallInDoubt, CallSettled, CallVoided, LadderMoved, RunHalted
from bridle.rules.failure import FailureKind
from bridle.rules.health import Health
from bridle.rules.names import IN_FLIGHT, Amounts, CallId, Digest, Effect, Millis, RunId, TenantId, ToolName
from bridle.rules.policy import Level, Policy, Window
from bridle.rules.run import OpenCall, Phase, RunState
from bridle.rules.stop import StopReason
from bridle.rules.tool import Tool
from bridle.store.base import Transaction

KNOWN = 4_096  # sets of accounts that are remembered
Ending = CallSettled | CallVoided | CallInDoubt


@data
class Settlement:
    """How one call ended; written with the next admission of its run, or at once where that matters."""

    ending: Ending
    dependency: str
    kept: bytes = b""
    retry_after: Millis = Millis(0)
    concurrency: int = 0  # of the tool's bulkhead; 0 where there is none
    seat: Account | None = None  # the bulkhead itself
    happened: bool | None = None  # of a write that failed: what its tool said
    doubt: FailureKind | None = None  # of a write in doubt: how its answer was lost

    @property
    def overran(self) -> bool:
        """Whether the far end took more than it had declared."""
        return isinstance(self.ending, CallSettled) and bool(self.ending.overrun)

    @property
    def call(self) -> CallId:
        """Which call."""
        return self.ending.call


@data
class Party:
    """Whose run it is, as the accounts know it."""

    run: RunId
    epoch: int
    tenant: TenantId
    name: str
    policy: Policy
    digest: Digest  # of the policy


@lru_cache(maxsize=4_096)
def bulkhead(tenant: TenantId, tool: ToolName) -> Account:
    """The account whose balance is the number of calls of a tool in flight."""
    return Account(Level.TENANT, f"{tenant}/{tool}", IN_FLIGHT, Window.NONE, 0)


def accounts(
    party: Party, tool: ToolName, concurrency: int, hold: Amounts, at: Millis
) -> Sequence[tuple[Account, int]]:
    """The shared accounts that a hold draws on, with their limits; in the windows of `at`, and in a fixed order."""
    key = (party.digest, party.tenant, party.name, tool, concurrency, at // SHORTEST_WINDOW, *hold)
    known = _known.get(key)
    if known is None:
        if len(_known) >= KNOWN:
            _known.clear()
        known = _known[key] = _accounts(party, tool, concurrency, hold, at)
    return known


_known: dict[tuple[object, ...], Sequence[tuple[Account, int]]] = {}  # looked for twice a call, and seldom another


def _accounts(party: Party, tool: ToolName, concurrency: int, hold: Amounts, at: Millis) -> list[tuple[Account, int]]:
    found = [
        (Account(cap.level, cap.of, cap.unit, cap.window, period(cap.window, at)), cap.limit)
        for cap in party.policy.caps
        if cap.unit in hold and _is_of(cap.level, cap.of, party)
    ]
    if concurrency and IN_FLIGHT in hold:
        found.append((bulkhead(party.tenant, tool), concurrency))
    return found


def _is_of(level: Level, of: str, party: Party) -> bool:
    return level is Level.HOUSE or of == (party.tenant if level is Level.TENANT else party.name)


def concurrency_of(tool: Tool | None) -> int:
    """How many calls may be in flight; 0 where nobody counts them."""
    return tool.concurrency if tool is not None else 0


def settle(tx: Transaction, party: Party, settlement: Settlement) -> RunState:
    """Write one ending. A call that recovery closed already stays as it is."""
    state, ending = tx.state(party.run), settlement.ending
    opened = state.open_calls.get(ending.call)
    if opened is None:
        return state
    state = tx.append(party.run, party.epoch, [ending])
    if settlement.kept:
        tx.keep(party.run, f"{ending.call}.result", settlement.kept)
    _give_back(tx, party, opened, settlement)
    failure = ending.failure if isinstance(ending, CallSettled) else settlement.doubt
    if failure is not None or isinstance(ending, CallSettled):
        health = tx.health(party.tenant, settlement.dependency)
        took = Millis(ending.at - opened.at)
        better = health.answered(ending.at, failure, settlement.retry_after, took)
        state = moved(tx, party, settlement.dependency, health, better, ending.at) or state
    if opened.effect is Effect.WRITE:
        state = intent_ended(tx, party.epoch, state, ending, settlement.happened)
    return _halted_by(tx, party, opened, ending, state)


def moved(
    tx: Transaction, party: Party, dependency: str, health: Health, better: Health, at: Millis
) -> RunState | None:  # fmt: skip
    """Write the health of a dependency; the run that moves it on the degrade ladder tells so in its journal."""
    state, rung = None, better.rung(at)
    if rung is not better.told:
        state = tx.append(party.run, party.epoch, [LadderMoved(at, dependency, better.told, rung, better.until(at))])
        better = changed(better, told=rung)
    if better is not health:
        tx.set_health(party.tenant, dependency, better)
    return state


def _give_back(tx: Transaction, party: Party, opened: OpenCall, settlement: Settlement) -> None:
    paid: Amounts
    match settlement.ending:
        case CallSettled(used=used):
            paid = used
        case CallVoided():
            paid = {}
        case CallInDoubt():
            paid = {unit: amount for unit, amount in opened.hold.items() if unit != IN_FLIGHT}
    for account, limit in accounts(party, opened.tool, settlement.concurrency, opened.hold, opened.at):
        held = opened.hold.get(account.unit, 0)
        balance = tx.balance(account, limit)
        tx.set_balance(account, balance.settle(min(held, balance.reserved), paid.get(account.unit, 0)))


def _halted_by(tx: Transaction, party: Party, opened: OpenCall, ending: Ending, state: RunState) -> RunState:
    """An overrun and a write in doubt end the run: what was promised does not hold any more."""
    if state.phase is not Phase.OPEN:
        return state
    if isinstance(ending, CallInDoubt) and not ending.again:
        return tx.append(
            party.run, party.epoch, [RunHalted(ending.at, StopReason.WRITE_IN_DOUBT, {"tool": opened.tool})]
        )
    if isinstance(ending, CallSettled) and ending.overrun:
        detail = {"model": opened.tool, "rule": "used more than it declared"}
        return tx.append(party.run, party.epoch, [RunHalted(ending.at, StopReason.PRICE_UNKNOWN, detail)])
    return state
