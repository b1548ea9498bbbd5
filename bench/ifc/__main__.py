"""The command line of the bench: plays every suite under every rule, and writes the page and what was missed."""

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.ifc import dojo, speed
from bench.ifc.labels import SUITES
from bench.ifc.report import page
from bench.ifc.rules import RULES
from bench.ifc.tally import Tally, tally
from bench.ifc.world import Suite


def options(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench.ifc", description="what the rule on the flow of information stops")
    parser.add_argument("--suite", choices=list(SUITES), action="append", help="this suite (repeatable)")
    parser.add_argument("--rule", choices=[rule.name for rule in RULES], action="append", help="this rule (repeatable)")
    parser.add_argument("--tasks", type=int, metavar="N", help="the first N user tasks of a suite")
    parser.add_argument("--attacks", type=int, metavar="N", help="the first N attacks of a suite")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page here; wants every rule")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write every count, and every call of the attackers and every question",
    )
    return parser.parse_args(given)


async def main() -> None:
    """Play, print, keep."""
    asked, begun = options(), time.perf_counter()
    suites: dict[str, Suite] = {name: dojo.load(name) for name in asked.suite or SUITES}
    where = {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "versions": dojo.VERSIONS,
    }
    took = speed.measure({suite: SUITES[name] for name, suite in suites.items()})
    rows: list[Tally] = []
    for name, suite in suites.items():
        for rule in RULES:
            if asked.rule and rule.name not in asked.rule:
                continue
            start = time.perf_counter()
            tasks, attacks = suite.tasks[: asked.tasks], suite.attacks[: asked.attacks]
            rows.append(await tally(suite, SUITES[name], rule, tasks, attacks))
            print(f"ifc          {name}, {rule.name}, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    if asked.json:
        asked.json.write_text(json.dumps({**where, "rows": [asdict(row) for row in rows], **asdict(took)}, indent=1))
    if not asked.rule:
        written = page(rows, took, {**where, "minutes": f"{(time.perf_counter() - begun) / 60:.0f}"})
        print(written)
        if asked.markdown:
            asked.markdown.write_text(written)


asyncio.run(main())
