"""Our own code, broken on purpose: each sabotage takes one promise away, and the storm has to find it."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType
from unittest import mock

from bridle.gateway import admission, attempt, doubt, gateway, judge, retry
from bridle.gateway.admission import Verdict
from bridle.gateway.gateway import Gateway
from bridle.gateway.judge import Judged
from bridle.gateway.live import Live
from bridle.gateway.perform import Performed, Permit, perform
from bridle.gateway.proposal import Proposal
from bridle.gateway.toolbox import Ruled
from bridle.gateway.twins import took_off
from bridle.models.port import Ceiling
from bridle.models.prices import Prices
from bridle.rules import checks
from bridle.rules import fold as folding
from bridle.rules.budget import Balance, plus
from bridle.rules.call import Call, CallKind
from bridle.rules.checks import CHECKS, Check, Snapshot, decide
from bridle.rules.data import changed
from bridle.rules.decision import Admit, Decision
from bridle.rules.events import CallAdmitted, ChildClosed, ChildFunded, Event, RunStopped
from bridle.rules.failure import CallFailed, ControlUnavailable
from bridle.rules.health import Health
from bridle.rules.names import Amounts, CallId, Digest, Effect, Millis, RunId, Source, TenantId, ToolName, UsdNanos
from bridle.rules.prompt import Message, ModelRequest, Prompt, Role
from bridle.rules.run import Progress, RunState
from bridle.runs import approvals, children, journey, switchboard
from bridle.runs.children import Children
from bridle.runs.descendants import lost
from bridle.store import chain
from bridle.store.work import Work

Patch = tuple[object, str, object]  # what, which attribute of it, and what stands there instead


@dataclass(frozen=True, slots=True)
class Sabotage:
    """What is broken, in one sentence, and which promise goes with it."""

    promise: str
    does: str
    patches: Sequence[Patch]


class _Anybody(str):
    """A name that is everybody's."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def _forgets_the_answer(*given: object) -> CallAdmitted:
    return CallAdmitted(*given[:-1])  # type: ignore[arg-type]  # as it was given, but for the question it uses up


def _without(*missing: Check) -> Callable[[Call, Snapshot], Decision]:
    rest = tuple(check for check in CHECKS if check not in missing)
    return lambda call, seen: decide(call, seen, rest)


def _pays_nothing(self: Balance, held: int, used: int) -> Balance:
    return Balance(self.limit, self.settled, self.reserved - held)


def _gives_back_twice(self: Balance, held: int, used: int) -> Balance:
    return Balance(self.limit, self.settled + used, max(self.reserved - 2 * held, 0))


def _holds_a_ninth(self: Prices, request: ModelRequest) -> Ceiling:
    whole = _ceiling(self, request)
    return replace(whole, usd_nano=UsdNanos(whole.usd_nano // 9))


def _says_stop_twice(self: Work, run: RunId, epoch: int, events: Sequence[Event]) -> RunState:
    doubled = [event for event in events for _ in range(1 + isinstance(event, RunStopped))]
    return _append(self, run, epoch, doubled)


def _names_another_tool(at: Millis, call: CallId, kind: CallKind, tool: ToolName, *rest: object) -> CallAdmitted:
    named = ToolName("kb.read") if kind is CallKind.TOOL else tool
    return CallAdmitted(at, call, kind, named, *rest)  # type: ignore[arg-type]  # as it was given


def _takes_every_write_for_done(state: RunState, call: CallId, now: Millis, *, again: bool = False) -> object:
    opened = state.open_calls[call]
    harmless = replace(opened, effect=Effect.READ)
    return _lost(changed(state, open_calls={**state.open_calls, call: harmless}), call, now)


async def _performs_twice(permit: Permit, do: Callable[[], object], now: Millis) -> Performed:
    first = await perform(permit, do, now)  # type: ignore[arg-type]  # as it was given
    permit.is_used = False
    return first if first.failed else await perform(permit, do, now)  # type: ignore[arg-type]  # as it was given


def _gives_back_what_was_sent(live: Live, answer: Verdict, permit: Permit, at: Millis) -> object:
    permit.is_used = False
    return _ended_early(live, answer, permit, at)


_mixed: list[object] = []


def _mixes_up_outputs(raw: object, ruled: Ruled, source: Source, handle: str, shown: int) -> Judged:
    _mixed.append(raw)
    del _mixed[:-2]
    return judge.judge(_mixed[0], ruled, source, handle, shown)


def _another_key(tenant: TenantId, tool: ToolName, run: RunId, key: str) -> str:
    return f"{run}/{key}/{next(_NUMBERS)}"


def _always_retries(failed: CallFailed, number: int, run: RunState, health: Health) -> bool:
    return failed.kind.is_transient and number < 9


def _speaks_otherwise(self: Prompt) -> Message:
    return Message(Role.SYSTEM, "You are a helpful assistant.")


def _has_all_the_time(live: Live, answer: Verdict, now: Millis) -> Permit:
    return Permit(answer.call, Millis(now + 3_600_000))


async def _goes_on_regardless(
    self: Gateway, live: Live, proposals: Sequence[Proposal], number: int = 1
) -> list[Verdict]:
    try:
        return await _admit(self, live, proposals, number)
    except ControlUnavailable:
        now = self.world.now()
        verdicts = [Verdict(one, CallId(f"x{at}"), Admit({}), now, number) for at, one in enumerate(proposals)]
        for proposal, verdict in zip(proposals, verdicts, strict=True):
            took_off(live, verdict.call, proposal, now)
        return verdicts


def _takes_polls_for_loops(recent: Sequence[Progress], tool: ToolName, args: Digest, turn: int) -> bool:
    return len(recent) >= 2 and all((p.tool, p.args) == (tool, args) for p in recent[-2:])


def _sets_nothing_aside(at: Millis, child: RunId, name: str, version: str, hold: Amounts) -> ChildFunded:
    return ChildFunded(at, child, name, version, {})


def _goes_back_twice(state: RunState, event: Event) -> RunState:
    after = _child(state, event)  # type: ignore[arg-type]  # as it was given
    back = state.children[event.child] if isinstance(event, ChildClosed) else {}
    return changed(after, held={unit: max(held - back.get(unit, 0), 0) for unit, held in after.held.items()})


def _at_least_nothing(left: Amounts, right: Amounts) -> Amounts:
    return {unit: amount - right.get(unit, 0) for unit, amount in left.items() if amount > right.get(unit, 0)}


def _never_goes_back(state: RunState, event: Event) -> RunState:
    after = _child(state, event)  # type: ignore[arg-type]  # as it was given
    if not isinstance(event, ChildClosed):
        return after
    return changed(after, held=plus(after.held, _at_least_nothing(state.children[event.child], event.used)))


async def _leaves_its_children(self: Children, live: Live) -> None:
    pass


_NUMBERS = count(1)
_append, _lost, _ended_early, _admit, _ceiling, _child = (
    Work.append, lost, attempt.ended_early, Gateway.admit, Prices.ceiling, folding._child,
)  # fmt: skip

SABOTAGES: Mapping[str, Sabotage] = MappingProxyType({
    "budget_admits_everything": Sabotage("P1", "the check of the budget is gone", (
        (admission, "decide", _without(checks.budget)),
    )),
    "settle_pays_nothing": Sabotage("P1", "a shared account forgets what was used", (
        (Balance, "settle", _pays_nothing),
    )),
    "settle_gives_back_twice": Sabotage("P1", "a shared account gives back twice what was held", (
        (Balance, "settle", _gives_back_twice),
    )),
    "hold_is_too_small": Sabotage("P1", "a model call holds a ninth of its worst case", (
        (Prices, "ceiling", _holds_a_ninth),
    )),
    "sent_is_given_back": Sabotage("P1", "what was sent and not waited for goes back as if it never was", (
        (gateway, "ended_early", _gives_back_what_was_sent),
    )),
    "child_is_not_funded": Sabotage("P1", "a child is given its part, and its parent sets nothing aside", (
        (children, "ChildFunded", _sets_nothing_aside),
    )),
    "rest_goes_back_twice": Sabotage("P1", "what a child left over goes back to its parent twice", (
        (folding, "_child", _goes_back_twice),
        (folding, "minus", _at_least_nothing),
    )),
    "rest_never_goes_back": Sabotage("P1", "what a child left over never goes back to its parent", (
        (folding, "_child", _never_goes_back),
    )),
    "terminal_event_twice": Sabotage("P2", "the end is written twice", (
        (Work, "append", _says_stop_twice),
    )),
    "child_outlives_its_parent": Sabotage("P2", "a run ends, or leaves the step, and its children go on", (
        (journey, "end_children", lambda tx, parent, policy, now, because: parent),
        (Children, "end", _leaves_its_children),
    )),
    "doubt_is_failure": Sabotage("P3", "a write whose answer was lost counts as failed", (
        (attempt, "_happened", lambda failed: False),
    )),
    "recovery_trusts_writes": Sabotage("P3", "a write that was open when its worker died counts as done", (
        (journey, "lost", _takes_every_write_for_done),
    )),
    "memory_is_lost": Sabotage("P3", "a resumed run remembers no call, and the key of a write is always free", (
        (gateway, "recall", lambda live, proposal: None),
        (admission, "meant", lambda claim: None),
        (checks, "meant", lambda claim: None),
    )),
    "every_attempt_has_its_own_key": Sabotage("P3", "a write that is sent again has another key", (
        (attempt, "sent_key", _another_key),
    )),
    "everything_is_sent_again": Sabotage("P3", "what the far end would not recognise is sent again too", (
        (doubt, "is_known_again", lambda _, now: True),
    )),
    "permit_opens_twice": Sabotage("P4", "a permit is not single-use, and the call is made twice", (
        (attempt, "perform", _performs_twice),
    )),
    "everything_is_allowed": Sabotage("P4", "the allowlist is not asked", (
        (admission, "decide", _without(checks.allowlist)),
    )),
    "admission_names_another_tool": Sabotage("P4", "what is written down is not what is called", (
        (admission, "CallAdmitted", _names_another_tool),
    )),
    "switch_is_not_read": Sabotage("P5", "an admission does not look at the kill switch", (
        (admission, "decide", _without(checks.kill_switch)),
        (switchboard, "against_run", lambda switches, tenant, flow: None),
    )),
    "child_does_not_look_up": Sabotage("P5", "an admission of a child does not look at what holds for its parent", (
        (admission, "lineage", lambda tx, run: ()),
    )),
    "chain_ignores_head": Sabotage("P6", "a link covers its event, and not the link before it", (
        (chain, "link", lambda before, body: hashlib.sha256(body).digest()),
    )),
    "verify_looks_at_nothing": Sabotage("P6", "the walk along a chain finds no break", (
        (chain, "verify", lambda run, entries, head: None),
    )),
    "text_may_act": Sabotage("P10", "nobody asks where the values of a write came from", (
        (admission, "decide", _without(checks.flow_of_information)),
    )),
    "outputs_get_mixed_up": Sabotage("P7", "a call is given the output of the one before it, whoever's it was", (
        (attempt, "judge", _mixes_up_outputs),
    )),
    "retries_have_no_budget": Sabotage("P8", "what fails is tried nine times, and nobody counts", (
        (gateway, "may_retry", _always_retries),
        (checks, "RETRIES_OF_A_RUN", 1_000),
        (Health, "may_retry", True),
    )),
    "down_is_lent_a_retry": Sabotage("P8", "the first retry is lent where nobody answers, too", (
        (retry, "_is_up", lambda failed: True),
    )),
    "policy_is_not_pinned": Sabotage("P9", "a request leaves without its policy in front", (
        (Prompt, "_system", property(_speaks_otherwise)),
        (attempt, "is_pinned", lambda request: True),
    )),
    "approval_is_not_used_up": Sabotage("P12", "an answer allows the call for as long as it has not expired", (
        (admission, "CallAdmitted", _forgets_the_answer),
    )),
    "everybody_may_answer": Sabotage("P12", "an answer counts whoever gives it", (
        (approvals, "ALONE", _Anybody()),
    )),
    "nobody_is_asked": Sabotage("P12", "the check that waits for a person is gone", (
        (admission, "decide", _without(checks.approval)),
    )),
    "loop_is_never_found": Sabotage("P13", "the check for loops never objects", (
        (checks, "is_looping", lambda recent, tool, args, turn: False),
    )),
    "polls_are_loops": Sabotage("P13", "results are not compared when loops are judged", (
        (checks, "is_looping", _takes_polls_for_loops),
    )),
    "time_is_not_bounded": Sabotage("P13", "an attempt may take an hour, whatever its tool and its run say", (
        (gateway, "permit_for", _has_all_the_time),
    )),
    "hostile_bytes_pass": Sabotage("P14", "an output is not cleaned before it is kept", (
        (judge, "clean", lambda raw, max_bytes: raw),
    )),
    "goes_on_without_a_journal": Sabotage("P16", "a call is performed when its admission could not be written", (
        (Gateway, "admit", _goes_on_regardless),
    )),
})  # fmt: skip


@contextmanager
def applied(name: str) -> Iterator[None]:
    """Our code, broken in this way; as it is where there is no name."""
    with ExitStack() as broken:
        for where, what, instead in SABOTAGES[name].patches if name else ():
            broken.enter_context(mock.patch.object(where, what, instead))
        yield
