"""`bridle cancel`: ends a run, also one that another process works on."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bridle.bridle import Bridle
from bridle.cli.exits import ERROR, OK
from bridle.cli.options import AsJson, Store
from bridle.cli.outcome import heading
from bridle.cli.place import meant, reading
from bridle.cli.screen import ERR, OUT, bad, dim, duration
from bridle.cli.where import now, option_for, path_of, user
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import RunId
from bridle.rules.stop import StopNote


def cancel(
    run: Annotated[str, Parameter(name="RUN")],
    /,
    *,
    by: str | None = None,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Cancel a run: nothing new is admitted, what is in flight is cancelled.

    Parameters
    ----------
    run
        Its id, or an unambiguous beginning of it.
    by
        Who asks, for the journal. Default: the name of this user.
    """
    path = path_of(store)
    with reading(path) as opened:
        wanted = meant(opened, run)
        before = opened.recorded(wanted).state.stop
        if before is not None:
            return _told(wanted, before, "had ended already", 0, as_json)
        began = now()
        if opened.driver(wanted) and not as_json:
            ERR.line(dim("another process works on this run; it is asked to end it"))
        try:
            stop = asyncio.run(_cancelled(path, wanted, by or user()))
        except ControlUnavailable as error:
            ERR.line(bad("bridle: "), f"{error}. Look again with `bridle show {wanted}{option_for(store)}`.")
            return ERROR
    return _told(wanted, stop, "ended", now() - began, as_json)


async def _cancelled(path: Path, run: RunId, by: str) -> StopNote:
    async with Bridle(store=f"sqlite:///{path}") as b:
        stop = (await b.cancel(run, by)).stop
    assert stop is not None, "a run that was cancelled has ended"
    return stop


def _told(run: RunId, stop: StopNote, verb: str, took: int, as_json: bool) -> int:
    if as_json:
        said = {"run_id": run, "status": stop.status.value, "stop_reason": stop.reason.value, "stop_text": stop.text()}
        OUT.json({**said, "was_open": verb == "ended", "took_ms": took})
        return OK
    OUT.line(f"{run} {verb}{f' after {duration(took)}' if took else ''}: ", *heading(stop))
    return OK
