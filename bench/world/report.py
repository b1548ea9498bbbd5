"""What each does: try every framework in every scenario, write the table; `make world`."""

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.world.agent import ADAPTERS, adapter
from bench.world.scenarios import TITLES, Scenario
from bench.world.trial import Facts, trial

Results = dict[str, dict[Scenario, Facts]]

PAGE = """# Peers in the same world

What each does when something goes wrong: counts from the ledger of the outside world, and how the run ended in the
framework's own word. `make world` made this page on {date} ({cores} cores, Python {python}, SQLite {sqlite}).

{table}

## What happens

Each trial has three parts: an agent's process, a world outside of it (model, search and payments behind HTTP on
loopback, a process of its own, which writes a ledger that no agent can write), and whoever starts and kills them.
The scripted model gives each call a fresh id, as providers do. It asks for the refund again when it is told of anything
but a receipt, and searches again when it is told that the search failed.

- **Kill -9**: the agent is killed when the refund is in the ledger and its reply is not out yet. The same command is
  then started again. A far end that ignores idempotency keys pays each refund that is asked for, and so does this one;
  one that knows them pays once for each distinct key.
- **Reply lost**: the first refund is paid, and its connection is closed without an answer. When the run has ended, the
  same command is started once more: what that asks for stands after the plus.
- **Down**: every search is answered with 503. "Offered" are the calls that the model asked for.
- **Parallel**: a search takes 50 ms; "at once" is what the world saw at the same time.
- **Loop**: the model asks for the same search until something stops it.
- **8 MB**: the largest request that the model got, how far the process grew at its largest, and what is on disk after.

## With which settings

{settings}

"Raises" is an exception that reached the caller of the run; "answers" is a run that returned normally.
"""


def options(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench.world.report", description="what each does in the same world")
    parser.add_argument("--only", choices=list(Scenario), action="append", help="this scenario (repeatable)")
    parser.add_argument("--who", choices=list(ADAPTERS), action="append", help="this framework (repeatable)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every count here")
    return parser.parse_args(given)


def cell(scenario: Scenario, facts: Facts) -> str:
    """Write what happened in one trial."""
    ways = [", ".join(f"{count} x {way}" if count > 1 else way for way, count in each.items()) for each in facts.ended]
    return f"{_counts(scenario, facts)}; {', then '.join(ways)}"


def _counts(scenario: Scenario, facts: Facts) -> str:
    match scenario:
        case Scenario.CRASH:
            return f"refunds asked for: {facts.refunds}, distinct keys: {facts.keys}"
        case Scenario.LOST:
            return f"refunds asked for: {facts.refunds} + {facts.refunds_again}, distinct keys: {facts.keys}"
        case Scenario.DOWN:
            return f"offered: {facts.offered}; on the wire: {facts.searches} ({facts.searches / facts.offered:.1f}x)"
        case Scenario.PARALLEL:
            return f"on the wire: {facts.searches}, at once: {facts.at_once}"
        case Scenario.LOOP:
            return f"searches: {facts.searches}; model calls: {facts.model_calls}"
        case Scenario.HUGE:
            largest = f"{facts.largest_request / 1e3:,.0f} kB"
            return f"to the model: {largest}; memory: +{facts.grown_mb} MB; on disk: {facts.stored / 1e6:.1f} MB"


def table(results: Results) -> str:
    """Write the results, a row for each scenario."""
    asked = [scenario for scenario in Scenario if any(scenario in tried for tried in results.values())]
    rows = [["", *results], ["---"] * (1 + len(results))]
    rows += [[TITLES[each], *(cell(each, tried[each]) for tried in results.values())] for each in asked]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def page(results: Results, where: dict[str, str]) -> str:
    """Write the page of the documentation."""
    said = [(name, adapter(name)) for name in results]
    settings = "\n".join(f"- **{name}** ({who.versions}): {who.settings}." for name, who in said)
    return PAGE.format(**where, table=table(results), settings=settings)


def main() -> None:
    """Try, print, keep."""
    asked = options()
    where = {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    results: Results = {}
    for name in asked.who or ADAPTERS:
        results[name] = {}
        for scenario in map(Scenario, asked.only or Scenario):
            with tempfile.TemporaryDirectory() as folder:
                facts = results[name][scenario] = trial(name, scenario, Path(folder))
            print(f"world        {name}, {scenario}, {facts.seconds:.0f} s", file=sys.stderr)
    print(table(results))
    if asked.markdown:
        asked.markdown.write_text(page(results, where))
    if asked.json:
        trials = {name: {each.value: asdict(facts) for each, facts in tried.items()} for name, tried in results.items()}
        versions = {name: adapter(name).versions for name in results}
        asked.json.write_text(json.dumps({**where, "versions": versions, "trials": trials}, indent=1) + "\n")


if __name__ == "__main__":
    main()
