"""What a house notices of switches that somebody else turned, and what it writes down of it."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridle import Bridle
from bridle.rules.policy import KillLevel
from bridle.rules.stop import StopReason
from bridle.rules.switch import Scope
from bridle.runs import switchboard
from bridle.store.sqlite import SqliteStore
from bridle.store.switches import Wish
from tests.gateway.house import TOOLS, allowing, furnished
from tests.store.journals import T0


async def test_what_another_process_turned_is_noticed_and_acknowledged(tmp_path: Path) -> None:
    place = tmp_path / "s.db"
    async with Bridle(allowing(*TOOLS), f"sqlite:///{place}") as b:
        furnished(b)
        other = SqliteStore(place, read_only=True)
        async with b.attach(agent="a") as run:
            change = other.switches.kill(KillLevel.ALL, Scope(), Wish("ann", "an incident", "root", T0))
            while any(one.acknowledged_at is None for one in other.switches.workers(change.generation)):
                await anyhow()
            while b.store.recorded(run.id).state.halt is None:
                await anyhow()
            (worker,) = other.switches.workers(change.generation)
            assert worker.name == b.store.worker
        assert run.result.stop is not None
        assert run.result.stop.reason is StopReason.KILLED
    assert other.switches.workers(0) == []
    await other.close()


async def test_a_kill_file_that_comes_and_goes_stands_in_the_history(tmp_path: Path) -> None:
    async with Bridle(allowing(*TOOLS), f"sqlite:///{tmp_path / 's.db'}") as b:
        book = b.store.switches
        for act, change in (("file on", (tmp_path / "KILL").touch), ("file off", (tmp_path / "KILL").unlink)):
            change()
            while not book.history() or book.history()[0].act != act:
                await anyhow()
            assert book.history()[0].switch.level is KillLevel.ALL
            assert book.history()[0].switch.by == f"the KILL file {tmp_path / 'KILL'}"
        while b.gateway.switches:
            await anyhow()
        assert book.now() == ()


async def test_a_watch_that_cannot_look_says_so_and_looks_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "TROUBLE_S", 0.01)
    async with Bridle(allowing(*TOOLS), f"sqlite:///{tmp_path / 's.db'}") as b:
        book = b.store.switches
        with closing(sqlite3.connect(tmp_path / "s.db")) as db:
            db.execute("INSERT INTO switch_changes SELECT 1, 'kill', '', '', '', '', '', '', '', 0")
            db.execute("INSERT INTO switches VALUES ('', '', '', 'perhaps', 1, 'ann', 'why', 0)")
            db.commit()
            while "switch_watch_failed" not in caplog.text:
                await anyhow()
            db.execute("DELETE FROM switches")
            db.commit()
        while any(one.acknowledged_at is None for one in book.workers(1)):
            await anyhow()


async def anyhow() -> None:
    """One pass of the loop; what is waited for comes from a file, so that there is no event to wait for."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(0.001, passed.set)
    await passed.wait()
