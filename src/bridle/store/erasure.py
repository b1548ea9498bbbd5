"""Erases what a run kept beside its journal, and the salt without which its digests say nothing; the chain holds."""

import sqlite3
from collections.abc import Iterator, Sequence

from bridle.rules.effect import IntentStatus
from bridle.rules.events import PayloadErased
from bridle.rules.fold import apply
from bridle.rules.house import Matter, Note
from bridle.rules.names import Millis, RunId
from bridle.rules.run import Phase, RunState
from bridle.store import codec, house
from bridle.store.base import Erasure, Grounds
from bridle.store.chain import Head, link
from bridle.store.statements import SQL

AT_ONCE = 100  # runs in one transaction
UNKNOWN = "it is not in the store; `bridle runs` lists those that are"


def erase(db: sqlite3.Connection, runs: Sequence[RunId], grounds: Grounds) -> list[Erasure]:
    """Erase runs, a hundred in a transaction, for who holds the writer's lock.

    What is erased is overwritten, not only unlinked (https://sqlite.org/pragma.html#pragma_secure_delete); `wipe` does
    the same for the write-ahead log.
    """
    done: list[Erasure] = []
    db.execute("PRAGMA secure_delete = ON")
    for first in range(0, len(runs), AT_ONCE):
        db.execute("BEGIN IMMEDIATE")
        try:
            done += [_erase(db, run, grounds) for run in runs[first : first + AT_ONCE]]
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
    return done


def _erase(db: sqlite3.Connection, run: RunId, grounds: Grounds) -> Erasure:
    row = db.execute(SQL["select_run"], (run,)).fetchone()
    if row is None:
        return Erasure(run, kept=UNKNOWN)
    no, head, salt, body, _ = row
    if not salt:
        return Erasure(run)
    try:
        state = codec.decode_state(body)
    except codec.BadRow as error:
        return Erasure(run, kept=str(error))
    why = needed(state)
    if why:
        return Erasure(run, kept=why)
    payloads, size = db.execute(SQL["weigh_payloads"], (no,)).fetchone()
    state, line, head, note = told(state, head, grounds, payloads, size)
    db.execute(SQL["insert_event"], (no, state.seq, line, head, None, None))
    db.execute(SQL["erase_payloads"], (no,))
    if db.execute(SQL["select_has_written"], (no,)).fetchone()[0]:
        _erase_intents(db, run)
    db.execute(SQL["erase_run"], (head, codec.encode_state(state), no))
    house.write(db, [note])
    return Erasure(run, payloads, size)


def _erase_intents(db: sqlite3.Connection, run: RunId) -> None:
    """A key names what was written. A confirmed one is known again by its digest, and any other is free."""
    for row in db.execute(SQL["select_run_intents"], (run,)).fetchall():
        intent = codec.decode_intent(row)
        db.execute(SQL["delete_intent"], (intent.tenant, intent.tool, intent.key))
        if intent.status is IntentStatus.CONFIRMED:
            db.execute(SQL["upsert_intent"], codec.encode_intent(intent.erased()))


def told(
    state: RunState, head: bytes, grounds: Grounds, payloads: int, size: int
) -> tuple[RunState, bytes, bytes, Note]:
    """What is written of an erasure: the state after it, the line of the journal, its link, the entry of the house."""
    event = PayloadErased(grounds.at, grounds.by, grounds.because, payloads, size)
    line = codec.encode(event)
    state, head = apply(state, event), link(head, line)
    said: dict[str, str | int] = {"by": grounds.by, "because": grounds.because, "payloads": payloads, "bytes": size}
    note = house.run_note(Matter.PAYLOADS_ERASED, grounds.at, state.run, Head(state.seq, head), **said)
    return state, line, head, note


def needed(state: RunState) -> str:
    """Why a run needs its payloads still; empty when it does not."""
    if state.phase is not Phase.STOPPED:
        return f"it has not ended; `bridle cancel {state.run}` ends it"
    if state.open_calls:
        return f"{', '.join(state.open_calls)} may still come back; look again later"
    if state.in_doubt:
        return f"nobody can settle the doubt about {', '.join(state.in_doubt)} without its arguments"
    return ""


def wipe(db: sqlite3.Connection) -> bool:
    """Carry the write-ahead log into the file and cut it to nothing; until then it holds pages as they were.

    For who holds the writer's lock. Says whether it could be done: a reader may be in the way, and is not waited for.
    """
    db.execute("PRAGMA busy_timeout = 0")
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def expired(db: sqlite3.Connection, before: Millis, tenant: str | None = None) -> Iterator[list[RunId]]:
    """Runs that ended before a time and still have their payloads, the oldest first, a hundred at a time."""
    no = 0
    while rows := db.execute(SQL["select_erasable"], (no, before, tenant, tenant, AT_ONCE)).fetchall():
        no = rows[-1][0]  # ends: it only goes up
        yield [RunId(run) for _, run in rows]
