"""Whatever is done to the file is found, up to the last head that somebody holds outside of it."""

import os
import random
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from bridle.rules.names import RunId
from bridle.store import chain, erasure, house
from bridle.store.audit import Audit, exported, held_by, snapshot
from bridle.store.checkpoint import read_series
from bridle.store.signing import Signer, make
from bridle.store.sinks import FileSink
from bridle.store.sqlite import SqliteStore
from bridle.store.witness import witness_with
from tests.store.tampering import GONE, MUTATIONS, OPEN, Clock, Evidence, Table, evidence, work_of

SHARES = 10
TIMES = int(os.environ.get("BRIDLE_MUTATIONS", "10000"))


@pytest.fixture
async def proof(tmp_path: Path) -> AsyncIterator[Evidence]:
    made = await evidence(tmp_path)
    yield made
    made.db.close()


def undone(proof: Evidence, seed: int) -> tuple[str, bool]:
    """Do one thing to the file, look, and take it back: what it was, and whether it was found."""
    chance = random.Random(seed)
    mutation = MUTATIONS[seed % len(MUTATIONS)]
    proof.db.execute("SAVEPOINT before")
    mutation(proof.db, chance)
    found = proof.gap() is not None
    proof.db.execute("ROLLBACK TO before")
    proof.db.execute("RELEASE before")
    return mutation.__name__, found


async def test_what_nobody_touched_has_no_gap(proof: Evidence) -> None:
    assert proof.gap() is None
    assert len(read_series(proof.lines, proof.checker).checkpoints) == 3


@pytest.mark.parametrize("share", range(SHARES))
async def test_every_mutation_of_the_file_is_found(proof: Evidence, share: int) -> None:
    """Ten thousand of them; `BRIDLE_MUTATIONS=100000 make test` tries more, and a seed that was missed is printed."""
    for seed in range(share, TIMES, SHARES):
        name, found = undone(proof, seed)
        assert found, f"{name} of seed {seed} was not found"
    assert proof.gap() is None


async def test_links_that_do_not_cover_the_one_before_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (chain, house, erasure):
        monkeypatch.setattr(room, "link", lambda before, body: sha256(body).digest())
    proof = await evidence(tmp_path)
    assert proof.gap() is None
    assert not all(undone(proof, seed)[1] for seed in range(600)), "the mutations would not notice it"
    proof.db.close()


async def test_without_checkpoints_who_rewrites_everything_is_believed(proof: Evidence) -> None:
    """That is what they are for: the chains alone find everything but a file that was written anew as a whole."""
    house_of, run = Table("house", "1"), Table("events", "run_no = 5")
    run.rehash(proof.db, [row[1] for row in run.rows(proof.db)][:3])
    house_of.rehash(proof.db, [row[1] for row in house_of.rows(proof.db)])
    assert next(Audit(proof.db).gaps(), None) is None
    gap = proof.gap()
    assert gap is not None
    assert (gap.where, gap.seq) == (OPEN, 4)
    assert gap.what == "the chain ends before event 4, and checkpoint 3 has event 9"


async def test_a_cut_house_is_named_with_the_checkpoint_that_knows_better(proof: Evidence) -> None:
    proof.db.execute("DELETE FROM house WHERE seq > 5")
    gap = proof.gap()
    assert gap is not None
    assert (gap.where, gap.seq) == ("house", 6)
    assert gap.what == "the chain ends before entry 6, and checkpoint 2 has entry 9"


@pytest.mark.parametrize(
    ("done", "change", "what"),
    [
        ("DELETE FROM switch_changes WHERE generation = 2", 2, "it was removed: the house knows it"),
        (
            "UPDATE switch_changes SET wanted_by = 'eve' WHERE generation = 1",
            1,
            "it was changed: the house has another",
        ),
        ("DELETE FROM switches", 3, "all is not on any more as it was turned on, and nobody lifted it"),
        ("UPDATE switches SET tool = 'web.put'", 3, "all is on, and nobody turned it on like this"),
    ],
)
async def test_a_turn_of_the_switch_that_somebody_hides_is_named(
    proof: Evidence, done: str, change: int, what: str
) -> None:
    proof.db.execute("DROP TRIGGER switch_changes_stay")
    proof.db.execute("DROP TRIGGER switch_changes_are_kept")
    proof.db.execute(done)
    found = [gap for gap in Audit(proof.db).gaps() if what in gap.what]
    assert [(gap.where, gap.seq) for gap in found] == [("switch", change)]


async def test_a_head_that_was_kept_outside_has_to_be_in_the_store(proof: Evidence) -> None:
    (kept,) = proof.db.execute("SELECT head FROM runs WHERE run = 'r1'").fetchone()
    (before_erasure,) = proof.db.execute(
        "SELECT hash FROM events WHERE run_no = 4 ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    held = held_by((), [kept, before_erasure, b"\0" * 32])
    assert [gap.what for gap in Audit(proof.db, held).gaps()] == [
        f"nothing in the store has the head {'00' * 32}, which is held outside"
    ]


def own_of(folder: Path, signer: Signer, sink: FileSink, clock: Clock) -> SqliteStore:
    """A store whose owner signs."""
    store = SqliteStore(folder / "s.db")
    store.attend(witness_with(signer, sink, (), clock.now))
    return store


async def test_a_store_that_was_put_back_and_went_on_is_found_in_the_checkpoints(tmp_path: Path) -> None:
    clock, sink, signer = Clock(), FileSink(tmp_path / "lines"), make(tmp_path / "key")
    for name in ("first", "instead"):
        (tmp_path / "s.db").unlink(missing_ok=True)
        store = own_of(tmp_path, signer, sink, clock)
        await store.transact(work_of(name, 1, stop=True))
        await store.close()
    series = read_series(sink.path.read_bytes(), signer.checker())
    assert series.broken is None
    with snapshot(tmp_path / "s.db") as db:
        gaps = list(Audit(db, held_by(series.checkpoints)).gaps())
    assert gaps[0].what == "checkpoints 2 and 4 have different links at 1: the store was put back in between"
    assert gaps[1].what == "entry 1 is not the one that checkpoint 2 has: it or one before it was rewritten"


async def test_what_was_erased_is_said_and_is_no_gap(proof: Evidence) -> None:
    audit = Audit(proof.db)
    assert list(audit.gaps()) == []
    assert (audit.runs, audit.erased, audit.entries) == (5, 1, 9)
    kept = proof.db.execute(
        "SELECT count(kept) FROM events WHERE run_no = (SELECT no FROM runs WHERE run = ?)", (GONE,)
    )
    assert kept.fetchone() == (0,)


async def test_one_run_and_those_since_a_time_can_be_walked_alone(proof: Evidence) -> None:
    proof.db.execute("UPDATE events SET body = X'5B5D' WHERE run_no = 1 AND seq = 2")
    proof.db.execute("UPDATE runs SET updated_at = updated_at + 1000000 WHERE run = 'r4'")
    later = proof.db.execute("SELECT updated_at FROM runs WHERE run = 'r4'").fetchone()[0]
    assert [gap.where for gap in Audit(proof.db).gaps(RunId("r1"))] == ["r1"]
    assert [gap.where for gap in Audit(proof.db).gaps(RunId("r2"))] == []
    assert [gap.where for gap in Audit(proof.db).gaps(since=later)] == []
    assert [gap.where for gap in Audit(proof.db).gaps()] == ["r1"]


async def test_an_export_recomputes_without_bridle(proof: Evidence) -> None:
    heads: dict[str, bytes] = {}
    lines = list(exported(proof.db, proof.lines.splitlines()))
    for line in lines:
        name = str(line.get("chain"))
        if line["type"] in ("house", "event"):
            before = heads.get(name) or sha256(b"bridle:" + name.encode()).digest()
            heads[name] = sha256(before + str(line["body"]).encode("utf-8", "surrogateescape")).digest()
            assert heads[name].hex() == line["hash"]
        if line["type"] == "head":
            assert heads[name].hex() == line["hash"]
    assert set(heads) == {"house", "r1", "r2", "r3", "r4", "r5"}
    assert [line["type"] for line in lines].count("checkpoint") == 3
