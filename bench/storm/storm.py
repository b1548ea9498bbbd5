"""Plays many houses in several processes, and adds up what they came to."""

import ctypes
import gc
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from bench.storm.day import play
from bench.storm.plan import PLANS
from bench.storm.promises import violations
from bench.storm.sabotage import SABOTAGES, applied
from bench.storm.tally import Tally, tally
from bench.storm.tasks import RUNS_OF_A_HOUSE

HOUSES_OF_A_CHUNK = 10
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1_000_000
TENTH = 10
_MALLOC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Order:
    """What to play: so many runs of a seed under a plan, with our own code sabotaged or not."""

    seed: int
    plan: str
    runs: int
    workers: int
    sabotage: str = ""
    tier: str = "S"

    @property
    def houses(self) -> range:
        """The houses that hold these runs."""
        return range(-(-self.runs // RUNS_OF_A_HOUSE))


@dataclass(slots=True)
class Played:
    """What it came to, with CPU seconds of all processes, and memory in MB after each chunk."""

    tally: Tally = field(default_factory=Tally)
    wall: float = 0.0
    cpu: float = 0.0
    memory: list[float] = field(default_factory=list)
    living: list[int] = field(default_factory=list)  # blocks of memory that objects have, after each chunk
    recoveries: list[int] = field(default_factory=list)  # milliseconds from a kill to the takeover of each run

    def recovery(self, percent: int) -> float:
        """Seconds within which so many of a hundred runs were taken over."""
        ordered = sorted(self.recoveries)
        return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] / 1_000 if ordered else 0.0


def growth(samples: Sequence[float]) -> float:
    """The last tenth of the chunks over the first."""
    part = max(len(samples) // TENTH, 1)
    first, last = samples[:part], samples[-part:]
    return sum(last) / len(last) / (sum(first) / len(first)) if samples else 1.0


def storm(order: Order, *, stop_at_first: bool = False) -> Played:
    """Play an order. With `stop_at_first` it ends after the chunk that found a violation."""
    began, found = time.monotonic(), Played()
    own = SABOTAGES[order.sabotage].promise if order.sabotage else ""
    for done in _chunks(order):
        found.tally.add(done.tally)
        if own:  # it has to be found by the check of its own promise
            found.tally.violations = [one for one in found.tally.violations if one[1].split()[0] == own]
        found.cpu += done.cpu
        found.memory += done.memory
        found.living += done.living
        for run, promise, what in done.tally.violations:
            print(f"\n--seed {order.seed} --plan {order.plan} --only {run}: {promise}: {what[:300]}", file=sys.stderr)
        _say(order, found, time.monotonic() - began)
        if stop_at_first and found.tally.violations:
            break
    found.wall = time.monotonic() - began
    print(file=sys.stderr)
    return found


def _chunks(order: Order) -> Iterator[Played]:
    """The chunks as they are done; in this process when it is one."""
    houses = list(order.houses)
    size = 1 if order.sabotage else HOUSES_OF_A_CHUNK
    parts = [houses[at : at + size] for at in range(0, len(houses), size)]
    if order.workers == 1:
        yield from (chunk(order, part) for part in parts)
        return
    with ProcessPoolExecutor(order.workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(chunk, order, part) for part in parts]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def chunk(order: Order, houses: Sequence[int]) -> Played:
    """Some houses, one after the other, in this process."""
    began, found, plan = time.process_time(), Played(), PLANS[order.plan]
    with applied(order.sabotage):
        for house in houses:
            try:
                seen = play(order.seed, house, plan)
                found.tally.add(tally(seen, list(violations(seen))))
            except Exception as error:  # noqa: BLE001 - one house that cannot be played is told, and the next one is
                found.tally.violations.append((house * RUNS_OF_A_HOUSE, "P0 the storm itself", repr(error)))
    gc.collect()
    if hasattr(_MALLOC, "malloc_trim"):  # what the allocator keeps for the next large output is nobody's
        _MALLOC.malloc_trim(0)
    found.memory.append(_resident())
    found.living.append(sys.getallocatedblocks())
    found.cpu = time.process_time() - began
    return found


def _resident() -> float:
    """The memory of this process in MB, as Linux counts it; 0 elsewhere."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * PAGE_MB if statm.exists() else 0.0


def _say(order: Order, found: Played, passed: float) -> None:
    done = found.tally
    left = passed / max(done.runs, 1) * (order.runs - done.runs)
    print(
        f"\r{done.runs:,} of {order.runs:,} runs, {len(done.violations)} violations, {done.crashes} workers killed, "
        f"{passed:.0f} s, {max(left, 0):.0f} s to go ", end="", file=sys.stderr, flush=True,
    )  # fmt: skip
