"""A foreign loop at our door: however it leaves, its run has ended with one reason."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.rules.events import RunStopped
from bridle.rules.failure import BridleError
from bridle.rules.policy import Limits, Policy
from bridle.rules.stop import StopReason
from bridle.runs.run import Run
from bridle.runs.signals import Denied, RunIsOpen, Stop
from bridle.testing.virtual_time import VirtualLoop
from tests.gateway.house import TOOLS, allowing, furnished, journal, virtually

ROOT = Path(__file__).resolve().parents[2]
THREE = Policy(allow=allowing(*TOOLS).allow, limits=Limits(max_tool_calls=3))
LOST = """
import asyncio, os, signal, sys
from bridle.bridle import Bridle
async def main():
    async with Bridle(None, sys.argv[1]) as b:
        async with b.attach(agent="a", key="k") as run:
            os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def too_many(run: Run) -> None:
    for number in range(10):
        await run.call("search.read", {"q": f"w{number}"})


async def ends(b: Bridle, *raised: BaseException) -> tuple[StopReason | None, BaseException | None]:
    """How a run ends whose block raises this, and what comes out of it."""
    out: BaseException | None = None
    try:
        async with b.attach(agent="a") as run:
            run.finish(partial="so far")
            if raised:
                raise raised[0]
    except BaseException as error:  # noqa: BLE001 - that is what is looked at
        out = error
    (line,) = b.store.runs(limit=1)
    assert sum(isinstance(event, RunStopped) for event in journal(b, line.state.run)) == 1
    result = await b.result(line.state.run)
    assert "so far" in (result.answer, result.partial)
    return line.reason, out


def test_a_stop_ends_the_block_quietly_and_the_result_says_why() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        async with b.attach(agent="a") as run:
            with pytest.raises(LookupError, match="has not ended yet"):
                run.result  # noqa: B018 - a property that raises
            await too_many(run)
            raise AssertionError("nothing comes after a stop")
        assert run.result.stop is not None
        assert (run.result.stop.reason, run.result.tool_calls) == (StopReason.MAX_TOOL_CALLS, 3)

    virtually(story, THREE)


def test_a_stop_that_task_groups_wrapped_is_swallowed_and_what_stood_beside_it_is_not() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        furnished(b)
        async with b.attach(agent="a") as run, asyncio.TaskGroup() as outer:
            outer.create_task(too_many(run))
        assert run.result.stop is not None
        assert run.result.stop.reason is StopReason.MAX_TOOL_CALLS

        async def stops_and_breaks() -> None:
            async with b.attach(agent="a") as run:
                try:
                    await too_many(run)
                except Stop as stop:
                    raise BaseExceptionGroup("both", [stop, ValueError("bug")]) from None

        with pytest.raises(BaseExceptionGroup, match="both"):
            await stops_and_breaks()
        assert b.store.runs(limit=1)[0].reason is StopReason.MAX_TOOL_CALLS

    virtually(story, THREE)


@pytest.mark.parametrize(
    ("raised", "wanted"),
    [
        (ValueError("bug"), StopReason.INTERNAL_ERROR),
        (ValueError("\ud800"), StopReason.INTERNAL_ERROR),
        (ExceptionGroup("several", [ValueError("bug")]), StopReason.INTERNAL_ERROR),
        (Denied(StopReason.TOOL_UNAVAILABLE, {"tool": "x"}, "refused"), StopReason.TOOL_UNAVAILABLE),
        (asyncio.CancelledError(), StopReason.CANCELLED),
    ],
)
def test_what_a_block_raises_is_raised_again_and_ends_the_run(raised: BaseException, wanted: StopReason) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        assert await ends(b, raised) == (wanted, raised)
        assert await ends(b) == (StopReason.OK, None)

    virtually(story, allowing())


def test_a_key_that_is_open_or_was_used_is_refused() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        async with b.attach(agent="a", key="k") as run:
            with pytest.raises(RunIsOpen, match=f"run {run.id} has this key and is open"):
                await b.attach(agent="a", key="k").__aenter__()
            async with b.attach(agent="a", key="k", tenant="umbrella") as other:
                assert other.id != run.id
        with pytest.raises(BridleError, match="had this key and has ended"):
            await b.attach(agent="a", key="k").__aenter__()

    virtually(story, allowing())


def test_two_attached_runs_of_the_same_agent_and_task_are_two_runs() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        async with b.attach(agent="a", task="t") as one, b.attach(agent="a", task="t") as two:
            assert one.id != two.id

    virtually(story, allowing())


def test_who_cancels_an_attached_run_stops_its_next_call() -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        calls = furnished(b)
        async with b.attach(agent="a") as run:
            await run.call("search.read", {"q": "a"})
            await b.cancel(run.id, by="ann")
            await run.call("search.read", {"q": "b"})
            raise AssertionError("nothing comes after a stop")
        assert run.result.stop is not None
        assert (run.result.stop.reason, run.result.stop.detail) == (StopReason.CANCELLED, {"by": "ann"})
        assert calls.made == ["search.read(a)"]

    virtually(story, allowing(*TOOLS))


async def test_an_attached_run_whose_process_died_is_lost_and_its_key_says_so(tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path / 'bridle.db'}"
    command = [sys.executable, "-c", LOST, place]
    dead = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=dict(os.environ), check=False)
    assert dead.returncode == -signal.SIGKILL
    async with Bridle(None, place) as b:
        (line,) = b.store.runs()
        assert line.reason is StopReason.WORKER_LOST
        assert (await b.result(line.state.run)).status == "failed"
        with pytest.raises(BridleError, match="has ended"):
            await b.attach(agent="a", key="k").__aenter__()
