"""Whether a dependency is well: a breaker that opens after failures in a row and half-opens for one probe."""

from dataclasses import dataclass, replace
from enum import StrEnum

from bridle.rules.failure import FailureKind
from bridle.rules.names import Millis

OPENS_AFTER = 5  # illnesses in a row
STAYS_OPEN = Millis(60_000)
LONGEST_PATIENCE = Millis(3_600_000)  # a far end that asks for more is asked again after an hour
RETRY_TOKEN = 1_000  # thousandths: one retry
RETRY_GAIN = 100  # thousandths that each first attempt earns, so that retries stay under a tenth of the calls
RETRY_TOKENS_AT_MOST = 10 * RETRY_TOKEN


class Condition(StrEnum):
    """How much may be sent to a dependency."""

    WELL = "well"
    HALF_OPEN = "half_open"  # one probe at a time
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Health:
    """What one tenant has seen of one dependency."""

    failures: int = 0  # illnesses in a row
    open_until: Millis = Millis(0)
    probing_until: Millis = Millis(0)  # a probe is out; nobody else goes before this
    not_before: Millis = Millis(0)  # a 429 asked for this much patience
    retry_tokens: int = RETRY_TOKEN  # thousandths

    def condition(self, now: Millis) -> Condition:
        """What may be sent now."""
        if self.failures < OPENS_AFTER:
            return Condition.WELL
        if now < self.open_until or now < self.probing_until:
            return Condition.OPEN
        return Condition.HALF_OPEN

    def sent(self, now: Millis, attempt: int, timeout: Millis) -> "Health":
        """After an admission: first attempts earn a tenth of a retry, later ones cost a whole one."""
        change = RETRY_GAIN if attempt == 1 else -RETRY_TOKEN
        tokens = min(max(self.retry_tokens + change, 0), RETRY_TOKENS_AT_MOST)
        probing = Millis(now + timeout) if self.condition(now) is Condition.HALF_OPEN else self.probing_until
        if tokens == self.retry_tokens and probing == self.probing_until:
            return self
        return replace(self, retry_tokens=tokens, probing_until=probing)

    def answered(self, now: Millis, failure: FailureKind | None, retry_after: Millis = Millis(0)) -> "Health":
        """After a settlement. Only illness counts; a 429 slows down and trips nothing."""
        if failure is FailureKind.RATE_LIMITED:
            patience = min(max(retry_after, 0), LONGEST_PATIENCE)
            return replace(self, not_before=max(self.not_before, Millis(now + patience)), probing_until=Millis(0))
        if failure is not None and failure.is_illness:
            failures = self.failures + 1
            opens = Millis(now + STAYS_OPEN) if failures >= OPENS_AFTER else self.open_until
            return replace(self, failures=failures, open_until=opens, probing_until=Millis(0))
        if self.failures == 0 or failure in (FailureKind.CANCELLED, FailureKind.CRASHED):
            return self  # what nobody waited for, or broke on our side, proves nothing
        return replace(self, failures=0, open_until=Millis(0), probing_until=Millis(0))

    @property
    def may_retry(self) -> bool:
        """Whether the dependency's retry budget has a token left."""
        return self.retry_tokens >= RETRY_TOKEN


WELL = Health()
