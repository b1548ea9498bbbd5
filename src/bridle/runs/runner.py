"""Drives a run through its flow, and is one of the doors: whatever happens inside, the run ends with one reason."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from traceback import format_exception, format_exception_only

from bridle.gateway.cleaning import legible
from bridle.gateway.gateway import Gateway
from bridle.gateway.leftovers import resolve_leftovers
from bridle.gateway.live import Live
from bridle.gateway.together import first_of
from bridle.rules.events import CallInDoubt
from bridle.rules.failure import BridleError, ControlUnavailable
from bridle.rules.names import Amounts
from bridle.rules.policy import LimitsPatch, Policy
from bridle.rules.run import Phase
from bridle.rules.running_out import out_of_time
from bridle.rules.stop import StopNote, StopReason
from bridle.runs import state as states
from bridle.runs.desk import Desk
from bridle.runs.ended import Ended
from bridle.runs.flow import BadFlow, Flow, Step
from bridle.runs.investigation import investigate
from bridle.runs.journey import StepEntry, close_run, enter, kept_state, node_limits, suspend
from bridle.runs.memory import remember
from bridle.runs.reserve import finalise_reserve
from bridle.runs.run import Begin, Run
from bridle.runs.signals import Denied, Held, Stop

log = logging.getLogger("bridle")
KNOWN = 10_000  # bounds of steps that are remembered
TIDIES_UP = 2.0  # seconds that a step has when it is cancelled
OK = StopNote(StopReason.OK)
WAITS = Ended(OK)  # of a run that is suspended: it has no end yet


class Runner:
    """Runs flows. `drive` never raises a stop: it writes the end of the run and returns it."""

    def __init__(
        self, gateway: Gateway, desk: Desk, begin: Begin, end_children: Callable[[Live], Awaitable[None]]
    ) -> None:
        self._gateway = gateway
        self._desk = desk
        self._begin = begin  # a child of a run
        self._end_children = end_children
        self._bounds: dict[tuple[int, str, int], tuple[Flow, Policy, LimitsPatch, Amounts]] = {}

    async def drive(self, live: Live, flow: Flow, state: object) -> Ended:
        """From the step the run is in to its end, or until it waits for a person: then it ends with nothing.

        An outer cancellation closes the run and is raised again.
        """
        run = Run(live, self._gateway, self._desk, self._begin)
        try:
            ended = await self._advance(run, live, flow, state)
        except Held:
            return await self.suspend(live)
        except Stop as stop:
            ended = Ended(stop.note, stop.partial)
        except Denied as denied:
            ended = Ended(StopNote(denied.reason, denied.detail))
        except ControlUnavailable as error:
            ended = Ended(StopNote(StopReason.CONTROL_UNAVAILABLE, {"error": str(error)}))
        except asyncio.CancelledError:
            if live.is_handed_over:
                await asyncio.shield(self._gateway.pending.write(live))
                raise
            await asyncio.shield(self.close(live, Ended(StopNote(StopReason.CANCELLED))))
            raise
        except BaseExceptionGroup as group:  # a task group of the step's own
            if group.subgroup(Held) is not None and group.subgroup(Stop) is None:
                return await self.suspend(live)
            ended = _of_group(group, live)
        except BridleError as error:
            ended = Ended(StopNote(StopReason.CONFIG_INVALID, {"error": str(error)}))
        except Exception as error:  # noqa: BLE001 - a flow's own code may raise anything: the door closes the run
            ended = Ended(broken(error, live))
        except BaseException as error:  # not ours to keep; the run has its end all the same
            await asyncio.shield(self.close(live, Ended(broken(error, live))))
            raise
        return await self.close(live, ended)

    async def suspend(self, live: Live) -> Ended:
        """Write down that the run waits; where that cannot be done, it is still open and the sweeper takes it up."""
        try:
            await suspend(self._gateway.store, self._gateway.world, live)
        except Exception as error:  # whatever it was, the caller is told
            log.exception("suspend_failed %s", live.run)
            return Ended(StopNote(StopReason.CONTROL_UNAVAILABLE, {"error": str(error)}))
        return WAITS

    async def close(self, live: Live, ended: Ended) -> Ended:
        """Write the end. When even that cannot be written, the run ends `control_unavailable` for its caller.

        Who cancelled it does not wait: what is in doubt then, a person settles.
        """
        if ended.note.reason is not StopReason.CANCELLED:
            await self._look_after(live)
        await self._bring_home(live)
        try:
            result = await close_run(self._gateway.store, self._gateway.world, live, ended.note, ended.said)
        except Exception as error:  # whatever it was, the caller is told how his run ended
            log.exception("close_failed %s", live.run)
            return Ended(StopNote(StopReason.CONTROL_UNAVAILABLE, {"error": str(error)}), ended.said)
        note = live.state.stop
        assert note is not None
        return Ended(note, ended.said, result)

    async def _advance(self, run: Run, live: Live, flow: Flow, state: object) -> Ended:
        step, visits = flow.steps[live.state.step or flow.start], dict[str, int]()
        if live.state.in_doubt:
            await self.find_out(live)
            if live.state.phase is not Phase.OPEN:
                raise Stop(live.state.stop or live.state.halt or OK)
        if live.state.entered == 0:
            raise Stop(live.state.halt or OK)
        if live.state.halt is not None and live.state.halt.reason is StopReason.KILLED:  # while nobody worked on it
            raise Stop(live.state.halt)
        while True:  # ends: every turn enters a step, and steps have a limit
            visits[step.name] = visits.get(step.name, 0) + 1
            going = await self._taken(run, live, flow, step, state)
            if isinstance(going, Ended):
                return going
            step = flow.steps[going]
            if step.visits and visits.get(step.name, 0) >= step.visits:
                raise Stop(StopNote(StopReason.NO_PROGRESS, {"tool": step.name, "limit": step.visits}))
            entry = self.entry(flow, step, live.policy, state)
            await self._bring_home(live)
            await enter(self._gateway.store, self._gateway.world, live, entry)
            if live.state.phase is not Phase.OPEN:
                raise Stop(live.state.stop or live.state.halt or OK)

    async def find_out(self, live: Live) -> None:
        """What became of the writes that were left in doubt; the step is given it, as of its other calls."""
        await resolve_leftovers(self._gateway, live)
        remember(self._gateway.store, live)

    async def _look_after(self, live: Live) -> None:
        """The writes that nobody waited for: found out about before the run ends, where bridle can."""
        with suppress(Exception):  # whatever it was, the run has its end
            if any(isinstance(one.ending, CallInDoubt) for one in live.pending):
                await self._gateway.pending.write(live)
            if live.state.in_doubt:
                await resolve_leftovers(self._gateway, live)

    async def _bring_home(self, live: Live) -> None:
        """Children that the step did not wait for: what they have in flight comes down before they are ended."""
        if live.state.children:
            with suppress(Exception):  # whatever it was, the next event of the run ends them
                await self._end_children(live)

    async def _taken(self, run: Run, live: Live, flow: Flow, step: Step, state: object) -> str | Ended:
        """One step: the name of the next one, or the end."""
        if step.node is not None:
            finding = await investigate(run, step.node, goal_of(step.node.goal, state))
            _store(step.node.into, state, finding.value)
            if finding.over is not None:
                return step.exhausted or Ended(finding.over, finding.value)
            return step.found or Ended(OK, finding.value)
        assert step.function is not None
        said = await self._in_time(live, step.function(run, state))
        if run.is_finished and said is None:
            return run.ended(OK)
        if not step.to:
            return Ended(OK, said)
        if said not in step.to:
            raise BadFlow(f"{flow.name}: {step.name} went to {said!r}; its edges are {', '.join(step.to)}")
        return str(said)

    async def _in_time(self, live: Live, work: Awaitable[object]) -> object:
        """A step's own code has no more time than its run. Raises Stop when that is over.

        It has a task of its own: one that will not stop when it is cancelled is left behind, and all its calls refused.
        """
        step = asyncio.ensure_future(work)
        try:
            await asyncio.wait((step,), timeout=max(live.state.deadline - self._gateway.world.now(), 0) / 1_000)
        except asyncio.CancelledError:
            await _let_go(step, live)
            raise
        if step.done() and not step.cancelled():
            return step.result()
        await _let_go(step, live)
        if step.cancelled() and self._gateway.world.now() < live.state.deadline:
            raise RuntimeError("the step was cancelled from inside")
        detail = out_of_time(live.state, live.policy.limits, self._gateway.world.now())
        raise Stop(StopNote(StopReason.MAX_SECONDS, detail))

    def entry(self, flow: Flow, step: Step, policy: Policy, state: object) -> StepEntry:
        """How a step is entered: with the state, its limits, and what its last request would cost."""
        limits, finalise = self._bounds_of(flow, step, policy)
        return StepEntry(step.name, states.dump(state), limits, finalise)

    def reserve(self, flow: Flow, policy: Policy) -> Amounts:
        """What a run of this flow holds from the start: the dearest last request of its investigations."""
        holds = [self._bounds_of(flow, step, policy)[1] for step in flow.steps.values() if step.node is not None]
        if len(holds) == 1:
            return holds[0]
        return {unit: max(hold.get(unit, 0) for hold in holds) for hold in holds for unit in hold}

    def _bounds_of(self, flow: Flow, step: Step, policy: Policy) -> tuple[LimitsPatch, Amounts]:
        """The limits of a step and its last request's hold; the same objects for every run, which are many."""
        known = self._bounds.get((id(flow), step.name, id(policy)))
        if known is not None and known[0] is flow and known[1] is policy:
            return known[2], known[3]
        limits = node_limits(policy, flow.name, step.name, step.node.limits if step.node else {})
        finalise: Amounts = {}
        if step.node is not None:
            limits = {name: min(limits.get(name, whole), whole) for name, whole in policy.limits.by_name.items()}
            finalise = finalise_reserve(self._desk.seat(step.node.model, policy))
        if len(self._bounds) >= KNOWN:  # flows and policies come and go; bounds are worked out again
            self._bounds.clear()
        self._bounds[id(flow), step.name, id(policy)] = (flow, policy, limits, finalise)
        return limits, finalise

    def kept(self, live: Live, flow: Flow) -> object:
        """The state with which a run that is resumed entered its step."""
        return states.build(flow.state, kept_state(self._gateway.store, live))


async def _let_go(step: "asyncio.Future[object]", live: Live) -> None:
    """Cancel a step, and wait a moment for it to tidy up."""
    step.cancel()
    with suppress(asyncio.CancelledError):  # a second one has no more to say than the first
        await asyncio.wait((step,), timeout=TIDIES_UP)
    if step.done() and not step.cancelled():
        step.exception()  # looked at, so that nothing is logged as never retrieved
    elif not step.done():
        log.warning("left_behind %s: its step %s does not stop when it is cancelled", live.run, live.state.step)


def goal_of(goal: str, state: object) -> str:
    """The goal with its `{field}` blanks filled from the state. Raises BadFlow for a blank that the state lacks."""
    known = state if isinstance(state, Mapping) else _attributes(state)
    try:
        return goal.format(**known) if "{" in goal else goal
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise BadFlow(f"the goal {goal!r} asks for {error}, which the state does not have") from error


def _attributes(state: object) -> Mapping[str, object]:
    names = [item.name for item in fields(state)] if is_dataclass(state) else list(vars(state))
    known = {name: getattr(state, name) for name in names}
    return {type(state).__name__.lower(): state, **known}


def _store(into: str, state: object, value: object) -> None:
    if not into:
        return
    if isinstance(state, dict):
        state[into] = value
    else:
        setattr(state, into, value)


def _of_group(group: BaseExceptionGroup[BaseException], live: Live) -> Ended:
    """What a task group raised: our messenger, if it is in there; else the code of the run failed."""
    first = first_of(group)
    if isinstance(first, Stop):
        return Ended(first.note, first.partial)
    if isinstance(first, Denied):
        return Ended(StopNote(first.reason, first.detail))
    return Ended(broken(group, live))


def broken(error: BaseException, live: Live) -> StopNote:
    """The stop for code that raised what nobody planned; its traceback goes to the log under the incident's id."""
    said, incident = legible("".join(format_exception_only(error)).strip()), f"{live.run}.{live.state.seq}"
    trace = (
        "".join(format_exception(error)).encode("utf-8", "backslashreplace").decode()
    )  # a handler takes no half text
    log.error("run_failed %s\n%s", incident, trace, extra={"run": live.run, "incident_id": incident})
    return StopNote(StopReason.INTERNAL_ERROR, {"error": said, "incident_id": incident})
