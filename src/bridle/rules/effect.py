"""What the key of a write says: whether it is free, taken by one that is on its way, done already, or in doubt."""

from dataclasses import replace
from enum import StrEnum
from hashlib import sha256
from string import Formatter

from bridle.rules.data import data
from bridle.rules.decision import Deny, Reuse
from bridle.rules.names import CallId, Digest, Millis, RunId, TenantId, ToolName
from bridle.rules.stop import Detail, StopReason


class IntentStatus(StrEnum):
    """How far a write has come."""

    OPEN = "open"  # claimed: it may be on its way, or bridle finds out what became of it
    CONFIRMED = "confirmed"  # it took effect
    REFUSED = "refused"  # it certainly took no effect, so that its key is free again
    IN_DOUBT = "in_doubt"  # nobody knows, and a person has to say


@data
class Intent:
    """One write under one key of one tool of one tenant: at most one of them takes effect."""

    tenant: TenantId
    tool: ToolName
    key: str
    status: IntentStatus
    run: RunId
    call: CallId  # the newest attempt; of a confirmed one, the call whose result is the receipt
    args: Digest  # of the canonical arguments, keyed with `salt`
    salt: bytes  # the row's own, so that runs can compare, and a row can be erased
    at: Millis  # when the key was first sent
    doubts: tuple[CallId, ...] = ()  # attempts of which nobody knows whether they took effect

    @property
    def is_erased(self) -> bool:
        """Whether its run was erased: what is left of the key is a digest, and of the arguments nothing."""
        return not self.salt

    @property
    def is_unresolved(self) -> bool:
        """Whether the write may have taken effect, and nobody knows."""
        return self.status in (IntentStatus.OPEN, IntentStatus.IN_DOUBT)

    def again(self, call: CallId) -> "Intent":
        """Another attempt of the same write was admitted."""
        return replace(self, call=call)

    def confirmed(self, call: CallId) -> "Intent":
        """It took effect; `call` has the receipt."""
        return replace(self, status=IntentStatus.CONFIRMED, call=call, doubts=())

    def refused(self) -> "Intent":
        """The newest attempt took no effect. That frees the key only where no earlier attempt is in doubt."""
        if self.doubts:
            return replace(self, call=self.doubts[-1])
        return replace(self, status=IntentStatus.REFUSED)

    def cleared(self) -> "Intent":
        """It is known now that no attempt took effect."""
        return replace(self, status=IntentStatus.REFUSED, doubts=())

    def doubted(self, call: CallId, *, by_bridle: bool) -> "Intent":
        """Nobody knows how an attempt ended. `by_bridle` says that bridle finds out, and not yet a person."""
        status = IntentStatus.OPEN if by_bridle else IntentStatus.IN_DOUBT
        return replace(self, status=status, call=call, doubts=(*self.doubts, call))

    def erased(self) -> "Intent":
        """What stays of a confirmed one, so that it is not made again."""
        return replace(self, key=erased_key(self.tenant, self.tool, self.key), args=Digest(""), salt=b"")

    def given_up(self) -> "Intent":
        """Bridle cannot find out; a person has to."""
        return replace(self, status=IntentStatus.IN_DOUBT)


def erased_key(tenant: TenantId, tool: ToolName, key: str) -> str:
    """What stands in the place of a key whose run was erased: enough to know the key again, and not to read it."""
    return f"erased:{sha256(chr(0).join((tenant, tool, key)).encode()).hexdigest()}"


@data
class Claim:
    """What a proposed write finds under its key."""

    earlier: Intent | None
    same_args: bool = True
    is_ours: bool = False  # the proposal is another attempt of the very write that holds the key
    recovers: bool = False  # and its process died: that is no retry, and takes nothing from the budgets of retries

    @property
    def is_replay(self) -> bool:
        """Whether the recorded receipt answers the proposal, so that nothing is performed."""
        earlier = self.earlier
        return earlier is not None and earlier.status is IntentStatus.CONFIRMED and self.same_args

    @property
    def is_another_attempt(self) -> bool:
        """Whether the proposal is another attempt of the very write that holds the key."""
        return self.is_ours and self.same_args and self.earlier is not None and self.earlier.status is IntentStatus.OPEN


def meant(claim: Claim) -> Reuse | Deny | None:
    """What an earlier write under the same key means for a new one; None when the key is free."""
    earlier = claim.earlier
    if earlier is None or earlier.status is IntentStatus.REFUSED:
        return None
    if claim.is_another_attempt:
        return None
    detail: Detail = {"tool": earlier.tool, "of": f"{earlier.run}/{earlier.call}"}
    if earlier.is_erased:
        return Deny(StopReason.POLICY_DENIED, {**detail, "rule": "key_was_used"})
    if not claim.same_args:
        return Deny(StopReason.POLICY_DENIED, {**detail, "rule": "key_of_other_arguments"})
    match earlier.status:
        case IntentStatus.CONFIRMED:
            return Reuse(earlier.call, earlier.run)
        case IntentStatus.IN_DOUBT:
            return Deny(StopReason.WRITE_IN_DOUBT, {**detail, "rule": "key_in_doubt"})
        case IntentStatus.OPEN:
            return Deny(StopReason.POLICY_DENIED, {**detail, "rule": "key_in_flight"})


def blanks(template: str) -> list[str]:
    """The names of the arguments that a key template asks for. Raises ValueError for what is no template."""
    found = []
    for _, name, form, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise ValueError(f"{{{name}}} is no blank; write {{argument}}, without dots, brackets or formats")
        found.append(name)
    return found
