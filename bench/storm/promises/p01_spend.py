"""P1: no account holds or pays more than its cap, and what the world billed was reserved before it was sent."""

from collections import Counter
from collections.abc import Iterator
from itertools import product

from bench.storm.evidence import Admitted, Evidence
from bench.storm.house import LIMITS, NODE_TOOL_CALLS, SEATS
from bench.storm.ledger import Deed
from bench.storm.plan import Fault
from bench.storm.promises import p01_family
from bench.storm.tasks import HOSTILE, Shape
from bridle.rules.budget import Account, period
from bridle.rules.events import CallSettled, CallVoided
from bridle.rules.names import IN_FLIGHT, MODEL_CALLS, TOKENS_IN, TOKENS_OUT, TOOL_CALLS, USD_NANO
from bridle.rules.policy import Level

OTHER_SEATS = 16  # as declared by default


def violations(seen: Evidence) -> Iterator[str]:
    """What was billed beyond a hold, a limit or a cap, and what an account held beyond its own."""
    beyond = sum(line.beyond for line in seen.lines)
    for account, balance in seen.commits.overdrawn:
        limit = (
            SEATS.get(account.of.partition("/")[2], OTHER_SEATS)
            if account.unit == IN_FLIGHT
            else balance.limit + beyond
        )
        if balance.settled + balance.reserved > limit:
            yield f"{account} held {balance.settled} + {balance.reserved} of {limit}"
    for line in seen.lines:
        if line.crowd > SEATS.get(line.name, OTHER_SEATS):
            yield f"{line.crowd} calls of {line.name} were under way for the tenant of task {line.task}"
    for one in seen.admitted.values():
        yield from _of_call(one)
    yield from _of_runs(seen)
    yield from p01_family.violations(seen)
    yield from _of_accounts(seen)
    for account, balance in seen.balances.items():
        if balance.reserved and account.unit != IN_FLIGHT and not seen.hung:
            yield f"{account} still reserves {balance.reserved} when every run has ended"


def _of_call(one: Admitted) -> Iterator[str]:
    """One admission, one call: it held at least what was billed, and what was billed was paid."""
    name = f"{one.journal.run} {one.event.call} ({one.event.tool})"
    if len(one.lines) > 1:
        yield f"{name} was reserved once and sent {len(one.lines)} times"
    for line in one.lines:
        held = one.event.hold.get(USD_NANO, 0)
        if line.cost - line.beyond > held:
            yield f"{name} was billed {line.cost} and held {held}"
        tokens = one.event.hold.get(TOKENS_IN, 0) + one.event.hold.get(TOKENS_OUT, 0)
        if line.tokens > tokens and not line.beyond:
            yield f"{name} took {line.tokens} tokens and held {tokens}"
        if isinstance(one.ending, CallVoided):
            yield f"{name} was given back, and the world had it"
        is_told = line.fault is not Fault.BAD_NUMBER  # what it says it took is no number
        is_known = isinstance(one.ending, CallSettled) and one.ending.failure is None and is_told
        due = line.cost if is_known else line.cost - line.beyond  # what nobody was told of cannot be paid
        if isinstance(one.ending, CallSettled) and one.ending.used.get(USD_NANO, 0) < due:
            yield f"{name} was billed {line.cost} and paid {one.ending.used.get(USD_NANO, 0)}"


def _of_runs(seen: Evidence) -> Iterator[str]:
    """What the world had of each run and its children, against the limits of a run, or what a child was given."""
    dollars, asked, called, looked = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    beyond = Counter[str]()
    for one in seen.admitted.values():
        family = [journal.run for journal in seen.lineage(one.journal)] if one.lines else []
        for line, run in product(one.lines, family):
            dollars[run] += line.cost
            beyond[run] += line.beyond
            asked[run] += line.deed is Deed.ASKED
            called[run] += line.deed is Deed.CALLED
            looked[run] += line.name in ("web.read", "job.poll")
    for run, journal in seen.journals.items():
        task, funds = seen.tasks[journal.task], journal.started.funds
        calls = funds.get(TOOL_CALLS, 12 if task.tenant == HOSTILE else LIMITS.max_tool_calls)
        node = NODE_TOOL_CALLS if task.shape is Shape.DESK else calls
        for what, used, limit in (
            ("was billed", dollars[run], funds.get(USD_NANO, LIMITS.max_usd) + beyond[run]),
            ("asked models", asked[run], funds.get(MODEL_CALLS, LIMITS.max_model_calls)),
            ("called tools", called[run], calls),
            ("called the tools of a step", looked[run], node),
        ):
            if used > limit:
                yield f"{run} {what} {used} of {limit}"


def _of_accounts(seen: Evidence) -> Iterator[str]:
    """What the world billed of each shared account, against its cap and against what the store says."""
    billed = Counter[Account]()
    for one in seen.admitted.values():
        cost = sum(line.cost for line in one.lines)
        for cap in seen.caps if cost else ():
            if cap.level is Level.HOUSE or cap.of == one.journal.state.tenant:
                account = Account(cap.level, cap.of, cap.unit, cap.window, period(cap.window, one.event.at))
                billed[account] += cost - sum(line.beyond for line in one.lines)
    limits = {(cap.level, cap.of, cap.unit, cap.window): cap.limit for cap in seen.caps}
    for account, amount in billed.items():
        limit = limits[account[:4]]
        balance = seen.balances.get(account)
        settled = balance.settled if balance is not None else 0
        if amount > limit:
            yield f"{account} was billed {amount} of {limit}"
        if amount > settled:
            yield f"{account} was billed {amount} and says {settled}"
