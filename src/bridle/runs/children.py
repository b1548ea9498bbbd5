"""Begins the children of runs: each is funded and started in one transaction of its parent, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from bridle.gateway.lineage import lineage, switched_off
from bridle.gateway.live import Live
from bridle.rules.call import CallKind
from bridle.rules.decision import Deny
from bridle.rules.events import ChildFunded, ChildRefused, RunHalted
from bridle.rules.failure import BridleError
from bridle.rules.fold import fold
from bridle.rules.funding import bound, fund
from bridle.rules.names import CallId, Digest, Millis, RunId, ToolName
from bridle.rules.policy import NO_NARROWING, LimitsPatch, Policy
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopNote, StopReason
from bridle.rules.switch import against_run
from bridle.runs import journey
from bridle.runs import state as states
from bridle.runs.charter import RunRequest
from bridle.runs.flow import Flow, limits_of
from bridle.runs.recovery import Recovery
from bridle.runs.result import RunResult
from bridle.runs.signals import Denied, Held
from bridle.store.base import RunKey, Transaction
from bridle.store.chain import keyed

LARGE = 1_000_000  # calls of one tool; nobody meant a smaller number when nobody said one


@dataclass(frozen=True, slots=True)
class Children:
    """What a house lends its runs, so that they can begin others and wait for them."""

    house: Recovery  # what takes up a lost child is what drives a new one
    register: Callable[[Flow], Flow]
    joined: Callable[[RunState], Awaitable[RunResult]]
    cancel: Callable[[RunId, str], Awaitable[RunResult]]

    async def run(self, live: Live, flow: Flow, given: object, budgets: Mapping[str, int | str]) -> RunResult:
        """The result of a child; of the one that this place of the parent's step began before, if there is one.

        Raises Denied when none was begun, and Held when it waits for a person.
        """
        if live.loop != "flow":
            raise BridleError("only a step of a flow has children; an attached loop asks for runs of its own")
        self.register(flow)
        errand = Errand(flow, limits_of(flow, "child", budgets), *states.read(flow.state, given))
        opening = self._opening(live, errand)  # before anything is awaited: children side by side are counted in order
        await self.house.gateway.pending.write(live)
        begun = asyncio.ensure_future(self._begun(live, errand, opening))
        try:
            found = await asyncio.shield(begun)
            result = await (self.joined(found) if isinstance(found, RunState) else self._led(found, errand))
        except asyncio.CancelledError:
            if not live.is_handed_over:
                await asyncio.shield(self._cancel(live, begun))
            raise
        live.state = self.house.gateway.store.recorded(live.run).state
        if result.stop is None:
            run, _, call = (result.approval or result.run_id).partition("/")
            raise Held(RunId(run), CallId(call), result.until or Millis(0))
        return result

    async def _led(self, child: Live, errand: "Errand") -> RunResult:
        return await asyncio.shield(self.house.start(child, errand.flow, errand.state))

    async def end(self, live: Live) -> None:
        """End the children that nobody waits for, where this process drives them: their calls come down first."""
        parent = self.house.gateway.store.recorded(live.run).state
        for child in tuple(parent.children):
            if child in self.house.lives and parent.epoch == live.epoch:
                await self.cancel(child, f"its parent {live.run}")

    async def _cancel(self, live: Live, begun: "asyncio.Future[Live | RunState]") -> None:
        """Who waited for a child goes away, and the child with him; also one that was only just begun."""
        with suppress(BridleError, Denied):  # then none was begun, or the end of its parent ends it
            await self.cancel((await begun).run, f"its parent {live.run}")

    def _opening(self, live: Live, errand: "Errand") -> journey.Opening:
        """The same place of the same step gives the same key, whoever drives the parent."""
        flow = errand.flow
        told = keyed(live.salt, b"\0".join((flow.name.encode(), flow.version.encode(), errand.words)))
        ordinal = live.next_ordinal(CallKind.TOOL, ToolName(f"child {flow.name}"), told)
        place = keyed(live.salt, f"{live.run} {live.state.entered} {ordinal} {told}".encode())
        request = RunRequest("flow", flow.name, flow.version, live.tenant, live.state.by, "", errand.words)
        key = RunKey(f"child {place}", Digest(place))  # nobody else can name it: the salt is the parent's
        return replace(self.house.charter.opening(request), digest=live.state.policy, key=key)

    async def _begun(self, live: Live, errand: "Errand", opening: journey.Opening) -> Live | RunState:
        """A new child, to be driven here; or the state of the one that was begun before. Raises Denied."""
        store, world = self.house.gateway.store, self.house.gateway.world
        flow, salt, now = errand.flow, world.fresh(16), world.now()
        usual = live.node.narrow(live.node.flows.get(flow.name, NO_NARROWING))
        quotas = self._quotas(usual)

        def opened(tx: Transaction) -> RunState | Deny:
            parent = tx.append(live.run, live.epoch, [])  # raises Fenced
            if parent.phase is Phase.SUSPENDED:  # by another branch of its step, which begins anew when it goes on
                return parent
            earlier = tx.find(live.tenant, opening.key)
            if earlier is not None:
                return earlier
            funds = _against(tx, parent, errand) or fund(
                parent, live.policy.limits, usual.limits, errand.wanted, quotas, now
            )
            if isinstance(funds, Deny):
                return _refuse(tx, live, errand, funds, now)
            tx.append(live.run, live.epoch, [ChildFunded(now, opening.run, flow.name, flow.version, funds.amounts)])
            started = replace(
                journey.started(opening, salt, now), deadline=funds.deadline, parent=live.run, within=parent.step,
                depth=parent.depth + 1, funds=funds.amounts, is_tainted=parent.is_tainted,
                has_read_private=parent.has_read_private,
            )  # fmt: skip
            policy = bound(live.node, fold([started]))
            started = replace(started, finalise=self.house.runner.reserve(flow, policy))
            entry = self.house.runner.entry(flow, flow.steps[flow.start], policy, errand.state)
            return journey.begin(tx, started, replace(opening, policy=policy), entry, salt)

        found = await store.transact(opened)
        live.state = store.recorded(live.run).state
        if isinstance(found, Deny):
            raise Denied(found.reason, found.detail, StopNote(found.reason, found.detail).text())
        if found.run == live.run:
            raise Held(live.run, CallId(""), found.suspended_at)
        if found.run != opening.run:
            return found
        child = journey.live_of(found, self.house.charter.kept(store, found.run), salt, None)
        child.enter(journey.node_policy(child.policy, flow.name, flow.start))
        return child

    def _quotas(self, policy: Policy) -> dict[ToolName, int]:
        """The tools that have a number of calls of their own in one run."""
        ruled = (self.house.gateway.toolbox.under(policy, one.tool.name) for one in self.house.gateway.toolbox)
        known = {one.tool.name: one.tool.max_calls for one in ruled if one is not None}
        return {name: most for name, most in known.items() if policy.allows(name) and most < LARGE}


@dataclass(frozen=True, slots=True)
class Errand:
    """What a parent wants of a child: its flow, its limits, and its input in bytes, as a state, or what is wrong."""

    flow: Flow
    wanted: LimitsPatch
    words: bytes
    state: object
    problem: str | None


def _against(tx: Transaction, parent: RunState, errand: Errand) -> Deny | None:
    """What keeps a child from being begun, however much money there is."""
    above = (parent, *lineage(tx, parent))
    note = next((one.stop or one.halt for one in above if one.stop or one.halt), None)
    if note is not None:
        return Deny(note.reason, note.detail)
    switch = against_run(tx.switches(), parent.tenant, errand.flow.name) or switched_off(tx, parent)
    if switch is not None:
        return Deny(StopReason.KILLED, switch.detail)
    return Deny(StopReason.INPUT_REJECTED, {"error": errand.problem}) if errand.problem is not None else None


def _refuse(tx: Transaction, live: Live, errand: Errand, why: Deny, now: Millis) -> Deny:
    """Write it down; too many refusals end the parent, as those of calls do."""
    if tx.state(live.run).phase is Phase.OPEN:
        refused = ChildRefused(now, errand.flow.name, errand.flow.version, why.reason, why.detail)
        state = tx.append(live.run, live.epoch, [refused])
        if state.refusals > live.node.max_refusals:
            tx.append(live.run, live.epoch, [RunHalted(now, why.reason, why.detail)])
    return why
