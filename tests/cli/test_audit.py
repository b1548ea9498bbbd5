"""`bridle audit`: what it finds, what it prints for somebody who has no bridle, and what it erases."""

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bridle.rules.names import RunId
from bridle.store.sqlite import SqliteStore
from tests.cli.conftest import Bridled
from tests.cli.house import HOSTILE, House, busy, greedy, program

STORE = ("--store", "s.db")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating" / "audit.md"
DAY = 86_400_000


@contextmanager
def tampered(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db:
        yield db
        db.commit()


@pytest.fixture
def house(here: Path, bridle: Bridled) -> House:
    """A house that signs, with two runs."""
    house = House(here / "s.db")
    assert bridle("audit", "init-key", *STORE).code == 0
    house.run(busy())
    house.run(greedy())
    return house


def gaps(bridle: Bridled, *more: str) -> list[tuple[str, int, str]]:
    done = bridle("audit", "verify", *STORE, "--json", *more)
    document = json.loads(done.out)
    assert (done.code, document["ok"]) == ((2, False) if document["gaps"] else (0, True))
    return [(gap["where"], gap["seq"], gap["what"]) for gap in document["gaps"]]


def test_a_house_that_nobody_touched(bridle: Bridled, house: House) -> None:
    assert gaps(bridle) == []
    done = bridle("audit", "verify", *STORE)
    assert (done.code, done.err) == (0, "")
    assert "3 entries, head " in done.out
    assert "2 runs, 32 events" in done.out
    assert "ok         nothing is missing, added or changed, up to checkpoint 4 of 2026-11-21 00:00:00 UTC" in done.out


def test_a_gap_exits_2_and_is_named(bridle: Bridled, house: House, here: Path) -> None:
    with tampered(here / "s.db") as db:
        db.execute("UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'kb.read', 'kb.raed') AS BLOB)")
    done = bridle("audit", "verify", *STORE)
    assert done.code == 2
    assert "gap        r-1m7xpe60000000001  event 3 was changed" in done.out
    assert "nothing is missing" not in done.out
    assert [seq for _, seq, _ in gaps(bridle)] == [3, 3]
    assert len(gaps(bridle, "--run", "r-1m7xpe60000000001")) == 1


def test_a_store_that_was_cut_back_is_found_by_its_checkpoints(bridle: Bridled, house: House, here: Path) -> None:
    with tampered(here / "s.db") as db:
        db.executescript(
            "DELETE FROM house WHERE seq = 3; DELETE FROM runs WHERE no = 2; DELETE FROM events WHERE run_no = 2;"
        )
    assert gaps(bridle)[0] == ("house", 3, "the chain ends before entry 3, and checkpoint 4 has entry 3")
    (here / "s.db.audit-key").rename(here / "away")
    (here / "s.db.checkpoints").rename(here / "kept")
    assert gaps(bridle) == [], "nothing but what was kept outside can tell"
    held = ("--checkpoints", "kept", "--key", "s.db.audit-key.pub")
    assert gaps(bridle, *held)[0][0] == "house"


def test_checkpoints_that_are_gone_are_a_gap(bridle: Bridled, house: House, here: Path) -> None:
    (here / "s.db.checkpoints").unlink()
    assert gaps(bridle) == [("checkpoints", 1, "s.db.checkpoints is gone: a key signs for this store")]


def test_checkpoints_without_any_key_to_check_them_are_a_gap(bridle: Bridled, house: House, here: Path) -> None:
    (here / "s.db.audit-key").unlink()
    (here / "s.db.audit-key.pub").unlink()
    assert "no public key is here" in gaps(bridle)[0][2]


def test_a_store_without_a_key_says_what_that_means(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    done = bridle("audit", "verify", *STORE)
    assert done.code == 0
    assert "no checkpoints: who can rewrite the file can rewrite its chains as well" in done.out


def test_a_head_that_is_held_has_to_be_there(bridle: Bridled, house: House, here: Path) -> None:
    head = house.run(greedy()).head
    printed = json.loads(bridle("audit", "head", *STORE, "--json").out)
    assert set(printed) == {"chain", "seq", "head"}
    assert gaps(bridle, "--head", head, "--head", printed["head"]) == []
    assert gaps(bridle, "--head", "00" * 32)[0][0] == "held"
    assert bridle("audit", "head", "last", *STORE).out.split()[2] == head
    assert bridle("audit", "verify", *STORE, "--head", "7").err == "bridle: --head 7: a head has 64 hex digits\n"


def test_the_recipe_of_the_docs_recomputes_an_export(bridle: Bridled, house: House, here: Path) -> None:
    done = bridle("audit", "export", *STORE)
    assert done.code == 0
    (here / "export.jsonl").write_text(done.out)
    for name in ("s.db.audit-key.pub", "s.db.checkpoints"):
        (here / name.replace("s.db", "bridle.db")).write_bytes((here / name).read_bytes())
    recipes = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [len(recipes), *(recipe.count("\n") <= 11 for recipe in recipes)] == [2, True, True]
    known: dict[str, object] = {"open": _opened}
    for recipe in recipes:
        exec(recipe, known)
    changed = done.out.replace("kb.read", "kb.raed", 1)
    (here / "export.jsonl").write_text(changed)
    with pytest.raises(AssertionError, match="breaks at"):
        exec(recipes[0], {"open": _opened})


def _opened(name: str, mode: str = "r") -> object:
    """A file that leaves no warning behind."""
    text = Path(name).read_bytes()
    return type("Read", (), {"read": lambda self: text, "__iter__": lambda self: iter(text.decode().splitlines())})()


def test_an_export_has_no_payload_and_nothing_that_moves_a_cursor(bridle: Bridled, house: House) -> None:
    out = bridle("audit", "export", *STORE).out
    assert HOSTILE not in out
    assert "I got this far" not in out
    assert out.isascii()
    assert out.replace("\n", "").isprintable()
    one = [json.loads(line) for line in bridle("audit", "export", *STORE, "--run", "last").out.splitlines()]
    assert len({line["chain"] for line in one if "chain" in line}) == 2


def test_a_run_is_erased_and_says_so(bridle: Bridled, house: House) -> None:
    done = bridle("audit", "erase", "last", *STORE, "--by", "ann", "--because", f"she asked {HOSTILE}")
    assert done.code == 0
    assert " payloads of " in done.out
    shown = bridle("show", *STORE)
    assert "I got this far." not in shown.out
    assert "by ann: she asked" in shown.out
    assert "\x1b" not in shown.out
    assert json.loads(bridle("show", *STORE, "--json").out)["erased"] is True
    assert gaps(bridle) == []
    assert "1 run erased" in bridle("audit", "verify", *STORE).out
    again = bridle("audit", "erase", "last", *STORE)
    assert (again.code, "0 payloads of 0 B erased" in again.out) == (0, True)


def test_runs_are_erased_by_their_age(bridle: Bridled, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.clock.at += 20 * DAY
    house.run(busy())
    monkeypatch.setattr("bridle.cli.audit.now", lambda: house.clock.at + 11 * DAY)
    document = json.loads(bridle("audit", "erase", "--older-than", "30d", *STORE, "--json").out)
    assert (len(document["runs"]), document["kept"], document["log_is_clean"]) == (2, [], True)
    assert json.loads(bridle("audit", "erase", "--older-than", "30d", *STORE, "--json").out)["runs"] == []
    assert "0 runs" in bridle("audit", "erase", "--older-than", "1m", "--tenant", "umbrella", *STORE).out
    assert gaps(bridle) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((), "name a run, or --older-than with an age as in 30d; one of the two"),
        (("last", "--older-than", "30d"), "one of the two"),
        (("last", "--tenant", "acme"), "--tenant goes with --older-than"),
        (("--older-than", "soon"), "--older-than soon: write a number of days, hours, minutes or seconds"),
        (("--older-than", "0d"), "--older-than 0d: write a number"),
        (("nobody",), "there is no run nobody in s.db"),
    ],
)
def test_what_cannot_be_meant_erases_nothing(
    bridle: Bridled, house: House, given: tuple[str, ...], sentence: str
) -> None:
    done = bridle("audit", "erase", *given, *STORE)
    assert done.code == 1
    assert sentence in done.err
    assert "erased" not in bridle("audit", "verify", *STORE).out


def test_an_open_run_keeps_what_it_has(bridle: Bridled, house: House, here: Path) -> None:
    with tampered(here / "s.db") as db:
        state = json.loads(db.execute("SELECT state FROM runs WHERE no = 1").fetchone()[0])
        state[0] = ["open" if value == "stopped" else value for value in state[0]]
        db.execute("UPDATE runs SET state = ? WHERE no = 1", (json.dumps(state).encode(),))
    done = bridle("audit", "erase", "r-1m7xpe60000000001", *STORE)
    assert done.code == 1
    assert "keeps its payloads: it has not ended; `bridle cancel" in done.err


def test_an_erasure_beside_a_house_at_work_leaves_no_page_behind(bridle: Bridled, house: House, here: Path) -> None:
    with asyncio.Runner() as runner:
        b = house.opened()
        runner.run(b.open())
        runner.run(b.run(busy(), by="bob"))
        done = bridle("audit", "erase", "last", *STORE)
        assert (done.code, done.err) == (0, "")
        assert (here / "s.db-wal").stat().st_size == 0
        with closing(sqlite3.connect(here / "s.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM runs").fetchall()
            runner.run(b.run(busy(), by="eve"))
            done = bridle("audit", "erase", "last", *STORE)
        assert done.code == 0
        assert "somebody reads this store just now" in done.err
        runner.run(b.close())
    assert gaps(bridle) == []


def test_the_same_key_after_an_erasure_is_the_same_run_without_its_answer(here: Path, bridle: Bridled) -> None:
    house = House(here / "s.db")
    first = house.run(busy(), key="k")
    assert bridle("audit", "erase", "last", *STORE).code == 0
    again = house.run(busy(), key="k")
    assert (again.run_id, again.status, again.answer, again.is_erased) == (first.run_id, "ok", None, True)
    assert (again.to_dict()["erased"], "erased" in first.to_dict()) == (True, False)
    without = house.run(busy())
    assert without.run_id != first.run_id


@pytest.mark.parametrize("option", [("--from", "yesterday"), ("--key", "nowhere.pub"), ("--checkpoints", "nowhere")])
def test_what_cannot_be_read_is_an_error_and_no_gap(bridle: Bridled, house: House, option: tuple[str, str]) -> None:
    done = bridle("audit", "verify", *STORE, *option)
    assert done.code == 1
    assert option[1] in done.err
    assert bridle("audit", "verify", *STORE, "--run", "nobody").code == 1
    assert bridle("audit", "verify", *STORE, "--from", "2026-11-21").code == 0


def test_a_removed_run_can_be_asked_for_by_its_id(bridle: Bridled, house: House, here: Path) -> None:
    with tampered(here / "s.db") as db:
        db.execute("DELETE FROM runs WHERE no = 1")
    assert gaps(bridle, "--run", "r-1m7xpe60000000001") == [
        ("r-1m7xpe60000000001", 1, "it was removed: the house or a checkpoint has its head")
    ]


def test_a_key_is_made_once(bridle: Bridled, house: House, here: Path) -> None:
    done = bridle("audit", "init-key", *STORE)
    assert done.code == 1
    assert "there is a key already" in done.err
    elsewhere = bridle("audit", "init-key", *STORE, "--key", "secrets/key")
    assert elsewhere.code == 1
    assert "were signed by another key" in elsewhere.err
    assert not (here / "secrets" / "key").exists()


def test_a_house_at_work_signs_by_its_own_clock(house: House, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridle.runs.sweeper.SWEEP_SECONDS", 0)

    async def story() -> list[int]:
        seen = list[int]()
        async with house.opened() as b:
            await b.run(busy(), by="ann")
            for ahead in (59_000, 2_000):
                house.clock.at += ahead
                for _ in range(50):
                    await asyncio.sleep(0)
                seen.append(lines(here))
        return [*seen, lines(here)]

    before = lines(here)
    assert asyncio.run(story()) == [before + 1, before + 2, before + 2]


def lines(here: Path) -> int:
    """How many checkpoints there are."""
    return (here / "s.db.checkpoints").read_bytes().count(b"\n")


def test_a_bad_key_keeps_the_house_shut_with_a_sentence(house: House, here: Path) -> None:
    (here / "s.db.audit-key").chmod(0o644)
    (here / "flow.py").write_text("from bridle import Bridle, Flow\nb = Bridle({}, 'sqlite:///s.db')\nf = Flow('f')\n")
    done = program("run", "x", "--app", "flow:b", folder=here)
    assert done.returncode == 1
    assert "others than its owner may use this key; `chmod 600 " in done.stderr
    (here / "s.db.audit-key").chmod(0o600)
    store = SqliteStore(here / "s.db", read_only=True)
    assert store.recorded(RunId("r-1m7xpe60000000001")).salt
    asyncio.run(store.close())
