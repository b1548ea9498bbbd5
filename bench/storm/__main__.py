"""`python -m bench.storm --runs 100000 --seed 7 --plan bad_day`; `--only RUN` repeats the world of one run."""

import argparse
import json
import sys
from dataclasses import asdict

from bench.storm.day import play
from bench.storm.plan import PLANS
from bench.storm.promises import violations
from bench.storm.report import write
from bench.storm.sabotage import SABOTAGES, applied
from bench.storm.storm import Order, storm
from bench.storm.tally import is_feasible
from bench.storm.tasks import RUNS_OF_A_HOUSE


def main() -> int:
    """Play; 1 when a promise did not hold, or when a sabotage was not found."""
    given = _arguments()
    if given.list:
        for name, sabotage in SABOTAGES.items():
            print(f"{name:36} {sabotage.promise:8} {sabotage.does}")
        return 0
    if given.only is not None:
        return _only(given.seed, given.only, given.plan, given.sabotage)
    order = Order(given.seed, given.plan, given.runs, given.workers, given.sabotage)
    played = storm(order, stop_at_first=bool(given.sabotage))
    if given.sabotage:
        found = played.tally.violations
        print(f"{given.sabotage}: {'found' if found else 'NOT found'} within {played.tally.runs} runs", *found[:1])
        return not found
    path = write(order, played)
    print(path.read_text())
    return bool(played.tally.violations)


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
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--plan", choices=PLANS, default="bad_day")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--only", type=int, metavar="RUN", help="repeat the house of this run, and show the run")
    parser.add_argument("--sabotage", choices=SABOTAGES, default="", help="break our own code, and see it found")
    parser.add_argument("--list", action="store_true", help="list the sabotages")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
