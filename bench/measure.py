"""How things are measured: processor time, wall, memory, disk; in rounds, so that a noisy minute hits everyone."""

import asyncio
import gc
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

from bench.contestant import Contestant
from bench.work import TURNS, calls_of

WARM_UP_RUNS = 5
FAR = 1_000
NEAR = 10
BLOCK = 10  # tool turns
BLOCKS = 11
PATIENCE = 60.0  # seconds
HOPS = 300
_numbers = count()


@dataclass(frozen=True, slots=True)
class Sample:
    """What some runs cost: wall and processor seconds (all threads of the process), and the calls they made."""

    runs: int
    calls: int
    wall: float
    cpu: float

    @property
    def runs_per_second(self) -> float:
        """Say how many runs were finished a second of wall."""
        return self.runs / self.wall

    @property
    def cpu_us_per_call(self) -> float:
        """Say how many microseconds of processor a call took."""
        return self.cpu / self.calls * 1e6


def fresh_key() -> str:
    """Name a run as no run of this process was named before."""
    return f"run-{next(_numbers):07}"


async def warm_up(contestant: Contestant) -> None:
    """Let the first runs be nobody's sample, and see that the work is the work."""
    for _ in range(WARM_UP_RUNS):
        calls = await contestant.one_run(fresh_key(), TURNS)
        if calls != calls_of(TURNS):
            raise AssertionError(f"{contestant.name} made {calls} calls where the work is {calls_of(TURNS)}")


async def one_after_another(contestant: Contestant, runs: int) -> Sample:
    """Measure runs that wait for each other."""
    gc.collect()
    wall, cpu, calls = time.perf_counter(), time.process_time(), 0
    for _ in range(runs):
        calls += await contestant.one_run(fresh_key(), TURNS)
    return Sample(runs, calls, time.perf_counter() - wall, time.process_time() - cpu)


async def all_at_once(contestant: Contestant, runs: int) -> Sample:
    """Measure runs that are all in flight together."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    calls = sum(await asyncio.gather(*(contestant.one_run(fresh_key(), TURNS) for _ in range(runs))))
    return Sample(runs, calls, time.perf_counter() - wall, time.process_time() - cpu)


class Stepped:
    """A run that is parked at one tool call and at every tenth after it, and let go a block at a time."""

    def __init__(self, first: int) -> None:
        """Name the tool call that parks first."""
        self._first = first
        self._park = asyncio.Event()
        self._is_parked = asyncio.Event()
        self._reached = 0
        self._park.set()

    async def run(self, contestant: Contestant, blocks: int) -> None:
        """Do a run that ends with its last block."""
        await contestant.one_run(fresh_key(), self._first + blocks * BLOCK, park=self._park, on_call=self._arrive)

    def _arrive(self, n: int) -> None:
        if n >= self._first and (n - self._first) % BLOCK == 0:
            self._reached = time.process_time_ns()
            self._park.clear()
            self._is_parked.set()

    async def parked(self) -> None:
        """Wait until it is parked."""
        await self._is_parked.wait()

    async def block(self) -> int:
        """Let it go one block, and say how many nanoseconds of processor that took."""
        self._is_parked.clear()
        start = time.process_time_ns()
        self._park.set()
        await self._is_parked.wait()
        return self._reached - start

    def release(self) -> None:
        """Let it end."""
        self._park.set()


async def far_against_near(contestant: Contestant) -> float:
    """Divide the processor time of ten tool turns around a run's 1,000th by that of ten around another's 10th.

    The long run is parked while a short one does its block, so that a machine that slows down slows both; the answer
    is the median over the pairs.
    """
    far, ratios = Stepped(FAR - BLOCK * BLOCKS // 2), list[float]()
    gc.collect()
    async with asyncio.TaskGroup() as group:
        group.create_task(far.run(contestant, BLOCKS))
        await far.parked()
        for _ in range(BLOCKS):
            near = Stepped(NEAR - BLOCK // 2)
            short = group.create_task(near.run(contestant, 1))
            await near.parked()
            early = await near.block()
            near.release()
            await short
            ratios.append(await far.block() / early)
        far.release()
    return median(ratios)


async def bytes_of_run(contestant: Contestant, folder: Path, turns: int) -> int:
    """Weigh a fresh store that holds one run of so many tool turns."""
    await contestant.open(folder)
    await contestant.one_run(fresh_key(), turns)
    await contestant.close()
    return contestant.kept_bytes()


async def hop_us() -> float:
    """Take the least processor time of a hop to a thread and back: how fast this machine runs Python."""

    async def batch() -> float:
        start = time.process_time()
        for _ in range(HOPS):
            await asyncio.to_thread(int)
        return (time.process_time() - start) / HOPS * 1e6

    return min([await batch() for _ in range(7)])


def commit_us(folder: Path) -> float:
    """Take the median wall of a FULL commit of one row: it tells a quiet disk from a busy one."""
    walls: list[float] = []
    with closing(sqlite3.connect(folder / "commit.db", isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE row (n INTEGER)")
        for n in range(200):
            start = time.perf_counter()
            db.execute("INSERT INTO row VALUES (?)", (n,))
            walls.append(time.perf_counter() - start)
    return median(walls) * 1e6


def rss_bytes() -> int:
    """Read the resident memory of this process."""
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return resident_pages * resource.getpagesize()


async def bytes_in_flight(contestant: Contestant, runs: int) -> int:
    """Measure by how much this process grows while so many runs wait inside their first tool call."""
    await warm_up(contestant)
    park, everyone, waiting = asyncio.Event(), asyncio.Event(), 0

    def arrive(n: int) -> None:
        nonlocal waiting
        waiting += n == 1
        if waiting == runs:
            everyone.set()

    gc.collect()
    before = rss_bytes()
    async with asyncio.TaskGroup() as group:
        for _ in range(runs):
            group.create_task(contestant.one_run(fresh_key(), 1, park=park, on_call=arrive))
        await everyone.wait()
        gc.collect()
        grown = rss_bytes() - before
        park.set()
    return grown


def in_fresh_process(arguments: Sequence[str]) -> dict[str, float]:
    """Start this Python anew, free to keep its bytecode, and read the one JSON object that it prints."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.PIPE, check=True, text=True, env=env, timeout=300
    )
    figures = json.loads(done.stdout)
    assert isinstance(figures, dict)
    return figures


IMPORT_PROBE = """
import json, resource, time
from pathlib import Path
start = time.perf_counter()
{imports}
wall = time.perf_counter() - start
rss = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
print(json.dumps({{"wall_ms": wall * 1e3, "rss_mb": rss / 1e6}}))
"""


def import_cost(imports: str) -> dict[str, float]:
    """Measure import statements in a process of their own: milliseconds of wall, and megabytes resident after."""
    return in_fresh_process(["-c", IMPORT_PROBE.format(imports=imports.strip())])


async def interleaved(
    rounds: int, names: Sequence[str], take: Callable[[str], Awaitable[float]]
) -> dict[str, list[float]]:
    """Take one sample of everyone a round, in turn, the order reversed in every second round.

    Whoever needed longer than PATIENCE for a sample is not asked for another.
    """
    samples: dict[str, list[float]] = {name: [] for name in names}
    impatient_with: set[str] = set()
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            if name in impatient_with:
                continue
            start = time.monotonic()
            samples[name].append(await take(name))
            if time.monotonic() - start > PATIENCE:
                impatient_with.add(name)
    return samples
