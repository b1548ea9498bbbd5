"""What `bridle doctor` looks at, each as a finding: well, worth a note, or bad."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from bridle.cli.adrift import adrift
from bridle.cli.books import Books
from bridle.cli.diagnosis import Diagnosis, State
from bridle.cli.place import ids, reading
from bridle.cli.screen import counted
from bridle.cli.surroundings import privacy, room
from bridle.cli.where import now
from bridle.models.port import UnknownPrice
from bridle.models.prices import price_of
from bridle.rules.failure import BridleError
from bridle.rules.fold import JournalBroken, fold
from bridle.rules.names import RunId
from bridle.rules.policy import Policy
from bridle.rules.run import RunState
from bridle.store.base import UnknownRun
from bridle.store.chain import verify
from bridle.store.opening import FULL
from bridle.store.sqlite import SCHEMA, SqliteStore

LEAST_PYTHON = (3, 11)
WAL_RESET_FIXED = (3, 51, 3)
MOST_NAMED = 10  # damaged runs that are named one by one
DAMAGED = ("malformed", "not a database")  # as SQLite says it
LOOKS = 3  # at a run that another process may be writing


def examine(path: Path, policy: Path | None, most: int) -> list[Diagnosis]:
    """Look at everything. A damaged file is a finding, never an exception."""
    books = Books()
    found = [_python(), _sqlite(), *_store(path, most, books)]
    house, said = _policy(policy)
    return [*found, *said, *_prices(house, books)]


def _python() -> Diagnosis:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < LEAST_PYTHON:
        return Diagnosis("python", State.BAD, f"Python {version} is too old.", "Install Python 3.11 or newer.")
    return Diagnosis("python", State.WELL, f"Python {version}.")


def _sqlite() -> Diagnosis:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= WAL_RESET_FIXED:
        return Diagnosis("sqlite", State.WELL, f"SQLite {version}.")
    fixed = ".".join(map(str, WAL_RESET_FIXED))
    return Diagnosis(
        "sqlite",
        State.NOTE,
        f"SQLite {version} has the WAL-reset bug (fixed in {fixed}).",
        "bridle keeps writers and checkpoints apart by a lock of its own; keep other programs from writing the file.",
    )


# ---- the store


def _store(path: Path, most: int, books: Books) -> Iterator[Diagnosis]:
    if not path.exists():
        yield Diagnosis("store", State.NOTE, f"{path}: there is no store here yet.", "`bridle run` makes one.")
        return
    yield room(path)
    try:
        yield from privacy(path)
        with reading(path) as store:
            known = ids(path, limit=most + 1)
            yield Diagnosis("store", State.WELL, f"{path}: schema {SCHEMA}, {_number(len(known), most)}.")
            yield _writers(store, path)
            yield from _doubts(store)
            yield from _adrift(path)
            yield _switches(store)
            yield from _journals(store, known[:most], books)
            if len(known) <= most:
                yield _accounts(store, books, path)
            else:
                yield Diagnosis(
                    "accounts", State.NOTE, f"Not recomputed: there are more than {most:,} runs.", "--runs N"
                )
    except (BridleError, sqlite3.Error, OSError) as error:
        text = str(error) if str(path) in str(error) else f"{path}: {error}"
        yield Diagnosis("store", State.BAD, text, _cure(text))


def _cure(text: str) -> str:
    """A backup is for a file that is damaged; what is well and only cannot be opened has its cure in its sentence."""
    if any(word in text for word in DAMAGED):
        return "Restore the file from a backup, or name another one with --store."
    if FULL in text:
        return "Make room on the disk; the file itself is not damaged by that."
    return "Look at the permissions of the file and of its folder, or name another one with --store."


def _number(count: int, most: int) -> str:
    return f"more than {most:,} runs" if count > most else counted(count, "run")


def _writers(store: SqliteStore, path: Path) -> Diagnosis:
    folder = path.absolute().parent
    if not os.access(path, os.W_OK) or not os.access(folder, os.W_OK):
        text = f"This user may not write {path if os.access(folder, os.W_OK) else folder}."
        return Diagnosis("workers", State.BAD, text, "Give it the right to, or name another store.")
    living = store.workers()
    if living:
        return Diagnosis("workers", State.WELL, f"{counted(len(living), 'worker')} may write it: {', '.join(living)}.")
    return Diagnosis("workers", State.WELL, "No worker has it open now.")


def _doubts(store: SqliteStore) -> Iterator[Diagnosis]:
    found = store.doubts()
    if found:
        text = f"{counted(len(found), 'write')} may have taken effect, and nobody knows."
        yield Diagnosis("doubts", State.NOTE, text, "`bridle doubts` lists them, `bridle resolve` settles them.")


def _adrift(path: Path) -> Iterator[Diagnosis]:
    """Open runs whose worker died or let them go: nobody writes down what became of their calls."""
    found = adrift(path, now())
    if not found:
        return
    writing = sum(bool(run.in_flight) for run in found)
    of_them = f", {writing} of them with a write in flight" if writing else ""
    named = ", ".join(run.state.run for run in found[:MOST_NAMED])
    text = f"{counted(len(found), 'open run')} that no living worker drives{of_them}: {named}"
    more = f", and {len(found) - MOST_NAMED} more." if len(found) > MOST_NAMED else "."
    todo = "Start a worker that has their flows, or end them with `bridle cancel RUN`."
    yield Diagnosis("adrift", State.NOTE, text + more, f"{todo} `bridle doubts` lists the writes." if writing else todo)


def _switches(store: SqliteStore) -> Diagnosis:
    on = [f"{switch.level} ({switch.scope}) by {switch.by}" for switch in store.switches.now()]
    if not on:
        return Diagnosis("switch", State.WELL, "No kill switch is on.")
    more = f", and {len(on) - MOST_NAMED} more" if len(on) > MOST_NAMED else ""
    return Diagnosis(
        "switch", State.NOTE, f"{', '.join(on[:MOST_NAMED])}{more}.", "`bridle kill --list` has the reasons."
    )


def _journals(store: SqliteStore, runs: list[RunId], books: Books) -> Iterator[Diagnosis]:
    damaged = 0
    for run in runs:
        what = _damage(store, run, books)
        if what:
            damaged += 1
            if damaged <= MOST_NAMED:
                yield Diagnosis(
                    "journal", State.BAD, f"{run}: {what}", "Do not trust this run; keep the file as evidence."
                )
    if damaged > MOST_NAMED:
        yield Diagnosis("journal", State.BAD, f"... and {damaged - MOST_NAMED} more runs.")
    if not damaged:
        yield Diagnosis(
            "journal",
            State.WELL,
            f"{counted(len(runs), 'run')}: each row is the fold of its journal, each chain holds.",
        )


def _damage(store: SqliteStore, run: RunId, books: Books) -> str:
    """What is wrong with a run; empty when nothing is. One that moves while it is looked at is looked at again."""
    what = ""
    for _ in range(LOOKS):
        try:
            before = store.recorded(run)
            entries = store.journal(run)
            if store.recorded(run).head != before.head:
                what = "it changes faster than it can be read"
                continue
            broken = verify(run, ((entry.seq, entry.body, entry.hash) for entry in entries), before.head)
            if broken is not None:
                return f"its hash chain breaks: {broken.what}"
            differ = _differences(fold(entry.event for entry in entries), before.state)
            if differ:
                return f"its row is not the fold of its journal: they differ in {', '.join(differ)}"
            books.post(store, before.state, [entry.event for entry in entries])
        except UnknownRun:
            return "its row cannot be found by its id"
        except (BridleError, JournalBroken, KeyError, TypeError, ValueError) as error:
            return str(error)
        return ""
    return what


def _differences(folded: RunState, row: RunState) -> list[str]:
    """The fields in which they differ."""
    return [item.name for item in fields(RunState) if getattr(folded, item.name) != getattr(row, item.name)]


def _accounts(store: SqliteStore, books: Books, path: Path) -> Diagnosis:
    """What the shared accounts say, against what the journals add up to."""
    wrong = books.differences(store.balances())
    if not wrong:
        return Diagnosis("accounts", State.WELL, "Every shared account is the sum over the journals.")
    if store.workers():
        return Diagnosis(
            "accounts", State.NOTE, "Not compared: a process may write this store now.", "Look again when it rests."
        )
    return Diagnosis("accounts", State.BAD, " ".join(wrong[:MOST_NAMED]), "Budgets count what the accounts say.")


# ---- the policy and its prices


def _policy(given: Path | None) -> tuple[Policy, list[Diagnosis]]:
    from bridle.config import BadPolicy, Severity, load_policy, problems

    path = given or Path("bridle.yaml")
    if given is None and not path.exists():
        return Policy(), [Diagnosis("policy", State.NOTE, "There is no bridle.yaml here.", "`bridle init` writes one.")]
    try:
        loaded = load_policy(path)
    except BadPolicy as error:
        number = counted(len(error.mistakes), "mistake")
        return Policy(), [
            Diagnosis(
                "policy",
                State.BAD,
                f"{path}: {number}, the first: {error.mistakes[0]}",
                f"`bridle check {path}` shows all.",
            )
        ]
    found = [*loaded.notes, *problems(loaded.policy, loaded.positions)]
    if not found:
        return loaded.policy, [Diagnosis("policy", State.WELL, f"{path}: nothing to correct.")]
    states = {Severity.ERROR: State.BAD}
    return loaded.policy, [Diagnosis("policy", states.get(m.severity, State.NOTE), str(m)) for m in found]


def _prices(policy: Policy, books: Books) -> Iterator[Diagnosis]:
    """Models that runs asked for, and that nobody knows the price of: their calls are refused."""
    missing = []
    for model in sorted(books.models):
        try:
            price_of(model, policy.models)
        except UnknownPrice as error:
            missing.append(f"{model} ({error})")
    if missing:
        yield Diagnosis(
            "prices", State.BAD, f"No price: {'; '.join(missing)}.", "Put their prices under `models:` in the policy."
        )
    else:
        number = counted(len(books.models), "model")
        yield Diagnosis("prices", State.WELL, f"{number} asked by these runs, each with a price.")
