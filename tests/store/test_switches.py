"""The switches of a store: who may turn them, what is kept of it, who has seen it, and what is still in flight."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bridle.rules.house import Matter
from bridle.rules.names import Digest, Effect, RunId
from bridle.rules.policy import KillLevel, Policy
from bridle.rules.switch import Scope, Switch
from bridle.store import house
from bridle.store.audit import Audit, snapshot
from bridle.store.base import RunKey
from bridle.store.roll import Roll
from bridle.store.sqlite import SqliteStore
from bridle.store.statements import SQL
from bridle.store.switches import MOST_SWITCHES, NotTurned, Wish
from tests.store.contract import beginning
from tests.store.journals import SALT, T0, TENANT, admitted, started

WRITES, ALL = KillLevel.WRITES, KillLevel.ALL
HOUSE, ACME = Scope(), Scope("acme")


def wish(by: str = "ann", because: str = "an incident") -> Wish:
    return Wish(by, because, "root", T0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "bridle.db")
    yield store
    await store.close()


def on(store: SqliteStore) -> list[tuple[str, str, str]]:
    return sorted((one.level.value, str(one.scope), one.by) for one in store.switches.now())


def history(store: SqliteStore) -> list[tuple[int, str, str, str, str]]:
    changes = reversed(store.switches.history())
    return [(one.generation, one.act, one.switch.level, str(one.switch.scope), one.switch.by) for one in changes]


async def test_a_switch_that_is_on_already_stays_as_it_was(store: SqliteStore) -> None:
    first = store.switches.kill(WRITES, HOUSE, wish())
    again = store.switches.kill(WRITES, HOUSE, wish("bob", "me too"))
    assert (first.is_new, again.is_new) == (True, False)
    assert (again.switch, again.generation) == (first.switch, 1)
    assert on(store) == [("writes", "house", "ann")]
    assert len(history(store)) == 1


async def test_a_second_level_or_scope_takes_nothing_of_the_first_one_back(store: SqliteStore) -> None:
    store.switches.kill(ALL, HOUSE, wish())
    store.switches.kill(WRITES, HOUSE, wish("bob"))
    store.switches.kill(ALL, ACME, wish("bob"))
    assert on(store) == [("all", "house", "ann"), ("all", "tenant acme", "bob"), ("writes", "house", "bob")]


async def test_who_set_a_switch_may_lift_it_while_nobody_else_is_known(store: SqliteStore) -> None:
    store.switches.kill(ALL, HOUSE, wish())
    (change,) = store.switches.unkill(None, HOUSE, wish(because="over"))
    assert (change.act, change.generation, on(store)) == ("unkill", 2, [])


async def test_who_set_a_switch_may_not_lift_it_once_somebody_else_has_turned_one(store: SqliteStore) -> None:
    store.switches.kill(WRITES, ACME, wish("bob"))
    store.switches.unkill(None, ACME, wish("bob"))
    store.switches.kill(ALL, HOUSE, wish())
    with pytest.raises(NotTurned, match="ann set it, so somebody else lifts it: bob"):
        store.switches.unkill(None, HOUSE, wish())
    assert on(store) == [("all", "house", "ann")]
    store.switches.unkill(None, HOUSE, wish("bob"))
    assert on(store) == []


async def test_one_level_that_is_ones_own_keeps_all_of_a_scope_from_being_lifted(store: SqliteStore) -> None:
    store.switches.kill(WRITES, HOUSE, wish())
    store.switches.kill(ALL, HOUSE, wish("bob"))
    with pytest.raises(NotTurned, match="ann set it"):
        store.switches.unkill(None, HOUSE, wish())
    assert len(on(store)) == 2
    store.switches.unkill(ALL, HOUSE, wish())
    assert on(store) == [("writes", "house", "ann")]


async def test_what_is_not_on_cannot_be_lifted_and_the_sentence_says_what_is(store: SqliteStore) -> None:
    store.switches.kill(WRITES, ACME, wish())
    with pytest.raises(NotTurned, match=r"no switch is on for house; on is: writes \(tenant acme\)"):
        store.switches.unkill(None, HOUSE, wish("bob"))
    with pytest.raises(NotTurned, match="no switch all is on for tenant acme"):
        store.switches.unkill(ALL, ACME, wish("bob"))
    store.switches.unkill(None, ACME, wish())
    with pytest.raises(NotTurned, match="on is: nothing"):
        store.switches.unkill(None, ACME, wish())


@pytest.mark.parametrize("words", ["", "  ", "\0", "\n"])
async def test_it_is_turned_by_somebody_and_for_a_reason(store: SqliteStore, words: str) -> None:
    with pytest.raises(NotTurned, match="say who"):
        store.switches.kill(ALL, HOUSE, wish(words))
    with pytest.raises(NotTurned, match="say why"):
        store.switches.kill(ALL, HOUSE, wish(because=words))
    store.switches.kill(ALL, HOUSE, wish())
    with pytest.raises(NotTurned, match="say why"):
        store.switches.unkill(None, HOUSE, wish(because=words))
    assert len(on(store)) == 1


async def test_words_that_no_database_takes_are_spelled_out_and_cut(store: SqliteStore) -> None:
    change = store.switches.kill(ALL, HOUSE, wish("a\udcffb", "x" * 10_000))
    assert change.switch.by == "a\\udcffb"
    assert len(change.switch.because) == 500


async def test_switches_have_a_bound(store: SqliteStore) -> None:
    for number in range(MOST_SWITCHES):
        store.switches.kill(ALL, Scope(f"t{number}"), wish())
    with pytest.raises(NotTurned, match="1,000 switches are on already"):
        store.switches.kill(ALL, Scope("one.more"), wish())


async def test_the_history_keeps_every_change_and_none_can_be_altered(store: SqliteStore, tmp_path: Path) -> None:
    store.switches.kill(WRITES, HOUSE, wish())
    store.switches.kill(ALL, ACME, wish("bob"))
    store.switches.unkill(None, HOUSE, wish("bob", "over"))
    assert history(store) == [
        (1, "kill", "writes", "house", "ann"),
        (2, "kill", "all", "tenant acme", "bob"),
        (3, "unkill", "writes", "house", "bob"),
    ]
    assert {one.account for one in store.switches.history()} == {"root"}
    with closing(sqlite3.connect(tmp_path / "bridle.db")) as db:
        for statement in ("DELETE FROM switch_changes", "UPDATE switch_changes SET because = 'nothing'"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"):
                db.execute(statement)


async def test_every_change_stands_in_the_chain_of_the_house(store: SqliteStore, tmp_path: Path) -> None:
    store.switches.kill(WRITES, ACME, wish())
    store.switches.kill(WRITES, ACME, wish("bob"))
    store.switches.unkill(None, ACME, wish(because="over"))
    with snapshot(tmp_path / "bridle.db") as db:
        notes = [house.decode(body) for _, body, _ in db.execute(SQL["select_house"])]
        assert list(Audit(db).gaps()) == []
    assert [(note.matter, note.subject, note.detail["act"]) for note in notes] == [
        (Matter.SWITCH_TURNED, "tenant acme", "kill"),
        (Matter.SWITCH_TURNED, "tenant acme", "unkill"),
    ]
    assert notes[0].detail == {
        "act": "kill", "level": "writes", "tenant": "acme", "flow": "", "tool": "", "by": "ann",
        "because": "an incident", "account": "root", "change": 1,
    }  # fmt: skip


async def test_a_worker_acknowledges_every_change_up_to_the_one_it_has_seen(store: SqliteStore, tmp_path: Path) -> None:
    rolls = [Roll(tmp_path / "bridle.db") for _ in range(3)]
    a, b, c = (roll.enlist() for roll in rolls)
    book = store.switches
    first = book.kill(WRITES, HOUSE, wish()).generation
    second = book.kill(ALL, HOUSE, wish()).generation
    book.acknowledge(b, first, T0)
    book.acknowledge(c, second, T0)
    assert {one.name: one.acknowledged_at is not None for one in book.workers(first)} == {a: False, b: True, c: True}
    assert {one.name: one.acknowledged_at is not None for one in book.workers(second)} == {a: False, b: False, c: True}
    rolls[0].close()
    assert {one.name for one in book.workers(second)} == {b, c}
    rolls[1].close()
    book.acknowledge(c, second, T0)
    with closing(sqlite3.connect(tmp_path / "bridle.db")) as db:
        assert db.execute("SELECT worker FROM acknowledgements").fetchall() == [(c,)], "the dead are forgotten"
    rolls[2].close()


async def test_a_kill_file_that_several_workers_see_stands_in_the_history_once(store: SqliteStore) -> None:
    seen = Switch(ALL, HOUSE, "the KILL file")
    for act in ("file on", "file off", "file on"):
        for worker in ("a", "b"):
            store.switches.note_file(act, seen, worker, T0)
    assert [act for _, act, *_ in history(store)] == ["file on", "file off", "file on"]


async def test_what_is_in_flight_is_told_by_scope_and_by_level(store: SqliteStore) -> None:
    await store.transact(beginning("r1"))
    calls = {"c1": Effect.READ, "c2": Effect.WRITE, "c3": Effect.EGRESS}
    events = [replace(admitted(call), effect=effect) for call, effect in calls.items()]
    await store.transact(lambda tx: tx.append(RunId("r1"), 1, events))
    tool = str(admitted("c1").tool)

    def told(level: str, scope: Scope = HOUSE) -> list[str]:
        return [one.call for one in store.switches.aftermath(KillLevel(level), scope).in_flight]

    assert told("all") == told("expensive") == ["c1", "c2", "c3"]
    assert told("writes") == ["c2"]
    assert told("egress") == ["c2", "c3"]
    assert told("all", Scope(TENANT)) == told("all", Scope(tool=tool)) == ["c1", "c2", "c3"]
    assert told("all", Scope("umbrella")) == told("all", Scope(tool="no.such")) == []
    assert store.switches.aftermath(ALL, HOUSE).open_runs == 1


async def test_the_level_that_is_meant_is_the_one_of_the_newest_run(store: SqliteStore) -> None:
    assert store.switches.house_level() is WRITES
    policy = Policy(kill_level=KillLevel.ALL)
    run = replace(started("r1"), policy=policy.digest())
    await store.transact(lambda tx: tx.start(run, RunKey("", Digest("f")), SALT))
    assert store.switches.house_level() is WRITES, "its policy is not in the store"
    await store.transact(lambda tx: tx.keep_policy(policy.digest(), policy.canonical(), T0))
    assert store.switches.house_level() is ALL


async def test_a_switch_of_a_store_before_scopes_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(SQL["migration_0001"])
        db.execute("INSERT INTO switches VALUES ('acme', 'expensive'), ('umbrella', 'off')")
        db.execute("PRAGMA user_version = 1")
    store = SqliteStore(path)
    assert on(store) == [("expensive", "tenant acme", "")]
    await store.close()
    with snapshot(path) as db:
        assert list(Audit(db).gaps()) == [], "what was turned before there was a house is in it"
