"""The report of a storm, as Markdown for people and as JSON for programs."""

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.storm.storm import Order, Played, growth
from bench.storm.tally import EVERY_RUN, Row
from bridle.rules.names import show_usd

RESULTS = Path(__file__).resolve().parent.parent / "results"
FEASIBLE, MINUTES, FLAT = 0.95, 20, 1.05
RECOVERED = ((50, 3), (95, 20))  # percent, and seconds
SHOWN = 100  # violations in the Markdown
COLUMNS = (
    "runs", "in time", "ok", "degraded", "feasible", "ok of feasible", "amplification", "overspend", "stranded",
    "duplicates", "in doubt", "resumed",
)  # fmt: skip


def write(order: Order, played: Played, folder: Path = RESULTS) -> Path:
    """Write both into `folder`; returns the path of the Markdown."""
    folder.mkdir(exist_ok=True)
    name = folder / f"storm_{order.tier}_{order.plan}"
    name.with_suffix(".md").write_text("\n".join(markdown(order, played)) + "\n")
    name.with_suffix(".json").write_text(json.dumps(facts(order, played), indent=1) + "\n")
    return name.with_suffix(".md")


def facts(order: Order, played: Played) -> dict[str, object]:
    """Everything that was counted."""
    return {
        "seed": order.seed,
        "plan": order.plan,
        "runs": played.tally.runs,
        "violations": played.tally.violations[:1_000],
        "violations_in_all": len(played.tally.violations),
        "rows": {name: asdict(row) for name, row in played.tally.rows.items()},
        "reasons": dict(played.tally.reasons),
        "workers_killed": played.tally.crashes,
        "commits": played.tally.commits,
        "recovery_seconds": {"p50": played.recovery(50), "p95": played.recovery(95), "runs": len(played.recoveries)},
        "wall_seconds": round(played.wall, 1),
        "cpu_ms_per_run": round(1_000 * played.cpu / max(played.tally.runs, 1), 2),
        "memory_growth": round(growth(played.memory), 3),
        "living_growth": round(growth(played.living), 3),
        "memory_mb": round(max(played.memory, default=0), 1),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def markdown(order: Order, played: Played) -> Iterator[str]:
    """What must hold, one row for each fault, and the violations with the line that repeats them."""
    found, whole = played.tally, played.tally.rows.get(EVERY_RUN, Row())
    share = whole.feasible_ok / max(whole.feasible, 1)
    command = f"python -m bench.storm --tier {order.tier} --runs {order.runs} --seed {order.seed} --plan {order.plan}"
    machine = f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}"
    yield f"# The storm, tier {order.tier}: {found.runs:,} runs, plan {order.plan}, seed {order.seed}\n"
    yield f"`{command}`, {machine}, {order.workers} processes.\n"
    yield "| | must | measured | |\n|---|---|---|---|"
    yield _must("violations", "0", f"{len(found.violations)}", not found.violations)
    if order.tier == "P":
        for percent, most in RECOVERED:
            took = played.recovery(percent)
            yield _must(f"from a kill to a takeover, p{percent}", f"<= {most} s", f"{took:.2f} s", took <= most)
        yield f"\n{len(played.recoveries):,} runs were taken over after a kill; played in {played.wall / 60:.1f} min."
    else:
        yield _must("ok or ok_degraded, of the feasible runs", f">= {FEASIBLE:.0%}", f"{share:.1%}", share >= FEASIBLE)
        yield from _played_alone(played, grows=order.tier == "S")
    yield f"\n{found.crashes:,} workers were killed, and {found.commits:,} transactions were committed."
    yield f"A run took {1_000 * played.cpu / max(found.runs, 1):.1f} ms of CPU, the world and its oracle included.\n"
    yield f"| fault | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}"
    rest = sorted((name for name in found.rows if name != EVERY_RUN), key=lambda name: -found.rows[name].runs)
    for name in (EVERY_RUN, *rest):
        yield _row(name, found.rows.get(name, Row()))
    yield "\nReasons: " + ", ".join(f"{reason} {times:,}" for reason, times in found.reasons.most_common()) + "."
    if found.violations:
        yield "\n| `python -m bench.storm` | promise | what |\n|---|---|---|"
        for run, promise, what in found.violations[:SHOWN]:
            repeats = f"--tier {order.tier} --seed {order.seed} --plan {order.plan} --only {run}"
            yield f"| `{repeats}` | {promise} | {what.replace('|', '/')[:300]} |"


def _played_alone(played: Played, *, grows: bool) -> Iterator[str]:
    """In tier D too few runs are played for their memory to come to rest."""
    yield _must("wall", f"<= {MINUTES} min", f"{played.wall / 60:.1f} min", played.wall <= MINUTES * 60)
    for what, samples in (("resident memory", played.memory), ("objects that live", played.living)) if grows else ():
        grown = growth(samples)
        yield _must(f"{what}, last tenth over first", f"<= {FLAT}", f"{grown:.3f}", grown <= FLAT)
    yield f"\nA process had at most {max(played.memory, default=0):.0f} MB."


def _must(what: str, must: str, measured: str, holds: bool) -> str:
    return f"| {what} | {must} | {measured} | {'yes' if holds else '**no**'} |"


def _row(name: str, row: Row) -> str:
    def share(part: int, whole: int) -> str:
        return f"{part / whole:.1%}" if whole else "-"

    cells = (
        f"{row.runs:,}", share(row.in_time, row.answered), share(row.ok, row.runs), share(row.degraded, row.runs),
        f"{row.feasible:,}", share(row.feasible_ok, row.feasible), f"{row.sent / max(row.wanted, 1):.3f}",
        show_usd(row.overspent), show_usd(row.stranded), f"{row.duplicates}", f"{row.in_doubt}", f"{row.resumed}",
    )  # fmt: skip
    return f"| {name} | {' | '.join(cells)} |"
