"""The life of a run in the journal: opened, moved to a step, closed, or taken over after a crash."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from bridle.gateway.cleaning import clean, legible
from bridle.gateway.intents import left
from bridle.gateway.lineage import switched_off
from bridle.gateway.live import Live
from bridle.gateway.schemas import Schema
from bridle.gateway.settlement import Settlement, settle
from bridle.gateway.world import World
from bridle.rules import strict_json
from bridle.rules.events import (
    CallVoided,
    RunHalted,
    RunStarted,
    RunStopped,
    RunSuspended,
    StepEntered,
)
from bridle.rules.failure import BridleError
from bridle.rules.names import (
    ACTIVE_MS,
    Amounts,
    Digest,
    Millis,
    RunId,
    TenantId,
)
from bridle.rules.policy import LimitsPatch, Narrowing, Policy
from bridle.rules.run import Phase, RunState, ending
from bridle.rules.running_out import may_enter, out_of_time
from bridle.rules.stop import Retry, Status, StopNote, StopReason
from bridle.rules.strict_json import BadJson
from bridle.rules.switch import against_run
from bridle.runs.descendants import closed_into, end_children, lost
from bridle.runs.memory import remember
from bridle.runs.result import RunResult, result_of
from bridle.runs.signals import KeyIsTaken, NotStarted
from bridle.store.base import Fenced, Recorded, RunKey, Store, Transaction
from bridle.store.chain import keyed

MAX_ANSWER = 10_000_000  # bytes
JOINS_FOR = 86_400_000  # milliseconds


@dataclass(frozen=True, slots=True)
class StepEntry:
    """A step to enter, with the flow's state as canonical JSON."""

    step: str
    state: bytes
    limits: LimitsPatch
    finalise: Amounts


@dataclass(frozen=True, slots=True)
class Opening:
    """A run that somebody asks for."""

    run: RunId
    tenant: TenantId
    by: str
    loop: str
    name: str
    version: str
    policy: Policy  # of the run
    digest: Digest  # of the house's policy
    canonical: bytes
    key: RunKey
    input: bytes
    finalise: Amounts


async def open_run(store: Store, world: World, opening: Opening, entry: StepEntry | None) -> Live | RunState:
    """Start a run, and enter its first step, in one transaction; or the run that this request joins.

    Raises NotStarted when the kill switch lets none start, and KeyIsTaken.
    """
    now, salt = world.now(), world.fresh(16)

    def opened(tx: Transaction) -> tuple[RunState, bool]:
        earlier = tx.find(opening.tenant, opening.key)
        if earlier is not None and joins(earlier, opening.key, now):
            if (earlier.loop, earlier.name) != (opening.loop, opening.name):
                raise KeyIsTaken(earlier, opening.key.key)
            return earlier, False
        switch = against_run(tx.switches(), opening.tenant, opening.name)
        if switch is not None:
            raise NotStarted(switch.note)
        tx.keep_policy(opening.digest, opening.canonical, now)
        return begin(tx, started(opening, salt, now), opening, entry, salt), True

    try:
        state, is_new = await store.transact(opened)
    except asyncio.CancelledError:  # it is committed all the same, and nobody will work on it
        await asyncio.shield(_abandon(store, world, opening, salt))
        raise
    return live_of(state, opening.policy, salt, entry) if is_new else state


def started(opening: Opening, salt: bytes, now: Millis) -> RunStarted:
    """The first event of a run."""
    return RunStarted(
        at=now,
        run=opening.run,
        tenant=opening.tenant,
        by=opening.by,
        loop=opening.loop,
        name=opening.name,
        version=opening.version,
        policy=opening.digest,
        input=keyed(salt, opening.input),
        deadline=Millis(now + opening.policy.limits.max_seconds * 1_000),
        finalise=opening.finalise,
    )


def begin(tx: Transaction, event: RunStarted, opening: Opening, entry: StepEntry | None, salt: bytes) -> RunState:
    """Start a run inside a transaction, and enter its first step."""
    state = tx.start(event, opening.key, salt)
    tx.keep(opening.run, "input", opening.input)
    return _enter(tx, state, opening.policy, entry, salt, event.at) if entry is not None else state


async def _abandon(store: Store, world: World, opening: Opening, salt: bytes) -> None:
    """Close a run whose caller went away while it was opened; this stands behind its opening in the queue."""
    with suppress(BridleError):  # it was not even started, or recovery closes it
        state = await store.transact(lambda tx: tx.state(opening.run))
        live = live_of(state, opening.policy, salt, None)
        await close_run(store, world, live, StopNote(StopReason.CANCELLED), None)


def joins(earlier: RunState, key: RunKey, now: Millis) -> bool:
    """Whether a request is answered by an earlier run: always under a caller's key, for ever.

    Without a key it joins an open run, or one of the last 24 h that the same input could not have gone better for.
    """
    if key.key or earlier.stop is None:
        return True
    if earlier.stop.reason is StopReason.KILLED:  # the person has decided: while the switch is on, none starts
        return False
    return earlier.stop.retry in (Retry.NEVER, Retry.HUMAN) and now - earlier.last_at < JOINS_FOR


def live_of(state: RunState, policy: Policy, salt: bytes, entry: StepEntry | None) -> Live:
    """The run, as this process works on it."""
    live = Live(state.run, state.tenant, state.name, state.loop, policy, policy, salt, state, state.epoch)
    if entry is not None:
        live.enter(node_policy(policy, live.name, entry.step))
    return live


def node_policy(policy: Policy, flow: str, step: str) -> Policy:
    """The policy inside a step. Its limits stay: those of a step count its own calls, from its entry on."""
    for name in (f"{flow}.{step}", step):
        narrowing = policy.nodes.get(name)
        if narrowing is not None:
            policy = policy.narrow(replace(narrowing, limits={}))
    return policy


def node_limits(policy: Policy, flow: str, step: str, own: LimitsPatch) -> LimitsPatch:
    """The limits of a step: what the flow and the policy's `nodes` say of it; empty for a plain step without any."""
    given = [policy.nodes.get(name, Narrowing()).limits for name in (f"{flow}.{step}", step)]
    found = dict(own)
    for patch in given:
        for name, limit in patch.items():
            found[name] = min(limit, found.get(name, limit))
    return found


def _enter(tx: Transaction, state: RunState, policy: Policy, entry: StepEntry, salt: bytes, now: Millis) -> RunState:
    halt = may_enter(state, policy.limits, now, tx.switches())
    if halt is not None:
        if state.phase is Phase.OPEN:
            return tx.append(state.run, state.epoch, [RunHalted(now, halt.reason, halt.detail)])
        return state
    seconds = entry.limits.get("max_seconds", 0)
    entered = StepEntered(
        at=now,
        step=entry.step,
        state=keyed(salt, entry.state),
        limits=entry.limits,
        deadline=Millis(now + seconds * 1_000 if seconds else 0),
        finalise={unit: held for unit, held in entry.finalise.items() if unit != ACTIVE_MS},
    )
    state = tx.append(state.run, state.epoch, [entered])
    tx.keep(state.run, f"state.{state.entered}", entry.state)
    return state


async def enter(store: Store, world: World, live: Live, entry: StepEntry) -> None:
    """Move to a step; what is pending is settled with it. The run may be halted instead: look at its state."""
    pending, party, now = tuple(live.pending), live.party, world.now()

    def entered(tx: Transaction) -> RunState:
        for settlement in pending:
            settle(tx, party, settlement)
        state = end_children(tx, tx.state(live.run), live.policy, now, "which went on without it")
        return _enter(tx, state, live.policy, entry, live.salt, now)

    live.state = await store.transact(entered)
    _settled(live, pending)
    live.remembered.clear()
    live.enter(node_policy(live.policy, live.name, entry.step))


async def close_run(store: Store, world: World, live: Live, wanted: StopNote, said: object) -> RunResult:
    """End a run, once: settle what is pending, close what is open, write the terminal event. Returns its result."""
    live.is_closing = True
    words, wanted = _last_words(said, wanted, live.policy)
    pending, party, now = tuple(live.pending), live.party, world.now()

    def closed(tx: Transaction) -> tuple[Recorded, bool]:
        for settlement in pending:
            settle(tx, party, settlement)
        state = tx.state(live.run)
        ends = state.phase is not Phase.STOPPED
        if ends:
            for call in tuple(state.open_calls):
                never_sent = Settlement(CallVoided(now, call), state.open_calls[call].tool, concurrency=1)
                settle(tx, party, never_sent if call in live.unsent else lost(state, call, now))
            state = tx.state(live.run)
            left(tx, state)
            meant = _overtaken(tx, state, wanted, live.policy, now)
            state = end_children(tx, state, live.policy, now, ending(state, meant).reason)
            note = ending(state, meant)
            answer = keyed(live.salt, words) if words else Digest("")
            state = tx.append(live.run, live.epoch, [RunStopped(now, note.reason, note.detail, answer)])
            if words:
                tx.keep(live.run, "answer", words)
            closed_into(tx, state, now)
        return tx.recorded(live.run), ends

    recorded, ends = await store.transact(closed)
    live.state = recorded.state
    _settled(live, pending)
    return result_of(recorded, words if ends else store.payload(live.run, "answer"))


def _overtaken(tx: Transaction, state: RunState, wanted: StopNote, policy: Policy, now: Millis) -> StopNote:
    """An answer that is too late, or of a run that was switched off, is a partial one: its code kept the loop busy."""
    if state.phase is not Phase.OPEN or wanted.reason is not StopReason.OK:
        return wanted
    switch = switched_off(tx, state)
    if switch is not None:
        return switch.note
    if now >= state.deadline:
        return StopNote(StopReason.MAX_SECONDS, out_of_time(state, policy.limits, now))
    return wanted


async def suspend(store: Store, world: World, live: Live) -> None:
    """Nobody works on the run any more: what is pending is settled, what never began goes back."""
    pending, party, now = tuple(live.pending), live.party, world.now()

    def suspended(tx: Transaction) -> RunState:
        for settlement in pending:
            settle(tx, party, settlement)
        state = tx.state(live.run)
        if state.phase is Phase.OPEN:
            for call in tuple(state.open_calls):
                never_sent = Settlement(CallVoided(now, call), state.open_calls[call].tool, concurrency=1)
                settle(tx, party, never_sent if call in live.unsent else lost(state, call, now, again=True))
            until = min((asked.until for asked in state.asked if asked.answer is None), default=now)
            state = tx.append(live.run, live.epoch, [RunSuspended(now, until)])
        tx.let_go(live.run)
        return state

    live.is_closing = True
    live.state = await store.transact(suspended)
    _settled(live, pending)


def _last_words(said: object, wanted: StopNote, policy: Policy) -> tuple[bytes, StopNote]:
    """What is kept of an answer, and the stop: a run ends whatever its code says; an answer that is none is no ok.

    One of another form than the policy wants is none either, and is kept as a partial result.
    """
    detail = {key: legible(value) if isinstance(value, str) else value for key, value in wanted.detail.items()}
    wanted = StopNote(wanted.reason, detail)
    is_ok = wanted.status is Status.OK
    if said is None and not (is_ok and policy.answers):
        return b"", wanted
    try:
        value = clean(said, max_bytes=MAX_ANSWER)
        error = next((one for schema in policy.answers for one in _form(schema).errors(value)), "") if is_ok else ""
        words = strict_json.canonical(value) if said is not None else b""
        return words, StopNote(StopReason.ANSWER_INVALID, {"error": error}) if error else wanted
    except BadJson as error:
        return b"", StopNote(StopReason.ANSWER_INVALID, {"error": legible(str(error))}) if is_ok else wanted


@lru_cache(maxsize=256)
def _form(schema: str) -> Schema:
    return Schema.of(json.loads(schema))


async def take_over(
    store: Store, world: World, run: RunId, policy: Policy, *, seen: int | None = None, drives: bool = True
) -> Live:
    """Fence off whoever worked on the run, close the calls that it left open, and remember those of its step.

    `seen` is the epoch in which it was found: raises Fenced when another worker took it over since.
    """
    now = world.now()

    def taken(tx: Transaction) -> tuple[RunState, bytes]:
        if seen is not None and tx.state(run).epoch != seen:
            raise Fenced(f"{run} was taken over by another worker")
        state = tx.take_over(run, now, drives=drives)
        recorded = tx.recorded(run)
        live = live_of(state, policy, recorded.salt, None)
        for call in tuple(state.open_calls):
            settle(tx, live.party, lost(state, call, now, again=True))
        switch = switched_off(tx, state)
        if switch is not None and tx.state(run).phase is Phase.OPEN:  # not even the code of its step begins again
            tx.append(run, state.epoch, [RunHalted(now, StopReason.KILLED, switch.detail)])
        return tx.state(run), recorded.salt

    state, salt = await store.transact(taken)
    live = live_of(state, policy, salt, None)
    live.node = node_policy(policy, state.name, state.step)
    remember(store, live)
    return live


def kept_state(store: Store, live: Live) -> object:
    """The flow's state as it was when the run entered its step."""
    kept = store.payload(live.run, f"state.{live.state.entered}")
    return json.loads(kept) if kept is not None else None


def _settled(live: Live, pending: Sequence[Settlement]) -> None:
    done = {settlement.call for settlement in pending}
    live.pending = [settlement for settlement in live.pending if settlement.call not in done]


def new_id(world: World) -> RunId:
    """A run id that sorts by time: milliseconds in base 32 (9 digits), then 40 bits of chance; Crockford's alphabet."""
    return RunId("r-" + _base32(world.now(), 9) + _base32(int.from_bytes(world.fresh(5), "big"), 8))


def _base32(number: int, digits: int) -> str:
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    return "".join(alphabet[number >> 5 * place & 31] for place in reversed(range(digits)))
