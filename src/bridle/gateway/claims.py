"""The row of a write, inside the transaction that admits it: what stands under its key, and claiming it."""

from collections.abc import Callable

from bridle.gateway.proposal import Proposal
from bridle.rules.effect import Claim, Intent, IntentStatus
from bridle.rules.names import CallId, Millis, RunId, TenantId
from bridle.rules.run import RunState
from bridle.store.base import Transaction
from bridle.store.chain import keyed


def claim_of(tx: Transaction, tenant: TenantId, run: RunId, proposal: Proposal, attempt: int) -> Claim:
    """What stands under the key of a proposed write."""
    earlier = tx.intent(tenant, proposal.tool, proposal.key)
    if earlier is None:
        return Claim(None)
    same = keyed(earlier.salt, proposal.kept_args) == earlier.args
    return Claim(earlier, same, is_ours=attempt > 1 and earlier.run == run, recovers=proposal.recovers)


def claimed(
    tx: Transaction, state: RunState, proposal: Proposal, call: CallId, claim: Claim, now: Millis,
    fresh: Callable[[int], bytes],
) -> None:  # fmt: skip
    """The key is this call's from here on: in the very transaction that admits it."""
    if claim.earlier is not None and claim.is_ours and claim.earlier.status is IntentStatus.OPEN:
        tx.set_intent(claim.earlier.again(call))
        return
    salt = fresh(16)
    args = keyed(salt, proposal.kept_args)
    key = proposal.key
    tx.set_intent(Intent(state.tenant, proposal.tool, key, IntentStatus.OPEN, state.run, call, args, salt, now))
