"""A store with everything in it that an audit looks at, and what somebody with the file in hands can do to it."""

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from bridle.rules.events import RunStopped
from bridle.rules.names import Digest, Millis, RunId
from bridle.rules.policy import KillLevel
from bridle.rules.stop import StopReason
from bridle.rules.switch import Scope
from bridle.store.audit import Audit, Gap, held_by
from bridle.store.base import Grounds, Transaction
from bridle.store.chain import HOUSE, keyed, link, root
from bridle.store.checkpoint import read_series
from bridle.store.signing import Checker, make
from bridle.store.sinks import FileSink
from bridle.store.sqlite import SqliteStore
from bridle.store.switches import Wish
from bridle.store.witness import Witness
from tests.store.journals import SALT, T0, admitted, begin, settled

ENDED, OPEN, GONE = ("r1", "r2", "r3"), "r4", "r5"
POLICY = b'{"allow":[]}'
Mutation = Callable[[sqlite3.Connection, random.Random], object]


@dataclass
class Clock:
    """A time that somebody moves."""

    at: int = T0

    def now(self) -> Millis:
        return Millis(self.at)


@dataclass(frozen=True)
class Evidence:
    """The rows of a store in memory, the lines that were signed, and the key they were signed with."""

    db: sqlite3.Connection
    lines: bytes
    checker: Checker

    def gap(self) -> Gap | None:
        """The first thing that an audit finds."""
        series = read_series(self.lines, self.checker)
        assert series.broken is None
        return next(Audit(self.db, held_by(series.checkpoints)).gaps(), None)


def work_of(run: str, calls: int, stop: bool) -> Callable[[Transaction], None]:
    """A run with payloads beside its events."""

    def fn(tx: Transaction) -> None:
        begin(tx, run)
        for number in range(1, calls + 1):
            body = f'{{"doc":"{run} {number}"}}'.encode()
            call = replace(admitted(f"c{number}", turn=number), args=keyed(SALT, body))
            tx.append(RunId(run), 1, [call])
            tx.keep(RunId(run), f"c{number}.args", body)
            tx.append(RunId(run), 1, [settled(f"c{number}", size=number)])
        if stop:
            tx.append(RunId(run), 1, [RunStopped(Millis(T0 + 99), StopReason.OK)])

    return fn


async def evidence(folder: Path) -> Evidence:
    """Three runs that ended, one that is open, one that was erased; a policy, a switch; three checkpoints."""
    clock = Clock()
    store = SqliteStore(folder / "s.db")
    signer, sink = make(folder / "key"), FileSink(folder / "lines")
    store.attend(Witness(signer, sink, (), clock.now))

    def first(tx: Transaction) -> None:
        tx.keep_policy(digest_of(POLICY), POLICY, T0)

    await store.transact(first)
    store.switches.kill(KillLevel.WRITES, Scope("acme"), Wish("ann", "wrong refunds", "root", T0))
    store.switches.unkill(None, Scope("acme"), Wish("ann", "mended", "root", T0))
    store.switches.kill(KillLevel.ALL, Scope(tool="web.get"), Wish("bob", "it burns", "root", T0))
    for run in (*ENDED, GONE):
        await store.transact(work_of(run, 3, stop=True))
    store.erase([RunId(GONE)], Grounds(Millis(T0 + 500), "ann", "she asked"))
    clock.at += 70_000
    store.tick()
    await store.transact(work_of(OPEN, 4, stop=False))
    clock.at += 7_000_000
    await store.close()
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with closing(sqlite3.connect(folder / "s.db")) as db:
        db.backup(memory)
    return Evidence(memory, sink.path.read_bytes(), signer.checker())


def digest_of(canonical: bytes) -> Digest:
    """The name of a policy."""
    return Digest(sha256(canonical).hexdigest()[:32])


# ---- what can be done to a chain; the tables differ, the mischief does not


@dataclass(frozen=True)
class Table:
    """One chain in the file: the house, or a run by its number."""

    name: str
    where: str

    def rows(self, db: sqlite3.Connection) -> list[tuple[int, bytes, bytes]]:
        return db.execute(f"SELECT seq, body, hash FROM {self.name} WHERE {self.where} ORDER BY seq").fetchall()

    def put(self, db: sqlite3.Connection, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
        db.execute(f"DELETE FROM {self.name} WHERE {self.where}")
        no = self.where.rpartition(" ")[2]
        columns, extra = ("seq, body, hash", "") if self.name == "house" else ("seq, body, hash, run_no", f", {no}")
        db.executemany(f"INSERT INTO {self.name} ({columns}) VALUES (?, ?, ?{extra})", rows)

    def rehash(self, db: sqlite3.Connection, bodies: Sequence[bytes]) -> None:
        """Write the chain anew with these bodies, as somebody who knows the algorithm; the row of the run as well."""
        if self.name == "house":
            before = root(HOUSE)
        else:
            before = root(RunId(db.execute(f"SELECT run FROM runs WHERE {self.where[4:]}").fetchone()[0]))
        rows = []
        for seq, body in enumerate(bodies, 1):
            before = link(before, body)
            rows.append((seq, body, before))
        self.put(db, rows)
        if self.name != "house":
            db.execute(f"UPDATE runs SET head = ? WHERE {self.where[4:]}", (before,))


def chain(db: sqlite3.Connection, chance: random.Random) -> Table:
    """One of the chains."""
    runs = [no for (no,) in db.execute("SELECT no FROM runs ORDER BY no")]
    return chance.choice([Table("house", "1"), *(Table("events", f"run_no = {no}") for no in runs)])


def flipped(body: bytes, chance: random.Random) -> bytes:
    place, bit = chance.randrange(len(body)), 1 << chance.randrange(8)
    return body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]


def edit(db: sqlite3.Connection, chance: random.Random) -> None:
    table = chain(db, chance)
    rows = table.rows(db)
    at = chance.randrange(len(rows))
    seq, body, hash_ = rows[at]
    rows[at] = (seq, flipped(body, chance), hash_) if chance.random() < 0.7 else (seq, body, flipped(hash_, chance))
    table.put(db, rows)


def edit_with_its_link(db: sqlite3.Connection, chance: random.Random) -> None:
    table = chain(db, chance)
    rows = table.rows(db)
    at = chance.randrange(len(rows))
    body = flipped(rows[at][1], chance)
    rows[at] = (rows[at][0], body, link(rows[at - 1][2] if at else b"", body))
    table.put(db, rows)


def removal(db: sqlite3.Connection, chance: random.Random) -> None:
    table = chain(db, chance)
    rows = table.rows(db)
    del rows[chance.randrange(len(rows))]
    if chance.random() < 0.5:
        rows = [(seq, body, hash_) for seq, (_, body, hash_) in enumerate(rows, 1)]
    table.put(db, rows)


def insertion(db: sqlite3.Connection, chance: random.Random) -> None:
    table = chain(db, chance)
    rows = table.rows(db)
    at, forged = chance.randrange(len(rows) + 1), chance.choice(rows)
    rows.insert(at, (0, flipped(forged[1], chance) if chance.random() < 0.5 else forged[1], forged[2]))
    table.put(db, [(seq, body, hash_) for seq, (_, body, hash_) in enumerate(rows, 1)])


def reordering(db: sqlite3.Connection, chance: random.Random) -> None:
    table = chain(db, chance)
    rows = table.rows(db)
    one, other = chance.sample(range(len(rows)), 2)
    bodies = [row[1] for row in rows]
    if bodies[one] == bodies[other]:
        bodies[one] += b" "
    bodies[one], bodies[other] = bodies[other], bodies[one]
    with_hashes = chance.random() < 0.5
    moved = [*rows]
    moved[one], moved[other] = (rows[one][0], *rows[other][1:]), (rows[other][0], *rows[one][1:])
    table.put(db, moved if with_hashes else [(r[0], body, r[2]) for r, body in zip(rows, bodies, strict=True)])


def truncation(db: sqlite3.Connection, chance: random.Random) -> None:
    """The end of a chain is cut off; the row of the run says what it has to."""
    table = chain(db, chance)
    rows = table.rows(db)
    left = chance.randrange(len(rows))
    table.rehash(db, [row[1] for row in rows[:left]])


def rewriting(db: sqlite3.Connection, chance: random.Random) -> None:
    """A whole chain is written anew around one change, every link and head of it right."""
    table = chain(db, chance)
    bodies = [row[1] for row in table.rows(db)]
    at = chance.randrange(len(bodies))
    match chance.randrange(4):
        case 0:
            bodies[at] = flipped(bodies[at], chance)
        case 1:
            del bodies[at]
        case 2:
            bodies.insert(at, bodies[chance.randrange(len(bodies))])
        case _:
            bodies[at] += b" "
    table.rehash(db, bodies)


def a_forged_run(db: sqlite3.Connection, chance: random.Random) -> None:
    """A run that never was, with a chain of its own that holds."""
    no = chance.choice([no for (no,) in db.execute("SELECT no FROM runs")])
    db.execute(
        "INSERT INTO runs SELECT 99, 'r-forged', tenant, '', '', phase, reason, updated_at, head, salt, state, worker,"
        " wake_at FROM runs WHERE no = ?", (no,),
    )  # fmt: skip
    db.execute("INSERT INTO events SELECT 99, seq, body, hash, kept_as, kept FROM events WHERE run_no = ?", (no,))
    table = Table("events", "run_no = 99")
    table.rehash(db, [row[1] for row in table.rows(db)])


def a_run_removed(db: sqlite3.Connection, chance: random.Random) -> None:
    no = chance.choice([no for (no,) in db.execute("SELECT no FROM runs")])
    if chance.random() < 0.7:
        db.execute("DELETE FROM runs WHERE no = ?", (no,))
    db.execute("DELETE FROM events WHERE run_no = ?", (no,))


def a_policy(db: sqlite3.Connection, chance: random.Random) -> None:
    match chance.randrange(3):
        case 0:
            db.execute("UPDATE policies SET canonical = ?", (flipped(POLICY, chance),))
        case 1:
            db.execute("DELETE FROM policies")
        case _:
            forged = flipped(POLICY, chance)
            db.execute("INSERT INTO policies VALUES (?, ?)", (digest_of(forged), forged))


def a_payload(db: sqlite3.Connection, chance: random.Random) -> None:
    rows = db.execute("SELECT run_no, seq, kept FROM events WHERE kept IS NOT NULL").fetchall()
    no, seq, kept = chance.choice(rows)
    changed = flipped(kept, chance) if chance.random() < 0.7 else None
    db.execute("UPDATE events SET kept = ? WHERE run_no = ? AND seq = ?", (changed, no, seq))


def a_salt(db: sqlite3.Connection, chance: random.Random) -> None:
    run = chance.choice([*ENDED, OPEN])
    salt = flipped(SALT, chance) if chance.random() < 0.5 else b""
    db.execute("UPDATE runs SET salt = ? WHERE run = ?", (salt, run))


def a_turn_of_the_switch(db: sqlite3.Connection, chance: random.Random) -> None:
    """The history, or what is on, is changed by somebody who drops the triggers first."""
    table, columns = chance.choice([
        ("switch_changes", ("level", "tenant", "flow", "tool", "wanted_by", "because", "account")),
        ("switches", ("level", "tenant", "flow", "tool", "wanted_by", "because")),
    ])  # fmt: skip
    db.execute("DROP TRIGGER switch_changes_stay")
    db.execute("DROP TRIGGER switch_changes_are_kept")
    (which,) = chance.choice(db.execute(f"SELECT generation FROM {table}").fetchall())
    match chance.randrange(4):
        case 0:
            db.execute(f"DELETE FROM {table} WHERE generation = ?", (which,))
        case 1:
            column = chance.choice(columns)
            db.execute(f"UPDATE {table} SET {column} = {column} || 'x' WHERE generation = ?", (which,))
        case 2:
            db.execute(f"UPDATE {table} SET at = at + 1 WHERE generation = ?", (which,))
        case _:
            named = ", ".join(columns)
            db.execute(
                f"INSERT INTO {table} ({named}, generation, at{', act' if table == 'switch_changes' else ''})"
                f" SELECT {named.replace('tenant', '0')}, 99, at{', act' if table == 'switch_changes' else ''}"
                f" FROM {table} WHERE generation = ?",
                (which,),
            )


MUTATIONS: tuple[Mutation, ...] = (
    edit, edit_with_its_link, removal, insertion, reordering, truncation, rewriting, a_forged_run, a_run_removed,
    a_policy, a_payload, a_salt, a_turn_of_the_switch,
)  # fmt: skip
