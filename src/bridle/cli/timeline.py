"""What happened in a run, one line for each thing that did."""

import json
from collections.abc import Callable
from typing import assert_never

from bridle.cli.outcome import why
from bridle.cli.screen import Span, bad, bold, counted, cut, dim, doubtful, duration, size, visible
from bridle.gateway.intents import BRIDLE
from bridle.rules.call import CallKind, Purpose
from bridle.rules.events import (
    ApprovalAsked,
    ApprovalDecided,
    ApprovalExtended,
    CallAdmitted,
    CallInDoubt,
    CallRefused,
    CallResolved,
    CallReused,
    CallSettled,
    CallVoided,
    ChildClosed,
    ChildFunded,
    ChildRefused,
    Event,
    LadderMoved,
    PayloadErased,
    RunHalted,
    RunResumed,
    RunStarted,
    RunStopped,
    RunSuspended,
    StepEntered,
    ToolsWithheld,
)
from bridle.rules.failure import FailureKind
from bridle.rules.health import Rung
from bridle.rules.names import (
    MILLIS_PER_SECOND,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Amounts,
    CallId,
    Digest,
    Effect,
    Millis,
    ToolName,
    show_time,
    show_usd,
)
from bridle.rules.policy import Limits
from bridle.rules.stop import Status, StopNote

Line = tuple[Span, ...]
Payload = Callable[[str], bytes | None]
IN_DOUBT = "in doubt: nobody knows whether it took effect"
LEAST_ARGS = 24  # columns of an excerpt, however narrow the terminal is
MOST_ARGS = 96

_FAILED = {
    FailureKind.UNAVAILABLE: "failed: the far end is not well",
    FailureKind.TIMEOUT: "failed: no answer in time",
    FailureKind.RATE_LIMITED: "failed: the far end asked to slow down",
    FailureKind.REJECTED: "failed: the far end rejected the request",
    FailureKind.CREDENTIALS: "failed: the credentials were not accepted",
    FailureKind.INVALID_OUTPUT: "failed: its output is not usable",
    FailureKind.CONTEXT_OVERFLOW: "failed: the request was too large",
    FailureKind.CRASHED: "failed: its code raised an error",
    FailureKind.CANCELLED: "cancelled: nobody waited for it any more",
}


class Timeline:
    """Turns events into lines, in their order. A call gets its line when it has ended.

    `payload` finds what a run kept beside its journal, by name; `width` is the room for a line.
    """

    def __init__(self, started_at: Millis, payload: Payload, width: int) -> None:
        self._started_at = started_at
        self._payload = payload
        self._width = width
        self._open: dict[CallId, CallAdmitted] = {}
        self._args_of: dict[tuple[ToolName, Digest], CallId] = {}

    def told(self, event: Event) -> list[Line]:
        """The lines of one event; an admission has none yet."""
        match event:
            case RunStarted():
                whose = "attached agent" if event.loop == "attach" else "flow"
                said = f"started: {whose} {event.name}, for {event.tenant}, by {event.by}"
                said += f", as a child of {event.parent}" if event.parent else ""
                return [self._line(event.at, said)]
            case StepEntered():
                return [self._line(event.at, bold(f"step {event.step}"), dim(_limits(event)))]
            case CallAdmitted():
                self._open[event.call] = event
                self._args_of.setdefault((event.tool, event.args), event.call)
                return []
            case CallSettled():
                return [self._settled(event)]
            case CallReused():
                whose = f"the receipt of {event.run}/{event.of}" if event.run else f"the result of {event.of}"
                reused: Line = (dim(f" = {whose}, reused"),)
                return [self._call(event.at, event.call, event.tool, event.args, reused)]
            case CallRefused():
                return [self._refused(event)]
            case CallVoided():
                admitted = self._open.pop(event.call)
                return [self._ended(admitted, (dim(" -> never sent; what it held went back"),))]
            case CallInDoubt():
                admitted = self._open.pop(event.call)
                said = "not known whether it took effect; bridle finds out" if event.again else IN_DOUBT
                return [self._ended(admitted, (bad(f" -> {said}"),))]
            case CallResolved():
                return [self._resolved(event)]
            case ApprovalAsked() | ApprovalDecided() | ApprovalExtended() | RunSuspended():
                return [self._waits(event)]
            case RunResumed():
                return [self._line(event.at, bold(f"resumed after {duration(event.away)} away"))]
            case ChildFunded() | ChildRefused() | ChildClosed():
                return [self._child(event)]
            case RunHalted():
                return [self._line(event.at, doubtful(f"halted: {StopNote(event.reason, event.detail).text()}"))]
            case RunStopped():
                return [self._stopped(event)]
            case LadderMoved():
                return [self._line(event.at, (dim if event.now < event.was else doubtful)(_moved(event)))]
            case ToolsWithheld():
                return [self._line(event.at, (doubtful if event.off else dim)(_withheld(event)))]
            case PayloadErased():
                said = f"erased: {counted(event.payloads, 'payload')} of {size(event.bytes)}, by {event.by}"
                return [self._line(event.at, doubtful(said + (f": {event.because}" if event.because else "")))]
            case _:
                assert_never(event)

    def _child(self, event: ChildFunded | ChildRefused | ChildClosed) -> Line:
        if isinstance(event, ChildFunded):
            money = dim(f" ({counted(event.hold.get(TOOL_CALLS, 0), 'tool call')}, {_money(event.hold)} set aside)")
            return self._line(event.at, "  child ", bold(event.child), f" of flow {event.name}", money)
        if isinstance(event, ChildRefused):
            why_not = StopNote(event.reason, event.detail).text()
            return self._line(event.at, f"  child of flow {event.name}", bad(f" refused ({event.reason}): {why_not}"))
        spent = dim(f", {counted(event.used.get(TOOL_CALLS, 0), 'tool call')}, {_money(event.used)}")
        return self._line(event.at, "  child ", bold(event.child), f" ended {event.reason}", spent)

    def _resolved(self, event: CallResolved) -> Line:
        known = "it took effect" if event.happened else "it took no effect"
        whose = f", by {event.by}" if event.by != BRIDLE else ""
        return self._line(event.at, f"  {event.call:<4} ", bold(known), dim(f" ({event.because}{whose})"))

    def _waits(self, event: ApprovalAsked | ApprovalDecided | ApprovalExtended | RunSuspended) -> Line:
        if isinstance(event, ApprovalAsked):
            asked: Line = (doubtful(f" -> waits for a person until {show_time(event.until)}"),)
            return self._call(event.at, event.call, event.tool, event.args, asked)
        if isinstance(event, ApprovalDecided):
            reason = f": {event.said}" if event.said else ""
            return self._line(event.at, bold(f"{event.call}: {event.by} said {event.answer}"), reason)
        if isinstance(event, ApprovalExtended):
            still = f"its clock stood still while it was switched off: until {show_time(event.until)}"
            return self._line(event.at, bold(f"{event.call}: "), still)
        return self._line(event.at, bold("suspended: nothing goes on until a person has answered"))

    def waiting(self) -> list[Line]:
        """The calls that have not ended."""
        return [self._ended(admitted, (doubtful(" -> still open"),)) for admitted in self._open.values()]

    def _settled(self, event: CallSettled) -> Line:
        admitted = self._open.pop(event.call)
        took = duration(event.at - admitted.at)
        money = event.used.get(USD_NANO, 0)
        cost = f", {show_usd(money)}" if money else ""
        if event.failure is not None:
            return self._ended(admitted, (bad(f" -> {_FAILED[event.failure]}"), dim(f" ({took}{cost})")))
        if admitted.kind is CallKind.MODEL:
            wish = f"asks for {counted(event.asked, 'tool call')}" if event.asked else "answers"
            tokens = f"{event.used.get(TOKENS_IN, 0):,} tokens in, {event.used.get(TOKENS_OUT, 0):,} out"
            over = (bad(" used more than it declared"),) if event.overrun else ()
            return self._ended(admitted, (f" -> {wish}", dim(f" ({tokens}, {took}{cost})"), *over))
        kept = self._payload(f"{event.call}.result")
        came = size(len(kept)) if kept is not None else "done"
        return self._ended(admitted, (f" -> {came}", dim(f" ({took}{cost})")))

    def _refused(self, event: CallRefused) -> Line:
        note = StopNote(event.reason, event.detail)
        also = f" (also: {', '.join(event.also)})" if event.also else ""
        over = " This step's budget is used up." if event.node_over else ""
        said = (bad(f" -> refused: {event.reason}."), f" {why(note)}{over}", dim(also))
        return self._call(event.at, event.call, event.tool, event.args, said)

    def _ended(self, admitted: CallAdmitted, said: Line) -> Line:
        marks = []
        if admitted.attempt > 1:
            marks.append(f"attempt {admitted.attempt}")
        if admitted.effect is Effect.WRITE:
            marks.append("write")
        if admitted.purpose is Purpose.FINALISE:
            marks.append("last call")
        if admitted.also:
            marks.append(f"let pass: {', '.join(admitted.also)}")
        mark: Line = (doubtful(f" [{', '.join(marks)}]"),) if marks else ()
        return self._call(admitted.at, admitted.call, admitted.tool, admitted.args, (*mark, *said))

    def _call(self, at: Millis, call: CallId, tool: ToolName, args: Digest, said: Line) -> Line:
        head = f"  {call:<4} {cut(tool, 60)}"
        return self._line(at, head, dim(self._args(call, tool, args)), *said)

    def _args(self, call: CallId, tool: ToolName, args: Digest) -> str:
        """The beginning of its arguments: its own, or those of the call whose result it reused."""
        kept = self._payload(f"{call}.args")
        if kept is None and (tool, args) in self._args_of:
            kept = self._payload(f"{self._args_of[tool, args]}.args")
        if kept is None:
            kept = self._asked(call)
        if kept is None or kept == b"{}":
            return ""
        room = min(max(self._width - 72, LEAST_ARGS), MOST_ARGS)
        return " " + cut(kept[: 8 * MOST_ARGS].decode("utf-8", "replace"), room)

    def _asked(self, call: CallId) -> bytes | None:
        """The arguments that a person was asked about."""
        question = self._payload(f"{call}.question")
        arguments = json.loads(question)["arguments"] if question is not None else None
        return json.dumps(arguments, separators=(",", ":"), ensure_ascii=False).encode() if arguments else None

    def _stopped(self, event: RunStopped) -> Line:
        note = StopNote(event.reason, event.detail)
        colour = bold if note.status is Status.OK else doubtful
        return self._line(event.at, colour(f"stopped: {event.reason}"))

    def _line(self, at: Millis, *spans: Span) -> Line:
        since = max(at - self._started_at, 0)
        return (dim(f"{since // 10 / (MILLIS_PER_SECOND // 10):>8.2f} s  "), *spans)


_RUNGS = {
    Rung.NORMAL: "works again as usual",
    Rung.CAREFUL: "is slow or only just back: nothing expensive begins",
    Rung.READS_ONLY: "does not work and is left alone",
}


def _moved(event: LadderMoved) -> str:
    """Where something stands on the degrade ladder now."""
    until = f", until {show_time(event.until)} at least" if event.until else ""
    if event.dependency:
        return f"{event.dependency} {_RUNGS[event.now]}{until}"
    strained = "95 % of a budget of the tenant is used: only reads begin" if event.now else "the tenant has room again"
    return f"{strained}{until}"


def _withheld(event: ToolsWithheld) -> str:
    """What the model is not offered."""
    if not event.off:
        return "all tools are offered again"
    named = [f"{tool} until {show_time(until)}" if until else tool for tool, until in event.off.items()]
    return f"not offered to the model: {', '.join(named)}"


def _limits(event: StepEntered) -> str:
    """What an investigation may use at most, where it has limits of its own."""
    whole = Limits()
    named = [
        f"{name} {show_usd(limit) if name == 'max_usd' else limit}"
        for name, limit in event.limits.items()
        if limit < getattr(whole, name, limit + 1)
    ]
    return f"  {', '.join(named)}" if named else ""


def excerpt(body: bytes, columns: int) -> str:
    """The beginning of something that was kept, on one line."""
    return cut(visible(body[: 4 * columns + 8].decode("utf-8", "replace")), columns)


def _money(amounts: Amounts) -> str:
    return show_usd(amounts.get(USD_NANO, 0))
