"""Whether a dependency is well: a breaker with a half-open probe, how long answers take, and the rung that follows."""

from enum import IntEnum, StrEnum

from bridle.rules.data import changed, data
from bridle.rules.failure import FailureKind
from bridle.rules.names import Millis

OPENS_AFTER = 5  # illnesses in a row
STAYS_OPEN = Millis(60_000)
HELD_FOR = STAYS_OPEN  # a rung of the ladder lasts at least this long, or it would flap
LONGEST_PATIENCE = Millis(3_600_000)  # a far end that asks for more is asked again after an hour
RETRY_TOKEN = 1_000  # thousandths: one retry
RETRY_GAIN = 100  # thousandths that each first attempt earns, so that retries stay under a tenth of the calls
RETRY_TOKENS_AT_MOST = 10 * RETRY_TOKEN
SLOW_TIMES = 3  # slow is a p95 beyond this many times the usual one
OFTEN = 20  # p95: one call of so many may take longer
LEARNS_FROM = 20  # good answers
LEAST_USUAL = Millis(333)  # what is there within a second is slow for nobody
USUAL_STEP = 1_024  # the usual p95 moves by this part of itself
TENANT = ""  # under this name a tenant stands on the ladder itself, as a dependency of all that it does


class Condition(StrEnum):
    """How much may be sent to a dependency."""

    WELL = "well"
    HALF_OPEN = "half_open"  # one probe at a time
    OPEN = "open"


class Rung(IntEnum):
    """Where a dependency, or a tenant, stands on the degrade ladder: each rung takes away what the one above does.

    The last rung is the kill switch, which is no matter of health.
    """

    NORMAL = 0
    CAREFUL = 1  # half-open or slow: nothing expensive begins, and results are reused for longer
    READS_ONLY = 2  # open, or a tenant near the end of its budget: nothing but reads, and runs are told to finish


@data
class Health:
    """What one tenant has seen of one dependency."""

    failures: int = 0  # illnesses in a row
    open_until: Millis = Millis(0)
    probing_until: Millis = Millis(0)  # a probe is out; nobody else goes before this
    not_before: Millis = Millis(0)  # a 429 asked for this much patience
    retry_tokens: int = 0  # thousandths; below 0 while a loan is paid back
    held: Rung = Rung.NORMAL  # it does not stand above this rung
    held_until: Millis = Millis(0)
    told: Rung = Rung.NORMAL  # the newest rung that a journal knows
    usual: Millis = LEAST_USUAL  # the p95 of good answers, as it usually is
    heard: int = 0  # good answers, counted while it learns
    slow: int = 0  # in twentieths of a call: how much more than one call of twenty is far beyond the usual
    has_lent: bool = False  # the first retry is lent: who just came has earned none yet

    def condition(self, now: Millis) -> Condition:
        """What may be sent now."""
        if self.failures < OPENS_AFTER:
            return Condition.WELL
        if now < self.open_until or now < self.probing_until:
            return Condition.OPEN
        return Condition.HALF_OPEN

    def rung(self, now: Millis) -> Rung:
        """Where it stands now."""
        held = self.held if now < self.held_until else Rung.NORMAL
        if self.failures < OPENS_AFTER:
            return held
        return Rung.READS_ONLY if now < self.open_until else max(held, Rung.CAREFUL)

    def until(self, now: Millis) -> Millis:
        """Until when it stays away at least; 0 when nobody knows."""
        ends = max(self.open_until, self.probing_until) if self.failures >= OPENS_AFTER else Millis(0)
        ends = max(ends, self.held_until if self.held else ends)
        return ends if now < ends else Millis(0)

    def sent(self, now: Millis, attempt: int, timeout: Millis) -> "Health":
        """After an admission: first attempts earn a tenth of a retry, later ones cost a whole one."""
        change = RETRY_GAIN if attempt == 1 else -RETRY_TOKEN
        tokens = min(max(self.retry_tokens + change, -RETRY_TOKEN), RETRY_TOKENS_AT_MOST)
        probing = Millis(now + timeout) if self.condition(now) is Condition.HALF_OPEN else self.probing_until
        if tokens == self.retry_tokens and probing == self.probing_until:
            return self
        return changed(self, retry_tokens=tokens, probing_until=probing, has_lent=self.has_lent or attempt > 1)

    def answered(
        self, now: Millis, failure: FailureKind | None, retry_after: Millis = Millis(0), took: Millis = Millis(0)
    ) -> "Health":
        """After a settlement. Only illness counts; a 429 slows down and trips nothing.

        `took` is from the admission of the call to its settlement. While the breaker is open, an answer that was sent
        for before closes nothing.
        """
        if failure is None and not self.failures:
            return self._timed(now, took)
        if failure is FailureKind.RATE_LIMITED:
            patience = min(max(retry_after, 0), LONGEST_PATIENCE)
            return changed(self, not_before=max(self.not_before, Millis(now + patience)), probing_until=Millis(0))
        if failure is not None and failure.is_illness:
            failures = self.failures + 1
            opens = Millis(now + STAYS_OPEN) if failures >= OPENS_AFTER else self.open_until
            return changed(self, failures=failures, open_until=opens, probing_until=Millis(0))
        if self.failures == 0 or failure in (FailureKind.CANCELLED, FailureKind.CRASHED):
            return self  # what nobody waited for, or broke on our side, proves nothing
        if self.failures >= OPENS_AFTER and now < self.open_until:
            return self
        closed = changed(self, failures=0, open_until=Millis(0), probing_until=Millis(0))
        if self.failures >= OPENS_AFTER:
            closed = closed._kept(now, Rung.CAREFUL, Millis(self.open_until + HELD_FOR))
        return closed._timed(now, took) if failure is None else closed

    def strained(self, now: Millis) -> "Health":
        """Of a tenant near the end of a budget; renewed only when half of the time is over."""
        if self.held is Rung.READS_ONLY and self.held_until - now > HELD_FOR // 2:
            return self
        return self._kept(now, Rung.READS_ONLY, Millis(now + HELD_FOR))

    def _kept(self, now: Millis, rung: Rung, until: Millis) -> "Health":
        """Not above this rung before `until`, nor above the one where it is kept already (hysteresis)."""
        if now >= self.held_until:
            return changed(self, held=rung, held_until=until)
        return changed(self, held=max(rung, self.held), held_until=max(until, self.held_until))

    def _timed(self, now: Millis, took: Millis) -> "Health":
        """After a good answer: is its p95 beyond three times the usual p95?

        The usual p95 is a running quantile: 19 steps up when an answer took longer, 1 step down when it did not, so
        that it rests where 1 of 20 is longer (Ma, Muthukrishnan and Sandler, "Frugal Streaming for Estimating
        Quantiles", 2013). The p95 is beyond a bar as long as more than 1 of 20 is: a sum of +19 and -1 that does not
        fall below 0 tells (Page, "Continuous Inspection Schemes", Biometrika 1954). An answer beyond the bar moves
        the usual by one step only, or an outage would soon be the usual. What is always fast changes nothing here.
        """
        if self.heard < LEARNS_FROM:
            return changed(self, heard=self.heard + 1, usual=max(self.usual, took))
        step = max(self.usual // USUAL_STEP, 1)
        if took <= SLOW_TIMES * self.usual:
            moved = step * (OFTEN - 1) if took > self.usual else -step
            usual, slow = Millis(max(self.usual + moved, LEAST_USUAL)), max(self.slow - 1, 0)
            if (usual, slow) == (self.usual, self.slow):
                return self
            return changed(self, usual=usual, slow=slow)
        slow = min(self.slow + OFTEN - 1, OFTEN)
        later = changed(self, usual=Millis(self.usual + step), slow=slow)
        return later._kept(now, Rung.CAREFUL, Millis(now + HELD_FOR)) if slow >= OFTEN else later

    @property
    def may_retry(self) -> bool:
        """Whether the retry budget has a token left: so N calls are retried N / 10 times, or once."""
        return self.has_earned or not self.has_lent

    @property
    def has_earned(self) -> bool:
        """Whether that token was earned by first attempts, and is not lent."""
        return self.retry_tokens >= RETRY_TOKEN


WELL = Health()
