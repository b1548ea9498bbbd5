"""The runs that this process works on: each is begun or joined, driven by one task, and seen to its end."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from bridle.gateway.cleaning import clean
from bridle.gateway.gateway import Gateway
from bridle.gateway.live import Live
from bridle.rules import strict_json
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import RunId
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopNote, StopReason
from bridle.runs import journey
from bridle.runs import state as states
from bridle.runs.attach import taken_or_opened
from bridle.runs.charter import Charter, RunRequest
from bridle.runs.children import Children
from bridle.runs.desk import Desk
from bridle.runs.ended import Ended
from bridle.runs.flow import Flow
from bridle.runs.recovery import Recovery
from bridle.runs.result import RunResult, not_started, read_result, spent_by
from bridle.runs.run import Run
from bridle.runs.runner import Runner
from bridle.runs.signals import NotStarted
from bridle.store.base import Fenced

CANCEL_SECONDS = 10  # how long another process may take to end a run


class Workroom:
    """Begins runs, joins those that are there, and cancels them; what dead workers left is taken up here."""

    def __init__(
        self,
        gateway: Gateway,
        desk: Desk,
        charter: Charter,
        flows: Mapping[tuple[str, str], Flow],
        register: Callable[[Flow], Flow],
    ) -> None:
        self.gateway = gateway
        self.lives: dict[RunId, Live] = {}
        self.working: dict[RunId, asyncio.Task[RunResult]] = {}
        self.runner = Runner(gateway, desk, self._begin, self._end_children)
        self.recovery = Recovery(gateway, self.runner, charter, flows, self.lives, self._start)
        self._children = Children(self.recovery, register, self._joined, self.cancel)
        self._desk = desk
        self._charter = charter
        self._cancelling: set[RunId] = set()
        self._resuming = asyncio.Lock()  # a run that nobody works on is taken up by one request, however many ask

    async def run(self, flow: Flow, given: object, tenant: str, by: str, key: str) -> RunResult:
        """The result of a new run, or of the one that this request joins. Raises ControlUnavailable."""
        policy = self._charter.of(tenant, flow.name)
        words, state, problem = states.read(flow.state, given)
        opening = self._charter.opening(RunRequest("flow", flow.name, flow.version, tenant, by, key, words))
        entry = None
        if problem is None:
            opening = replace(opening, finalise=self.runner.reserve(flow, policy))
            entry = self.runner.entry(flow, flow.steps[flow.start], policy, state)
        try:
            opened = await journey.open_run(self.gateway.store, self.gateway.world, opening, entry)
        except NotStarted as refused:
            return not_started(refused.note)
        if isinstance(opened, RunState):
            return await self._joined(opened)
        if problem is not None:
            note = StopNote(StopReason.INPUT_REJECTED, {"error": problem})
            return await journey.close_run(self.gateway.store, self.gateway.world, opened, note, None)
        return await self._led(self._start(opened, flow, state), opened.run)

    async def attached(self, request: RunRequest) -> tuple[Live, Run]:
        """A run for a foreign loop, new or taken up again. Raises as `Bridle.attach` does."""
        opening = self._charter.opening(request)
        found = await taken_or_opened(self.gateway.store, self.gateway.world, self._charter, opening)
        if found.state.in_doubt:
            await self.runner.find_out(found)
        self._present(found)
        return found, Run(found, self.gateway, self._desk)

    async def left(self, live: Live, ended: Ended | None) -> RunResult:
        """The foreign loop is over, or, with no end, its run waits for a person."""
        try:
            said = await (self.runner.close(live, ended) if ended else self.runner.suspend(live))
        finally:
            self._gone(live)
        return self._told(live, said)

    async def cancel(self, run: RunId, by: str) -> RunResult:
        """Stop a run; see `Bridle.cancel`."""
        store, world, note = self.gateway.store, self.gateway.world, StopNote(StopReason.CANCELLED, {"by": by})
        live, task = self.lives.get(run), self.working.get(run)
        if live is not None:
            await self.gateway.halt(live, note)
            if task is not None:
                self._cancelling.add(run)
                await self._stopped(task, run)
        elif store.recorded(run).state.phase is not Phase.STOPPED:
            if store.driver(run) in ("", store.worker):
                orphan = await journey.take_over(store, world, run, self._charter.kept(store, run))
                await journey.close_run(store, world, orphan, note, None)
            else:
                store.ask_to_cancel(run, by, world.now())
                try:
                    return await asyncio.wait_for(self.recovery.wait_for(run), CANCEL_SECONDS)
                except TimeoutError:
                    text = f"the process that works on run {run} has not ended it within {CANCEL_SECONDS} s"
                    raise ControlUnavailable(text) from None
        return read_result(store, run)

    async def close(self, *, hands_over: bool) -> None:
        """Cancel what still runs; with `hands_over` flows are left open, for another worker or a restart."""
        for live in self.lives.values():
            live.is_handed_over = hands_over and live.loop == "flow"
        await asyncio.gather(*(self._stopped(task, run) for run, task in tuple(self.working.items())))

    def _start(self, live: Live, flow: Flow, state: object) -> "asyncio.Task[RunResult]":
        task = asyncio.create_task(self._driven(live, flow, state))
        self.working[live.run] = task
        self._present(live)
        return task

    def _present(self, live: Live) -> None:
        self.lives[live.run] = live
        self.gateway.store.crowd = len(self.lives)

    def _gone(self, live: Live) -> None:
        if self.lives.get(live.run) is live:
            del self.lives[live.run]
        self.gateway.store.crowd = len(self.lives)

    async def _driven(self, live: Live, flow: Flow, state: object) -> RunResult:
        try:
            ended = await self.runner.drive(live, flow, state)
        except asyncio.CancelledError:
            if live.run not in self._cancelling:
                raise
            return read_result(self.gateway.store, live.run)
        finally:
            if self.working.get(live.run) is asyncio.current_task():
                del self.working[live.run]
            self._gone(live)
            self._cancelling.discard(live.run)
        return self._told(live, ended)

    def _told(self, live: Live, ended: Ended) -> RunResult:
        """The result as it was written down; or, when the store is out of reach, from what this process knows."""
        if live.state.stop is not None or live.state.phase is Phase.SUSPENDED:
            return ended.result or read_result(self.gateway.store, live.run)
        said = strict_json.parse(strict_json.canonical(clean(ended.said, max_bytes=1_000_000)), max_bytes=1_000_001)
        return RunResult(live.run, ended.note.status, ended.note, None, said, spent_by(live.state), "")

    async def _led(self, task: "asyncio.Task[RunResult]", run: RunId) -> RunResult:
        """Wait for a run of one's own: who stops waiting, cancels it; who joined it, is told how it ended."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and run in self._cancelling:  # `cancel` came before the task began
                return await self.recovery.wait_for(run)
            self._cancelling.add(run)
            await self._stopped(task, run)
            raise

    async def _stopped(self, task: "asyncio.Task[RunResult]", run: RunId) -> None:
        """Cancel who drives a run, and see that it ends, also where he had not even begun."""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        live = self.lives.get(run)
        if self.working.get(run) is task and live is not None:
            if not live.is_handed_over:
                await self.runner.close(live, Ended(StopNote(StopReason.CANCELLED)))
            del self.working[run]
            self._gone(live)
            self._cancelling.discard(run)

    async def _joined(self, earlier: RunState) -> RunResult:
        """The result of a run that was there already; an open one that nobody works on is resumed."""
        store = self.gateway.store
        async with self._resuming:
            task = self.working.get(earlier.run)
            state = store.recorded(earlier.run).state
            is_due = state.stop is None and not self.recovery.waits(state)
            is_lost = is_due and store.driver(earlier.run) in ("", store.worker)
            if task is None and is_lost:
                with suppress(Fenced):  # another worker was faster, and it is waited for
                    task = await self.recovery.take_up(state)
        return await (asyncio.shield(task) if task is not None else self.recovery.wait_for(earlier.run))

    async def _begin(self, live: Live, flow: Flow, given: object, budgets: Mapping[str, int | str]) -> RunResult:
        return await self._children.run(live, flow, given, budgets)

    async def _end_children(self, live: Live) -> None:
        await self._children.end(live)
