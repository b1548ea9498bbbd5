"""`bridle doubts` and `bridle resolve`: the writes that wait for a person, and what the person says."""

import asyncio
import json
import os
from typing import Annotated, Literal

from cyclopts import Parameter

from bridle.cli.exits import FOUND, OK, Failed
from bridle.cli.place import meant, reading
from bridle.cli.screen import OUT, Span, ago, bold, counted, cut, dim
from bridle.cli.where import now, option_for, path_of
from bridle.gateway.intents import Finding
from bridle.gateway.resolution import resolve as write_down
from bridle.rules.effect import Intent
from bridle.rules.names import CallId, RunId
from bridle.store.base import Store
from bridle.store.sqlite import SqliteStore

HEAD = ("write", "tool", "key", "age", "tenant", "arguments")
MOST_ARGS = 60  # columns


def doubts(
    *,
    store: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """List the writes of which nobody knows whether they took effect.

    Parameters
    ----------
    store
        A path, or sqlite:///path. Default: BRIDLE_STORE, or .bridle/bridle.db.
    as_json
        One JSON document.
    """
    path = path_of(store)
    with reading(path) as opened:
        found = opened.doubts()
        arguments = {intent: _arguments(opened, intent) for intent in found}
    if as_json:
        OUT.json({"store": str(path), "doubts": [_document(intent, arguments[intent]) for intent in found]})
        return FOUND if found else OK
    if not found:
        OUT.line(f"Nothing is in doubt in {path}.")
        return OK
    rows: list[tuple[Span, ...]] = [tuple(dim(word) for word in HEAD)]
    for intent in found:
        shown = cut(arguments[intent], MOST_ARGS)
        rows.append((bold(_id(intent)), intent.tool, cut(intent.key, MOST_ARGS), ago(intent.at, now()),
                     intent.tenant, dim(shown)))  # fmt: skip
    OUT.table(rows)
    option = option_for(store)
    OUT.line(dim("Look at the far end for the key, then say what it shows:"))
    OUT.line(dim(f'bridle resolve {_id(found[0])} happened --because "..."{option}'), dim("   (or did-not)"))
    return FOUND


def resolve(
    write: Annotated[str, Parameter(name="RUN/CALL")],
    outcome: Annotated[Literal["happened", "did-not"], Parameter(name="OUTCOME")],
    /,
    *,
    because: str = "",
    by: str | None = None,
    store: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Say whether a write in doubt took effect. It is final.

    Parameters
    ----------
    write
        As `bridle doubts` shows it; a beginning of the run will do, and the call where the run has only one in doubt.
    outcome
        happened, or did-not: what the far end shows.
    because
        How you know, for the journal.
    by
        Who says so, for the journal. Default: the name of this user.
    store
        A path, or sqlite:///path. Default: BRIDLE_STORE, or .bridle/bridle.db.
    as_json
        One JSON document.
    """
    if not because.strip():
        raise Failed('a resolution has a reason: --because "what the far end shows"')
    path = path_of(store)
    with reading(path) as opened:
        run, call = _meant(opened, write)
    who = by or os.environ.get("USER") or "local"
    found = Finding(outcome == "happened", who, because)
    is_new = asyncio.run(_written(SqliteStore(path), run, call, found))
    if as_json:
        OUT.json({"run_id": run, "call": call, "happened": found.happened, "was_in_doubt": is_new})
        return OK
    known = "took effect" if found.happened else "took no effect"
    if not is_new:
        OUT.line(f"{run}/{call} was resolved before: it {known}")
        return OK
    then = "Its receipt is not known, so that a repeat is refused." if found.happened else "Its key is free again."
    OUT.line(bold(f"{run}/{call}"), f" {known}. {then}")
    return OK


async def _written(store: SqliteStore, run: RunId, call: CallId, found: Finding) -> bool:
    try:
        return await write_down(store, run, call, found, now())
    finally:
        await store.close()


def _meant(store: SqliteStore, text: str) -> tuple[RunId, CallId]:
    """The call that is meant by `RUN/CALL`, or by the run alone where it has one write in doubt. Raises Failed."""
    named, _, call = text.partition("/")
    run = meant(store, named)
    if call:
        return run, CallId(call)
    mine = [intent for intent in store.doubts() if intent.run == run]
    if not mine:
        raise Failed(f"nothing of {run} is in doubt; `bridle doubts` lists what is")
    if len(mine) > 1:
        raise Failed(f"{counted(len(mine), 'write')} of {run} are in doubt: {', '.join(map(_id, mine))}; name one")
    return run, mine[0].doubts[-1]


def _id(intent: Intent) -> str:
    return f"{intent.run}/{intent.doubts[-1] if intent.doubts else intent.call}"


def _arguments(store: Store, intent: Intent) -> str:
    """The arguments as they were kept, by whichever attempt."""
    kept = (store.payload(intent.run, f"{call}.args") for call in (*intent.doubts, intent.call))
    return next((body.decode("utf-8", "replace") for body in kept if body is not None), "")


def _document(intent: Intent, arguments: str) -> dict[str, object]:
    return {
        "id": _id(intent),
        "run_id": intent.run,
        "calls": list(intent.doubts),
        "tenant": intent.tenant,
        "tool": intent.tool,
        "key": intent.key,
        "sent_at_ms": intent.at,
        "arguments": json.loads(arguments) if arguments else None,
    }
