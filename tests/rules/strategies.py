"""What Hypothesis draws for the rules: policies and what narrows them, calls and snapshots, and the moves of a run."""

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from bridle.rules.budget import Account, Balance
from bridle.rules.call import Call, Purpose
from bridle.rules.checks import Snapshot
from bridle.rules.events import RunHalted, StepEntered
from bridle.rules.failure import FailureKind
from bridle.rules.fold import apply
from bridle.rules.health import Health, Rung
from bridle.rules.names import (
    ACTIVE_MS,
    IN_FLIGHT,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    CallId,
    Confidentiality,
    Digest,
    Effect,
    Millis,
    Source,
    TenantId,
    ToolName,
    Unit,
    UsdNanos,
)
from bridle.rules.policy import (
    LIMIT_NAMES,
    Cap,
    Enforcement,
    KillLevel,
    Level,
    Limits,
    LimitsPatch,
    ModelPrice,
    Narrowing,
    Policy,
    Window,
)
from bridle.rules.run import Phase, RunState
from bridle.rules.stop import StopReason
from bridle.rules.switch import Scope, Switch
from bridle.rules.tool import ReuseScope, Tool, ToolRule
from tests.rules.house import ALLOWED, NOW, TOOLS, House, model_call, started, tool_call

SMALL = st.integers(1, 12)
NAMES = st.text(max_size=8)
TOOL_NAMES = st.sampled_from(sorted(ALLOWED)) | st.builds(ToolName, NAMES)
TOOL_SETS = st.frozensets(TOOL_NAMES, max_size=5)
PATCHES: st.SearchStrategy[LimitsPatch] = st.dictionaries(st.sampled_from(LIMIT_NAMES), SMALL, max_size=3)
NARROWINGS = st.builds(
    Narrowing,
    allow=st.none() | TOOL_SETS,
    deny=TOOL_SETS,
    limits=PATCHES,
    require_approval=st.booleans(),
    max_refusals=st.none() | st.integers(0, 5),
)
REUSES = st.sampled_from(ReuseScope) | st.builds(Millis, st.integers(0, 10**6))
RULES = st.builds(
    ToolRule,
    effect=st.none() | st.sampled_from(Effect),
    source=st.none() | st.sampled_from(Source),
    confidentiality=st.none() | st.sampled_from(Confidentiality),
    reuse=st.none() | REUSES,
    expensive=st.none() | st.booleans(),
    cost=st.none() | st.builds(UsdNanos, st.integers(0, 10**12)),
    timeout=st.none() | st.builds(Millis, SMALL),
    concurrency=st.none() | SMALL,
    max_calls=st.none() | SMALL,
    max_bytes=st.none() | SMALL,
    show_bytes=st.none() | SMALL,
    args=NAMES,
    output=NAMES,
    approval=NAMES,
)
DECLARED = st.builds(
    Tool,
    name=TOOL_NAMES,
    effect=st.sampled_from(Effect),
    source=st.sampled_from(Source),
    confidentiality=st.sampled_from(Confidentiality),
    reuse=REUSES,
    expensive=st.booleans(),
    cost=st.builds(UsdNanos, st.integers(0, 10**12)),
    timeout=st.builds(Millis, SMALL),
    concurrency=SMALL,
    max_calls=SMALL,
    max_bytes=SMALL,
    show_bytes=SMALL,
)
LIMITS = st.builds(
    Limits,
    SMALL,
    st.integers(10, 100),
    SMALL,
    SMALL,
    st.integers(1, 10_000),
    st.builds(UsdNanos, st.integers(1, 9_000)),
)
CAPS = st.builds(
    Cap,
    st.sampled_from(Level),
    st.sampled_from([USD_NANO, TOKENS_OUT, TOOL_CALLS, MODEL_CALLS, STEPS]),
    st.sampled_from(Window),
    st.integers(1, 5_000),
    NAMES,
)
POLICIES = st.builds(
    Policy,
    allow=TOOL_SETS,
    deny=TOOL_SETS,
    limits=LIMITS,
    tools=st.dictionaries(TOOL_NAMES, RULES, max_size=3),
    models=st.dictionaries(NAMES, st.builds(ModelPrice, SMALL, SMALL, SMALL, SMALL), max_size=2),
    tenants=st.dictionaries(st.builds(TenantId, NAMES), NARROWINGS, max_size=2),
    flows=st.dictionaries(NAMES, NARROWINGS, max_size=2),
    nodes=st.dictionaries(NAMES, NARROWINGS, max_size=2),
    caps=st.lists(CAPS, max_size=3).map(tuple),
    require_approval=st.booleans(),
    max_refusals=st.integers(0, 5),
    kill_level=st.sampled_from(KillLevel),
    enforcement=st.sampled_from(Enforcement),
    track=st.lists(NAMES, max_size=3).map(tuple),
    expire_after=st.builds(Millis, st.integers(1, 10**9)),
)

CALLS = st.one_of(
    st.builds(
        tool_call,
        st.sampled_from(TOOLS) | st.just("no.tool"),
        st.sampled_from("ab"),
        st.integers(1, 3),
        st.integers(1, 2),
    ),
    st.builds(model_call, st.integers(0, 200), st.integers(0, 200), st.integers(0, 3_000), st.sampled_from(Purpose)),
)
SWITCHES = st.builds(
    Switch,
    st.sampled_from(KillLevel),
    st.builds(
        Scope,
        st.sampled_from(["", "", "acme", "umbrella"]),
        st.sampled_from(["", "", "research", "other"]),
        st.sampled_from(["", "", *(tool.name for tool in TOOLS), "gpt"]),
    ),
    st.sampled_from(["ann", "bob"]),
    st.just("an incident"),
    st.integers(1, 9),
)
HEALTHS = st.builds(
    Health,
    failures=st.sampled_from([0, 0, 0, 4, 5]),
    open_until=st.sampled_from([Millis(0), Millis(NOW + 5_000)]),
    not_before=st.sampled_from([Millis(0), Millis(0), Millis(NOW + 2_000), Millis(NOW + 10**6)]),
    held=st.sampled_from(Rung),
    held_until=st.sampled_from([Millis(0), Millis(NOW + 5_000)]),
)


@st.composite
def runs(draw: st.DrawFn, policy: Policy) -> RunState:
    """A run under a policy: somewhere on its way, perhaps in an investigation, perhaps halted."""
    spent = st.dictionaries(st.sampled_from([STEPS, MODEL_CALLS, TOOL_CALLS, USD_NANO]), st.integers(0, 6))
    run = apply(
        None, started(policy, finalise=draw(st.sampled_from([{}, {STEPS: 1, MODEL_CALLS: 1, ACTIVE_MS: 5_000}])))
    )
    if draw(st.booleans()):
        run = apply(run, StepEntered(NOW, "look", Digest("s"), draw(PATCHES)))
    if draw(st.integers(0, 5)) == 0:
        run = apply(run, RunHalted(NOW, draw(st.sampled_from(StopReason))))
    used = draw(spent)
    before = {unit: draw(st.integers(0, amount)) for unit, amount in used.items()}
    return replace(run, used=used, before=before if run.limits else {})


@st.composite
def decisions(draw: st.DrawFn) -> tuple[Call, Snapshot]:
    """A call, and everything that the decision on it may look at."""
    policy = replace(
        draw(POLICIES), allow=draw(st.just(ALLOWED) | TOOL_SETS), deny=draw(st.just(frozenset()) | TOOL_SETS)
    )
    call = draw(CALLS)
    balance = st.builds(Balance, st.integers(0, 5_000), st.integers(0, 2_500), st.integers(0, 2_500))
    units: list[Unit] = [USD_NANO, TOOL_CALLS, IN_FLIGHT]
    accounts = st.builds(
        Account, st.sampled_from(Level), NAMES, st.sampled_from(units), st.sampled_from(Window), st.just(0)
    )
    seen = Snapshot(
        now=Millis(NOW + draw(st.sampled_from([0, 1_000, 9_000, 50_000, 200_000]))),
        run=draw(runs(policy)),
        policy=policy,
        tool=next((tool for tool in TOOLS if tool.name == call.tool), None),
        misfit=draw(st.sampled_from(["", "", "", "is no object"])),
        broken_rule=draw(st.sampled_from(["", "", "", "is too long"])),
        unpriced=draw(st.booleans()),
        switches=draw(st.just(()) | st.lists(SWITCHES, max_size=3).map(tuple)),
        health=draw(HEALTHS),
        tenant=draw(HEALTHS),
        twin=draw(st.none() | st.just(CallId("c1"))),
        balances=draw(st.dictionaries(accounts, balance, max_size=2)),
    )
    return call, seen


@dataclass(frozen=True, slots=True)
class Move:
    """One thing that may happen to a run: `which` picks from what there is, `part` is a share in thousandths."""

    what: str
    which: int
    part: int


MOVES = ("call", "call", "call", "ask", "ask", "settle", "settle", "void", "fail", "enter", "enter", "wait", "finalise",
         "resume", "stranger", "doubt", "resolve")  # fmt: skip
STORIES = st.lists(
    st.builds(Move, st.sampled_from(MOVES), st.integers(0, 11), st.integers(0, 1_000)), min_size=20, max_size=70
)
RESERVE = {MODEL_CALLS: 1, STEPS: 1, TOKENS_IN: 40, TOKENS_OUT: 20, USD_NANO: 300, ACTIVE_MS: 5_000}
NODE_LIMITS: tuple[LimitsPatch, ...] = (
    {}, {"max_steps": 2}, {"max_tool_calls": 2}, {"max_tokens": 140}, {"max_usd": 2_500, "max_model_calls": 2},
    {"max_seconds": 4},
)  # fmt: skip


@st.composite
def houses(draw: st.DrawFn) -> House:
    """A house whose limits are small enough to be met, and large enough for the finalise reserve."""
    limits = Limits(
        max_steps=draw(st.integers(4, 12)),
        max_seconds=draw(st.integers(20, 60)),
        max_model_calls=draw(st.integers(2, 9)),
        max_tool_calls=draw(st.integers(2, 9)),
        max_tokens=draw(st.integers(150, 700)),
        max_usd=UsdNanos(draw(st.integers(1_500, 9_000))),
    )
    caps = tuple(
        Cap(level, unit, draw(st.sampled_from(Window)), draw(st.integers(most // 4, most)))
        for level, unit, most in (
            (Level.HOUSE, USD_NANO, 9_000),
            (Level.TENANT, TOOL_CALLS, 8),
            (Level.AGENT, TOKENS_OUT, 400),
        )
        if draw(st.booleans())
    )
    policy = Policy(
        allow=ALLOWED,
        limits=limits,
        caps=caps,
        require_approval=draw(st.booleans()),
        max_refusals=draw(st.integers(3, 9)),
    )
    tools = [replace(tool, concurrency=draw(st.integers(1, 4)), max_calls=draw(st.integers(1, 4))) for tool in TOOLS]
    return House(policy, tools, RESERVE if draw(st.booleans()) else None)


def play(house: House, move: Move) -> None:
    """Let one move happen, if it can."""
    opened = tuple(house.run.open_calls)
    if move.what in ("settle", "void", "doubt", "fail"):
        if opened:
            _close(house, move, opened[move.which % len(opened)])
        return
    match move.what:
        case "call" | "stranger":
            house.turn += move.which % 3 > 0
            tool = list(house.tools.values())[move.which % len(house.tools)] if move.what == "call" else "no.tool"
            house.propose(tool_call(tool, f"a{move.part % 40}", house.turn))
        case "ask":
            house.propose(model_call(move.part % 100, move.which * 10, move.part // 2, args=str(move.part)))
        case "finalise":
            reserved = house.run.finalise if house.run.phase is not Phase.OPEN else house.run.node_finalise
            hold = {
                unit: held * move.part // 1_000 for unit, held in reserved.items() if unit not in (ACTIVE_MS, STEPS)
            }
            if hold:
                asked = model_call(args="last", purpose=Purpose.FINALISE)
                house.propose(replace(asked, hold={**hold, MODEL_CALLS: 1, STEPS: 1}))
        case "enter":
            narrowed = NODE_LIMITS[move.which % len(NODE_LIMITS)]
            has_reserve = move.part % 2 and not {"max_steps", "max_tool_calls"} & narrowed.keys()
            house.enter("look", narrowed, RESERVE if has_reserve and narrowed else None)
        case "wait":
            house.now = Millis(house.now + move.part * 4)
        case "resolve" if house.run.in_doubt:
            doubts = list(house.run.in_doubt)
            house.resolve(doubts[move.which % len(doubts)], happened=move.part % 2 == 0)
        case "resume":
            house.resume(move.part * 100)


def _close(house: House, move: Move, call: CallId) -> None:
    opened = house.run.open_calls[call]
    match move.what:
        case "settle":
            used = {unit: held * move.part // 1_000 for unit, held in opened.hold.items()}
            house.settle(call, used, result=str(move.which))
        case "fail":
            house.settle(call, failure=FailureKind.TIMEOUT)
        case "void":
            house.void(call)
        case "doubt" if opened.effect is Effect.WRITE:
            house.doubt(call, again=move.part % 2 == 0)
