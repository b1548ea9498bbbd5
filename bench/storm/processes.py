"""Tier P: real worker processes on one SQLite file, a world behind a socket, and kill -9 every so many runs."""

import asyncio
import pickle
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.storm.day import CRASHES, HEARD_AFTER, QUESTIONS, SCOPES, TRIES, journal_of
from bench.storm.evidence import Answered, Evidence, Journal, Killed
from bench.storm.far_world import FarWorld
from bench.storm.house import caps_of
from bench.storm.people import BOSS, People
from bench.storm.plan import PLANS, Fault, Harm, chance_of
from bench.storm.process import StampingStore
from bench.storm.promises import violations
from bench.storm.storm import Order, Played
from bench.storm.tally import tally
from bench.storm.tap import Commits
from bench.storm.tasks import Shape, Task, task_of
from bench.storm.wire import BACKLOG, Errand, Reply, Sent, receive, send
from bridle.gateway.world import World as OutsideWorld
from bridle.rules.budget import Account, Balance
from bridle.rules.events import RunResumed
from bridle.rules.names import Millis, RunId
from bridle.rules.policy import KillLevel
from bridle.runs.approvals import Approvals
from bridle.store.sqlite import SqliteStore
from bridle.store.switches import Wish

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 4
IN_FLIGHT = 48  # users at once
COMES_EVERY = 0.06  # seconds: a user; or all of them would come and go while one breaker is open
PACE = 0.1  # of the world: a tenth of the time that its answers take in tier S
LONGEST_RUN = 400.0  # seconds that a user waits for an answer, through whatever happens
LAST_ENDS = 150.0  # seconds within which every run has ended after the last user
SWITCHED_EVERY = 20  # kills: somebody turns the kill switch on, for a moment


class WallLoop(asyncio.SelectorEventLoop):
    """A real loop that knows the time of day."""

    def now(self) -> Millis:
        """Unix milliseconds."""
        return Millis(time.time_ns() // 1_000_000)


class Gone(Exception):
    """The worker died before it answered."""


@dataclass
class Hand:
    """One worker process, as its users reach it."""

    number: int
    process: asyncio.subprocess.Process
    name: str = ""  # on the roll
    writer: asyncio.StreamWriter | None = None
    waiting: dict[int, asyncio.Future[Reply]] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)

    async def asks(self, order: Errand, task: Task) -> Reply:
        """The reply to an order. Raises Gone."""
        assert self.writer is not None
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.waiting[order.number] = reply
        self.tasks[order.number] = task
        try:
            await send(self.writer, order)
            return await reply
        except ConnectionError as error:
            raise Gone from error
        finally:
            self.waiting.pop(order.number, None)
            self.tasks.pop(order.number, None)

    def falls(self) -> None:
        """Nobody is answered any more."""
        self.writer = None
        for reply in self.waiting.values():
            if not reply.done():
                reply.set_exception(Gone())


@dataclass(frozen=True, slots=True)
class Killing:
    """One kill -9: when, and what the worker drove."""

    at: Millis
    runs: list[RunId]


@dataclass
class Desk:
    """Where people answer: a process of its own, as the command line is."""

    number: int
    approvals: Approvals

    @property
    def house(self) -> "Desk":
        """As of a worker."""
        return self

    def must_live(self) -> None:
        """Nobody kills it."""


class Processes:
    """Plays so many runs, and gathers the evidence."""

    def __init__(self, seed: int, plan: str, runs: int, kill_every: int, folder: Path) -> None:
        self.seed, self.plan, self.folder, self.kill_every = seed, plan, folder, kill_every
        self.tasks = {number: task_of(seed, number, PLANS[plan]) for number in range(runs)}
        self.loop = WallLoop()
        self.world = FarWorld(seed, self.tasks, PLANS[plan], self.loop, PACE)
        self.people = People(seed, self.world, PACE)
        self.answers: list[Answered] = []
        self.raised: list[str] = []
        self.killings: list[Killing] = []
        self.switched: list[Killed] = []
        self.recoveries: list[int] = []  # milliseconds from each kill to the takeover of each run that it left
        self._chance = chance_of(seed, "processes")
        self._hands: dict[int, Hand] = {}
        self._numbers, self._orders = count(1), count(1)
        self._is_up, self._killing = asyncio.Condition(), asyncio.Lock()
        self._active: set[int] = set()
        self._done = 0
        self._store = folder / "storm.db"

    def play(self) -> Evidence:
        """From the first worker to the last end."""
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            hung = runner.run(self._played())
        return self._evidence(hung)

    async def _played(self) -> str:
        self._own = StampingStore(self._store)
        self._desk = Desk(0, Approvals(self._own, OutsideWorld()))
        self.world.store = reader = SqliteStore(self._store, read_only=True)
        server = await asyncio.start_unix_server(self._connected, self.folder / "world", backlog=BACKLOG)
        await asyncio.gather(*(self._rise() for _ in range(WORKERS)))
        seats = asyncio.Semaphore(IN_FLIGHT)
        async with asyncio.TaskGroup() as users:
            for task in self.tasks.values():
                await seats.acquire()
                await asyncio.sleep(COMES_EVERY)
                users.create_task(self._user(task, users)).add_done_callback(lambda _: seats.release())
        hung = await self._ended(reader)
        for hand in tuple(self._hands.values()):
            if hand.process.returncode is None:
                hand.process.terminate()
            if await hand.process.wait():
                self.raised.append(f"worker {hand.number} ended with {hand.process.returncode}")
        server.close()
        await self._own.close()
        return hung

    async def _ended(self, reader: SqliteStore) -> str:
        """Wait for the end of every run; says which have none."""
        deadline = self.loop.time() + LAST_ENDS
        while open_runs := reader.runs(limit=10_000, only_open=True):  # ends: the deadline
            if self.loop.time() > deadline:
                return f"{len(open_runs)} runs are open: {', '.join(line.state.run for line in open_runs[:9])}"
            for question in self._desk.approvals.pending():
                number = question.arguments["task"]
                assert isinstance(number, int)
                await self.people.answer(self._desk, self.tasks[number], question.approval)
            await asyncio.sleep(0.5)
        return ""

    # Workers

    async def _rise(self) -> None:
        number = next(self._numbers)
        command = [sys.executable, "-m", "bench.storm.process", str(self.folder), str(number), str(self.seed)]
        process = await asyncio.create_subprocess_exec(*command, str(len(self.tasks)), self.plan, cwd=ROOT)
        hand = self._hands[number] = Hand(number, process)
        async with self._is_up:
            await self._is_up.wait_for(lambda: hand.writer is not None or process.returncode is not None)
        if process.returncode is not None:
            raise RuntimeError(f"worker {number} could not start")

    async def _anybody(self) -> Hand:
        """A worker that lives."""
        async with self._is_up:
            await self._is_up.wait_for(lambda: any(hand.writer is not None for hand in self._hands.values()))
        return self._chance.choice([hand for hand in self._hands.values() if hand.writer is not None])

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = await receive(reader)
            if isinstance(first, Sent):
                await self.world.answer(first, reader, writer)
            else:
                await self._at_hand(first, reader, writer)
        except (EOFError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _at_hand(self, first: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(first, tuple)
        hand = self._hands[first[0]]
        async with self._is_up:
            hand.name, hand.writer = first[1], writer
            self._is_up.notify_all()
        try:
            while True:  # ends: EOFError when the worker dies
                reply = await receive(reader)
                assert isinstance(reply, Reply)
                waits = hand.waiting.get(reply.number)
                if waits is not None and not waits.done():
                    waits.set_result(reply)
        finally:
            hand.falls()

    async def _kill(self) -> None:
        """kill -9 of one of them, and another one in its place; one after the other."""
        async with self._killing:
            await self._killed(await self._anybody())

    async def _killed(self, hand: Hand) -> None:
        del self._hands[hand.number]
        for task in tuple(hand.tasks.values()):
            is_lost = task.shape is Shape.ATTACHED
            self.world.fates[task.number].met(Fault.CRASH, Harm.RUN if is_lost else Harm.NONE)
        hand.process.kill()
        at = self.loop.now()
        await hand.process.wait()
        hand.falls()
        self.killings.append(Killing(at, self._driven_by(hand.name)))
        if len(self.killings) % SWITCHED_EVERY == 0:
            await self._switch()
        await self._rise()

    def _driven_by(self, worker: str) -> list[RunId]:
        """What nobody has taken over yet, a moment after the kill."""
        assert isinstance(self.world.store, SqliteStore)
        with self.world.store._looking() as db:
            rows = db.execute("SELECT run FROM runs WHERE worker = ? AND phase <> 'stopped'", (worker,)).fetchall()
        return [RunId(run) for (run,) in rows]

    async def _switch(self) -> None:
        """Somebody turns the kill switch on and off again, from a process that drives nothing."""
        level, scope = self._chance.choice((KillLevel.WRITES, KillLevel.ALL)), self._chance.choice(SCOPES)
        switches = self._own.switches
        for number in self._active:
            self.world.fates[number].met(Fault.KILLED, Harm.RUN)
        switches.kill(level, scope, Wish(BOSS, "the storm", BOSS, self.loop.now()))
        since = self.world.ledger.stamp()
        await asyncio.sleep(1)
        self.switched.append(Killed(since, self.world.ledger.stamp(), str(level), scope))
        switches.unkill(level, scope, Wish(BOSS, "it is over", BOSS, self.loop.now()))

    # Users

    async def _user(self, task: Task, users: asyncio.TaskGroup) -> None:
        fate = self.world.fates[task.number]
        if task.is_hostile:
            fate.met(Fault.HOSTILE_TENANT, Harm.RUN)
        if task.presses > 1:
            fate.met(Fault.PRESSED_AGAIN, Harm.NONE)
        asked = self.loop.now()
        self._active.add(task.number)
        await asyncio.gather(*(self._press(task, PACE * press) for press in range(task.presses)))
        self._active.discard(task.number)
        self.world.looks_back(task, asked)
        self._done += 1
        if self._done % self.kill_every == 0 and self._done < len(self.tasks):
            users.create_task(self._kill())
        if self._done % 10 == 0:
            print(f"\r{self._done:,} runs, {len(self.killings)} workers killed ", end="", file=sys.stderr, flush=True)

    async def _press(self, task: Task, wait: float) -> None:
        await asyncio.sleep(wait)
        asked, waits_for = self.loop.now(), ""
        tries = TRIES + CRASHES + 2 * QUESTIONS
        while tries and self.loop.now() - asked < 1_000 * LONGEST_RUN:
            hand = await self._anybody()
            order = Errand(next(self._orders), task.number, waits_for)
            job = asyncio.ensure_future(hand.asks(order, task))
            leaving = self.loop.call_later(PACE * task.leaves_after, self._leave, job, hand, order, task)
            if not task.leaves_after:
                leaving.cancel()
            try:
                reply = await job
            except Gone:
                continue
            except asyncio.CancelledError:
                return
            finally:
                leaving.cancel()
            if reply.raised:
                self.raised.append(f"task {task.number}: {reply.raised}")
                return
            if reply.reason:
                told = Answered(task.number, RunId(reply.run), reply.reason, reply.head, asked, self.loop.now())
                self.answers.append(told)
                return
            if reply.is_out:
                self.world.fates[task.number].met(Fault.JOURNAL_OUT, Harm.RUN)
            if reply.approval:
                await self.people.answer(self._desk, task, reply.approval)
            tries -= not reply.run
            waits_for = reply.run or waits_for
            await asyncio.sleep(PACE * HEARD_AFTER)

    def _leave(self, job: "asyncio.Future[Reply]", hand: Hand, order: Errand, task: Task) -> None:
        if not job.done() and hand.writer is not None:
            self.world.fates[task.number].met(Fault.CANCELLED, Harm.RUN)
            self.loop.create_task(send(hand.writer, Errand(order.number, -1)))
            job.cancel()

    # What is known afterwards

    def _evidence(self, hung: str) -> Evidence:
        store = SqliteStore(self._store, read_only=True)
        commits = Commits()
        for stamp, keys, over in sorted(self._stamped(), key=lambda record: record[0]):
            commits.count += 1
            commits.stamps.update((key, stamp) for key in keys)
            commits.overdrawn += over
        lines = store.runs(limit=10 * len(self.tasks))
        journals = {line.state.run: journal_of(store, line.state.run, commits.stamps) for line in lines}
        down = [
            (run, killing.at, Millis(killing.at + after))
            for killing in self.killings
            for run in killing.runs
            if (after := takeover(journals[run], killing.at)) is not None
        ]
        self.recoveries = [up - fell for _, fell, up in down]
        logged = [line for log in self.folder.glob("*.log") for line in log.read_text().splitlines()]
        return Evidence(
            0, PLANS[self.plan], caps_of(len(self.tasks)), self.tasks, self.world.fates, self.world.ledger.lines,
            commits, journals, self.answers, store.balances(), down, [], self.switched, hung,
            logged, self.people.wrong, self.raised,
        )  # fmt: skip

    def _stamped(self) -> Iterator[tuple[int, list[tuple[RunId, int]], list[tuple[Account, Balance]]]]:
        """What every worker noted, the killed ones too."""
        for path in self.folder.glob("*.stamps"):
            with path.open("rb") as file:
                while True:  # ends: with the file, or where its worker was killed
                    try:
                        yield pickle.load(file)
                    except (EOFError, pickle.UnpicklingError):
                        break


def takeover(journal: Journal, since: Millis) -> int | None:
    """How many milliseconds after a kill somebody took the run over; None when nobody did."""
    return next(
        (e.event.at - since for e in journal.entries if isinstance(e.event, RunResumed) and e.event.at >= since), None
    )


def processes(order: Order, kill_every: int) -> Played:
    """Play tier P, with a kill every so many runs."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        played = Processes(order.seed, order.plan, order.runs, kill_every, Path(folder))
        seen = played.play()
    found = Played(tally(seen, list(violations(seen))), wall=time.monotonic() - began, recoveries=played.recoveries)
    found.tally.crashes = len(played.killings)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found.cpu = sum(one.ru_utime + one.ru_stime for one in used)
    print(file=sys.stderr)
    return found
