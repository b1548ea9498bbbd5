"""What a worker left in flight when it was killed is seen at once, and not only when somebody takes its run over."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Bridled
from tests.cli.house import House, busy, process, program

PAYING = """
import asyncio
from pathlib import Path

from bridle import Bridle, Flow

b = Bridle({"tools": {"allow": ["refund.create"]}, "writes": {"require_approval": False}})
paying = Flow("paying")


@b.tool("refund.create", effect="write", key="refund:{order}")
async def refund(order: str) -> str:
    Path("sent").touch()
    await asyncio.sleep(60)
    return "never"


@paying.step()
async def pay(run, state):
    return (await run.call("refund.create", {"order": "A1"})).value
"""


@pytest.fixture
def run(here: Path) -> str:
    """A run whose process was killed in the middle of a write; its id."""
    (here / "app.py").write_text(PAYING)
    running = process("run", "--app", "app:paying", "--store", "s.db", folder=here)
    assert running.stderr is not None
    while not (here / "sent").exists():
        assert running.poll() is None, running.stderr.read()
    running.kill()
    running.communicate()
    lines = program("runs", "--open", "--store", "s.db", "--json", folder=here).stdout
    return str(json.loads(lines)["runs"][0]["run_id"])


def test_a_write_that_was_in_flight_when_its_worker_was_killed_is_listed(bridle: Bridled, here: Path, run: str) -> None:
    told = bridle("doubts", "--store", "s.db")
    assert told.code == 2
    assert "1 write, in flight when the worker died:" in told.out
    assert f"{run}/c1" in told.out
    assert "refund:A1" in told.out
    assert f"bridle cancel {run} --store s.db" in told.out
    document = json.loads(bridle("doubts", "--store", "s.db", "--json").out)
    assert document["doubts"] == []
    (write,) = document["in_flight"]
    assert (write["id"], write["tool"], write["key"]) == (f"{run}/c1", "refund.create", "refund:A1")
    assert write["arguments"] == {"order": "A1"}

    found = bridle("doctor", "--store", "s.db")
    text = f"1 open run that no living worker drives, 1 of them with a write in flight: {run}."
    assert f"note  adrift    {text}" in found.out
    assert "`bridle cancel RUN`. `bridle doubts` lists the writes." in found.out
    for named in (run, f"{run}/c1"):
        early = bridle("resolve", named, "happened", "--because", "x", "--store", "s.db")
        assert (early.code, "was in flight when its worker died; `bridle cancel" in early.err) == (1, True)

    bridle("cancel", run, "--store", "s.db")
    after = json.loads(bridle("doubts", "--store", "s.db", "--json").out)
    assert ([doubt["id"] for doubt in after["doubts"]], after["in_flight"]) == ([f"{run}/c1"], [])
    assert "adrift" not in bridle("doctor", "--store", "s.db").out


def test_a_write_of_a_worker_that_lives_is_nobodys_business(bridle: Bridled, here: Path) -> None:
    (here / "app.py").write_text(PAYING)
    running = process("run", "--app", "app:paying", "--store", "s.db", folder=here)
    try:
        while not (here / "sent").exists():
            assert running.poll() is None
        assert bridle("doubts", "--store", "s.db").out == "Nothing is in doubt in s.db.\n"
        assert "adrift" not in bridle("doctor", "--store", "s.db").out
    finally:
        running.kill()
        running.communicate()


def test_a_store_where_all_has_ended_has_nothing_adrift(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    assert bridle("doubts", "--store", "s.db").code == 0
    assert "adrift" not in bridle("doctor", "--store", "s.db").out
