"""The kill switch alone: cold start of the command, acknowledgements of four workers, what an admission pays for it.

`python -m bench.kill` in the environment of `make check`.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from statistics import median, quantiles

from bridle.rules.names import Millis
from bridle.rules.policy import KillLevel
from bridle.rules.switch import Scope
from bridle.store.opening import connect, writing
from bridle.store.roll import Roll
from bridle.store.switches import SwitchBook, Wish

STARTS, KILLS, READS, WORKERS = 21, 200, 20_000, 4
HOUSE = """
import asyncio, sys
from bridle import Bridle

async def main():
    async with Bridle(store="sqlite:///" + sys.argv[1]):
        print("open", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


def wish() -> Wish:
    """Somebody, now."""
    return Wish("ann", "measured", "bench", Millis(time.time_ns() // 1_000_000))


@contextmanager
def opened(path: Path) -> Iterator[SwitchBook]:
    """The switches of a store, as the command line opens them."""
    with closing(connect(path, True)) as db:
        yield SwitchBook(path, lambda: nullcontext(db), lambda: writing(path), Roll(path).living)


def cold_start(path: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of `bridle kill` from its start to its exit: wall, and processor. The first one compiles."""
    program = str(Path(sys.executable).with_name("bridle"))
    taken, used = [], []
    for number in range(STARTS + 1):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [program, "kill", "all", "--tenant", f"t{number}", "--because", "measured", "--store", str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append((time.perf_counter() - began) * 1e3)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3)
    return taken[1:], used[1:]


def acknowledgements(path: Path) -> list[float]:
    """Milliseconds from the commit of a switch until the last of the workers has acknowledged it."""
    command = [sys.executable, "-c", HOUSE, str(path)]
    houses = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(WORKERS)]
    taken = []
    try:
        for house in houses:
            assert house.stdout is not None
            house.stdout.readline()
        with opened(path) as book:
            for number in range(KILLS):
                change = book.kill(KillLevel.WRITES, Scope(f"a{number}"), wish())
                began = time.perf_counter()
                while True:  # ends: the houses live
                    workers = book.workers(change.generation)
                    assert len(workers) == WORKERS
                    if all(worker.acknowledged_at is not None for worker in workers):
                        break
                    time.sleep(0.001)
                taken.append((time.perf_counter() - began) * 1e3)
                book.unkill(None, Scope(f"a{number}"), wish())
    finally:
        for house in houses:
            house.kill()
            house.communicate()
    return taken


def read_cost(path: Path) -> dict[str, float]:
    """Microseconds of processor in which a store reads anew what is on: by how much is on, and with BRIDLE_HOME."""
    found = {}
    for home in ("", str(path.parent / "home")):
        os.environ["BRIDLE_HOME"] = home
        for on in (0, 1, 10):
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                one = Path(folder) / "s.db"
                with closing(connect(one, False)) as db, opened(one) as book:
                    for number in range(on):
                        book.kill(KillLevel.WRITES, Scope(f"t{number}"), wish())
                    db.execute("BEGIN IMMEDIATE")
                    rounds = []
                    for _ in range(7):
                        began = time.process_time()
                        for _ in range(READS):
                            _ = (*book.files(), *book.turned(db))
                        rounds.append((time.process_time() - began) / READS * 1e6)
                    db.execute("ROLLBACK")
                    found[f"{on} on{', BRIDLE_HOME' if home else ''}"] = round(min(rounds), 2)
    return found


def main() -> None:
    """Measure, and print one JSON document."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        connect(path, False).close()
        acked, (started, used) = acknowledgements(path), cold_start(path)
        print(
            json.dumps(
                {
                    "kill_cold_start_ms": {
                        "p50": round(median(started)),
                        "min": round(min(started)),
                        "processor": round(median(used)),
                    },
                    "acknowledged_ms": {
                        "p50": round(median(acked), 1),
                        "p99": round(quantiles(acked, n=100)[98], 1),
                        "workers": WORKERS,
                        "kills": KILLS,
                    },
                    "read_us": read_cost(path),
                    "load": os.getloadavg()[0],
                },
                indent=2,
            )
        )


if __name__ == "__main__":
    main()
