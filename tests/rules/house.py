"""One run of a house, driven through the rules alone, as the gateway drives it: decide, write down, fold, pay."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from bridle.rules.approval import Answer, Consent
from bridle.rules.budget import Account, Balance, period, reserve_all
from bridle.rules.call import Call, CallKind, Purpose
from bridle.rules.checks import Snapshot, decide
from bridle.rules.decision import Admit, Decision, Deny, Halt, Hold, Later, Reuse
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
    RunResumed,
    RunStarted,
    RunStopped,
    RunSuspended,
    StepEntered,
)
from bridle.rules.failure import FailureKind
from bridle.rules.fold import apply
from bridle.rules.health import WELL, Health
from bridle.rules.names import (
    ACTIVE_MS,
    IN_FLIGHT,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Amounts,
    CallId,
    Digest,
    Effect,
    Millis,
    RunId,
    TenantId,
    ToolName,
    Unit,
    UsdNanos,
    tool_unit,
)
from bridle.rules.policy import Level, LimitsPatch, Policy, Window
from bridle.rules.run import Phase, RunState, ending
from bridle.rules.running_out import may_enter
from bridle.rules.stop import StopNote, StopReason
from bridle.rules.switch import Switch
from bridle.rules.tool import ReuseScope, Tool

NOW = Millis(1_700_000_000_000)  # 2023-11-14 22:13:20 UTC
SEARCH = Tool(ToolName("search.read"), effect=Effect.READ, cost=UsdNanos(2_000), reuse=ReuseScope.RUN)
READ = Tool(ToolName("kb.read"), effect=Effect.READ)
MAIL = Tool(ToolName("mail.send"))
VIDEO = Tool(ToolName("video.make"), effect=Effect.READ, expensive=True)
TOOLS = (SEARCH, READ, MAIL, VIDEO)
ALLOWED = frozenset(tool.name for tool in TOOLS)


def started(policy: Policy, at: Millis = NOW, finalise: Amounts | None = None) -> RunStarted:
    """The first event of a run under a policy."""
    return RunStarted(
        at=at,
        run=RunId("r-1"),
        tenant=TenantId("acme"),
        by="ann",
        loop="flow",
        name="research",
        version="1",
        policy=policy.digest(),
        input=Digest("input"),
        deadline=Millis(at + policy.limits.max_seconds * 1_000),
        finalise=finalise or {},
    )


def tool_call(tool: Tool | str = READ, args: str = "a", turn: int = 1, attempt: int = 1) -> Call:
    """A proposal of a tool call, with the hold that the gateway gives it."""
    declared = tool if isinstance(tool, Tool) else Tool(ToolName(tool))
    hold: dict[Unit, int] = {TOOL_CALLS: 1, tool_unit(declared.name): 1, IN_FLIGHT: 1}
    if declared.cost:
        hold[USD_NANO] = declared.cost
    return Call(CallId(""), CallKind.TOOL, declared.name, Digest(args), hold, turn=turn, attempt=attempt)


def model_call(
    tokens_in: int = 100, tokens_out: int = 50, cost: int = 0, purpose: Purpose = Purpose.WORK, args: str = "m"
) -> Call:
    """A proposal of a model call, with the hold that the gateway gives it."""
    hold: dict[Unit, int] = {MODEL_CALLS: 1, STEPS: 1, TOKENS_IN: tokens_in, TOKENS_OUT: tokens_out}
    if cost:
        hold[USD_NANO] = cost
    return Call(CallId(""), CallKind.MODEL, ToolName("gpt"), Digest(args), hold, purpose=purpose)


class House:
    """A house with one run in it, and the balances that this run shares with others."""

    def __init__(self, policy: Policy, tools: Iterable[Tool] = TOOLS, finalise: Amounts | None = None) -> None:
        self.policy = policy
        self.tools: Mapping[ToolName, Tool] = {tool.name: tool for tool in tools}
        self.now = NOW
        self.turn = 0
        self.switches: tuple[Switch, ...] = ()
        self.health: Health = WELL
        self.balances: dict[Account, Balance] = {}
        self.drawn: dict[CallId, tuple[Account, ...]] = {}
        self.fresh: dict[tuple[ToolName, Digest], CallId] = {}
        self.journal: list[Event] = []
        first = started(policy, finalise=finalise)
        self.journal.append(first)
        self.run: RunState = apply(None, first)

    def write(self, event: Event) -> None:
        """One more event in the journal, and its fold."""
        self.journal.append(event)
        self.run = apply(self.run, event)

    def accounts(self, call: Call) -> dict[Account, Balance]:
        """The shared balances that a call would draw on."""
        tool = self.tools.get(call.tool)
        found = {
            Account(cap.level, cap.of, cap.unit, cap.window, period(cap.window, self.now)): cap.limit
            for cap in self.policy.caps
            if cap.unit in call.hold
        }
        if tool is not None and IN_FLIGHT in call.hold:
            found[Account(Level.TENANT, f"acme/{call.tool}", IN_FLIGHT, Window.NONE, 0)] = tool.concurrency
        return {account: self.balances.get(account, Balance(limit)) for account, limit in found.items()}

    def sees(self, call: Call) -> Snapshot:
        """Everything that a decision on a call may look at."""
        tool = self.tools.get(call.tool)
        reusable = tool is not None and tool.reuse is ReuseScope.RUN and call.attempt == 1
        return Snapshot(
            now=self.now,
            run=self.run,
            policy=self.policy,
            tool=tool,
            switches=self.switches,
            health=self.health,
            consent=Consent(self.binding(call), self.run.question(self.binding(call))),
            twin=self.fresh.get((call.tool, call.args)) if reusable else None,
            balances=self.accounts(call),
        )

    def binding(self, call: Call) -> Digest:
        """What a person is asked about."""
        return Digest(f"{call.tool} {call.args}")

    def propose(self, proposed: Call) -> Decision:
        """Decide on a call, and write the decision down with its reservations."""
        call = replace(proposed, id=CallId(f"c{self.run.calls + 1}"))
        decision = decide(call, self.sees(call))
        match decision.answer:
            case Admit(reserve=hold):
                self._admit(call, hold)
            case Reuse(of=of):
                self.write(CallReused(self.now, call.id, call.tool, call.args, of, call.turn, call.ordinal))
            case Later():
                pass
            case Hold():
                self._ask(call)
            case Deny() | Halt() as refusal:
                self._refuse(call, refusal)
        return decision

    def _admit(self, call: Call, hold: Amounts) -> None:
        tool = self.tools.get(call.tool)
        reserved = reserve_all(hold, self.accounts(call))
        assert isinstance(reserved, dict), f"{call} was admitted and does not fit into {reserved}"
        self.balances |= reserved
        self.drawn[call.id] = tuple(reserved)
        self.fresh[call.tool, call.args] = call.id
        effect = tool.effect if tool is not None else Effect.EGRESS
        asked = self.run.question(self.binding(call))
        self.write(
            CallAdmitted(
                self.now, call.id, call.kind, call.tool, call.args, hold, effect,
                turn=call.turn, ordinal=call.ordinal, attempt=call.attempt, purpose=call.purpose,
                approval=asked.call if asked is not None else CallId(""),
            )
        )  # fmt: skip

    def _ask(self, call: Call) -> None:
        """Put the question, unless it waits already."""
        binding = self.binding(call)
        earlier = self.run.question(binding)
        if self.run.phase is Phase.OPEN and (earlier is None or earlier.answer is not None):
            until = Millis(self.now + self.policy.expire_after)
            self.write(ApprovalAsked(self.now, call.id, call.tool, call.args, binding, until, call.turn))

    def answer(self, which: int, answer: Answer) -> None:
        """A person answers one of the questions that are open; his edit is about another call."""
        waiting = [asked for asked in self.run.asked if asked.answer is None and not asked.expired(self.now)]
        if waiting:
            asked = waiting[which % len(waiting)]
            edited = Digest(f"{asked.tool} a{which}") if answer is Answer.EDIT else Digest("")
            self.write(ApprovalDecided(self.now, asked.call, answer, "bob", "so", edited))

    def suspend(self) -> None:
        """Everything else of the turn has ended, and a person is awaited."""
        waiting = [asked.until for asked in self.run.asked if asked.answer is None]
        if self.run.phase is Phase.OPEN and waiting and not self.run.open_calls:
            self.write(RunSuspended(self.now, min(waiting)))

    def _refuse(self, call: Call, why: Deny | Halt) -> None:
        was_open = self.run.phase is Phase.OPEN
        node_over = isinstance(why, Halt) and why.level is Level.NODE
        self.write(
            CallRefused(
                self.now, call.id, call.kind, call.tool, call.args, call.turn, why.reason, why.detail,
                node_over=node_over, counts=isinstance(why, Deny),
            )
        )  # fmt: skip
        exhausted = isinstance(why, Deny) and self.run.refusals > self.policy.max_refusals
        if was_open and ((isinstance(why, Halt) and not node_over) or exhausted):
            self.write(RunHalted(self.now, why.reason, why.detail))

    def settle(
        self, call: CallId, used: Amounts | None = None, result: str = "r", failure: FailureKind | None = None
    ) -> None:
        """A call ended; without `used` it used all that it held."""
        held = self.run.open_calls[call].hold
        paid = held if used is None else used
        paid = {unit: amount for unit, amount in paid.items() if unit != IN_FLIGHT}
        self._pay(call, held, paid)
        self.write(CallSettled(self.now, call, paid, Digest(result), failure))

    def void(self, call: CallId) -> None:
        """A call was never sent."""
        self._pay(call, self.run.open_calls[call].hold, {})
        self.write(CallVoided(self.now, call))

    def resolve(self, call: CallId, *, happened: bool) -> None:
        """It is known now, perhaps long after the end."""
        self.write(CallResolved(self.now, call, happened, "ann", "she looked"))

    def doubt(self, call: CallId, *, again: bool = False) -> None:
        """A write was sent, and nobody knows more."""
        opened = self.run.open_calls[call]
        self._pay(call, opened.hold, {unit: held for unit, held in opened.hold.items() if unit != IN_FLIGHT})
        self.write(CallInDoubt(self.now, call, again))
        if self.run.phase is Phase.OPEN and not again:
            self.write(RunHalted(self.now, StopReason.WRITE_IN_DOUBT, {"tool": opened.tool}))

    def _pay(self, call: CallId, held: Amounts, paid: Amounts) -> None:
        for account in self.drawn.pop(call):
            balance = self.balances[account]
            self.balances[account] = balance.settle(held.get(account.unit, 0), paid.get(account.unit, 0))

    def enter(self, step: str, limits: LimitsPatch | None = None, finalise: Amounts | None = None) -> bool:
        """Move to a step; whether the rules let the run."""
        if self.run.phase is Phase.SUSPENDED:
            return False
        halt = may_enter(self.run, self.policy.limits, self.now, self.switches)
        if halt is not None:
            if self.run.phase is Phase.OPEN:
                self.write(RunHalted(self.now, halt.reason, halt.detail))
            return False
        patch = limits or {}
        seconds = patch.get("max_seconds", 0)
        ends = Millis(self.now + seconds * 1_000 if seconds else 0)
        kept = {unit: held for unit, held in (finalise or {}).items() if unit != ACTIVE_MS}
        self.write(StepEntered(self.now, step, Digest("state"), patch, ends, kept))
        return True

    def resume(self, away: int) -> None:
        """Another delivery takes over after `away` milliseconds."""
        self.now = Millis(self.now + away)
        self.write(RunResumed(self.now, self.run.epoch + 1, Millis(away)))

    def halt(self, reason: StopReason) -> None:
        """The runner says stop."""
        if self.run.phase is Phase.OPEN:
            self.write(RunHalted(self.now, reason))

    def stop(self) -> None:
        """The end: what is open is paid, or in doubt when it was a write."""
        if self.run.phase is Phase.STOPPED:
            return
        for call, opened in self.run.open_calls.items():
            if opened.effect is Effect.WRITE:
                self.doubt(call)
            else:
                self.settle(call, failure=FailureKind.CANCELLED)
        note = ending(self.run, StopNote(StopReason.OK))
        self.write(RunStopped(self.now, note.reason, note.detail))
