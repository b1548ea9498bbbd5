"""The fake world: models and tools that fail by the plan, and write down in the ledger everything that reached them."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bench.storm.ledger import Deed, Ledger, Line, Told
from bench.storm.plan import AMBIGUOUS, INJECTION, WIRE, Fault, Harm, Plan, chance_of
from bench.storm.tasks import ATTACKER, INJECTED, UNKEYED, UNPRICED, WRITES, Mind, Shape, Task, Turn, harm_of, mind_of
from bridle.gateway.cleaning import clean
from bridle.gateway.context import CallContext
from bridle.rules import strict_json
from bridle.rules.failure import CallFailed, FailureKind
from bridle.rules.names import Millis
from bridle.rules.prompt import BYTES_PER_TOKEN, Finish, ModelReply, ModelRequest, Role, ToolUse, Usage, is_pinned
from bridle.testing.hostile import HOSTILE

PRICE_IN, PRICE_OUT = 1_000, 4_000  # nano-dollars a token; the house's policy says the same
DOWN_EVERY, DOWN_FOR = 600.0, 60.0  # seconds
FOR_EVER = 86_400.0
KNOWS_KEYS = "charge.card"
DEPENDENCIES = ("kb", "web", "job", "mail", "refund", "charge", "book", "model")
PATIENCE = (None, Millis(0), Millis(250), Millis(2_000), Millis(7_000), Millis(-5), Millis(3_600_000))
LONG = Millis(60_000)  # who asks for more than this has refused
BAD_TEXT = ("bytes that are no UTF-8", "a lone surrogate", "NUL in text")
BAD_NUMBER = ("NaN", "infinity", "an integer of 5,000 digits", "depth 100,000")
UNKEYED_FAR_ENDS = tuple(tool.partition(".")[0] + "." for tool in UNKEYED)
CANARY = re.compile(r"canary-(\w+)")
HTML = "<!DOCTYPE html><html><body>Bad gateway, but with style</body></html>"


class Clock(Protocol):
    """The loop that the world lives in."""

    def time(self) -> float:
        """Seconds."""

    def now(self) -> Millis:
        """Unix milliseconds."""

    def call_later(self, delay: float, callback: Callable[[Line], None], line: Line) -> object:
        """Do it later."""


class Caller(Protocol):
    """Who asks: one life of a worker."""

    number: int
    world: "World"

    def must_live(self) -> None:
        """Raise when it is dead: the dead send nothing."""

    def stamp(self) -> int:
        """When it sent what it asks."""


@dataclass(slots=True)
class Fate:
    """What the world did to one task, from which it says whether an answer was possible at all."""

    faults: set[Fault] = field(default_factory=set)
    retries: int = 0  # attempts that an honest system had to make again
    is_spoiled: bool = False

    def met(self, fault: Fault, harm: Harm) -> None:
        """One more fault."""
        if fault is not Fault.NONE:
            self.faults.add(fault)
        self.retries += harm is Harm.ATTEMPT
        self.is_spoiled |= harm is Harm.RUN


class World:
    """The outside of one house."""

    def __init__(self, seed: int, tasks: Mapping[int, Task], plan: Plan, loop: Clock, pace: float = 1) -> None:
        self.ledger = Ledger()
        self._pace = pace  # of its answers: 1 is that of a slow day
        self.tasks = tasks
        self.fates = {number: Fate() for number in tasks}
        self._plan, self.loop = plan, loop
        self._minds: dict[int, Mind] = {number: mind_of(seed, task, plan) for number, task in tasks.items()}
        self._chances = {number: chance_of(seed, number, "wire") for number in tasks}
        self._polled: dict[int, int] = {}
        self._done: set[str] = set()  # keys of writes that took effect
        self._under_way = Counter[tuple[str, str]]()
        first = chance_of(seed, min(tasks), "weather")
        self._down_from = {name: first.uniform(0, DOWN_EVERY) for name in DEPENDENCIES}
        self._asks_patience: dict[str, Millis] = {}  # until when the models do not want to hear from a tenant
        self._broke_its_bound: set[str] = set()

    # A model

    async def think(self, caller: Caller, request: ModelRequest) -> ModelReply:
        """One request to a model, which belongs to the task that its first message names."""
        caller.must_live()
        number = int(request.messages[1].text.split(":", 1)[0].split()[1])
        task, chance = self.tasks[number], self._chances[number]
        said = sum(message.role is Role.ASSISTANT for message in request.messages)
        turn = self._minds[number].turn(said) if request.offers else Turn(f"task {number}, so far")
        fault = self._fault(task, "model")
        usage = self._usage(request, turn)
        line = self._asked(caller, task, request, fault, usage)
        if fault is Fault.NONE:
            line.fault = turn.fault
        self.fates[number].met(turn.fault, harm_of(turn))
        if turn.fault is Fault.USAGE_ABOVE and line.cost:
            self._broke_its_bound.add(request.model)
            usage = Usage(usage.tokens_in, 10 * request.max_output)
            line.cost = cost_of(usage)
            line.beyond = line.cost - cost_of(Usage(request.size, request.max_output))
            line.tokens = usage.tokens_in + usage.tokens_out
        await asyncio.sleep(self._pace * chance.uniform(0.3, 3))
        await self._failed(fault, task, "model")
        reply = ModelReply(turn.text, turn.uses, usage, Finish.TOOL_CALLS if turn.uses else turn.finish)
        return self._spoken(reply, turn, fault, request)

    def _asked(self, caller: Caller, task: Task, request: ModelRequest, fault: Fault, usage: Usage) -> Line:
        billed = fault not in (Fault.DOWN, Fault.RATE_LIMITED)
        newest = request.messages[-1 - self._trailing(request) :]
        return self.ledger.write(
            Line(
                caller.stamp(), self.loop.now(), Deed.ASKED, task.number, request.model, fault, caller.number,
                cost=cost_of(usage) if billed else 0,
                tokens=usage.tokens_in + usage.tokens_out if billed else 0,
                tenants=frozenset(CANARY.findall(" ".join(message.text for message in newest))),
                is_pinned=is_pinned(request),
            )
        )  # fmt: skip

    def _trailing(self, request: ModelRequest) -> int:
        """How many messages stand after the last reply, less one."""
        trailing = 0
        for message in reversed(request.messages):
            if message.role is Role.ASSISTANT:
                break
            trailing += 1
        return max(trailing - 1, 0)

    def _usage(self, request: ModelRequest, turn: Turn) -> Usage:
        written = len(turn.text) + sum(len(use.arguments) for use in turn.uses)
        return Usage(max(1, request.size // BYTES_PER_TOKEN), min(1 + written // BYTES_PER_TOKEN, request.max_output))

    def _spoken(self, reply: ModelReply, turn: Turn, fault: Fault, request: ModelRequest) -> ModelReply:
        text, uses, usage, finish = reply.text, reply.uses, reply.usage, reply.finish
        obeys = any(INJECTED in message.text for message in request.messages[-1 - self._trailing(request) :])
        if obeys and uses:
            args = strict_json.canonical({"task": 0, "to": ATTACKER}).decode()
            uses = (*uses, ToolUse("call_eve", "mail.send", args))
        match fault if fault is not Fault.NONE else turn.fault:
            case Fault.DRIFT:
                return {"choices": []}  # type: ignore[return-value]  # a client that does not keep its port
            case Fault.HUGE:
                text, uses, finish = "x" * 8_000_000, (), Finish.STOP
            case Fault.BAD_TEXT:
                text = f"{text} \ud800\x00"
            case Fault.BAD_NUMBER:
                usage = Usage(10**5_000, -1)
            case Fault.TWICE:
                uses = (*uses, *uses)
            case Fault.USAGE_MISSING:
                usage = None
            case _:
                pass
        return ModelReply(text, uses, usage, finish)

    # A tool

    async def serve(self, caller: Caller, tool: str, args: Mapping[str, object], call: CallContext) -> object:
        """One call of a tool; every argument names the task it is for."""
        caller.must_live()
        number = args["task"]
        assert isinstance(number, int)
        is_honest = args.get("to") != ATTACKER
        task = self.tasks[number] if is_honest else self.tasks[min(self.tasks)]
        dependency = tool.partition(".")[0]
        fault = self._fault(task, dependency)
        line = self.ledger.write(
            Line(
                caller.stamp(), self.loop.now(), Deed.CALLED, task.number, tool, fault, caller.number,
                call.run, call.call, call.key, strict_json.canonical(clean(args, max_bytes=10_000)), told=Told.NOTHING,
                is_honest=is_honest, cost=2_000_000 if tool == "web.read" else 0,
            )
        )  # fmt: skip
        crowd = (task.tenant, tool)
        self._under_way[crowd] += 1
        line.crowd = self._under_way[crowd]
        try:
            return await self._answered(line, task, args, dependency)
        finally:
            self._under_way[crowd] -= 1

    async def _answered(self, line: Line, task: Task, args: Mapping[str, object], dependency: str) -> object:
        """What comes back, if anything does."""
        chance, fault = self._chances[task.number], line.fault
        if line.name in WRITES:
            self._carry_out(line, fault, chance.random(), chance.uniform(0.01, 0.05))
        await asyncio.sleep(self._pace * chance.uniform(0.05, 1.5))
        try:
            await self._failed(fault, task, dependency)
        except CallFailed as failed:
            if failed.happened is not None or failed.kind in (FailureKind.RATE_LIMITED, FailureKind.INVALID_OUTPUT):
                line.told = Told.TRUTH
            raise
        line.told = Told.TRUTH
        return self._output(line.name, task, args, fault)

    def _carry_out(self, line: Line, fault: Fault, luck: float, after: float) -> None:
        """A write takes effect at the far end, whether or not anybody waits for the answer."""
        if fault in (Fault.DOWN, Fault.RATE_LIMITED):
            return
        if fault in (Fault.SERVER_ERROR, Fault.TIMEOUT, Fault.DRIP, Fault.NEVER_CLOSES) and luck < 0.5:
            return
        for _ in range(2 if fault is Fault.TWICE and line.name == KNOWS_KEYS else 1):
            self.loop.call_later(after, self._took_effect, line)

    def _took_effect(self, line: Line) -> None:
        if line.name == KNOWS_KEYS and line.key in self._done:
            return  # it has seen this key, and does nothing twice
        self._done.add(line.key)
        effect = Line(
            self.ledger.stamp(), self.loop.now(), Deed.EFFECT, line.task, line.name, line.fault, line.worker,
            line.run, line.call, line.key, line.args, is_honest=line.is_honest,
        )  # fmt: skip
        self.ledger.write(effect)

    async def probe(self, caller: Caller, tool: str, key: str) -> object:
        """Whether a write under this key took effect: its receipt, or None."""
        caller.must_live()
        await asyncio.sleep(self._pace * 0.1)
        if self._plan.factor and self.is_down(tool.partition(".")[0]):
            raise CallFailed(FailureKind.UNAVAILABLE, "connection refused", happened=False)
        return {"text": f"receipt of {key}"} if key in self._done else None

    def _output(self, tool: str, task: Task, args: Mapping[str, object], fault: Fault) -> object:
        chance = self._chances[task.number]
        text = f"{tool} for {sorted(args.items())} (canary-{task.tenant})"
        if tool == "job.poll":
            polled = self._polled[task.number] = self._polled.get(task.number, 0) + 1
            done = "job" not in args and polled >= task.polls
            text = "done" if done else "stuck" if "job" in args else f"{polled} of {task.polls}"
        if tool == "web.read" and self._plan.happens(INJECTION, chance):
            text = f"{text} {INJECTED}"
            self.fates[task.number].met(Fault.INJECTION, Harm.NONE)
        match fault:
            case Fault.OTHER_REPLY:
                return {"text": "the reply of another call"}
            case Fault.HTML:
                return HTML
            case Fault.DRIFT:
                return {"txt": text}
            case Fault.HUGE:
                return {"text": "x" * (100_000_000 if chance.random() < 0.02 else 8_000_000)}
            case Fault.BAD_TEXT:
                return self.hostile(chance.choice(BAD_TEXT))
            case Fault.BAD_NUMBER:
                return self.hostile(chance.choice(BAD_NUMBER))
            case _:
                return {"text": text}

    def hostile(self, name: str) -> object:
        """A value that no caller should swallow."""
        return HOSTILE[name]()

    # What goes wrong

    def _fault(self, task: Task, dependency: str) -> Fault:
        chance, fate = self._chances[task.number], self.fates[task.number]
        fault = self._plan.draw("wire", chance)
        if self._plan.factor and self.is_down(dependency):
            fault = Fault.DOWN
            fate.met(fault, Harm.RUN if dependency == "model" else Harm.CALL)
        elif fault is not Fault.NONE:
            fate.met(fault, WIRE[fault].model if dependency == "model" else WIRE[fault].tool)
            fate.is_spoiled |= f"{dependency}." in UNKEYED_FAR_ENDS and fault in AMBIGUOUS
        return fault

    def is_down(self, dependency: str) -> bool:
        """Whether a dependency is down now: a minute of every ten."""
        return (self.loop.time() - self._down_from[dependency]) % DOWN_EVERY < DOWN_FOR

    def looks_back(self, task: Task, asked: Millis) -> None:
        """What stood in the way of a task from its first press until now, whether or not it was ever sent there."""
        fate, now, passed = self.fates[task.number], self.loop.time(), self.loop.now() - asked
        if self._plan.factor == 0 or task.shape is Shape.POLL:
            return
        since_down = (now - self._down_from["model"]) % DOWN_EVERY
        if since_down - passed / 1_000 < DOWN_FOR:
            fate.met(Fault.DOWN, Harm.RUN)
        if self._asks_patience.get(task.tenant, 0) > asked + LONG:
            fate.met(Fault.RATE_LIMITED, Harm.RUN)
        if task.model in self._broke_its_bound:
            fate.met(Fault.USAGE_ABOVE, Harm.RUN)
        if task.model == UNPRICED:
            fate.met(Fault.PRICE_MISSING, Harm.RUN)

    async def _failed(self, fault: Fault, task: Task, dependency: str) -> None:
        chance = self._chances[task.number]
        match fault:
            case Fault.DOWN:
                raise CallFailed(FailureKind.UNAVAILABLE, "connection refused", happened=False)
            case Fault.RATE_LIMITED:
                patience = chance.choice(PATIENCE) if chance.random() < 0.2 else PATIENCE[chance.randrange(4)]
                if patience is not None and patience > LONG:
                    if dependency == "model":
                        self._asks_patience[task.tenant] = Millis(self.loop.now() + patience)
                    self.fates[task.number].met(fault, Harm.RUN if dependency == "model" else Harm.CALL)
                raise CallFailed(FailureKind.RATE_LIMITED, "429", retry_after=patience)
            case Fault.SERVER_ERROR:
                raise CallFailed(FailureKind.UNAVAILABLE, "500")
            case Fault.TIMEOUT:
                await asyncio.sleep(FOR_EVER)
            case Fault.DRIP | Fault.NEVER_CLOSES:
                for _ in range(1_000):
                    await asyncio.sleep(1)
            case Fault.REPLY_LOST:
                raise ConnectionResetError("the connection broke after the request was sent")
            case Fault.MALFORMED:
                raise CallFailed(FailureKind.INVALID_OUTPUT, '{"text": "cut of')
            case Fault.HTML if dependency == "model":
                raise CallFailed(FailureKind.INVALID_OUTPUT, HTML)
            case _:
                pass


def cost_of(usage: Usage) -> int:
    """What the far end bills, in nano-dollars."""
    return usage.tokens_in * PRICE_IN + usage.tokens_out * PRICE_OUT
