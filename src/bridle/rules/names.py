"""The words and units that every other room uses: ids, money in integer nano-dollars, time in integer milliseconds."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import NewType

RunId = NewType("RunId", str)
CallId = NewType("CallId", str)
TenantId = NewType("TenantId", str)
ToolName = NewType("ToolName", str)
Digest = NewType("Digest", str)  # "sha256:" and 32 hex digits, or a bare hex digest inside an event
Millis = NewType("Millis", int)
UsdNanos = NewType("UsdNanos", int)  # 1 USD = 1_000_000_000
Unit = NewType("Unit", str)

Amounts = Mapping[Unit, int]  # what a call holds or has used, by unit; a unit that is absent is 0

USD_NANO = Unit("usd_nano")
TOKENS_IN = Unit("tokens_in")
TOKENS_OUT = Unit("tokens_out")
MODEL_CALLS = Unit("model_calls")
TOOL_CALLS = Unit("tool_calls")
STEPS = Unit("steps")
WRITES = Unit("writes")
ACTIVE_MS = Unit("active_ms")
IN_FLIGHT = Unit("in_flight")
BYTES_OBSERVED = Unit("bytes_observed")

NANOS_PER_USD = 1_000_000_000
MILLIS_PER_SECOND = 1_000


def tool_unit(tool: ToolName) -> Unit:
    """The unit that counts the calls of one tool."""
    return Unit(f"tool:{tool}")


def usd(amount: str | int | Decimal) -> UsdNanos:
    """Dollars as nano-dollars, rounded up: an error in money never favours the spender. Raises ArithmeticError."""
    return UsdNanos(int((Decimal(amount) * NANOS_PER_USD).to_integral_value(ROUND_CEILING)))


def show_usd(nanos: int) -> str:
    """Nano-dollars as people read them: "$0.41", with more digits only where they matter."""
    dollars = Decimal(nanos) / NANOS_PER_USD
    if nanos == 0 or dollars >= Decimal("0.01"):
        return f"${dollars:,.2f}"
    return f"${dollars:.9f}".rstrip("0")


def show_time(at: int) -> str:
    """Unix milliseconds as people read them: "2026-11-21 00:00 UTC" (civil-from-days, Howard Hinnant)."""
    day, minute = divmod(at // 60_000, 1_440)
    era, of_era = divmod(day + 719_468, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    date = of_year - (153 * shifted + 2) // 5 + 1
    return f"{year + era * 400 + (month <= 2)}-{month:02}-{date:02} {minute // 60:02}:{minute % 60:02} UTC"


class Effect(StrEnum):
    """What a call does to the world."""

    READ = "read"
    EGRESS = "egress"  # a read whose address or query the model chooses: something leaves the house
    WRITE = "write"


class Source(StrEnum):
    """Who may have written what a tool returns."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


class Confidentiality(StrEnum):
    """Who may read what a tool returns."""

    PUBLIC = "public"
    PRIVATE = "private"
