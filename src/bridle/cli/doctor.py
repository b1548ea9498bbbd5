"""`bridle doctor`: whether this machine, this store and this policy are well."""

from pathlib import Path

from bridle.cli.exits import FOUND, OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.screen import OUT, Span, bad, bold, dim, doubtful, good
from bridle.cli.where import path_of

MOST_RUNS = 100_000


def doctor(
    *,
    runs: int = 1_000,
    policy: Path | None = None,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Look for what is wrong: Python, SQLite, the disk, the store, its journals and accounts, the policy, prices.

    Parameters
    ----------
    runs
        How many of the newest runs are recomputed from their journals.
    policy
        The policy file. Default: bridle.yaml, if there is one.
    """
    if not 1 <= runs <= MOST_RUNS:
        raise Failed(f"--runs is between 1 and {MOST_RUNS:,}, not {runs}")
    from bridle.cli.diagnosis import State
    from bridle.cli.examination import examine

    findings = examine(path_of(store), policy, runs)
    is_well = all(finding.state is not State.BAD for finding in findings)
    if as_json:
        shown = [{"name": f.name, "state": f.state.value, "text": f.text, "now": f.now} for f in findings]
        OUT.json({"ok": is_well, "findings": shown})
        return OK if is_well else FOUND
    for finding in findings:
        mark: Span = {State.WELL: good("ok  "), State.NOTE: doubtful("note"), State.BAD: bad("bad ")}[finding.state]
        OUT.hanging((mark, "  ", bold(f"{finding.name:<9}"), " "), finding.text)
        if finding.now:
            OUT.line(" " * 16, dim(finding.now))
    return OK if is_well else FOUND
