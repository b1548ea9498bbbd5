"""The chain of the house: one entry for the end of a run, a policy, a switch, a resolution, an erasure."""

import json
import sqlite3
from collections.abc import Sequence

from msgspec.json import Encoder

from bridle.rules.house import Matter, Note
from bridle.rules.names import Digest, Millis, RunId
from bridle.store.chain import HOUSE, Head, link, root
from bridle.store.codec import BadRow
from bridle.store.statements import SQL

_encode = Encoder().encode
_SELECT_LAST = SQL["select_house_head"]
_INSERT = SQL["insert_house"]
FILLED_AT_ONCE = 1_000
Entry = tuple[int, bytes, bytes]  # its place, its body, its link


def encode(note: Note) -> bytes:
    """An entry as a JSON array: when, what about, who or what, and the detail."""
    return _encode((note.at, note.matter, note.subject, note.detail))


def decode(body: bytes) -> Note:
    """The entry again. Raises BadRow."""
    try:
        at, matter, subject, detail = json.loads(body)
        return Note(Millis(at), Matter(matter), subject, dict(detail))
    except (ValueError, TypeError) as error:
        raise BadRow(f"this is no entry of the house: {body[:80]!r} ({type(error).__name__}: {error})") from error


def run_note(matter: Matter, at: Millis, run: RunId, head: Head, **more: str | int) -> Note:
    """An entry that holds the head of a run: a journal that does not reach it was cut."""
    return Note(at, matter, run, {"seq": head.seq, "head": head.hash.hex(), **more})


def head_of(note: Note) -> Head | None:
    """The head that an entry holds, or None when it holds none. Raises BadRow."""
    if "head" not in note.detail:
        return None
    try:
        return Head(int(note.detail["seq"]), bytes.fromhex(str(note.detail["head"])))
    except (KeyError, ValueError) as error:
        raise BadRow(f"this is no head of a run: {note.detail!r}") from error


def last(db: sqlite3.Connection) -> Head:
    """Where the chain ends."""
    row = db.execute(_SELECT_LAST).fetchone()
    return Head(*row) if row is not None else Head(0, root(HOUSE))


def chained(end: Head, notes: Sequence[Note]) -> list[Entry]:
    """Notes as entries that follow the end of the chain."""
    seq, before = end.seq, end.hash
    entries = []
    for note in notes:
        body = encode(note)
        seq, before = seq + 1, link(before, body)
        entries.append((seq, body, before))
    return entries


def write(db: sqlite3.Connection, notes: Sequence[Note]) -> None:
    """Add entries at the end of the chain, inside the transaction of the caller.

    The end is read anew each time, because another process may have written one.
    """
    if notes:
        db.executemany(_INSERT, chained(last(db), notes))


def keep_policy(db: sqlite3.Connection, digest: Digest, canonical: bytes) -> bool:
    """Keep a policy under its digest. Says whether it is new."""
    return db.execute(SQL["insert_policy"], (digest, canonical)).rowcount == 1


def fill(db: sqlite3.Connection) -> None:
    """Begin the chain of a store that had none: its policies, and the heads of its runs that have ended already.

    It reads no row that may be damaged: a store with one bad run is still opened.
    """
    newest = Millis(db.execute(SQL["select_newest_time"]).fetchone()[0] or 0)
    digests = [digest for (digest,) in db.execute(SQL["select_policy_digests"])]
    write(db, [Note(newest, Matter.POLICY_KEPT, digest) for digest in digests])
    ended = db.execute(SQL["select_ended"])
    while rows := ended.fetchmany(FILLED_AT_ONCE):
        heads = [(RunId(run), Millis(at), Head(seq or 0, head)) for run, at, head, seq in rows]
        write(db, [run_note(Matter.RUN_ENDED, at, run, head) for run, at, head in heads])


def ends(db: sqlite3.Connection) -> tuple[Head, dict[RunId, Head]]:
    """Where the chains end: that of the house, and those of the runs that have not ended.

    The runs are read first, so that one that ends meanwhile is in the house already.
    """
    heads = {RunId(run): Head(seq or 0, head) for run, head, seq in db.execute(SQL["select_open_heads"])}
    return last(db), heads
