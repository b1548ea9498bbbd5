"""Tools, models and types that misbehave: the run ends with a reason, the books are right, and the house goes on."""

import asyncio
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridle.bridle import Bridle
from bridle.rules.events import CallAdmitted, RunResumed, RunStopped
from bridle.rules.failure import FailureKind
from bridle.rules.names import IN_FLIGHT, USD_NANO, Millis
from bridle.rules.policy import Limits, ModelPrice
from bridle.rules.prompt import ModelReply, ModelRequest, Role, ToolUse, Usage
from bridle.rules.stop import StopReason
from bridle.runs.flow import Flow
from bridle.runs.run import Run
from bridle.runs.signals import Denied
from bridle.store.memory import MemoryStore
from bridle.store.sqlite import SqliteStore
from bridle.testing.fake_tool import Fails, FakeTool, Returns
from bridle.testing.virtual_time import VirtualLoop, run_virtual, virtual_world
from tests.gateway.house import allowing, at, journal, virtually

HOUR = 3_600_000  # milliseconds


class Lent:
    """A model of the caller's that does what it is told."""

    name = "m"

    def __init__(self, usage: Usage | None = None, raises: BaseException | None = None, deaf_until: float = 0) -> None:
        self._usage, self._raises, self._deaf_until = usage, raises, deaf_until

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port
        loop = asyncio.get_running_loop()
        while loop.time() < self._deaf_until:
            try:
                await asyncio.wait_for(loop.create_future(), 1)
            except (TimeoutError, asyncio.CancelledError):
                continue
        if self._raises is not None:
            raise self._raises
        return ModelReply("hello", (), self._usage)

    async def aclose(self) -> None:
        """Nothing to close."""


def asking() -> Flow:
    flow = Flow("asks")
    flow.investigate("ask", model="m", goal="?", tools=[])
    return flow


def seats(b: Bridle) -> int:
    """How many seats are taken in this house."""
    assert isinstance(b.store, MemoryStore | SqliteStore)
    return sum(balance.reserved for account, balance in b.store._accounts.items() if account.unit == IN_FLIGHT)


# Models

MANY: list[tuple[object, object]] = [(-5, -5), (1.5, 2), (2**62, 1), (2**54, 1), (2**200, 1), (None, None), ("1", "2")]


@pytest.mark.parametrize("usage", MANY)
def test_a_model_that_counts_nonsense_pays_its_whole_hold_and_the_house_goes_on(usage: tuple[object, object]) -> None:
    async def told(loop: VirtualLoop) -> None:
        policy = allowing("a.read", models={"m": ModelPrice(1_000, 1_000)})
        lent = Lent(Usage(*usage))  # type: ignore[arg-type]  # as a careless client makes it
        async with Bridle(policy, ":memory:", world=virtual_world(loop), models={"m": lent}) as b:
            tool = FakeTool({"n": int}, *(Returns(f"page {n}", after=Millis(20)) for n in range(99)))
            b.declare("a.read", tool, effect="read", reuse="never", concurrency=1)
            neighbour = Flow("neighbour")

            @neighbour.step()
            async def read(run: Run, state: object) -> object:
                for number in range(10):
                    await run.call("a.read", {"n": number})
                return "ok"

            asked, *others = await asyncio.gather(b.run(asking()), *(b.run(neighbour, {"i": i}) for i in range(3)))
            assert [other.answer for other in others] == ["ok"] * 3
            assert asked.status == "ok"
            (admitted,) = [event for event in journal(b, asked.run_id) if isinstance(event, CallAdmitted)]
            assert asked.spent[USD_NANO] == admitted.hold[USD_NANO] > 0
            assert sum(isinstance(event, RunStopped) for event in journal(b, asked.run_id)) == 1
            await at(loop, loop.time() + 2)
            assert (b.store.runs(only_open=True), seats(b)) == ([], 0)
            assert (await b.run(neighbour, {"i": 99})).answer == "ok"

    run_virtual(told)


def test_a_model_that_swallows_its_cancellation_has_no_more_time_than_its_run() -> None:
    async def told(loop: VirtualLoop) -> None:
        policy = allowing(models={"m": ModelPrice(1, 1)}, limits=Limits(max_seconds=7))
        lent = Lent(deaf_until=100)
        async with Bridle(policy, ":memory:", world=virtual_world(loop), models={"m": lent}) as b:
            result = await b.run(asking())
            assert result.stop is not None
            assert result.stop.reason is StopReason.MAX_SECONDS
            assert loop.time() <= 7.5
            assert b.store.runs(only_open=True) == []
            await at(loop, 110)
            assert sum(isinstance(event, RunStopped) for event in journal(b, result.run_id)) == 1

    run_virtual(told)


def test_a_model_that_raises_a_cancellation_of_its_own_cancels_nobody() -> None:
    async def told(loop: VirtualLoop) -> None:
        policy = allowing(models={"m": ModelPrice(1, 1)})
        lent = Lent(raises=asyncio.CancelledError())
        async with Bridle(policy, ":memory:", world=virtual_world(loop), models={"m": lent}) as b:
            result = await b.run(asking())
            assert result.stop is not None
            assert result.stop.reason is StopReason.MODEL_UNAVAILABLE

    run_virtual(told)


# Tools


@pytest.mark.parametrize("is_sync", [False, True])
def test_a_tool_that_exits_the_process_is_a_failed_call(is_sync: bool) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        def leave(n: int) -> int:
            sys.exit(3)

        async def leave_later(n: int) -> int:
            sys.exit(3)

        b.declare("a", leave if is_sync else leave_later, effect="read", concurrency=1)
        b.declare("b", FakeTool({"n": int}, Returns("still here")), effect="read")
        async with b.attach(agent="x") as run:
            for number in range(2):
                with pytest.raises(Denied):
                    await run.call("a", {"n": number})
            assert (await run.call("b", {"n": 1})).value == "still here"
        assert run.result.status == "ok"
        assert seats(b) == 0

    virtually(story, allowing("a", "b"))


class Row(dict[str, int]):
    def items(self) -> Iterator[tuple[str, int]]:  # type: ignore[override]  # as of a detached object
        raise RuntimeError("detached instance")


class Lazy(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise RuntimeError("session closed")

    def __iter__(self) -> Iterator[str]:
        yield "a"

    def __len__(self) -> int:
        return 1


@dataclass
class Loaded:
    x: int = 0

    def __getattribute__(self, name: str) -> object:
        if name == "x":
            raise RuntimeError("lazy load")
        return object.__getattribute__(self, name)


class Dumped:
    __pydantic_serializer__ = 1

    def model_dump(self, mode: str) -> object:
        raise KeyError("boom")


class Property:
    __pydantic_serializer__ = 1

    @property
    def model_dump(self) -> object:
        raise RuntimeError("not now")


class Lines(list[int]):
    def __iter__(self) -> Iterator[int]:
        raise RuntimeError("no lines")


UNREADABLE: list[Callable[[], object]] = [
    lambda: Row(a=1), Lazy, Loaded, Dumped, Property, lambda: Lines([1]),
]  # fmt: skip


@pytest.mark.parametrize("made", UNREADABLE)
def test_an_output_whose_own_code_raises_is_an_invalid_output_and_keeps_no_seat(made: Callable[[], object]) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool({"n": int}, Returns(made()), Returns("good"))
        b.declare("a", tool, effect="read", reuse="never", concurrency=1)
        async with b.attach(agent="x") as run:
            with pytest.raises(Denied) as denied:
                await run.call("a", {"n": 1})
            assert denied.value.reason is StopReason.TOOL_OUTPUT_INVALID
            assert (await run.call("a", {"n": 2})).value == "good"
        assert run.result.status == "ok"
        assert seats(b) == 0

    virtually(story, allowing("a"))


@pytest.mark.parametrize("retry_after", [10**14, 2**64])
def test_a_far_end_that_asks_for_years_of_patience_is_asked_again_after_an_hour(retry_after: int) -> None:
    async def story(b: Bridle, loop: VirtualLoop) -> None:
        tool = FakeTool(
            {"n": int}, Fails(FailureKind.RATE_LIMITED, retry_after=Millis(retry_after)), Returns("back again")
        )
        b.declare("a", tool, effect="read", reuse="never")
        async with b.attach(agent="x") as run:
            with pytest.raises(Denied):
                await run.call("a", {"n": 1})
        now = loop.now()
        async with b.attach(agent="x") as run:
            with pytest.raises(Denied) as denied:
                await run.call("a", {"n": 2})
            until = denied.value.detail["until"]
            assert isinstance(until, int)
            assert 0 < until - now <= HOUR
        await at(loop, loop.time() + HOUR / 1_000 + 1)
        async with b.attach(agent="x") as run:
            assert (await run.call("a", {"n": 3})).value == "back again"
        assert b.store.runs(only_open=True) == []

    virtually(story, allowing("a"))


# After a crash: the files as they were at that moment


class Disk:
    """Two places of one store: `crash` copies the first to the second, and waits for ever, as the dead do."""

    def __init__(self, root: Path) -> None:
        self._root = root
        (root / "before").mkdir()
        self.died = asyncio.Event()

    def place(self, *, is_after: bool) -> str:
        return f"sqlite:///{self._root}/{'after' if is_after else 'before'}/b.db"

    async def crash(self) -> None:
        shutil.copytree(self._root / "before", self._root / "after")
        self.died.set()
        await asyncio.Event().wait()

    async def live_until_it(self, b: Bridle, flow: Flow, given: object) -> None:
        async with b:
            task = asyncio.create_task(b.run(flow, given))
            await self.died.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def test_a_write_that_answered_badly_took_effect_and_is_not_repeated_after_a_crash(tmp_path: Path) -> None:
    async def story() -> None:
        disk, flow, made, refused = Disk(tmp_path), Flow("f"), list[str](), list[StopReason]()

        @flow.step()
        async def both(run: Run, state: object) -> object:
            try:
                await run.call("w", {"n": 1})
            except Denied as denied:
                refused.append(denied.reason)
            await run.call("r", {"n": 1})
            return "done"

        def house(*, is_after: bool) -> Bridle:
            b = Bridle(allowing("w", "r"), disk.place(is_after=is_after))
            b.register(flow)

            @b.tool("r", effect="read")
            async def read(n: int) -> int:
                if not is_after:
                    await disk.crash()
                return n

            async def write(n: int) -> object:
                made.append("w")
                return {"unexpected": 1}

            b.declare("w", write, effect="write", output=int)
            return b

        await disk.live_until_it(house(is_after=False), flow, {"q": 1})
        async with house(is_after=True) as b:
            result = await b.run(flow, {"q": 1})
            assert (result.status, result.answer) == ("ok", "done")
            assert any(isinstance(event, RunResumed) for event in journal(b, result.run_id))
        assert made == ["w"]
        assert refused == [StopReason.TOOL_OUTPUT_INVALID] * 2

    asyncio.run(asyncio.wait_for(story(), 20))


class Writer(Lent):
    """It sends four mails and never words two alike; it dies, if it shall, before it is done."""

    def __init__(self, asked: list[int], disk: Disk | None) -> None:
        super().__init__()
        self._asked, self._disk = asked, disk

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port
        said = sum(message.role is Role.ASSISTANT for message in request.messages)
        if said >= 4:
            if self._disk is not None:
                await self._disk.crash()
            self._asked.append(said)
            return ModelReply("done", (), Usage(10, 1))
        self._asked.append(said)
        args = json.dumps({"n": said, "text": f"Dear Ann, {len(self._asked)}"})
        return ModelReply("", (ToolUse(f"u{said}", "w", args),), Usage(10, 1))


def test_a_model_is_not_asked_again_what_it_answered_before_a_crash(tmp_path: Path) -> None:
    async def story() -> None:
        disk, asked, sent, flow = Disk(tmp_path), list[int](), list[int](), Flow("f")
        flow.investigate("ask", model="m", goal="?", tools=["w"], limits={"max_tool_calls": 5})
        policy = allowing("w", limits=Limits(max_tool_calls=5), models={"m": ModelPrice(1, 1)})

        def house(*, is_after: bool) -> Bridle:
            model = Writer(asked, None if is_after else disk)
            b = Bridle(policy, disk.place(is_after=is_after), models={"m": model})
            b.register(flow)

            @b.tool("w", effect="write")
            async def write(n: int, text: str) -> int:
                sent.append(n)
                return n

            return b

        await disk.live_until_it(house(is_after=False), flow, {"q": 1})
        async with house(is_after=True) as b:
            assert (await b.run(flow, {"q": 1})).status == "ok"
        assert (asked, sent) == ([0, 1, 2, 3, 4], [0, 1, 2, 3])

    asyncio.run(asyncio.wait_for(story(), 20))


@dataclass
class Before:
    a: int = 0


@dataclass
class After:
    b: int


def test_an_open_run_whose_state_no_longer_fits_its_flow_ends_config_invalid_and_the_house_opens(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        disk = Disk(tmp_path)

        def house(state: type, *, is_after: bool) -> tuple[Bridle, Flow]:
            b, flow = Bridle(allowing("a"), disk.place(is_after=is_after)), Flow("f", state=state)

            @flow.step()
            async def ask(run: Run, state: object) -> object:
                return (await run.call("a", {"n": 1})).value

            @b.tool("a", effect="read")
            async def read(n: int) -> int:
                if not is_after:
                    await disk.crash()
                return n

            b.register(flow)
            return b, flow

        await disk.live_until_it(*house(Before, is_after=False), {"a": 1})
        b, flow = house(After, is_after=True)
        async with b:
            (line,) = b.store.runs()
            assert line.reason is StopReason.CONFIG_INVALID
            assert sum(isinstance(event, RunStopped) for event in journal(b, line.state.run)) == 1
            assert (await b.run(flow, {"b": 1})).answer == 1

    asyncio.run(asyncio.wait_for(story(), 20))
