"""What is in doubt is listed, and a person settles it from the command line."""

import asyncio
import json
from pathlib import Path

import pytest

from bridle import Bridle, CallFailed, FailureKind, Flow, Run
from bridle.gateway.proposal import ToolWish
from bridle.rules.names import ToolName
from tests.cli.conftest import Bridled
from tests.cli.house import Clock, House, busy

POLICY = {"tools": {"allow": ["refund.create"]}, "writes": {"require_approval": False}} | {"flow": {"when": "never"}}


def left_in_doubt(place: Path, *orders: str) -> str:
    """A run whose refunds were sent, and whose answers were lost; its id."""
    flow = Flow("refunds", state=dict)

    @flow.step()
    async def pay(run: Run, state: object) -> object:
        return [str(o) for o in await run.calls([ToolWish(ToolName("refund.create"), {"order": o}) for o in orders])]

    async def ran() -> str:
        async with Bridle(POLICY, f"sqlite:///{place}", world=Clock().world) as b:

            @b.tool("refund.create", effect="write", key="refund:{order}", max_writes=9)
            async def refund(order: str) -> str:
                raise CallFailed(FailureKind.TIMEOUT, "no answer")

            return (await b.run(flow, {}, by="ann")).run_id

    return asyncio.run(ran())


def test_a_doubt_is_listed_shown_and_settled_once(bridle: Bridled, here: Path) -> None:
    run = left_in_doubt(here / "s.db", "A1")
    listed = bridle("doubts", "--store", "s.db")
    assert listed.code == 2
    assert f"{run}/c1" in listed.out
    assert "refund:A1" in listed.out
    (found,) = json.loads(bridle("doubts", "--store", "s.db", "--json").out)["doubts"]
    assert (found["id"], found["key"], found["arguments"]) == (f"{run}/c1", "refund:A1", {"order": "A1"})
    assert f"bridle resolve {run}/c1" in bridle("show", "--store", "s.db").out
    assert "1 write may have taken effect" in bridle("doctor", "--store", "s.db").out

    said = bridle("resolve", run, "did-not", "--because", "the bank has nothing", "--by", "ann", "--store", "s.db")
    assert (said.code, said.out) == (0, f"{run}/c1 took no effect. Its key is free again.\n")
    again = bridle("resolve", f"{run}/c1", "did-not", "--because", "still nothing", "--store", "s.db")
    assert (again.code, again.out) == (0, f"{run}/c1 was resolved before: it took no effect\n")
    other = bridle("resolve", f"{run}/c1", "happened", "--because", "oh", "--store", "s.db")
    assert other.code == 1
    assert "was resolved before: did-not, by ann, because 'the bank has nothing'." in other.err

    shown = bridle("show", "--store", "s.db")
    assert "c1   it took no effect (the bank has nothing, by ann)" in shown.out
    assert "nothing of this run is in doubt any more" in shown.out
    assert bridle("doubts", "--store", "s.db").out == "Nothing is in doubt in s.db.\n"
    assert bridle("doctor", "--store", "s.db").code == 0


def test_of_several_doubts_one_is_named(bridle: Bridled, here: Path) -> None:
    run = left_in_doubt(here / "s.db", "A1", "B2")
    which = bridle("resolve", run, "happened", "--because", "x", "--store", "s.db")
    assert (which.code, which.err) == (
        1, f"bridle: 2 writes of {run} are in doubt: {run}/c1, {run}/c2; name one\n",
    )  # fmt: skip
    done = bridle("resolve", f"{run[:12]}/c2", "happened", "--because", "x", "--json", "--store", "s.db")
    assert json.loads(done.out) == {"run_id": run, "call": "c2", "happened": True, "was_in_doubt": True}
    left = json.loads(bridle("doubts", "--json", "--store", "s.db").out)["doubts"]
    assert [doubt["id"] for doubt in left] == [f"{run}/c1"]
    House(here / "s.db", clock=Clock(given=100)).run(busy())
    newest = bridle("resolve", "last", "did-not", "--because", "x", "--store", "s.db")
    assert newest.out.startswith(f"{run}/c1 took no effect"), "of the writes in doubt, not of the runs"


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (("nobody/c1", "happened", "--because", "x"), "there is no run nobody in s.db"),
        (("last/c99", "happened", "--because", "x"), "sent no call c99; `bridle doubts` lists"),
        (("last/c1", "happened", "--because", "x"), "is not in doubt; `bridle show"),
        (("last", "happened", "--because", "x"), "nothing is in doubt in s.db"),
        (("r-1m7", "happened", "--because", "x"), "nothing of r-1m7xpe60000000001 is in doubt"),
        (("last/c1", "happened"), "a resolution has a reason: --because"),
        (("last/c1", "happened", "--because", "  "), "a resolution has a reason: --because"),
        (("last/c1", "perhaps", "--because", "x"), "happened"),
    ],
)
def test_what_cannot_be_settled_is_a_sentence(bridle: Bridled, here: Path, tokens: tuple[str, ...], said: str) -> None:
    House(here / "s.db").run(busy())
    done = bridle("resolve", *tokens, "--store", "s.db")
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_store_that_is_missing_is_a_sentence(bridle: Bridled, here: Path) -> None:
    for command in (("doubts",), ("resolve", "last", "happened", "--because", "x")):
        done = bridle(*command, "--store", "none.db")
        assert (done.code, "there is no store here yet" in done.err) == (1, True)


def test_a_doubt_is_settled_while_another_worker_has_the_store_open(bridle: Bridled, here: Path) -> None:
    run = left_in_doubt(here / "s.db", "A1")

    async def meanwhile() -> int:
        async with Bridle(POLICY, "sqlite:///s.db") as b:
            tokens = ("resolve", run, "happened", "--because", "x", "--store", "s.db")
            code = (await asyncio.to_thread(bridle, *tokens)).code
            assert b.store.doubts() == []
            return code

    assert asyncio.run(meanwhile()) == 0
