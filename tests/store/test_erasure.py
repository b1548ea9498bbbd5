"""Erasure in a file: no byte of what was erased is left, beside a house at work as well."""

from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import CallId, Millis, RunId, TenantId, ToolName
from bridle.rules.stop import Status, StopReason
from bridle.runs.result import RunResult
from bridle.runs.signals import Denied
from bridle.store import erasure
from bridle.store.audit import Audit, snapshot
from bridle.store.base import Grounds
from bridle.store.erasure import erase, expired, wipe
from bridle.store.opening import writing
from bridle.store.sqlite import SqliteStore
from tests.store.house_contract import whole
from tests.store.journals import SALT, T0
from tests.store.tampering import work_of

GROUNDS = Grounds(T0, "ann", "she asked")
CANARY = b"the secret of ann"


def bytes_of(folder: Path) -> bytes:
    """Everything that lies beside a store."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


async def test_no_byte_of_what_was_erased_is_left_in_any_file(path: Path) -> None:
    store = SqliteStore(path)
    for number in range(50):
        await store.transact(whole(f"r{number}"))
    await store.close()
    assert CANARY in bytes_of(path.parent)
    assert SALT in bytes_of(path.parent)
    with writing(path) as db:
        done = erase(db, [RunId(f"r{n}") for n in range(50)], GROUNDS)
        assert wipe(db)
        left = bytes_of(path.parent)
    assert sum(one.payloads for one in done) == 50
    assert (CANARY in left, SALT in left) == (False, False)
    assert left.count(b"f-r") == 0, "a fingerprint is a guess that can be tested"
    with snapshot(path) as db:
        audit = Audit(db)
        assert (list(audit.gaps()), audit.erased) == ([], 50)


async def test_a_house_at_work_goes_on_beside_an_erasure(path: Path) -> None:
    store, reader = SqliteStore(path), SqliteStore(path, read_only=True)
    for number in range(30):
        await store.transact(whole(f"r{number}"))
        reader.erase([RunId(f"r{number}")], GROUNDS)
        assert store.recorded(RunId(f"r{number}")).is_erased
    await reader.close()
    await store.close()
    assert CANARY not in bytes_of(path.parent), "the last one out takes the log along"
    with snapshot(path) as db:
        assert list(Audit(db).gaps()) == []


async def test_runs_are_erased_by_their_age_and_their_tenant_page_by_page(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "AT_ONCE", 3)
    store = SqliteStore(path)
    for number in range(10):
        await store.transact(work_of(f"r{number}", 1, stop=number != 4))
    with writing(path) as db:
        pages = [[str(run) for run in page] for page in expired(db, Millis(T0 + 100))]
        assert pages == [["r0", "r1", "r2"], ["r3", "r5", "r6"], ["r7", "r8", "r9"]]
        assert list(expired(db, Millis(T0 + 99))) == []
        assert list(expired(db, Millis(T0 + 100), "umbrella")) == []
        assert len(list(expired(db, Millis(T0 + 100), "acme"))) == 3
        for page in expired(db, Millis(T0 + 100)):
            erase(db, page, GROUNDS)
        assert list(expired(db, Millis(T0 + 100))) == []
    assert store.payload(RunId("r4"), f"{CallId('c1')}.args") is not None
    await store.close()


async def test_a_damaged_run_keeps_its_payloads_and_holds_up_no_other(path: Path) -> None:
    store = SqliteStore(path)
    for run in ("r1", "r2"):
        await store.transact(whole(run))
    with writing(path) as db:
        db.execute("UPDATE runs SET state = X'00' WHERE run = 'r1'")
        done = erase(db, [RunId("r1"), RunId("r2")], GROUNDS)
    assert ["this is no run of bridle" in done[0].kept, done[1].payloads] == [True, 1]
    await store.close()


async def test_a_hundred_that_cannot_be_written_are_all_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(path)
    await store.transact(whole("r1"))
    await store.transact(whole("r2"))
    sizes = iter([b"", OSError("disk")])

    def failing(*_: object) -> None:
        step = next(sizes)
        if isinstance(step, OSError):
            raise step

    with monkeypatch.context() as disk:
        disk.setattr("bridle.store.house.write", failing)
        with pytest.raises(OSError, match="disk"):
            store.erase([RunId("r1"), RunId("r2")], GROUNDS)
    assert [store.recorded(RunId(run)).is_erased for run in ("r1", "r2")] == [False, False]
    await store.close()


@pytest.mark.parametrize("place", [":memory:", "sqlite:///s.db"])
async def test_the_key_of_a_write_is_erased_and_it_is_not_made_again(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sabotage: let `intent` not look for what an erasure left, and ann is refunded twice."""
    monkeypatch.chdir(tmp_path)
    made: list[str] = []
    b = Bridle({"tools": {"allow": ["refund"]}, "writes": {"require_approval": False}}, place)

    @b.tool("refund", effect="write", key="refund:{to}")
    async def refund(to: str) -> str:
        made.append(to)
        if to == "bob@example.org":
            raise CallFailed(FailureKind.REJECTED, "no such account")
        return f"refunded {to}"

    async def asked(to: str) -> RunResult:
        async with b.attach(agent="a") as run:
            run.finish(answer=(await run.call("refund", {"to": to})).value)
        assert run.result is not None
        return run.result

    async with b:
        first = await asked("ann@example.org")
        with pytest.raises(Denied):
            await asked("bob@example.org")
        assert (await asked("cid@example.org")).status is Status.OK
        for line in b.store.runs():
            if line.state.run == first.run_id or line.reason is not StopReason.OK:
                assert b.store.erase([line.state.run], GROUNDS)[0].kept == ""
        with pytest.raises(Denied) as denied:
            await asked("ann@example.org")
        assert denied.value.detail["rule"] == "key_was_used"
        with pytest.raises(Denied):
            await asked("bob@example.org")
        assert (await asked("cid@example.org")).answer == "refunded cid@example.org"
        assert made == [f"{name}@example.org" for name in ("ann", "bob", "cid", "bob")]
        asking = [line.state.run for line in b.store.runs() if line.reason is not StopReason.OK]
        b.store.erase(asking, GROUNDS)  # what asked again in vain, had her name in its arguments
        erased = await b.store.transact(
            lambda tx: tx.intent(TenantId("default"), ToolName("refund"), "refund:ann@example.org")
        )
        assert erased is not None
        assert (erased.is_erased, erased.args, "ann" in erased.key) == (True, "", False)
    if place != ":memory:":
        assert b"ann@example.org" not in bytes_of(tmp_path)
        assert b"cid@example.org" in bytes_of(tmp_path)
