"""`bridle kill` and `bridle unkill`: turn the switch of a store, whoever works on it and whether or not they answer."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from shlex import quote
from typing import Annotated

from cyclopts import Parameter

from bridle.cli.exits import FOUND, OK, Failed
from bridle.cli.options import AsJson, Store
from bridle.cli.screen import OUT, ago, bad, bold, counted, dim, doubtful, duration, good, moment
from bridle.cli.strangers import strangers
from bridle.cli.where import now, option_for, path_of, user
from bridle.rules.failure import ControlUnavailable
from bridle.rules.policy import KillLevel
from bridle.rules.switch import Scope, Switch
from bridle.store.kill_file import NAME
from bridle.store.opening import StoreUnusable, cause, connect, is_full, writing
from bridle.store.roll import Roll
from bridle.store.switches import Aftermath, Change, SwitchBook, Wish, Worker, account

WAITS_MS = 2_000  # for acknowledgements; the switch holds without them
LOOKS_EVERY_S = 0.003
HISTORY = 10  # changes that are listed
Text = Annotated[str, Parameter(show_default=False)]


def kill(  # noqa: PLR0913 - each is an option of the command line
    level: KillLevel | None = None,
    *,
    tenant: Text = "",
    flow: Text = "",
    tool: Text = "",
    because: Text = "",
    by: str | None = None,
    only_list: Annotated[bool, Parameter(name="--list", negative="", show_default=False)] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Take away writes, expensive calls, egress, or everything; nothing of it starts from here on, in any process.

    Parameters
    ----------
    level
        writes < expensive < all, or egress (calls whose address a model chooses, and writes). Default: all for a
        tool, else what the policy of the newest run says under kill_switch, else writes.
    tenant
        Only for this tenant.
    flow
        Only for this flow, or this agent of an attached loop.
    tool
        Only this tool, or this model. A name that the store has never heard of is switched off all the same, with a
        warning.
    because
        Why; it stands in the history.
    by
        Who you are. Default: the name of this user.
    only_list
        Change nothing: show what is on, who has acknowledged it, and the newest changes.
    """
    path, scope = path_of(store), Scope(tenant, flow, tool)
    if only_list:
        with _opened(path) as book:
            return _listed(book, path, as_json=as_json)
    with _opened(path) as book:
        meant = level or (KillLevel.ALL if tool else book.house_level())
        change = book.kill(meant, scope, _wish(by, because))
    with _opened(path, f"Change {change.generation} holds; who has seen it is not known.") as book:
        workers = _awaited(book, change.generation)
        left = book.aftermath(meant, scope)
        unknown = strangers(path, scope)
    if as_json:
        names = [{"kind": one.kind, "name": one.name, "hint": one.hint} for one in unknown]
        OUT.json({**_document(change), "workers": _workers(workers), **_left(left), "unknown": names})
    else:
        _told(change, workers, left)
        for one in unknown:
            OUT.line(doubtful("  warning: "), f"{one}{'' if one.hint else '; is it spelled like this?'}")
        OUT.line(dim(f"  undo: bridle unkill {_options(change.switch)}{option_for(store)} --because ..."))
    return FOUND if any(worker.acknowledged_at is None for worker in workers) else OK


def unkill(  # noqa: PLR0913 - each is an option of the command line
    level: KillLevel | None = None,
    *,
    tenant: Text = "",
    flow: Text = "",
    tool: Text = "",
    because: Text = "",
    by: str | None = None,
    store: Store = None,
    as_json: AsJson = False,
) -> int:
    """Give back what `bridle kill` took away from exactly this scope. Who set it may not, where there are two people.

    Parameters
    ----------
    level
        Only this level. Default: every level that is on for this scope.
    tenant
        The tenant of the scope.
    flow
        The flow of the scope.
    tool
        The tool of the scope.
    because
        Why; it stands in the history.
    by
        Who you are. Default: the name of this user.
    """
    path, scope = path_of(store), Scope(tenant, flow, tool)
    with _opened(path) as book:
        changes = book.unkill(level, scope, _wish(by, because))
        files = book.files()
    if as_json:
        OUT.json({"changes": [_document(change) for change in changes], "kill_files": [_said(one) for one in files]})
        return OK
    for change in changes:
        OUT.line(good(f"{change.switch.level} is given back"), f" to {_of(scope)} (change {change.generation})")
    for switch in files:
        OUT.line(doubtful("still on: "), f"{switch.level} by {switch.by}; remove the file to lift it")
    return OK


@contextmanager
def _opened(path: Path, so: str = "Nothing was turned.") -> Iterator[SwitchBook]:
    """The switches of a store. What is wrong is a sentence that also says what was done, and what helps without it."""
    resort = _resort(path)
    if not path.exists():
        raise Failed(f"{path}: there is no store here; name it with --store. {resort}")
    try:
        with closing(connect(path, True)) as db:
            yield SwitchBook(path, lambda: nullcontext(db), lambda: writing(path), Roll(path).living)
    except BrokenPipeError:
        raise  # of the screen, not of the store
    except (StoreUnusable, ControlUnavailable, sqlite3.Error, OSError) as error:
        said = str(error) if path.name in str(error) else f"{path}: {error}"
        said += f". {cause(path)}" if isinstance(error, sqlite3.Error) and is_full(path) else ""
        end = "" if said[-1] in ".?" else "."
        raise Failed(f"{said}{end} {so} {resort}") from error


def _resort(path: Path) -> str:
    """What stops everything without the store; also where nothing can be written beside it."""
    beside = path.absolute().parent
    words = f"On this machine, `touch {beside / NAME}` takes everything away without the store."
    if os.access(beside, os.W_OK) and not is_full(path):
        return words
    home = os.environ.get("BRIDLE_HOME")
    where = f" ({Path(home).absolute() / NAME})" if home else ", where the workers were started with it"
    return f"{words} Where that cannot be written, $BRIDLE_HOME/{NAME} is looked at, too{where}."


def _wish(by: str | None, because: str) -> Wish:
    if not because.strip():
        raise Failed('a switch is turned for a reason: write --because "..."')
    return Wish(by or user(), because, account(), now())


def _awaited(book: SwitchBook, generation: int) -> list[Worker]:
    """The workers that live, when all have acknowledged, or when it has taken too long."""
    until = now() + WAITS_MS
    while True:  # ends after WAITS_MS
        workers = book.workers(generation)
        if now() >= until or all(worker.acknowledged_at is not None for worker in workers):
            return workers
        time.sleep(LOOKS_EVERY_S)


def _told(change: Change, workers: list[Worker], left: Aftermath) -> None:
    switch = change.switch
    taken = {
        KillLevel.ALL: "everything is off",
        KillLevel.WRITES: "writes are off",
        KillLevel.EXPENSIVE: "writes and expensive tools are off",
        KillLevel.EGRESS: "writes and egress are off",
    }[switch.level]
    head = f" for {_of(switch.scope)}{'' if change.is_new else ' already'}"
    OUT.line(bold(taken), f"{head} (change {switch.generation}, {moment(switch.at)})")
    OUT.line(f"  by {switch.by}: {switch.because}")
    _tell_workers(workers, switch)
    if not workers:
        OUT.line("  no process works on this store; whoever opens it reads the switch first")
    if switch.halts and left.open_runs:
        OUT.line(f"  {counted(left.open_runs, 'open run')} will end killed, without a last word")
    if not left.in_flight:
        OUT.line("  nothing of it is in flight")
        return
    OUT.line(f"  {counted(len(left.in_flight), 'call')} admitted before it, and not back yet:")
    at = now()
    rows = [(one.run, one.call, one.tool, one.effect.value, f"for {ago(one.since, at)}") for one in left.in_flight]
    OUT.table([tuple(map(str, row)) for row in rows], indent="    ")


def _tell_workers(workers: list[Worker], switch: Switch) -> None:
    for worker in workers:
        if worker.acknowledged_at is not None:
            took = max(worker.acknowledged_at - switch.at, 0)
            OUT.line("  ", good("acknowledged"), f" by worker {worker.name} after {duration(took)}")
        else:
            OUT.line("  ", bad("not acknowledged"), f" by worker {worker.name}; its next admission reads the switch")


def _listed(book: SwitchBook, path: Path, *, as_json: bool) -> int:
    on, history, generation = book.now(), book.history(HISTORY), book.generation()
    workers = book.workers(generation)
    if as_json:
        shown = [{**_said(switch), **_left(book.aftermath(switch.level, switch.scope))} for switch in on]
        changes = [_document(change) for change in history]
        OUT.json({"store": str(path), "on": shown, "workers": _workers(workers), "history": changes})
        return OK
    if not on:
        OUT.line(f"No switch is on in {path}.")
    at = now()
    for switch in on:
        left = book.aftermath(switch.level, switch.scope)
        number = f", change {switch.generation}" if switch.generation else ""
        OUT.line(
            bold(switch.level.value), f" for {_of(switch.scope)}, by {switch.by}, {ago(switch.at, at)} ago{number}"
        )
        if switch.because:
            OUT.line(f"  {switch.because}")
        OUT.line(f"  in flight: {counted(len(left.in_flight), 'call')} in {counted(left.open_runs, 'open run')}")
    for worker in workers:
        mark = good("up to date") if worker.acknowledged_at is not None else bad("behind")
        OUT.line(f"worker {worker.name}: ", mark)
    for change in history:
        about = f"{change.act} {change.switch.level} for {_of(change.switch.scope)} by {change.switch.by}"
        OUT.line(dim(f"  {change.generation}  {moment(change.switch.at)}  {about}: {change.switch.because}"))
    return OK


def _of(scope: Scope) -> str:
    return "the house" if scope.width == 0 else str(scope)


def _options(switch: Switch) -> str:
    scope = switch.scope
    named = (("tenant", scope.tenant), ("flow", scope.flow), ("tool", scope.tool))
    return " ".join([switch.level.value, *(f"--{word} {quote(name)}" for word, name in named if name)])


def _said(switch: Switch) -> dict[str, object]:
    scope = {"tenant": switch.scope.tenant, "flow": switch.scope.flow, "tool": switch.scope.tool}
    about = {"by": switch.by, "because": switch.because, "generation": switch.generation, "at_ms": switch.at}
    return {"level": switch.level.value, "scope": scope, **about}


def _document(change: Change) -> dict[str, object]:
    return {"act": change.act, "is_new": change.is_new, **_said(change.switch), "account": change.account}


def _workers(workers: list[Worker]) -> list[dict[str, object]]:
    return [{"worker": worker.name, "acknowledged_at_ms": worker.acknowledged_at} for worker in workers]


def _left(left: Aftermath) -> dict[str, object]:
    calls = [
        {"run_id": one.run, "call": one.call, "tool": one.tool, "effect": one.effect.value, "since_ms": one.since}
        for one in left.in_flight
    ]
    return {"in_flight": calls, "open_runs": left.open_runs}
