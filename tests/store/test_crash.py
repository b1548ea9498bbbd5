"""A writer is killed with -9 in the middle of its commits; what it had acknowledged is there, and nothing is torn."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridle.rules.names import RunId
from bridle.store.sqlite import SqliteStore
from tests.store.contract import beginning, intact, money

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("BRIDLE_KILLS", "8"))


def killed_after(lines: int, path: Path, seed: int) -> dict[str, int]:
    """The last acknowledged seq of every run of a writer that was killed after so many acknowledgements."""
    command = [sys.executable, "-m", "tests.store.dying_writer", str(path), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.readlines()  # what was said between the decision and the death counts as well
    acknowledged: dict[str, int] = {}
    for line in said:
        if line.endswith(b"\n"):
            run, seq = line.split()
            acknowledged[run.decode()] = max(int(seq), acknowledged.get(run.decode(), 0))
    return acknowledged


async def test_a_writer_killed_in_the_middle_of_its_commits_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - a failing seed has to be known
    chance, path = random.Random(seed), tmp_path / "bridle.db"
    acknowledged: dict[str, int] = {}
    for _ in range(KILLS):
        acknowledged |= await asyncio.to_thread(killed_after, chance.randrange(1, 250), path, chance.randrange(10**6))
        store = SqliteStore(path)  # nobody had to remove a lock
        states = {line.state.run: intact(store, line.state.run) for line in store.runs(limit=100_000)}
        for run, seq in acknowledged.items():
            assert states[RunId(run)].seq >= seq, f"{run} of seed {seed} lost what was acknowledged"
        balance = store.balances()[money]
        paid_for = [run for run in states if not run.startswith("after")]
        assert balance.settled + balance.reserved == len(paid_for), f"seed {seed}: money and runs disagree"
        assert all(store.payload(run, "input") is not None for run in paid_for)
        await store.transact(beginning(f"after{len(states)}"))
        await store.close()
    assert len(acknowledged) > KILLS


@pytest.mark.parametrize("lines", [1, 2])
async def test_a_file_that_was_just_made_survives_the_death_of_its_maker(tmp_path: Path, lines: int) -> None:
    acknowledged = await asyncio.to_thread(killed_after, lines, tmp_path / "new.db", 1)
    store = SqliteStore(tmp_path / "new.db")
    assert acknowledged
    for run, seq in acknowledged.items():
        assert intact(store, run).seq >= seq
    await store.close()
