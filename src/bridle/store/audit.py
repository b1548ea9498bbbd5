"""Recomputes both kinds of chains from the rows as they lie, and compares them with what is held outside.

The rows are read in one snapshot, beside whoever writes. What was signed or kept before the snapshot has to be in it.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from bridle.rules.house import Matter, Note
from bridle.rules.names import Millis, RunId
from bridle.store import house
from bridle.store.chain import HOUSE, Head, keyed, root, verify
from bridle.store.checkpoint import Checkpoint
from bridle.store.codec import BadRow
from bridle.store.opening import StoreUnusable, cause, connect
from bridle.store.statements import SQL
from bridle.store.switches import contradictions

UNSEEN_FOR = 60_000  # milliseconds after its start, after which a run that is open stands in some checkpoint
_ERASED = b'["PayloadErased",'
_STOPPED = b'["RunStopped",'

Row = tuple[int, bytes, bytes]  # seq, body, hash
RunRow = tuple[int, RunId, bytes, bytes]  # its number, its id, its head, its salt
Ends = dict[int, bytes]  # the link at a place


@dataclass(frozen=True, slots=True)
class Gap:
    """One place where the evidence does not fit together: in a run, `house`, `policy` and its digest, or `switch`."""

    where: str
    seq: int
    what: str


@dataclass(slots=True)
class HeldOutside:
    """What somebody holds outside of the store, and the store has to reach."""

    house: dict[int, tuple[int, bytes]] = field(default_factory=dict)  # by place: the checkpoint, and the link
    runs: dict[RunId, dict[int, tuple[int, bytes]]] = field(default_factory=dict)
    heads: set[bytes] = field(default_factory=set)  # of results and receipts
    complete_until: Millis = Millis(0)  # until when the checkpoints name every run; 0 when they do not
    contradictions: list[Gap] = field(default_factory=list)


def held_by(checkpoints: Sequence[Checkpoint], heads: Iterable[bytes] = ()) -> HeldOutside:
    """What checkpoints hold. Only lines with the heads of runs can name every run."""
    held = HeldOutside(heads=set(heads))
    for checkpoint in checkpoints:
        _hold(held, HOUSE, held.house, checkpoint.house, checkpoint.n)
        for run, head in (checkpoint.heads or {}).items():
            _hold(held, run, held.runs.setdefault(run, {}), head, checkpoint.n)
    if checkpoints and all(checkpoint.heads is not None for checkpoint in checkpoints):
        held.complete_until = checkpoints[-1].at
    return held


def _hold(held: HeldOutside, where: str, of: dict[int, tuple[int, bytes]], head: Head, n: int) -> None:
    """Two checkpoints that know a place by different links tell of a store that was put back and went on."""
    first, hash_ = of.setdefault(head.seq, (n, head.hash))
    if hash_ != head.hash:
        what = f"checkpoints {first} and {n} have different links at {head.seq}: the store was put back in between"
        held.contradictions.append(Gap(where, head.seq, what))


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """The rows of a store as of now, however long one looks. Raises StoreUnusable."""
    try:
        db = connect(path, True)
    except sqlite3.Error as error:
        raise StoreUnusable(f"{path}: {error}. {cause(path)}") from error
    try:
        db.execute("BEGIN")
        yield db
    finally:
        db.close()


class Audit:
    """One walk over a snapshot. `gaps` finds what is wrong; the numbers say what was looked at."""

    def __init__(self, db: sqlite3.Connection, held: HeldOutside | None = None) -> None:
        self.entries = self.runs = self.events = self.erased = 0
        self.head = Head(0, root(HOUSE))
        self._db = db
        self._held = held or HeldOutside()
        self._looked_for = set(self._held.heads)
        self._ends: dict[RunId, Ends] = {}  # as the house has them
        self._policies: set[str] = set()
        self._turns: dict[int, Note] = {}  # of the kill switch, by change

    def gaps(self, only: RunId | None = None, since: Millis = Millis(0)) -> Iterator[Gap]:
        """Everything that does not fit, the house first. `only` one run, or those that moved `since`, are walked."""
        yield from self._held.contradictions
        yield from self._house()
        if only is None:
            yield from self._kept_policies()
            yield from (Gap("switch", change, what) for change, what in contradictions(self._db, self._turns))
        seen: set[RunId] = set()
        for row in self._db.execute(SQL["select_run_rows"], (only, only, since)):
            seen.add(row[1])
            self.runs += 1
            yield from self._run(row)
        if not since:
            yield from self._gone(seen, only)
            for head in sorted(self._looked_for) if only is None else ():
                yield Gap("held", 0, f"nothing in the store has the head {head.hex()}, which is held outside")

    # The house

    def _house(self) -> Iterator[Gap]:
        held, reached = self._held.house, dict[int, bytes]()

        def rows() -> Iterator[Row]:
            for seq, body, hash_ in self._db.execute(SQL["select_house"]):
                self.entries += 1
                self.head = Head(seq, hash_)
                self._looked_for.discard(hash_)
                if seq in held:
                    reached[seq] = hash_
                self._take_in(body)
                yield seq, body, hash_

        walk = rows()
        broken = verify(HOUSE, walk, None, "entry")
        for _ in walk:  # behind a break the entries still say what the runs have to reach
            pass
        if broken is not None:
            yield Gap(HOUSE, broken.seq, broken.what)
            return
        reached[0] = root(HOUSE)
        yield from _unreached(HOUSE, held, reached, self.head.seq, "entry")

    def _take_in(self, body: bytes) -> None:
        """What an entry says of runs and policies; a damaged one says nothing, and is a break of the chain."""
        try:
            note = house.decode(body)
            head = house.head_of(note)
        except BadRow:
            return
        if head is not None:
            self._ends.setdefault(RunId(note.subject), {})[head.seq] = head.hash
        if note.matter is Matter.POLICY_KEPT:
            self._policies.add(note.subject)
        if note.matter is Matter.SWITCH_TURNED and isinstance(change := note.detail.get("change"), int):
            self._turns[change] = note

    def _kept_policies(self) -> Iterator[Gap]:
        missing = set(self._policies)
        for digest, canonical in self._db.execute(SQL["select_policies"]):
            missing.discard(digest)
            if sha256(canonical).hexdigest()[: len(digest)] != digest:
                yield Gap(f"policy {digest}", 0, "it was changed: it has another digest")
            if digest not in self._policies:
                yield Gap(f"policy {digest}", 0, "it was added: the house does not know it")
        for digest in sorted(missing):
            yield Gap(f"policy {digest}", 0, "it was removed: the house knows it")

    # A run

    def _run(self, row: RunRow) -> Iterator[Gap]:
        no, run, head, salt = row
        seen = _Seen(salt)
        expected, held = self._ends.get(run, {}), self._held.runs.get(run, {})

        def rows() -> Iterator[Row]:
            for seq, body, hash_, name, kept in self._db.execute(SQL["select_evidence"], (no,)):
                self.events += 1
                self._looked_for.discard(hash_)
                seen.take(seq, body, name, kept)
                if seq in expected or seq in held:
                    seen.reached[seq] = hash_
                yield seq, body, hash_

        walk = rows()
        broken = verify(run, walk, head)
        for _ in walk:
            pass
        self.erased += seen.is_erased
        if broken is not None:
            yield Gap(run, broken.seq, broken.what)
            return
        known = {seq: (0, hash_) for seq, hash_ in expected.items()}
        yield from _unreached(run, known, seen.reached, seen.last, "event")
        yield from _unreached(run, held, seen.reached, seen.last, "event")
        if seen.stopped and seen.last not in expected:
            what = (
                f"event {seen.last} was added behind its end"
                if expected
                else "it ended, and the house does not know it"
            )
            yield Gap(run, seen.last, what)
        if not expected and not held and seen.started + UNSEEN_FOR < self._held.complete_until:
            yield Gap(run, 1, "no checkpoint since its start has it: it was added later")
        yield from (Gap(run, seq, what) for seq, what in seen.wrong())

    def _gone(self, seen: set[RunId], only: RunId | None) -> Iterator[Gap]:
        for run in [*self._ends, *(run for run in self._held.runs if run not in self._ends)]:
            if run not in seen and only in (None, run):
                yield Gap(run, 1, "it was removed: the house or a checkpoint has its head")


class _Seen:
    """What was seen of one run while its chain was walked."""

    def __init__(self, salt: bytes) -> None:
        self.reached: Ends = {}
        self.last = 0
        self.stopped = False
        self.is_erased = False
        self.started = 0
        self._salt = salt
        self._payload: tuple[int, str] | None = None

    def take(self, seq: int, body: bytes, name: str | None, kept: bytes | None) -> None:
        """Look at an event and at what stands beside it."""
        self.last = seq
        if seq == 1:
            self.started = _time_of(body)
        self.stopped = self.stopped or body.startswith(_STOPPED)
        self.is_erased = self.is_erased or body.startswith(_ERASED)
        if name is not None and self._payload is None:
            if kept is None and self._salt:
                self._payload = seq, f"the payload {name} of event {seq} is gone, and nobody erased it"
            elif kept is not None and (not self._salt or keyed(self._salt, kept).encode() not in body):
                self._payload = seq, f"the payload {name} of event {seq} was changed"

    def wrong(self) -> Iterator[tuple[int, str]]:
        """What does not fit: the first payload that is not what its event says, a salt that nobody erased."""
        if self.is_erased and self._salt:
            yield self.last, "it has a salt, and was erased"
        elif not self.is_erased and not self._salt:
            yield self.last, "its salt is gone, and nobody erased it"
        elif self._payload is not None:
            yield self._payload


def _unreached(
    where: str, wanted: Mapping[int, tuple[int, bytes]], reached: Ends, last: int, noun: str
) -> Iterator[Gap]:
    """The first place that a chain does not reach, or where it has another link than is held."""
    for seq in sorted(wanted):
        by, hash_ = wanted[seq]
        holder = f"checkpoint {by}" if by else "the house"
        if seq not in reached:
            yield Gap(where, last + 1, f"the chain ends before {noun} {last + 1}, and {holder} has {noun} {seq}")
            return
        if reached[seq] != hash_:
            yield Gap(where, seq, f"{noun} {seq} is not the one that {holder} has: it or one before it was rewritten")
            return


def _time_of(body: bytes) -> int:
    try:
        return int(json.loads(body)[1])
    except (ValueError, TypeError, IndexError, KeyError):
        return 0


# What an auditor takes along


def exported(db: sqlite3.Connection, lines: Iterable[bytes], only: RunId | None = None) -> Iterator[dict[str, object]]:
    """Every line that is needed to recompute the chains without bridle: `chain`, `body`, `hash`; then the heads.

    Payloads and salts are not among them. A body that is no UTF-8 is damaged; its bytes are kept by surrogates.
    """
    last = house.last(db)
    for seq, body, hash_ in db.execute(SQL["select_house"]):
        yield _line("house", HOUSE, seq, body, hash_)
    yield {"type": "head", "chain": HOUSE, "seq": last.seq, "hash": last.hash.hex()}
    for no, run, head, _ in db.execute(SQL["select_run_rows"], (only, only, 0)):
        seq = 0
        for seq, body, hash_, _, _ in db.execute(SQL["select_evidence"], (no,)):
            yield _line("event", run, seq, body, hash_)
        yield {"type": "head", "chain": run, "seq": seq, "hash": head.hex()}
    for digest, canonical in db.execute(SQL["select_policies"]):
        yield {"type": "policy", "digest": digest, "body": _text(canonical)}
    for line in lines:
        yield {"type": "checkpoint", "body": _text(line)}


def _line(kind: str, chain: RunId, seq: int, body: bytes, hash_: bytes) -> dict[str, object]:
    return {"type": kind, "chain": chain, "seq": seq, "body": _text(body), "hash": hash_.hex()}


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")
