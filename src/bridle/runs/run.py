"""A live run, as a flow's step or a foreign loop holds it: everything it can do goes through the gateway."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from bridle.gateway import offers
from bridle.gateway.callee import Callee
from bridle.gateway.context import CallContext
from bridle.gateway.gateway import Gateway
from bridle.gateway.live import Live
from bridle.gateway.outcome import Observation, Outcome, Refusal, Replied, Waiting
from bridle.gateway.proposal import ModelWish, ToolWish
from bridle.rules.call import Purpose
from bridle.rules.failure import BridleError
from bridle.rules.names import CallId, Millis, RunId, ToolName, UsdNanos
from bridle.rules.policy import Limits
from bridle.rules.prompt import ModelReply, ModelRequest, Role, ToolOffer, Usage
from bridle.rules.run import Phase
from bridle.rules.running_out import wraps_up
from bridle.rules.stop import StopNote
from bridle.runs.clamp import clamped
from bridle.runs.desk import Desk, Seat
from bridle.runs.ended import Ended
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult, spent_by
from bridle.runs.signals import Denied, Held, Stop

Begin = Callable[[Live, Flow, object, Mapping[str, int | str]], Awaitable[RunResult]]


class Run:
    """The only thing that a step or a foreign loop is given. `call` and `model` raise Stop when the run is halted."""

    def __init__(self, live: Live, gateway: Gateway, desk: Desk, begin: Begin | None = None) -> None:
        self._begin = begin
        self._live = live
        self._gateway = gateway
        self._desk = desk
        self._is_finished = False
        self._answer: object = None
        self._partial: object = None
        self._result: RunResult | None = None

    @property
    def id(self) -> RunId:
        """The run's id."""
        return self._live.run

    @property
    def tenant(self) -> str:
        """Whose run it is."""
        return self._live.tenant

    @property
    def spent(self) -> Mapping[str, int]:
        """What is settled so far, by unit."""
        return {str(unit): used for unit, used in spent_by(self._live.state).items()}

    def now(self) -> Millis:
        """The run's clock, in Unix milliseconds."""
        return self._gateway.world.now()

    async def call(
        self,
        name: str,
        args: Mapping[str, object] | None = None,
        perform: Callable[..., object] | None = None,
    ) -> Observation:
        """Call a tool. `perform` performs it where the tool is not bridle's own; it is given the arguments by name.

        One with a parameter `call` is given the CallContext too, with the key that the far end of a write is sent.

        Raises Denied when the call was refused or failed and the run goes on, Stop when it does not, and Held when it
        waits for a person: a flow comes back to this call by itself when he has answered.
        """
        wish = ToolWish(ToolName(name), args or {})
        if perform is not None:
            wants_call = _wants_call(perform)
            callee, given = Callee(perform, asyncio.iscoroutinefunction(perform), wants_call), dict(args or {})
            wish = ToolWish(ToolName(name), args or {}, lambda call: callee(call, given), sends_key=wants_call)
        (outcome,) = await self.calls([wish])
        if isinstance(outcome, Observation):
            return outcome
        assert isinstance(outcome, Refusal)
        raise Denied(outcome.reason, outcome.detail, outcome.text)

    async def calls(self, wishes: Sequence[ToolWish]) -> list[Outcome]:
        """Several tools at once, all admitted before any is performed. Refusals come back as values.

        Raises Stop when the run is halted.
        """
        outcomes = await self.acted(wishes)
        self._raise_stop()
        return outcomes

    async def child(
        self, flow: Flow, given: object = None, /, *, budgets: Mapping[str, int | str] | None = None
    ) -> RunResult:
        """Run another flow as a child of this run; its stop is a result, never an exception.

        `budgets` are its limits (`max_tool_calls`, `max_usd`, ...), set aside from what this run has left before it
        begins; what they leave out is as the policy has it for that flow, or what is left. Raises Denied when this run
        cannot fund it (nothing is started then), Stop when this run is halted, and Held while the child waits for a
        person: the flow comes back to this place by itself.
        """
        if self._begin is None:
            raise BridleError("only a step of a flow has children; an attached loop asks for runs of its own")
        try:
            result = await self._begin(self._live, flow, given, budgets or {})
        except Denied:
            self._raise_stop()
            raise
        self._raise_stop()
        return result

    async def model(
        self,
        request: ModelRequest,
        perform: Callable[[ModelRequest, Millis], Awaitable[ModelReply]] | None = None,
    ) -> ModelReply:
        """Ask a model. `perform` asks it where the client is not bridle's own; it is given the time left, in ms.

        Raises Denied when the model failed and the run goes on, and Stop when it does not.
        """
        if any(message.role is Role.SYSTEM for message in request.messages[1:]):
            raise BridleError("only the first message of a request speaks as the system; put the rest into it")
        seat = self._desk.seat(request.model, self._live.policy, foreign=perform is not None)
        outcome = await self.asked(seat, request, perform=perform)
        if isinstance(outcome, Replied):
            return outcome.reply
        assert isinstance(outcome, Refusal)
        self._raise_stop()
        raise Denied(outcome.reason, outcome.detail, outcome.text)

    def seat(self, model: str) -> Seat:
        """The model of this name, with its price, under the run's policy."""
        return self._desk.seat(model, self._live.policy)

    async def asked(
        self,
        seat: Seat,
        request: ModelRequest,
        purpose: Purpose = Purpose.WORK,
        perform: Callable[[ModelRequest, Millis], Awaitable[ModelReply]] | None = None,
    ) -> Outcome:
        """Ask a model; what is refused comes back as a value, the halt included."""
        live = self._live
        sent, ceiling = clamped(seat, request, live.state, live.node.limits, purpose)

        def work(call: CallContext, left: Millis) -> Awaitable[ModelReply]:
            marked = sent.marked(call.attempt, call.key)
            if perform is not None:
                return perform(marked, left)
            assert seat.model is not None
            return seat.model.complete(marked, timeout=left)

        cost = seat.price.cost if seat.price is not None else _no_price
        (outcome,) = await self._gateway.call(
            live, [ModelWish(sent, work, ceiling, cost, purpose, is_foreign=perform is not None or not seat.is_ours)]
        )
        if isinstance(outcome, Waiting):  # nobody is asked about a model: another branch of its step waits
            raise Held(self.id, outcome.call, outcome.until)
        live.asked = len(outcome.reply.uses) if isinstance(outcome, Replied) else 0
        return outcome

    @property
    def wraps_up(self) -> bool:
        """Whether 80 % of any limit, or 95 % of a window of the tenant's, is used: time to finish."""
        return self._live.is_strained or wraps_up(self._live.state, self._live.node.limits, self.now())

    # For the investigation and the runner

    async def acted(self, wishes: Sequence[ToolWish]) -> list[Outcome]:
        """The tool calls of one model reply; refusals, the halt included, come back as values.

        Raises Held, when the others of the turn are done, where one of them waits for a person.
        """
        outcomes = await self._gateway.call(self._live, wishes)
        self._live.asked = max(self._live.asked - len(wishes), 0)
        told: list[Outcome] = []
        for outcome in outcomes:
            if not isinstance(outcome, Waiting):
                told.append(outcome)
            elif (note := self._live.state.stop or self._live.state.halt) is None:
                raise Held(self.id, outcome.call, outcome.until)
            else:  # the run is halted meanwhile, and asks nobody any more
                told.append(Refusal(outcome.tool, note.reason, note.detail, halts=True))
        return told

    async def halt(self, note: StopNote) -> None:
        """Nothing else is admitted but the finalise call."""
        await self._gateway.halt(self._live, note)

    def stopped(self, note: StopNote, partial: object) -> Stop:
        """The messenger of a halt. The first halt wins over what came of it."""
        return Stop(self._live.state.halt or note, partial)

    def allowed(self, tools: tuple[ToolName, ...]) -> tuple[ToolOffer, ...]:
        """Which of these the policy allows."""
        return offers.allowed(self._gateway, self._live, tools)

    def offered(self, tools: tuple[ToolName, ...], *, finishing: bool = False) -> tuple[ToolOffer, ...]:
        """Which of these a model is shown: the allowed ones that are not off, and nothing expensive at the end.

        What is off is in `off` from then on, and in the journal with the next call.
        """
        return offers.offered(self._gateway, self._live, tools, finishing=finishing)

    @property
    def off(self) -> Mapping[ToolName, Millis]:
        """The tools that the last `offered` left out because they are taken away, and until when; 0 if nobody knows."""
        return self._live.off

    @property
    def limits(self) -> Limits:
        """The limits of the step the run is in."""
        return self._live.node.limits.narrowed(self._live.state.limits)

    def finish(self, answer: object = None, partial: object = None) -> None:
        """Say what the run came to. In a flow it also ends the flow when the step returns nothing."""
        self._is_finished = True
        self._answer, self._partial = answer, partial

    @property
    def is_finished(self) -> bool:
        """Whether somebody called `finish`."""
        return self._is_finished

    def ended(self, note: StopNote) -> Ended:
        """The end that `finish` asked for."""
        return Ended(note, self._answer if self._partial is None else self._partial)

    @property
    def result(self) -> RunResult:
        """How it ended. Raises LookupError while it has not."""
        if self._result is None:
            raise LookupError(f"run {self.id} has not ended yet")
        return self._result

    def set_result(self, result: RunResult) -> None:
        """For the door that closed the run."""
        self._result = result

    def _raise_stop(self) -> None:
        state = self._live.state
        if state.phase is not Phase.OPEN:
            note = state.stop or state.halt
            if note is None:  # another branch of its step waits
                raise Held(self.id, CallId(""), state.suspended_at)
            raise Stop(note, self._partial)


def _no_price(usage: Usage) -> UsdNanos:
    raise AssertionError(f"a call without a price was performed: {usage}")


def _wants_call(perform: Callable[..., object]) -> bool:
    """Whether it has a parameter `call`; looked up in its code, because `inspect.signature` costs more than a call."""
    code = getattr(perform, "__code__", None)
    return code is not None and "call" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
