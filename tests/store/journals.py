"""Journals for the tests of a store: runs that start, calls that open and close, in any order the rules can emit."""

import random
from collections.abc import Sequence

from hypothesis import strategies as st

from bridle.rules.approval import Answer
from bridle.rules.call import CallKind
from bridle.rules.events import (
    ApprovalAsked,
    ApprovalDecided,
    CallAdmitted,
    CallInDoubt,
    CallRefused,
    CallResolved,
    CallReused,
    CallSettled,
    CallVoided,
    Event,
    RunHalted,
    RunStarted,
    RunStopped,
    RunSuspended,
    StepEntered,
)
from bridle.rules.failure import FailureKind
from bridle.rules.fold import apply
from bridle.rules.names import (
    BYTES_OBSERVED,
    IN_FLIGHT,
    TOOL_CALLS,
    USD_NANO,
    CallId,
    Confidentiality,
    Digest,
    Effect,
    Millis,
    RunId,
    Source,
    TenantId,
    ToolName,
)
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopReason
from bridle.store.base import RunKey, Transaction

T0 = Millis(1_700_000_000_000)
SALT = b"salt of sixteen "
TENANT = TenantId("acme")
READ = ToolName("kb.read")

Row = tuple[int, bytes, bytes]  # seq, body, hash: a line of a journal as it is stored
Step = tuple[str, int]  # what happens next, and a number that chooses among what is possible
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "admit",
                "admit",
                "settle",
                "fail",
                "void",
                "doubt",
                "resolve",
                "refuse",
                "reuse",
                "enter",
                "halt",
                "question",
                "answer",
                "suspend",
            )
        ),
        st.integers(0, 1_000_000),
    ),
    max_size=40,
)


def started(run: str, tenant: TenantId = TENANT) -> RunStarted:
    """The first event of a run."""
    return RunStarted(
        T0, RunId(run), tenant, "ann", "flow", "answers", "1", Digest("p"), Digest("i"), Millis(T0 + 90_000),
        {TOOL_CALLS: 1},
    )  # fmt: skip


def begin(tx: Transaction, run: str, key: str = "", fingerprint: str = "") -> RunState:
    """Start a run."""
    return tx.start(started(run), RunKey(key, Digest(fingerprint or run)), SALT)


def admitted(call: str, turn: int = 0, effect: Effect = Effect.READ) -> CallAdmitted:
    """One admission that holds a call, a seat and a cent."""
    hold = {TOOL_CALLS: 1, IN_FLIGHT: 1, USD_NANO: 10_000_000}
    return CallAdmitted(
        Millis(T0 + turn), CallId(call), CallKind.TOOL, READ, Digest(f"a{turn % 3}"), hold, effect, turn=turn,
    )  # fmt: skip


def settled(call: str, failure: FailureKind | None = None, size: int = 5) -> CallSettled:
    """Its end."""
    used = {TOOL_CALLS: 1, USD_NANO: 7_000_000, BYTES_OBSERVED: size}
    return CallSettled(
        Millis(T0 + size), CallId(call), used, Digest("r"), failure, Source.UNTRUSTED, Confidentiality.PRIVATE
    )


def written(state: RunState, plan: Sequence[Step]) -> list[Event]:
    """The events of a plan, each one possible after the ones before it, and the end of the run."""
    events: list[Event] = []
    for what, number in plan:
        event = _next(state, what, number)
        if event is not None:
            state = apply(state, event)
            events.append(event)
    for call in tuple(state.open_calls):
        events.append(CallVoided(state.last_at, call))
    return [*events, RunStopped(Millis(T0 + 99), StopReason.OK, {"used": 3, "tool": "ä"}, Digest("answer"))]


def _next(state: RunState, what: str, number: int) -> Event | None:
    at, new = Millis(T0 + number), f"c{state.calls + 1}"
    chosen = list(state.open_calls)[number % len(state.open_calls)] if state.open_calls else None
    tool, args = ToolName(f"t{number % 3}"), Digest(f"a{number % 2}")
    match what:
        case "admit" if state.phase is Phase.OPEN:
            return admitted(new, number % 50, list(Effect)[number % 3])
        case "settle" if chosen is not None:
            return settled(chosen, size=number)
        case "fail" if chosen is not None:
            return settled(chosen, list(FailureKind)[number % len(FailureKind)])
        case "void" if chosen is not None:
            return CallVoided(at, chosen)
        case "doubt" if chosen is not None:
            return CallInDoubt(at, chosen, again=number % 2 == 0)
        case "resolve" if state.in_doubt:
            known = list(state.in_doubt)[number % len(state.in_doubt)]
            return CallResolved(at, known, number % 2 == 0, "ann", "ä", source=list(Source)[number % 2])
        case "refuse":
            detail: dict[str, str | int] = {"tool": tool, "limit": number}
            return CallRefused(
                at, CallId(new), CallKind.TOOL, tool, args, number % 4, StopReason.TOOL_DENIED, detail, ("x",)
            )
        case "reuse" if state.phase is Phase.OPEN:
            return CallReused(at, CallId(new), tool, args, CallId("c1"), number % 4)
        case "enter" if state.phase is Phase.OPEN:
            limits = {"max_tool_calls": 3} if number % 2 else {}
            return StepEntered(at, f"step{number % 3}", Digest("s"), limits, Millis(number % 2 and at + 5))
        case "question" if state.phase is Phase.OPEN:
            return ApprovalAsked(at, CallId(new), tool, args, Digest(f"b{number}"), Millis(at + 9), number % 4)
        case "answer" if any(asked.answer is None for asked in state.asked):
            asked = next(asked for asked in state.asked if asked.answer is None)
            answer = list(Answer)[number % len(Answer)]
            return ApprovalDecided(at, asked.call, answer, "ann", "ä" * (number % 3), Digest(f"e{number}"))
        case "suspend" if state.phase is Phase.OPEN and not state.open_calls and number % 5 == 0:
            return RunSuspended(at, Millis(at + 9))
        case "halt" if state.phase is Phase.OPEN:
            return RunHalted(at, StopReason.MAX_TOOL_CALLS, {"limit": 15, "used": 15})
        case _:
            return None


def mutations(entries: Sequence[Row], chance: random.Random) -> list[tuple[str, list[Row]]]:
    """One of every kind of change, at places of chance."""
    at, bit = chance.randrange(len(entries)), 1 << chance.randrange(8)
    seq, body, hash_ = entries[at]
    place = chance.randrange(len(body))
    flipped = body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]
    damaged = bytes([hash_[0] ^ bit]) + hash_[1:]
    before, after = list(entries[:at]), list(entries[at + 1 :])
    renumbered = [(number, *row[1:]) for number, row in enumerate([*before, *after], 1)]
    found: list[tuple[str, list[Row]]] = [
        ("an edit", [*before, (seq, flipped, hash_), *after]),
        ("an edited hash", [*before, (seq, body, damaged), *after]),
        ("a removal", [*before, *after]),
        ("a removal that was renumbered", renumbered),
        ("an insertion", [*entries[: at + 1], (seq + 1, body, hash_), *after]),
        ("an event added at the end", [*entries, (len(entries) + 1, body, hash_)]),
        ("a cut end", list(entries[: chance.randrange(len(entries))])),
    ]
    if at + 1 < len(entries) and entries[at][1] != entries[at + 1][1]:
        follower = entries[at + 1]
        swapped = [(seq, *follower[1:]), (follower[0], body, hash_)]
        found.append(("two events that changed places", [*before, *swapped, *entries[at + 2 :]]))
    return found
