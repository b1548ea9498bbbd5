"""`bridle cancel`: ends a run, also one that another process works on."""

import asyncio
import os
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bridle.bridle import Bridle
from bridle.cli.exits import ERROR, OK
from bridle.cli.outcome import heading
from bridle.cli.place import meant, reading
from bridle.cli.screen import ERR, OUT, bad, dim, duration
from bridle.cli.where import now, option_for, path_of
from bridle.rules.names import RunId
from bridle.rules.run import Phase
from bridle.rules.stop import StopNote
from bridle.runs.result import read_result
from bridle.store.sqlite import SqliteStore, StoreBusy

WAITS_MS = 5_000  # for the process that owns the run
LOOKS_EVERY_S = 0.05


def cancel(
    run: Annotated[str, Parameter(name="RUN")],
    /,
    *,
    by: str | None = None,
    store: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Cancel a run: nothing new is admitted, what is in flight is cancelled.

    Parameters
    ----------
    run
        Its id, or an unambiguous beginning of it.
    by
        Who asks, for the journal. Default: the name of this user.
    store
        A path, or sqlite:///path. Default: BRIDLE_STORE, or .bridle/bridle.db.
    as_json
        One JSON document.
    """
    path = path_of(store)
    with reading(path) as opened:
        wanted = meant(opened, run)
        before = opened.recorded(wanted).state.stop
        if before is not None:
            return _told(wanted, before, "had ended already", 0, as_json)
        began = now()
        asker = by or os.environ.get("USER") or "local"
        if not asyncio.run(_cancelled_here(path, wanted, asker)):
            opened.ask_to_cancel(wanted, asker, now())
            if not as_json:
                ERR.line(dim("another process works on this store; it was asked to cancel the run"))
            _wait(opened, wanted)
        stop = read_result(opened, wanted).stop
    took = now() - began
    if stop is None:
        ERR.line(
            bad("bridle: "),
            f"run {wanted} is still open after {duration(took)}: the process that works on this store has not ended it."
            f" Look again with `bridle show {wanted}{option_for(store)}`, or end that process.",
        )
        return ERROR
    return _told(wanted, stop, "ended", took, as_json)


async def _cancelled_here(path: Path, run: RunId, by: str) -> bool:
    """Cancel it in this process. False when another one writes the store."""
    try:
        async with Bridle(store=f"sqlite:///{path}") as b:
            await b.cancel(run, by)
    except StoreBusy:
        return False
    return True


def _wait(store: SqliteStore, run: RunId) -> None:
    until = now() + WAITS_MS
    while now() < until and store.recorded(run).state.phase is not Phase.STOPPED:  # ends after WAITS_MS
        time.sleep(LOOKS_EVERY_S)


def _told(run: RunId, stop: StopNote, verb: str, took: int, as_json: bool) -> int:
    if as_json:
        said = {"run_id": run, "status": stop.status.value, "stop_reason": stop.reason.value, "stop_text": stop.text()}
        OUT.json({**said, "was_open": verb == "ended", "took_ms": took})
        return OK
    OUT.line(f"{run} {verb}{f' after {duration(took)}' if took else ''}: ", *heading(stop))
    return OK
