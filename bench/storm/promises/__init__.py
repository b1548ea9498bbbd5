"""The promises, each with its check: what a day's evidence shows against it, in sentences."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from bench.storm.evidence import Evidence
from bench.storm.promises import (
    p01_spend,
    p02_end,
    p03_writes,
    p04_door,
    p05_kill,
    p06_audit,
    p07_tenants,
    p08_retries,
    p09_pinned,
    p10_injection,
    p12_approvals,
    p13_time,
    p14_bytes,
    p16_closed,
)

Check = Callable[[Evidence], Iterator[str]]

PROMISES: Mapping[str, Check] = MappingProxyType(
    {
        "P1 spend": p01_spend.violations,
        "P2 end": p02_end.violations,
        "P3 writes": p03_writes.violations,
        "P4 door": p04_door.violations,
        "P5 kill": p05_kill.violations,
        "P6 audit": p06_audit.violations,
        "P7 tenants": p07_tenants.violations,
        "P8 retries": p08_retries.violations,
        "P9 policy in the prompt": p09_pinned.violations,
        "P10 injection": p10_injection.violations,
        "P12 approvals": p12_approvals.violations,
        "P13 time and progress": p13_time.violations,
        "P14 hostile bytes": p14_bytes.violations,
        "P16 closed": p16_closed.violations,
    }
)


def violations(seen: Evidence) -> Iterator[tuple[str, str]]:
    """Every promise that did not hold on this day, with what shows it."""
    for promise, check in PROMISES.items():
        yield from ((promise, what) for what in check(seen))
