"""The house: opens a policy and a store, declares tools, runs flows, attaches foreign agents; it alone wires."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar, Unpack

from bridle.gateway.cleaning import clean
from bridle.gateway.gateway import Gateway
from bridle.gateway.labels import Labels, tool_of
from bridle.gateway.live import Live
from bridle.gateway.toolbox import Toolbox
from bridle.gateway.world import World
from bridle.modeldesk import ModelDesk
from bridle.models.port import Model
from bridle.rules import strict_json
from bridle.rules.events import Event
from bridle.rules.failure import BridleError, ControlUnavailable
from bridle.rules.names import RunId
from bridle.rules.policy import Policy
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopNote, StopReason
from bridle.runs import journey
from bridle.runs import state as states
from bridle.runs.approvals import Approvals
from bridle.runs.attach import Attachment, taken_or_opened
from bridle.runs.blocking import BlockingTwins
from bridle.runs.charter import Charter, RunRequest
from bridle.runs.children import Children
from bridle.runs.doubts import Doubts, WriteInDoubt
from bridle.runs.ended import Ended
from bridle.runs.flow import Flow
from bridle.runs.following import followed
from bridle.runs.recovery import Recovery
from bridle.runs.result import RunResult, not_started, read_result, spent_by
from bridle.runs.run import Run
from bridle.runs.runner import Runner
from bridle.runs.signals import NotStarted
from bridle.runs.sweeper import sweep
from bridle.runs.switchboard import KillSwitch, Switchboard
from bridle.store.base import Fenced, Store
from bridle.store.enlisting import enlisted
from bridle.store.opening import path_of

F = TypeVar("F", bound=Callable[..., object])
DEFAULT_STORE = "sqlite:///.bridle/bridle.db"
CANCEL_SECONDS = 10  # how long another process may take to end a run


class Bridle(BlockingTwins, KillSwitch):
    """One house under one policy, on one store. `async with Bridle("bridle.yaml") as b` opens and closes it.

    `policy` is a path, a mapping, a Policy, or None, which denies every tool; `store` is "sqlite:///path", ":memory:",
    or None for BRIDLE_STORE or a file under ./.bridle. `models` lends models by name, `base_urls` says where
    OpenAI-compatible servers are. Raises BadPolicy, with every mistake of the file.
    """

    def __init__(
        self,
        policy: str | Path | Mapping[str, object] | Policy | None = None,
        store: str | None = None,
        *,
        models: Mapping[str, Model] | None = None,
        base_urls: Mapping[str, str] | None = None,
        world: World | None = None,
    ) -> None:
        self.policy = _policy(policy)
        self._place = store or os.environ.get("BRIDLE_STORE") or DEFAULT_STORE
        self._path = path_of(self._place)
        self._desk = ModelDesk(models or {}, base_urls=base_urls)
        self._world = world or World()
        self._charter = Charter(self.policy, self._world)
        self.toolbox = Toolbox()
        self._store: Store | None = None
        self._gateway: Gateway | None = None
        self._runner: Runner | None = None
        self._flows: dict[tuple[str, str], Flow] = {}
        self._working: dict[RunId, asyncio.Task[RunResult]] = {}
        self._lives: dict[RunId, Live] = {}
        self._cancelling: set[RunId] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._resuming = asyncio.Lock()  # a run that nobody works on is taken up by one request, however many ask
        super().__init__()

    # Declaring

    def tool(self, name: str, **labels: Unpack[Labels]) -> Callable[[F], F]:
        """Declare a function as a tool; its signature says what it takes. Without labels it is an untrusted write.

        Raises BridleError for a label that is not one, and for a name that is taken.
        """

        def declared(function: F) -> F:
            self.declare(name, function, **labels)
            return function

        return declared

    def declare(
        self,
        name: str,
        function: Callable[..., object] | None,
        parameters: Mapping[str, object] | None = None,
        output: object = None,
        **labels: Unpack[Labels],
    ) -> None:
        """Declare a tool without a decorator; `parameters` and `output` are JSON Schemas or types.

        A tool without a function is performed by the loop that calls it: `run.call(name, args, perform=...)`.
        """
        self.toolbox.declare(tool_of(name, labels), function, parameters=parameters, output=output, labels=labels)

    def register(self, flow: Flow) -> Flow:
        """Make a flow known, so that its open runs are resumed when the house opens. Raises BadFlow."""
        if not isinstance(flow, Flow):
            raise BridleError(f"a run needs a Flow, not {type(flow).__name__}")
        flow.check()
        self._flows[flow.name, flow.version] = flow
        return flow

    # Opening and closing

    async def __aenter__(self) -> "Bridle":
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the store and recover what this house left open. Raises StoreUnusable with a sentence."""
        if self._store is not None:
            return
        self._store = enlisted(self._path, self._world.now)
        self._gateway = Gateway(self._store, self.toolbox, self._world)
        self._runner = Runner(self._gateway, self._desk)
        self._recovery = Recovery(self._gateway, self._runner, self._charter, self._flows, self._lives, self._start)
        children = Children(self._recovery, self.register, self._joined, self.cancel)
        self._runner.begin, self._runner.end_children = children.run, children.end
        lives = self._lives.values
        self._board = Switchboard(self._store, self._gateway, self._world, lives, self.policy.kill_level)
        await self._board.look()
        await self._recovery.recover()
        self._tasks = [asyncio.create_task(w) for w in (sweep(self._recovery, self.cancel), self._board.watch())]

    async def close(self, drain: float = 0) -> None:
        """Settle what rides, let go of the store, and cancel what still runs.

        `drain` gives runs that many seconds to end; a flow that has not is left open, for another worker or a restart.
        """
        if self._store is None or self._gateway is None:
            return
        if drain and self._working:
            await asyncio.wait(self._working.values(), timeout=drain)
        for live in self._lives.values():
            live.is_handed_over = drain > 0 and live.loop == "flow"
        working = tuple(self._working.values())
        for task in (*self._tasks, *working):
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        with suppress(ControlUnavailable):  # recovery settles it at the next start
            await self._gateway.pending.write_all()
        await self._desk.aclose()
        await self._store.close()
        self._store = self._gateway = self._runner = self._board = None

    @property
    def store(self) -> Store:
        """The open store. Raises BridleError before `async with`."""
        if self._store is None:
            raise BridleError("this house is not open; use `async with Bridle(...) as b:`")
        return self._store

    @property
    def is_open(self) -> bool:
        """Whether the store is open."""
        return self._store is not None

    @property
    def gateway(self) -> Gateway:
        """The door of this house, while it is open."""
        assert self._gateway is not None, "the store was opened without its gateway"
        return self._gateway

    @property
    def runner(self) -> Runner:
        """What drives the flows of this house, while it is open."""
        assert self._runner is not None, "the store was opened without its runner"
        return self._runner

    # Running

    async def run(
        self, flow: Flow, given: object = None, /, *, tenant: str = "default", by: str = "local", key: str | None = None
    ) -> RunResult:
        """Run a flow to its end; a stop is a result, never an exception.

        `given` is the input: a state of the flow's type, or data that makes one. The same `key` is the same run, for
        ever; without one, the same request joins a run that is open. Where the kill switch lets none start, the result
        is `killed` and its id is empty. Raises BadFlow, and ControlUnavailable when the run cannot even be started.
        """
        self.register(flow)
        await self.open()
        runner = self.runner
        policy = self._charter.of(tenant, flow.name)
        words, state, problem = states.read(flow.state, given)
        opening = self._charter.opening(RunRequest("flow", flow.name, flow.version, tenant, by, key or "", words))
        if problem is not None:
            return await self._rejected(opening, problem)
        opening = replace(opening, finalise=runner.reserve(flow, policy))
        entry = runner.entry(flow, flow.steps[flow.start], policy, state)
        try:
            opened = await journey.open_run(self.store, self._world, opening, entry)
        except NotStarted as refused:
            return not_started(refused.note)
        if isinstance(opened, RunState):
            return await self._joined(opened)
        return await self._led(self._start(opened, flow, state), opened.run)

    def _start(self, live: Live, flow: Flow, state: object) -> "asyncio.Task[RunResult]":
        task = asyncio.create_task(self._driven(live, flow, state))
        self._working[live.run] = task
        self._present(live)
        return task

    def _present(self, live: Live) -> None:
        self._lives[live.run] = live
        self.store.crowd = len(self._lives)

    def _gone(self, live: Live) -> None:
        if self._lives.get(live.run) is live:
            del self._lives[live.run]
        self.store.crowd = len(self._lives)

    async def _driven(self, live: Live, flow: Flow, state: object) -> RunResult:
        runner = self.runner
        try:
            ended = await runner.drive(live, flow, state)
        except asyncio.CancelledError:
            if live.run not in self._cancelling:
                raise
            return read_result(self.store, live.run)
        finally:
            if self._working.get(live.run) is asyncio.current_task():
                del self._working[live.run]
            self._gone(live)
            self._cancelling.discard(live.run)
        return self._told(live, ended)

    def _told(self, live: Live, ended: Ended) -> RunResult:
        """The result as it was written down; or, when the store is out of reach, from what this process knows."""
        if live.state.stop is not None or live.state.phase is Phase.SUSPENDED:
            return ended.result or read_result(self.store, live.run)
        said = strict_json.parse(strict_json.canonical(clean(ended.said, max_bytes=1_000_000)), max_bytes=1_000_001)
        return RunResult(live.run, ended.note.status, ended.note, None, said, spent_by(live.state), "")

    async def _led(self, task: "asyncio.Task[RunResult]", run: RunId) -> RunResult:
        """Wait for a run of one's own: who stops waiting, cancels it; who joined it, is told how it ended."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._cancelling.add(run)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise

    async def _joined(self, earlier: RunState) -> RunResult:
        """The result of a run that was there already; an open one that nobody works on is resumed."""
        async with self._resuming:
            task = self._working.get(earlier.run)
            state = self.store.recorded(earlier.run).state
            is_due = state.stop is None and not self._recovery.waits(state)
            is_lost = is_due and self.store.driver(earlier.run) in ("", self.store.worker)
            if task is None and is_lost:
                with suppress(Fenced):  # another worker was faster, and it is waited for
                    task = await self._recovery.take_up(state)
        return await (asyncio.shield(task) if task is not None else self._recovery.wait_for(earlier.run))

    async def _rejected(self, opening: journey.Opening, problem: str) -> RunResult:
        try:
            opened = await journey.open_run(self.store, self._world, opening, None)
        except NotStarted as refused:
            return not_started(refused.note)
        if isinstance(opened, RunState):
            return await self._joined(opened)
        note = StopNote(StopReason.INPUT_REJECTED, {"error": problem})
        return await journey.close_run(self.store, self._world, opened, note, None)

    def attach(
        self, *, agent: str, task: str = "", tenant: str = "default", by: str = "local", key: str | None = None
    ) -> Attachment:
        """A run for somebody else's loop: `async with b.attach(agent="support", task="...") as run`.

        A run of this key that waits for a person is taken up again: calls that it made answer from the journal. Raises
        RunIsOpen when one of this key is open, NotStarted under a kill switch, and BridleError when it has ended.
        """

        async def opened() -> tuple[Live, Run]:
            await self.open()
            key_or_fresh = key or self._world.fresh(16).hex()  # a foreign loop is never joined by chance
            opening = self._charter.opening(RunRequest("attach", agent, "", tenant, by, key_or_fresh, task.encode()))
            found = await taken_or_opened(self.store, self._world, self._charter, opening)
            if found.state.in_doubt:
                await self.runner.find_out(found)
            self._present(found)
            return found, Run(found, self.gateway, self._desk)

        async def closed(live: Live, ended: Ended | None) -> RunResult:
            try:
                said = await (self.runner.close(live, ended) if ended else self.runner.suspend(live))
            finally:
                self._gone(live)
            return self._told(live, said)

        return Attachment(opened, closed)

    @property
    def approvals(self) -> Approvals:
        """What waits for a person, and where he answers."""
        return Approvals(self.store, self._world)

    def doubts(self) -> list[WriteInDoubt]:
        """The writes that were sent, and of which nobody knows whether they took effect; the oldest first."""
        return Doubts(self.store, self._world).pending()

    async def resolve(self, write: str, *, happened: bool, by: str, because: str) -> bool:
        """Say what became of a write in doubt, "run/call". False when the very same was said before.

        Raises NotInDoubt, also when the opposite was said before, and UnknownRun.
        """
        return await Doubts(self.store, self._world).resolve(write, happened=happened, by=by, because=because)

    # Looking and stopping

    async def result(self, run_id: str) -> RunResult:
        """The result of a run, after its end if it is open in this process. Raises UnknownRun."""
        task = self._working.get(RunId(run_id))
        return await asyncio.shield(task) if task is not None else read_result(self.store, RunId(run_id))

    async def cancel(self, run_id: str, by: str = "local") -> RunResult:
        """Stop a run: nothing new is admitted, what is in flight is cancelled.

        A run of another process is ended by that one. Raises UnknownRun, and ControlUnavailable when it does not.
        """
        run = RunId(run_id)
        note = StopNote(StopReason.CANCELLED, {"by": by})
        live, task = self._lives.get(run), self._working.get(run)
        if live is not None:
            await self.gateway.halt(live, note)
            if task is not None:
                self._cancelling.add(run)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        elif self.store.recorded(run).state.phase is not Phase.STOPPED:
            if self.store.driver(run) in ("", self.store.worker):
                orphan = await journey.take_over(self.store, self._world, run, self._charter.kept(self.store, run))
                await journey.close_run(self.store, self._world, orphan, note, None)
            else:
                self.store.ask_to_cancel(run, by, self._world.now())
                try:
                    return await asyncio.wait_for(self._recovery.wait_for(run), CANCEL_SECONDS)
                except TimeoutError:
                    text = f"the process that works on run {run} has not ended it within {CANCEL_SECONDS} s"
                    raise ControlUnavailable(text) from None
        return read_result(self.store, run)

    def events(self, run_id: str, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        """The journal of a run as it grows, with sequence numbers, until the run has ended or waits for a person.

        Once he has answered, `after` the last number goes on. Raises UnknownRun.
        """
        return followed(self.store, self._world, RunId(run_id), after)

    def awaiting(self, run_id: str) -> list[tuple[str, int]]:
        """What a run of this process waits for now: names, and since when in Unix milliseconds."""
        live = self._lives.get(RunId(run_id))
        return [(str(flying.tool), flying.since) for flying in live.flying.values()] if live is not None else []

    def progress(self) -> list[RunState]:
        """The runs that this process works on, as they stand."""
        return [live.state for live in self._lives.values()]


def _policy(given: str | Path | Mapping[str, object] | Policy | None) -> Policy:
    if isinstance(given, Policy):
        return given
    if given is None:
        return Policy()
    if not isinstance(given, str | Path | Mapping):
        raise BridleError(f"a policy is a path, a mapping or a Policy, not {type(given).__name__}")
    from bridle.config import load_policy

    return load_policy(given if isinstance(given, Mapping) else Path(given)).policy
