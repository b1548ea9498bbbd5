"""Runs that nobody drives any more: one worker that has the flow resumes them; where the loop is gone they end."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from bridle.gateway.gateway import Gateway
from bridle.gateway.live import Live
from bridle.rules.failure import BridleError, ControlUnavailable
from bridle.rules.names import RunId
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopNote, StopReason
from bridle.runs import clocks, journey
from bridle.runs.charter import Charter
from bridle.runs.ended import Ended
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult, read_result
from bridle.runs.runner import Runner
from bridle.store.base import Fenced

log = logging.getLogger("bridle")
RESTARTS = 5  # of one step; what kills its worker this often would kill the next one too
STRANGE = 10_000  # milliseconds in which the flow of an open run may still become known here

Start = Callable[[Live, Flow, object], "asyncio.Task[RunResult]"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """Takes over what dead workers left, and what this one lost sight of; `start` begins to drive a run."""

    gateway: Gateway
    runner: Runner
    charter: Charter
    flows: Mapping[tuple[str, str], Flow]
    lives: Mapping[RunId, Live]
    start: Start
    suspects: set[RunId] = field(default_factory=set)  # runs of this worker that nobody drove a sweep ago either
    taking: set[RunId] = field(default_factory=set)  # runs that are being taken over or ended: the row names us already

    async def recover(self) -> None:
        """Take over every run that nobody drives, one after the other; one that cannot go on keeps no house shut."""
        store = self.gateway.store
        found = [state for state in store.orphans(self.gateway.world.now()) if state.run not in self.lives]
        lost = {state.run for state in found if store.driver(state.run)}  # by this worker, unless it just opened them
        for state in found:
            if state.run in lost - self.suspects or state.run in self.lives:
                continue
            try:
                await self.take_up(state)
            except ControlUnavailable:
                raise
            except BridleError as error:  # another worker was faster, or its policy is gone; doctor names it
                log.info("not_recovered %s: %s", state.run, error)
        self.suspects.clear()
        self.suspects.update(lost)

    async def take_up(self, state: RunState) -> "asyncio.Task[RunResult] | None":
        """Drive a run from here on, or end it; None where there is nothing to drive, or somebody here is at it.

        Raises Fenced when another worker was faster, and BridleError when its policy or its state is gone.
        """
        if state.run in self.taking:
            return None
        self.taking.add(state.run)
        try:
            return await self._taken_up(state)
        finally:
            self.taking.discard(state.run)

    async def _taken_up(self, state: RunState) -> "asyncio.Task[RunResult] | None":
        store, world = self.gateway.store, self.gateway.world
        state = await clocks.kept(store, world, state)
        if state.waits(world.now()) and not state.children:  # the clock of a question stood still, or its loop comes
            # back with the same key; a run whose child goes on is wanted by that
            return None
        policy = self.charter.kept(store, state.run)
        flow = self.flows.get((state.name, state.version))
        if state.loop == "attach" or state.restarts >= RESTARTS:
            live = await journey.take_over(store, world, state.run, policy, seen=state.epoch)
            await self.runner.close(live, Ended(_lost(state)))
            return None
        parent = await self._parent_of(state) if flow is None and state.parent else None
        if parent is not None:
            return parent
        if flow is None:  # left to a worker that has it; the seats that it holds are not
            if state.open_calls and world.now() - state.last_at >= STRANGE:
                await journey.take_over(store, world, state.run, policy, seen=state.epoch, drives=False)
            return None
        live = await journey.take_over(store, world, state.run, policy, seen=state.epoch)
        try:
            kept = self.runner.kept(live, flow) if live.state.entered else None
        except BridleError as error:  # the flow of this version has another state today
            ended = Ended(StopNote(StopReason.CONFIG_INVALID, {"error": str(error)}))
            await self.runner.close(live, ended)
            return None
        return self.start(live, flow, kept)

    async def _parent_of(self, child: RunState) -> "asyncio.Task[RunResult] | None":
        """A child whose flow is known to its parent's step alone: the parent comes back to it, and knows it."""
        parent = self.gateway.store.recorded(child.parent).state
        if parent.phase is not Phase.SUSPENDED or parent.run in self.lives:
            return None
        return await self.take_up(parent)

    def waits(self, state: RunState) -> bool:
        """Whether nothing goes on before a person answers: in this run, or in a child that it waits for."""
        children = (self.gateway.store.recorded(child).state for child in state.children)
        return state.waits(self.gateway.world.now()) and all(self.waits(child) for child in children)

    async def wait_for(self, run: RunId, every: float = 0.1) -> RunResult:
        """The result of a run, whoever drives it; it is taken up here when its worker dies. Raises BridleError."""
        store = self.gateway.store
        while True:  # ends: every run ends, or waits
            state = store.recorded(run).state
            if state.stop is not None or self.waits(state):
                return read_result(store, run)
            if store.driver(run) in ("", store.worker) and run not in self.lives:
                if state.loop == "flow" and (state.name, state.version) not in self.flows:
                    raise BridleError(
                        f"run {run} is of the flow {state.name} {state.version}, which nobody registered here"
                    )
                with suppress(Fenced):  # another worker was faster, and it is waited for
                    task = await self.take_up(state)
                    if task is not None:
                        return await asyncio.shield(task)
            await asyncio.sleep(every)


def _lost(state: RunState) -> StopNote:
    """The end of a run that nobody can go on with."""
    if state.phase is Phase.SUSPENDED:
        return StopNote(StopReason.APPROVAL_EXPIRED, {"tool": ", ".join(asked.tool for asked in state.asked)})
    return StopNote(StopReason.WORKER_LOST, {"restarts": state.restarts} if state.restarts else {})
