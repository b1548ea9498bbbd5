"""`bridle doubts` and `bridle resolve`: the writes that wait for a person, and what the person says."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bridle.cli.adrift import adrift
from bridle.cli.exits import FOUND, OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.place import meant, reading
from bridle.cli.screen import OUT, Span, ago, bold, counted, cut, dim
from bridle.cli.where import now, option_for, path_of, user
from bridle.gateway.world import World
from bridle.rules import strict_json
from bridle.rules.effect import Intent
from bridle.runs.doubts import MOST_ARGS, Doubts, WriteInDoubt
from bridle.store.sqlite import SqliteStore

HEAD = ("write", "tool", "key", "age", "tenant", "arguments")
COLUMNS = 60  # of a key, and of arguments


def doubts(
    *,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """List the writes of which nobody knows whether they took effect, and those whose worker died meanwhile."""
    path = path_of(store)
    with reading(path) as opened:
        found, sent = Doubts(opened, World()).pending(), _in_flight(opened)
    code = FOUND if found or sent else OK
    if as_json:
        said = {"doubts": [_document(doubt) for doubt in found], "in_flight": [_document(write) for write in sent]}
        OUT.json({"store": str(path), **said})
        return code
    option = option_for(store)
    if found:
        _table(found)
        OUT.line(dim("Look at the far end for the key, then say what it shows:"))
        OUT.line(dim(f'bridle resolve {found[0].write} happened --because "..."{option}'), dim("   (or did-not)"))
    if sent:
        OUT.line(bold(f"{counted(len(sent), 'write')}, in flight when the worker died:"))
        _table(sent)
        OUT.line(dim("A worker that has the flow settles it, or puts it in doubt; so does this, and it ends the run:"))
        OUT.line(dim(f"bridle cancel {sent[0].run}{option}"))
    if not found and not sent:
        OUT.line(f"Nothing is in doubt in {path}.")
    return code


def _table(writes: Sequence[WriteInDoubt]) -> None:
    rows: list[tuple[Span, ...]] = [tuple(dim(word) for word in HEAD)]
    for write in writes:
        shown = "" if write.arguments is None else strict_json.canonical(write.arguments).decode()
        rows.append((bold(write.write), write.tool, cut(write.key, COLUMNS), ago(write.sent_at, now()),
                     write.tenant, dim(cut(shown, COLUMNS))))  # fmt: skip
    OUT.table(rows)


def _in_flight(store: SqliteStore) -> list[WriteInDoubt]:
    """The writes of open runs that no living worker drives: not in doubt yet, because nobody has written that down."""
    return [_shown(store, intent) for run in adrift(store.path, now()) for intent in run.in_flight]


def _shown(store: SqliteStore, intent: Intent) -> WriteInDoubt:
    kept = store.payload(intent.run, f"{intent.call}.args")
    arguments = strict_json.parse(kept, max_bytes=MOST_ARGS) if kept is not None else None
    write = f"{intent.run}/{intent.call}"
    return WriteInDoubt(write, (intent.call,), intent.tenant, intent.tool, intent.key, intent.at, arguments)


def resolve(
    write: Annotated[str, Parameter(name="RUN/CALL")],
    outcome: Annotated[Literal["happened", "did-not"], Parameter(name="OUTCOME")],
    /,
    *,
    because: str = "",
    by: str | None = None,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Say whether a write in doubt took effect. It is final.

    Parameters
    ----------
    write
        As `bridle doubts` shows it; a beginning of the run will do where the run has only one in doubt; or last.
    outcome
        happened, or did-not: what the far end shows.
    because
        How you know, for the journal.
    by
        Who says so, for the journal. Default: the name of this user.
    """
    if not because.strip():
        raise Failed('a resolution has a reason: --because "what the far end shows"')
    path = path_of(store)
    with reading(path) as opened:
        named = _meant(opened, write)
    happened = outcome == "happened"
    is_new = asyncio.run(_written(path, named, happened, by or user(), because))
    if as_json:
        run, _, call = named.rpartition("/")
        OUT.json({"run_id": run, "call": call, "happened": happened, "was_in_doubt": is_new})
        return OK
    known = "took effect" if happened else "took no effect"
    if not is_new:
        OUT.line(f"{named} was resolved before: it {known}")
        return OK
    then = "Its receipt is not known, so that a repeat is refused." if happened else "Its key is free again."
    OUT.line(bold(named), f" {known}. {then}")
    return OK


async def _written(path: Path, write: str, happened: bool, by: str, because: str) -> bool:
    store = SqliteStore(path)
    try:
        return await Doubts(store, World()).resolve(write, happened=happened, by=by, because=because)
    finally:
        await store.close()


def _meant(store: SqliteStore, text: str) -> str:
    """The write that is meant by RUN/CALL, by a run that has one in doubt, or by `last`. Raises Failed."""
    waiting = Doubts(store, World()).pending()
    if text == "last":
        if not waiting:
            raise Failed(f"nothing is in doubt in {store.path}")
        return waiting[-1].write
    named, _, call = text.partition("/")
    run = meant(store, named)
    mine = [doubt.write for doubt in waiting if doubt.run == run]
    sent = [write.write for write in _in_flight(store) if write.run == run and not mine]
    if sent and call in ("", *(write.rpartition("/")[2] for write in sent)):
        raise Failed(f"{sent[0]} was in flight when its worker died; `bridle cancel {run}`, or a worker that has"
                     " the flow, settles it or puts it in doubt: then say it")  # fmt: skip
    if call:
        return f"{run}/{call}"
    if not mine:
        raise Failed(f"nothing of {run} is in doubt; `bridle doubts` lists what is")
    if len(mine) > 1:
        raise Failed(f"{counted(len(mine), 'write')} of {run} are in doubt: {', '.join(mine)}; name one")
    return mine[0]


def _document(doubt: WriteInDoubt) -> dict[str, object]:
    return {
        "id": doubt.write,
        "run_id": doubt.run,
        "calls": list(doubt.calls),
        "tenant": doubt.tenant,
        "tool": doubt.tool,
        "key": doubt.key,
        "sent_at_ms": doubt.sent_at,
        "arguments": doubt.arguments,
    }
