"""The house that stands in the storm: its policy, its tools, its flows, and the one foreign loop."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial

from bench.storm.tasks import (
    HONEST,
    HOSTILE,
    PRICED,
    RUNS_OF_A_HOUSE,
    SEEN_FROM,
    SEEN_TWICE,
    UNPRICED,
    WRITES,
    Shape,
    Task,
    amount_of,
)
from bench.storm.world import PRICE_IN, PRICE_OUT, Caller
from bridle.bridle import Bridle
from bridle.gateway.context import CallContext
from bridle.gateway.outcome import Observation, Refusal
from bridle.gateway.proposal import ToolWish
from bridle.gateway.world import World as OutsideWorld
from bridle.rules.failure import BridleError, ControlUnavailable
from bridle.rules.flow_of_information import FlowRule, Way, When
from bridle.rules.names import NANOS_PER_USD, USD_NANO, Millis, RunId, TenantId, ToolName, UsdNanos, usd
from bridle.rules.policy import Cap, Level, Limits, ModelPrice, Narrowing, Policy, Window
from bridle.rules.prompt import Message, ModelReply, ModelRequest, Prompt, Role
from bridle.rules.stop import Status
from bridle.rules.tool import ToolRule
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult
from bridle.runs.run import Run
from bridle.runs.signals import Denied

READS = ("kb.read", "web.read", "job.poll")
LIMITS = Limits(
    max_steps=30,
    max_seconds=90,
    max_model_calls=12,
    max_tool_calls=20,
    max_tokens=200_000,
    max_usd=UsdNanos(NANOS_PER_USD // 4),
)
NODE_TOOL_CALLS = 10
Share = Mapping[str, int | str]
SCOUT: Share = {"max_steps": 12, "max_model_calls": 10, "max_tool_calls": 10, "max_tokens": 180_000, "max_usd": "0.20"}
CLERK: Share = {"max_steps": 3, "max_model_calls": 1, "max_tool_calls": 7, "max_tokens": 2, "max_usd": "0.01"}
POST: Share = {"max_steps": 1, "max_model_calls": 1, "max_tool_calls": 3, "max_tokens": 1, "max_usd": "0.001"}
POLLS: Share = {"max_steps": 1, "max_model_calls": 1, "max_tool_calls": 2, "max_tokens": 1, "max_usd": "0.001"}
TOO_MUCH: Share = {"max_usd": "0.26"}  # more than there is
DOCUMENT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
TURNS = 8  # of the foreign loop
MOST = 1_000_000  # bytes of an output
SEATS = {"web.read": 4}  # calls in flight; of every other tool as many as nobody asks for
NO_WRITES = frozenset(ToolName(tool) for tool in WRITES)
GUARDED = FlowRule(writes_else=Way.DENY, writes_without_sinks=Way.DENY)
WAITS = ToolRule(approval=f'{{"properties":{{"amount":{{"minimum":{SEEN_FROM}}}}}}}')


def caps_of(runs: int) -> tuple[Cap, ...]:
    """What a house and its tenants may spend, so that so many runs are enough to meet it."""
    share = max(runs // RUNS_OF_A_HOUSE, 1)
    return (
        Cap(Level.HOUSE, USD_NANO, Window.DAY, UsdNanos(share * usd(20))),
        Cap(Level.TENANT, USD_NANO, Window.NONE, UsdNanos(share * usd("0.05")), HOSTILE),
        *(Cap(Level.TENANT, USD_NANO, Window.DAY, UsdNanos(share * usd(5)), tenant) for tenant in HONEST),
    )


POLICY = Policy(
    allow=frozenset(ToolName(tool) for tool in (*READS, *WRITES)),
    limits=LIMITS,
    tools={ToolName("refund.create"): WAITS},
    models={model: ModelPrice(PRICE_IN, PRICE_OUT, max_output=1_024) for model in PRICED},
    tenants={TenantId(HOSTILE): Narrowing(limits={"max_tool_calls": 12})},
    flows={"guest": Narrowing(flow_rule=GUARDED)},
    nodes={"ask": Narrowing(deny=NO_WRITES)},
    require_approval=False,
    flow_rule=FlowRule(when=When.NEVER),  # who may write is said by node; a guest has none
    max_refusals=5,
)


def _asking(name: str, model: str) -> Flow:
    flow = Flow(name)
    flow.investigate("ask", model=model, goal="task {task}: what is known?", tools=READS)
    return flow


def _desk(name: str, model: str) -> Flow:
    flow = Flow(name)

    @flow.step(to=["ask"])
    async def gather(run: Run, state: object) -> str:
        assert isinstance(state, dict)
        state["read"] = [await _tried(run, "kb.read", task=state["task"], doc=doc) for doc in (-1, -2)]
        return "ask"

    flow.investigate(
        "ask", model=model, goal="task {task}: what is known?", tools=READS, into="found",
        limits={"max_tool_calls": NODE_TOOL_CALLS}, to={"found": "send"},
    )  # fmt: skip

    @flow.step()
    async def send(run: Run, state: object) -> object:
        assert isinstance(state, dict)
        await _mailed(run, state["task"])
        await _paid(run, state["task"])
        return state["found"]

    return flow


async def _mailed(run: Run, task: int) -> None:
    for to in ("user", "archive"):
        await _tried(run, "mail.send", task=task, to=f"{to}-{task}@home.example")


async def _paid(run: Run, task: int) -> None:
    await _tried(run, "charge.card", task=task)
    await _tried(run, "book.seat", task=task)
    for _ in range(2 if amount_of(task) >= SEEN_TWICE else 1):  # what was allowed once is not allowed twice
        await _tried(run, "refund.create", task=task, amount=amount_of(task))


def _post() -> Flow:
    flow = Flow("post")

    @flow.step()
    async def mail(run: Run, state: object) -> object:
        assert isinstance(state, dict)
        await _mailed(run, state["task"])
        return "sent"

    return flow


def _clerk() -> Flow:
    flow = Flow("clerk")

    @flow.step()
    async def pay(run: Run, state: object) -> object:
        assert isinstance(state, dict)
        done = await asyncio.gather(_part(run, POSTING, state["task"], POST), _paid(run, state["task"]))
        return done[0]

    return flow


def _team() -> Flow:
    flow = Flow("team")

    @flow.step(to=["tell"])
    async def share(run: Run, state: object) -> str:
        assert isinstance(state, dict)
        task, model = state["task"], state["model"]
        parts = [_part(run, CLERKS, task, CLERK), *([_part(run, POLLING, task, POLLS)] if task % 3 == 0 else [])]
        scout = run.child(FLOWS[Shape.ASK, model], {"task": task}, budgets=SCOUT)
        found, _ = await asyncio.gather(scout, asyncio.gather(*parts))
        assert found.stop is not None
        if found.status is not Status.OK:
            raise Denied(found.stop.reason, found.stop.detail, found.stop.text())
        if task % 3 == 1:
            await _part(run, POLLING, task, TOO_MUCH)
        if task % 3 == 2:
            _left_behind(_part(run, POLLING, task, POLLS))
            await _tried(run, "kb.read", task=task, doc=-1)
        state["found"] = found.answer
        return "tell"

    @flow.step()
    async def tell(run: Run, state: object) -> object:
        assert isinstance(state, dict)
        return state["found"]

    return flow


async def _part(run: Run, flow: Flow, task: int, share: Share) -> str:
    """How a part of the work ended that a step can do without."""
    try:
        result = await run.child(flow, {"task": task}, budgets=share)
    except Denied as denied:
        return str(denied.reason)
    assert result.stop is not None
    return str(result.stop.reason)


def _left_behind(part: Coroutine[object, object, str]) -> None:
    """Nobody waits for it."""
    task = asyncio.ensure_future(part)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _polling(name: str) -> Flow:
    flow = Flow(name)

    @flow.step()
    async def poll(run: Run, state: object) -> object:
        assert isinstance(state, dict)
        for _ in range(9):
            said = await _tried(run, "job.poll", task=state["task"])
            if said in ("done", None):
                return said or "nobody knows"
        return "still at work"

    return flow


async def _tried(run: Run, tool: str, **args: object) -> object:
    """A call that a step can do without."""
    try:
        value = (await run.call(tool, args)).value
    except Denied:
        return None
    return value["text"] if isinstance(value, dict) else None


POLLING, POSTING, CLERKS, TEAM = _polling("poll"), _post(), _clerk(), _team()
FLOWS = {
    (shape, model): made(f"{shape}-{model[4:]}", model)
    for shape, made in ((Shape.ASK, _asking), (Shape.DESK, _desk))
    for model in (*PRICED, UNPRICED)
}


def flow_of(task: Task) -> Flow:
    """The flow that a task asks for."""
    return {Shape.POLL: POLLING, Shape.TEAM: TEAM}.get(task.shape) or FLOWS[task.shape, task.model]


def given_to(task: Task) -> dict[str, object]:
    """What its flow is given."""
    return {"task": task.number} | ({"model": task.model} if task.shape is Shape.TEAM else {})


async def foreign_loop(run: Run, task: Task) -> str:
    """An agent that is not ours: it asks, calls what it was told to, and asks again."""
    prompt = Prompt("Follow the policy.").with_message(Message(Role.USER, f"task {task.number}: what is known?"))
    offers = run.offered(tuple(ToolName(tool) for tool in READS))
    for _ in range(TURNS):
        reply = await run.model(prompt.request(task.model, offers, 1_024))
        prompt = prompt.with_message(Message(Role.ASSISTANT, reply.text, reply.uses))
        if not reply.uses:
            return reply.text
        outcomes = await run.calls([ToolWish(ToolName(use.name), use.arguments) for use in reply.uses])
        for use, outcome in zip(reply.uses, outcomes, strict=True):
            assert isinstance(outcome, Observation | Refusal)
            prompt = prompt.with_message(Message(Role.TOOL, outcome.text, answers=use.id))
    return "it took too many turns"


async def requested(house: Bridle, task: Task, waits_for: RunId) -> RunResult | None:
    """What a house answers to a user, who may have been told to wait; None when his loop's run ended with its worker.

    Raises ControlUnavailable when it could not even start it.
    """
    if waits_for:
        return await house.result(waits_for)
    if task.shape is not Shape.ATTACHED:
        return await house.run(
            flow_of(task), given_to(task), tenant=task.tenant, by=f"u{task.number}", key=task.key or None
        )
    attached = None
    try:
        async with house.attach(
            agent="guest", task=f"task {task.number}", tenant=task.tenant, key=task.key
        ) as attached:
            attached.finish(answer=await foreign_loop(attached, task))
    except Denied:
        pass
    except ControlUnavailable:
        raise
    except BridleError:
        return None
    assert attached is not None
    return attached.result


PRESENT: ContextVar[Caller] = ContextVar("in whose name something is done")


@dataclass(frozen=True, slots=True)
class FarModel:
    """The client of a model of the world."""

    name: str

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - the port's word
        """Ask the world once."""
        return await PRESENT.get().world.think(PRESENT.get(), request)

    async def aclose(self) -> None:
        """Nothing to give back."""


async def _read(task: int, doc: int, *, call: CallContext) -> object:
    return await _served("kb.read", call, task=task, doc=doc)


async def _look(task: int, q: str, *, call: CallContext) -> object:
    return await _served("web.read", call, task=task, q=q)


async def _poll(task: int, job: int | None = None, *, call: CallContext) -> object:
    return await _served("job.poll", call, task=task, **({} if job is None else {"job": job}))


async def _send(task: int, to: str, *, call: CallContext) -> object:
    return await _served("mail.send", call, task=task, to=to)


async def _charge(task: int, *, call: CallContext) -> object:
    return await _served("charge.card", call, task=task)


async def _book(task: int, *, call: CallContext) -> object:
    return await _served("book.seat", call, task=task)


async def _is_booked(key: str) -> object:
    return await PRESENT.get().world.probe(PRESENT.get(), "book.seat", key)


async def _is_charged(key: str) -> object:
    return await PRESENT.get().world.probe(PRESENT.get(), "charge.card", key)


async def _refund(task: int, amount: int, *, call: CallContext) -> object:
    return await _served("refund.create", call, task=task, amount=amount)


async def _served(tool: str, call: CallContext, **args: object) -> object:
    return await PRESENT.get().world.serve(PRESENT.get(), tool, args, call)


def furnished(store: str, world: OutsideWorld, runs: int = RUNS_OF_A_HOUSE) -> Bridle:
    """A house for so many runs under the policy of the storm, with its tools and models; it knows every flow."""
    models = {name: FarModel(name) for name in (*PRICED, UNPRICED)}
    b = Bridle(replace(POLICY, caps=caps_of(runs)), store, models=models, world=world)
    declared = partial(b.declare, output=DOCUMENT, timeout=10, max_bytes=MOST)
    declared("kb.read", _read, effect="read", source="trusted")
    declared("web.read", _look, effect="read", cost="$0.002", concurrency=SEATS["web.read"])
    declared("job.poll", _poll, effect="read", reuse="never")
    declared("mail.send", _send, effect="write", sinks={"to": ["user"]})
    declared("refund.create", _refund, effect="write", summary="Refund {amount} for task {task}")
    declared("charge.card", _charge, effect="write", idempotency="key", key="charge:{task}", probe=_is_charged)
    declared("book.seat", _book, effect="write", key="seat:{task}", probe=_is_booked, lands_within=2)
    for flow in (POLLING, POSTING, CLERKS, TEAM, *FLOWS.values()):
        b.register(flow)
    return b
