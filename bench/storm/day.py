"""One day of one house: fifty users, a worker that dies and comes back, a journal that is out of reach now and then."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict

from bench.storm.disk import Disk
from bench.storm.evidence import NEVER, Answered, Evidence, Journal, Killed
from bench.storm.house import TEAM, caps_of, requested
from bench.storm.people import BOSS, People
from bench.storm.plan import CLOCK_JUMP, JOURNAL_OUT, KILLED, Fault, Harm, Plan, chance_of
from bench.storm.tap import Commits, Crashed
from bench.storm.tasks import HONEST, RUNS_OF_A_HOUSE, Shape, Task, task_of
from bench.storm.worker import Worker, batches_of, owning
from bench.storm.world import World
from bridle.bridle import Bridle
from bridle.rules import strict_json
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import MILLIS_PER_SECOND, Millis, RunId
from bridle.rules.run import Phase
from bridle.rules.switch import HOUSE, Scope
from bridle.runs.result import RunResult
from bridle.store.base import Store
from bridle.testing.virtual_time import Deadlock, VirtualLoop, run_virtual

ON_FILE = 0.34  # of the houses; a worker can die only where its journal outlives it
CRASHES = 4  # of such a house at most: over all houses, a worker is killed every 50 runs
DAYS = (60.0, 180.0, 600.0)  # seconds: a rush, a busy hour, a quiet one
COMES_BACK_AFTER = 2.0  # seconds
TRIES_AGAIN_AFTER = 10.0  # seconds, of a user whose run could not even be started
TRIES = 4
HEARD_AFTER = 2.0  # seconds
QUESTIONS = 4  # that one run asks, at most, one after the other
SCOPES = (HOUSE, Scope(tenant=HONEST[-1]), Scope(flow=TEAM.name))  # of a kill
LONGEST_DAY = 4_000.0  # seconds: by then every run has ended, or it hangs


class Day:
    """Plays the day and gathers the evidence."""

    def __init__(self, seed: int, house: int, plan: Plan, loop: VirtualLoop) -> None:
        numbers = range(house * RUNS_OF_A_HOUSE, (house + 1) * RUNS_OF_A_HOUSE)
        self.house, self.plan, self._loop = house, plan, loop
        self._chance = chance_of(seed, house, "day")
        self.tasks = {number: task_of(seed, number, plan) for number in numbers}
        self.world = World(seed, self.tasks, plan, loop)
        on_file = self._chance.random() < ON_FILE or plan.has_bad_disk
        self.disk = Disk(on_file, self._chance, tears=plan.has_bad_disk)
        self.lasts = self._chance.choice(DAYS)
        self.commits = Commits()
        self.answers: list[Answered] = []
        self.outages: list[tuple[int, int]] = []
        self.kills: list[Killed] = []
        self._is_killed = False
        self.down: list[tuple[RunId, Millis, Millis]] = []
        self._fell_at: Millis | None = None
        self.raised: list[str] = []
        self.people = People(seed, self.world)
        self._active: set[int] = set()
        self._lives = 0
        self._worker: Worker | None = None
        self._up = asyncio.Event()

    async def play(self) -> str:
        """From the first press to the last answer; says what hung, or nothing."""
        self._loop.set_task_factory(owning)  # type: ignore[arg-type]  # typeshed's protocol is of a later Python
        await self._rise()
        fortune = [self._loop.create_task(misfortune) for misfortune in self._misfortunes()]
        users = [self._loop.create_task(self._user(task)) for task in self.tasks.values()]
        done, late = await asyncio.wait(users, timeout=LONGEST_DAY)
        for task in (*fortune, *late):
            task.cancel()
        await asyncio.gather(*fortune, *late, return_exceptions=True)
        for user in done:
            user.result()
        await self._close()
        return f"{len(late)} users still wait after {LONGEST_DAY:g} s" if late else ""

    async def _close(self) -> None:
        """The worker closes; another one finishes what this one could not write down."""
        for _ in range(CRASHES + 2):
            await self._up.wait()
            worker = self._worker
            assert worker is not None
            worker.tap.is_out = False
            try:
                await worker.does(self._finish(worker))
            except (asyncio.CancelledError, Crashed):
                if not worker.is_dead:
                    raise
                continue
            worker.is_dead = True
            if not self._open_runs():
                return
            await self._rise(dies=False)

    async def _finish(self, worker: Worker) -> None:
        """Who was asked and has not answered, answers; what is open, ends."""
        for _ in range(QUESTIONS):
            for question in worker.house.approvals.pending():
                number = question.arguments["task"]
                assert isinstance(number, int)
                await self.people.answer(worker, self.tasks[number], question.approval)
            await asyncio.sleep(HEARD_AFTER)
            for run in self._open_runs():
                await worker.house.result(run)
            if not self._open_runs():
                break
        await worker.house.close()

    def _open_runs(self) -> list[RunId]:
        reader = self.disk.reader()
        return [line.state.run for line in reader.runs(limit=10_000, only_open=True)]

    # Lives of the worker

    async def _rise(self, dies: bool = True) -> None:
        """A worker opens the house; while it does, it may die again."""
        dies = dies and self.disk.is_file and self.plan.factor > 0 and self._lives < CRASHES
        self._lives += 1
        at_commit = self._chance.randrange(1, 500) if dies and self._chance.random() < 0.7 else 0
        worker = self._worker = Worker(self._lives, self.world, self._loop, self.disk, self.commits, at_commit)
        if dies and not at_commit:
            self._loop.call_later(self._chance.uniform(0, self.lasts / 2), worker.die)
        worker.death.add_done_callback(lambda _: self._fell())
        try:
            await worker.open()
        except (asyncio.CancelledError, Crashed):
            if not worker.is_dead:
                raise
            return
        except ControlUnavailable:  # its disk fails while it opens: somebody starts it again
            worker.die()
            return
        if not worker.is_dead:
            self._up.set()
            if self._fell_at is not None:
                self.down.append((RunId(""), self._fell_at, self._loop.now()))
                self._fell_at = None

    def _fell(self) -> None:
        self._up.clear()
        self._fell_at = self._loop.now() if self._fell_at is None else self._fell_at
        for number in self._active:
            is_lost = self.tasks[number].shape is Shape.ATTACHED
            self.world.fates[number].met(Fault.CRASH, Harm.RUN if is_lost else Harm.NONE)
        self._loop.create_task(self._revive())

    async def _revive(self) -> None:
        await asyncio.sleep(COMES_BACK_AFTER)
        await self._rise()

    # Users

    async def _user(self, task: Task) -> None:
        await asyncio.sleep(task.arrives * self.lasts)
        if task.is_hostile:
            self.world.fates[task.number].met(Fault.HOSTILE_TENANT, Harm.RUN)
        if task.presses > 1:
            self.world.fates[task.number].met(Fault.PRESSED_AGAIN, Harm.NONE)
        asked = self._loop.now()
        await asyncio.gather(*(self._press(task, 0.7 * press) for press in range(task.presses)))
        self.world.looks_back(task, asked)
        self._active.discard(task.number)

    async def _press(self, task: Task, wait: float) -> None:
        await asyncio.sleep(wait)
        asked = self._loop.now()
        self._active.add(task.number)
        if self._is_killed:
            self.world.fates[task.number].met(Fault.KILLED, Harm.RUN)
        waits_for = RunId("")
        for _ in range(TRIES + CRASHES + 2 * QUESTIONS):
            await self._up.wait()
            worker = self._worker
            assert worker is not None
            job = worker.does(self._request(worker, task, waits_for))
            if task.leaves_after:
                self._loop.call_later(task.leaves_after, self._leave, job, task)
            await worker.lives_until(job)
            if worker.is_dead:
                continue
            if job.cancelled():
                return
            broken = job.exception()
            if broken is not None:
                self.raised.append(f"task {task.number}: {broken!r}")
                return
            result = job.result()
            if result is not None and result.stop is None:
                waits_for = result.run_id
                await self._asked(worker, task, result)
                continue
            if result is not None and result.stop is not None:
                told = Answered(
                    task.number, result.run_id, result.stop.reason, result.head, asked, self._loop.now()
                )  # fmt: skip
                self.answers.append(told)
                return
            await asyncio.sleep(TRIES_AGAIN_AFTER)

    async def _asked(self, worker: Worker, task: Task, result: RunResult) -> None:
        """Somebody is asked about the run, and answers; his answer is heard a moment later."""
        if result.approval is None:  # it was answered, and nobody has taken the run up yet
            await asyncio.sleep(HEARD_AFTER)
            return
        answering = worker.does(self.people.answer(worker, task, result.approval))
        await worker.lives_until(answering)
        if not worker.is_dead:
            answering.result()
        await asyncio.sleep(HEARD_AFTER)

    def _leave(self, job: "asyncio.Task[RunResult | None]", task: Task) -> None:
        if not job.done():
            self.world.fates[task.number].met(Fault.CANCELLED, Harm.RUN)
            job.cancel()

    async def _request(self, worker: Worker, task: Task, waits_for: RunId) -> RunResult | None:
        """What the house answers, to who was told to wait about that run; None when it could not even start it."""
        try:
            return await requested(worker.house, task, waits_for)
        except ControlUnavailable:
            self.world.fates[task.number].met(Fault.JOURNAL_OUT, Harm.RUN)
            return None

    # Misfortunes that are nobody's call

    def _misfortunes(self) -> list[Coroutine[object, object, None]]:
        chance, found = self._chance, list[Coroutine[object, object, None]]()
        if self.plan.has_bad_disk:
            found.append(self._disk_full(chance.uniform(0, self.lasts), chance.uniform(0.5, 20)))
        if self.plan.happens(JOURNAL_OUT, chance) or self.plan.has_bad_disk:
            found.append(self._journal_out(chance.uniform(0, self.lasts), chance.uniform(0.5, 20)))
        if self.plan.happens(CLOCK_JUMP, chance):
            found.append(self._clock_jump(chance.uniform(0, self.lasts), chance.randrange(-600, 600)))
        if self.plan.happens(KILLED, chance):
            level, scope = chance.choice(("writes", "all")), chance.choice(SCOPES)
            found.append(self._kill(chance.uniform(0, self.lasts), chance.uniform(1, 60), level, scope))
        return found

    async def _kill(self, after: float, lasts: float, level: str, scope: Scope) -> None:
        """Somebody turns the switch on, and some time later off again, whichever worker he reaches."""
        await asyncio.sleep(after)
        self._is_killed = True
        self._hit(Fault.KILLED)
        await self._turned(lambda house: house.kill(level, because="the storm", by=BOSS, **asdict(scope)))
        since = self.world.ledger.stamp()
        try:
            await asyncio.sleep(lasts)
        finally:
            self.kills.append(Killed(since, self.world.ledger.stamp(), level, scope))
        await self._turned(lambda house: house.unkill(because="it is over", by=BOSS, **asdict(scope)))
        self._hit(Fault.KILLED)
        self._is_killed = False

    async def _turned(self, turn: Callable[[Bridle], Coroutine[object, object, object]]) -> None:
        while True:  # ends: a worker that lives takes it, and they die a few times only
            await self._up.wait()
            worker = self._worker
            assert worker is not None
            turning = worker.does(turn(worker.house))
            await worker.lives_until(turning)
            if not worker.is_dead:
                turning.result()
                return
            await asyncio.sleep(COMES_BACK_AFTER)

    async def _journal_out(self, after: float, lasts: float) -> None:
        await asyncio.sleep(after)
        worker = self._worker
        assert worker is not None
        self._hit(Fault.JOURNAL_OUT)
        since = self.world.ledger.stamp()
        if self.plan.has_bad_disk and not worker.is_dead:
            self.disk.lose_syncs()
        worker.tap.is_out = not self.plan.has_bad_disk
        await asyncio.sleep(lasts)
        worker.tap.is_out = False
        self.disk.mend()
        self._hit(Fault.JOURNAL_OUT)
        if not worker.is_dead:
            self.outages.append((since, self.world.ledger.stamp()))

    async def _disk_full(self, after: float, lasts: float) -> None:
        await asyncio.sleep(after)
        self._hit(Fault.JOURNAL_OUT)
        self.disk.fill()
        await asyncio.sleep(lasts)
        self.disk.has_room_for()
        self._hit(Fault.JOURNAL_OUT)

    async def _clock_jump(self, after: float, by_seconds: int) -> None:
        await asyncio.sleep(after)
        assert self._worker is not None
        self._hit(Fault.CLOCK_JUMP)
        self._worker.clock_off = Millis(by_seconds * MILLIS_PER_SECOND)

    def _hit(self, fault: Fault) -> None:
        for number in self._active:
            self.world.fates[number].met(fault, Harm.RUN)


class _Heard(logging.Handler):
    """Keeps what bridle says to its log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def play(seed: int, house: int, plan: Plan) -> Evidence:
    """The day of one house, in virtual time: the same seed and number give the same day."""
    heard, log = _Heard(), logging.getLogger("bridle")
    log.addHandler(heard)
    log.propagate = False
    days: list[Day] = []

    async def story(loop: VirtualLoop) -> str:
        loop.set_exception_handler(lambda _, context: heard.lines.append(repr(context.get("exception"))))
        day = Day(seed, house, plan, loop)
        days.append(day)
        with batches_of(day.disk.batch):
            return await day.play()

    try:
        hung = run_virtual(story)
    except Deadlock as deadlock:
        hung = str(deadlock)
    finally:
        log.removeHandler(heard)
        log.propagate = True
    try:
        return _evidence(days[0], hung, heard.lines)
    finally:
        days[0].disk.remove()


def _evidence(day: Day, hung: str, logged: list[str]) -> Evidence:
    store = day.disk.reader()
    stamps = day.commits.stamps
    lines = store.runs(limit=10_000)
    return Evidence(
        day.house, day.plan, caps_of(len(day.tasks)), day.tasks, day.world.fates, day.world.ledger.lines, day.commits,
        {line.state.run: journal_of(store, line.state.run, stamps) for line in lines}, day.answers, store.balances(),
        day.down, day.outages, day.kills, hung, logged, day.people.wrong, day.raised,
    )  # fmt: skip


def journal_of(store: Store, run: RunId, stamps: Mapping[tuple[RunId, int], int]) -> Journal:
    """One run, from the store and from what was seen of its commits."""
    recorded, entries = store.recorded(run), store.journal(run)
    given = store.payload(run, "input") or b""
    if recorded.state.loop == "flow":
        state = strict_json.parse(given, max_bytes=len(given) + 1)
        assert isinstance(state, dict)
        task = state["task"]
    else:
        task = int(given.split()[1])
    assert isinstance(task, int)
    return Journal(
        run, task, recorded.state, recorded.head, recorded.salt, entries,
        [stamps.get((run, entry.seq), NEVER) for entry in entries], {},
    )  # fmt: skip


def has_ended(journal: Journal) -> bool:
    """Whether its last word is written."""
    return journal.state.phase is Phase.STOPPED
