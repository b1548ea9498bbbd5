"""`python -m bench.storm --runs 100000 --seed 7 --plan bad_day`; `--only RUN` repeats the world of one run."""

import argparse
import json
import sys
from dataclasses import asdict

from bench.storm.day import play
from bench.storm.plan import PLANS
from bench.storm.processes import processes
from bench.storm.promises import violations
from bench.storm.report import write
from bench.storm.sabotage import SABOTAGES, applied
from bench.storm.storm import Order, storm
from bench.storm.tally import is_feasible
from bench.storm.tasks import RUNS_OF_A_HOUSE

RUNS = {"S": 100_000, "P": 5_000, "D": 5_000}
WITHIN, EVERY_ONE = 5_000, "all"  # runs, sabotages
KILL_EVERY = 50  # runs of tier P


def main() -> int:
    """Play; 1 when a promise did not hold, or when a sabotage was not found."""
    given = _arguments()
    if given.list:
        for name, sabotage in SABOTAGES.items():
            print(f"{name:36} {sabotage.promise:8} {sabotage.does}")
        return 0
    if given.only is not None:
        return _only(given.seed, given.only, given.plan, given.sabotage)
    if given.sabotage:
        names = SABOTAGES if given.sabotage == EVERY_ONE else [given.sabotage]
        return sum([not _is_found(Order(given.seed, given.plan, WITHIN, 1, name)) for name in names])
    order = Order(given.seed, given.plan, given.runs, given.workers, tier=given.tier)
    played = processes(order, KILL_EVERY) if given.tier == "P" else storm(order)
    path = write(order, played)
    print(path.read_text())
    return bool(played.tally.violations)


def _is_found(order: Order) -> bool:
    """Break our own code, and say after how many runs the check of that promise found it."""
    played, broken = storm(order, stop_at_first=True), SABOTAGES[order.sabotage]
    found, runs = bool(played.tally.violations), f"{played.tally.runs:,}"
    print(f"| {broken.promise} | {broken.does} | {runs if found else f'**not found** in {runs}'} |", flush=True)
    return found


def _only(seed: int, run: int, plan: str, sabotage: str) -> int:
    """The house of one run again: what the world saw of it, what the journal says, what did not hold."""
    with applied(sabotage):
        seen = play(seed, run // RUNS_OF_A_HOUSE, PLANS[plan])
        broken = list(violations(seen))
    print(seen.tasks[run], seen.fates[run], f"feasible: {is_feasible(seen, run)}", sep="\n")
    told = [line for line in seen.lines if line.task == run]
    happened = [(line.stamp, "world  ", json.dumps(asdict(line), default=str)) for line in told]
    for journal in seen.journals.values():
        if journal.task == run:
            happened += [(stamp, f"journal {journal.run}", str(event)) for stamp, event in journal.events]
    for stamp, who, what in sorted(happened):
        print(f"{stamp:>6} {who} {what[:400]}")
    print(*(answer for answer in seen.answers if answer.task == run), sep="\n")
    for promise, what in broken:
        print(f"{promise}: {what}")
    return bool(broken)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description=__doc__)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--plan", choices=PLANS, default="bad_day")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--only", type=int, metavar="RUN", help="repeat the house of this run, and show the run")
    parser.add_argument(
        "--sabotage", choices=(*SABOTAGES, EVERY_ONE), default="", help="break our own code, and see it found"
    )
    parser.add_argument("--list", action="store_true", help="list the sabotages")
    parser.add_argument("--tier", choices=("S", "P", "D"), default="S", help="simulated, processes, disk")
    given = parser.parse_args()
    given.runs = given.runs or RUNS[given.tier]
    if given.tier == "D":
        given.plan = "bad_disk"
    return given


if __name__ == "__main__":
    sys.exit(main())
