"""The rows of the table: what each figure is, its goal, and how it is taken from everyone."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import measure
from bench.contestant import Contestant
from bench.measure import Sample
from bench.peers import contestant
from bench.work import calls_of

AT_ONCE = 200
IN_FLIGHT = 1_000
ONE_BY_ONE = 10
DISK_WINDOW = 25  # tool turns on either side of the run that is weighed: 100 calls in all
BASELINE = "LangGraph"
HOP = "a hop to a thread and back"  # the yardstick of this machine, measured in turn with everyone
HOP_US = 38  # of processor time, on the machine on which the bounds were set

Samples = dict[str, list[float]]
"""The samples of one line, by contestant."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; its goal is an upper bound, or how many times LangGraph it must be.

    LangGraph is a StateGraph with a ToolNode and a checkpointer that waits for the disk. Its functional API, which does
    not wait for it, is named beside the grade. A bound in processor time was set on another machine: where the line was
    measured together with a hop to a thread, it is counted in hops. See docs/decisions/bounds_in_hops.md.
    """

    title: str
    unit: str
    must: float
    should: float | None
    is_times_baseline: bool = False

    def goal(self, bound: float | None, samples: Samples) -> str:
        """Write a goal as the table shows it."""
        if bound is None:
            return ""
        if self.is_times_baseline:
            return f">= {bound:g}x {BASELINE}"
        here = f"; {bound * _slowness(samples):.0f} {self.unit} here" if HOP in samples else ""
        return f"<= {bound:g} {self.unit}{here}"

    def verdict(self, who: str, samples: Samples) -> str:
        """Say which goal a contestant holds, with the factor where the goal is one."""
        if who not in samples:
            return ""
        figure = median(samples[who])
        if not self.is_times_baseline:
            there = figure / _slowness(samples)
            return self._grade(there <= self.must, self.should is not None and there <= self.should)
        if BASELINE not in samples:
            return ""
        factor = figure / median(samples[BASELINE])
        grade = self._grade(factor >= self.must, self.should is not None and factor >= self.should)
        others = [f"{figure / median(taken):.1f}x {name}" for name, taken in samples.items()
                  if name.startswith(f"{BASELINE},")]  # fmt: skip
        return f"{grade} ({', '.join([f'{factor:.1f}x', *others])})"

    def _grade(self, is_must_held: bool, is_should_held: bool) -> str:
        if not is_must_held:
            return "no"
        return "should" if is_should_held else "must"


def _slowness(samples: Samples) -> float:
    """How many times longer a hop takes here than where the bounds were set; 1 where it was not measured."""
    return median(samples[HOP]) / HOP_US if HOP in samples else 1.0


LINES = {
    "at_once": Line(f"durable, {AT_ONCE} runs at once", "runs/s", 5, 8, is_times_baseline=True),
    "durable": Line("durable, one run after another, CPU per call", "us", 400, 220),
    "memory": Line("in memory, CPU per call", "us", 160, 90),
    "growth_durable": Line("durable, tool call 1,000 of a run against call 10, CPU", "x", 1.3, 1.1),
    "growth_memory": Line("in memory, tool call 1,000 of a run against call 10, CPU", "x", 1.3, 1.1),
    "disk_100": Line("disk per call, at 100 calls", "kB", 1.5, 1.0),
    "disk_1000": Line("disk per call, at 1,000 calls", "kB", 1.5, 1.0),
    "import_wall": Line("import, wall", "ms", 250, 150),
    "import_rss": Line("import, RSS after it", "MB", 50, None),
    "audit": Line("chains, house and checkpoints, CPU per event", "us", 10, 5),
    "in_flight": Line("memory of 1,000 runs in flight", "MB", 25, 12),
}


@dataclass(frozen=True, slots=True)
class Arena:
    """Who takes part, how often, and where the stores lie (on the disk of the checkout, for its fsync)."""

    folder: Path
    names: Sequence[str]
    is_quick: bool
    durable_names: list[str] = field(init=False)
    memory_names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Find out who can be opened on a folder, and who without one."""
        object.__setattr__(self, "durable_names", [name for name in self.names if contestant(name).is_durable])
        object.__setattr__(self, "memory_names", [name for name in self.names if contestant(name).is_in_memory])

    def rounds(self, full: int, quick: int) -> int:
        """Choose the number of rounds."""
        return quick if self.is_quick else full

    def who(self, durable: bool) -> Sequence[str]:
        """Name those who take part in a row."""
        return self.durable_names if durable else self.memory_names

    @asynccontextmanager
    async def opened(self, name: str, durable: bool) -> AsyncIterator[Contestant]:
        """Open a contestant on a fresh store, and warm it up."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            who = contestant(name)
            await who.open(Path(folder) if durable else None)
            try:
                await measure.warm_up(who)
                yield who
            finally:
                await who.close()


async def _steady(
    arena: Arena, durable: bool, rounds: int, take: Callable[[Contestant], Awaitable[float]], *, hops: bool = False
) -> Samples:
    async with AsyncExitStack() as stack:
        opened: dict[str, Contestant] = {}
        for name in arena.who(durable):
            if not contestant(name).is_alone:
                opened[name] = await stack.enter_async_context(arena.opened(name, durable))

        async def sample(name: str) -> float:
            if name == HOP:
                return await measure.hop_us()
            if name in opened:
                return await take(opened[name])
            async with arena.opened(name, durable) as who:
                return await take(who)

        return await measure.interleaved(rounds, [*arena.who(durable), *([HOP] if hops else [])], sample)


async def at_once(arena: Arena) -> dict[str, Samples]:
    """Take runs a second, all in flight together."""

    async def take(who: Contestant) -> float:
        return (await measure.all_at_once(who, AT_ONCE)).runs_per_second

    return {"at_once": await _steady(arena, True, arena.rounds(5, 1), take)}


async def _cpu(who: Contestant) -> float:
    sample: Sample = await measure.one_after_another(who, ONE_BY_ONE)
    return sample.cpu_us_per_call


async def durable(arena: Arena) -> dict[str, Samples]:
    """Take the processor time of a call, on disk."""
    return {"durable": await _steady(arena, True, arena.rounds(9, 3), _cpu, hops=True)}


async def memory(arena: Arena) -> dict[str, Samples]:
    """Take the processor time of a call, in memory."""
    return {"memory": await _steady(arena, False, arena.rounds(15, 5), _cpu, hops=True)}


async def growth(arena: Arena) -> dict[str, Samples]:
    """Take what a late call costs against an early one of the same run, each time on a fresh store."""
    lines: dict[str, Samples] = {}
    for line, is_durable in (("growth_durable", True), ("growth_memory", False)):

        async def take(name: str, is_durable: bool = is_durable) -> float:
            async with arena.opened(name, is_durable) as who:
                return await measure.far_against_near(who)

        lines[line] = await measure.interleaved(arena.rounds(3, 1), arena.who(is_durable), take)
    return lines


async def disk(arena: Arena) -> dict[str, Samples]:
    """Take the slope of the file's size over the 100 calls around the call in question; it is not random."""
    lines: dict[str, Samples] = {}
    for line, calls in (("disk_100", 100), ("disk_1000", 1_000)):
        low, high = calls // 2 - DISK_WINDOW, calls // 2 + DISK_WINDOW

        async def take(name: str, low: int = low, high: int = high) -> float:
            grown = await _weigh(arena, name, high) - await _weigh(arena, name, low)
            return grown / (calls_of(high) - calls_of(low)) / 1e3

        lines[line] = await measure.interleaved(1, arena.who(True), take)
    return lines


async def _weigh(arena: Arena, name: str, turns: int) -> int:
    with tempfile.TemporaryDirectory(dir=arena.folder) as folder:
        return await measure.bytes_of_run(contestant(name), Path(folder), turns)


async def imports(arena: Arena) -> dict[str, Samples]:
    """Take the wall and the memory of the imports, each in a fresh process, after one that compiles."""
    costs: dict[str, list[dict[str, float]]] = {name: [] for name in arena.durable_names}

    async def take(name: str) -> float:
        costs[name].append(measure.import_cost(contestant(name).imports))
        return 0

    await measure.interleaved(1 + arena.rounds(7, 3), arena.durable_names, take)
    return {
        "import_wall": {name: [cost["wall_ms"] for cost in taken[1:]] for name, taken in costs.items()},
        "import_rss": {name: [cost["rss_mb"] for cost in taken[1:]] for name, taken in costs.items()},
    }


async def in_flight(arena: Arena) -> dict[str, Samples]:
    """Take the memory of runs that wait in their tool, each time in a fresh process, on disk where one can."""

    async def take(name: str) -> float:
        with tempfile.TemporaryDirectory(dir=arena.folder) as folder:
            place = [folder] if name in arena.durable_names else []
            return measure.in_fresh_process(["-m", "bench.in_flight", name, str(IN_FLIGHT), *place])["mb"]

    return {"in_flight": await measure.interleaved(arena.rounds(3, 1), arena.names, take)}


async def audit(arena: Arena) -> dict[str, Samples]:
    """Take what the audit adds to an event of ours, each time in a fresh process; the peers have none."""

    async def take(_: str) -> float:
        return measure.in_fresh_process(["-m", "bench.audit", str(arena.folder)])["us"]

    ours = [name for name in arena.names if name == "bridle"]
    return {"audit": await measure.interleaved(arena.rounds(7, 3), ours, take)}


MEASUREMENTS: dict[str, Callable[[Arena], Awaitable[dict[str, Samples]]]] = {
    each.__name__: each for each in (at_once, durable, memory, growth, disk, imports, audit, in_flight)
}
