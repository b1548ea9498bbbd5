"""The benchmark itself, in the peers' environment: take the rows that were asked for, print them as Markdown."""

import argparse
import asyncio
import json
import os
import platform
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench import measure, postgres
from bench.peers import ROSTER, contestant
from bench.rows import HOP_US, LINES, MEASUREMENTS, Arena, Samples

RESULTS = Path(__file__).parent / "results"
US = "bridle"
ON_A_SERVER = "DBOS on Postgres"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench/run.py", description="bridle and its peers on the same work")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", choices=list(MEASUREMENTS), action="append", help="this measurement (repeatable)")
    parser.add_argument("--without", choices=list(ROSTER), action="append", default=[], help="leave this one out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every sample here")
    parser.add_argument("--markdown", action="store_true", help="the table alone, no progress")
    return parser.parse_args()


async def present(names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Name those who do the work as it is told, with their versions, and those who cannot, with the reason."""
    versions: dict[str, str] = {}
    absent: dict[str, str] = {}
    for name in names:
        who = contestant(name)
        with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
            try:
                await who.open(None if who.is_in_memory else Path(folder))
            except NotImplementedError as missing:
                absent[name] = str(missing)
                continue
            await measure.warm_up(who)
            await who.close()
        versions[name] = who.version
    return versions, absent


async def machine() -> dict[str, str | float]:
    """Say when and on what this was measured."""
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        commit = round(measure.commit_us(Path(folder)))
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load": round(os.getloadavg()[0], 1),
        "commit_us": commit,
        "hop_us": round(await measure.hop_us()),
    }


def table(lines: dict[str, Samples], versions: dict[str, str]) -> str:
    """Write the medians as a Markdown table."""
    head = ["", *versions, "must", "should", f"{US} holds"]
    rows = [head, ["---"] * len(head)]
    for key, line in LINES.items():
        if key not in lines:
            continue
        samples = lines[key]
        cells = [_cell(samples[name], line.unit) if name in samples else "-" for name in versions]
        rows.append(
            [
                line.title,
                *cells,
                line.goal(line.must, samples),
                line.goal(line.should, samples),
                line.verdict(US, samples),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(samples: list[float], unit: str) -> str:
    figure = median(samples)
    digits = 0 if figure >= 100 else 1 if figure >= 10 else 2
    return f"{figure:,.{digits}f} {unit}"


def footnote(where: dict[str, str | float], versions: dict[str, str], is_quick: bool) -> str:
    """Say under the table what it was measured with."""
    packages = ", ".join(dict.fromkeys(versions.values()))
    rounds = "a few rounds" if is_quick else "interleaved rounds"
    return (
        f"Medians of {rounds} in one process, {where['date']}, {where['cores']} cores; before it, load "
        f"{where['load']} and {where['commit_us']} us for a FULL commit of one row (when either is high, do it again); "
        f"a hop to a thread and back costs {where['hop_us']} us here, and {HOP_US} us where the bounds were set; "
        f"Python {where['python']}, {packages}."
    )


async def take(asked: Sequence[str], names: Sequence[str], is_quick: bool, is_silent: bool) -> dict[str, Samples]:
    """Take the measurements one after another, on stores beside this file."""
    lines: dict[str, Samples] = {}
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        arena = Arena(Path(folder), names, is_quick)
        for name in asked:
            start = time.perf_counter()
            lines |= await MEASUREMENTS[name](arena)
            if not is_silent:
                print(f"bench        {name}, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return lines


async def main() -> None:
    """Measure, print, keep."""
    asked = options()
    where = await machine()
    names = [name for name in ROSTER if name not in asked.without]
    with postgres.server_for(ON_A_SERVER in names):
        versions, absent = await present(names)
        lines = await take(asked.only or list(MEASUREMENTS), list(versions), asked.quick, asked.markdown)
    print(table(lines, versions), footnote(where, versions, asked.quick), sep="\n\n")
    for name, why in absent.items():
        print(f"\n{name} takes no part: {why}.")
    if asked.json:
        kept = {**where, "versions": versions, "absent": absent, "is_quick": asked.quick, "samples": lines}
        asked.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped, too
    asyncio.run(main())
