"""The fold: total over every sequence that the rules emit, equal however it is cut, and bounded however long it is."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridle.rules.approval import REMEMBERED as QUESTIONS
from bridle.rules.approval import Answer
from bridle.rules.call import CallKind, Purpose
from bridle.rules.events import (
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
    StepEntered,
)
from bridle.rules.failure import FailureKind
from bridle.rules.fold import JournalBroken, apply, fold
from bridle.rules.names import (
    BYTES_OBSERVED,
    IN_FLIGHT,
    STEPS,
    TOOL_CALLS,
    USD_NANO,
    Amounts,
    CallId,
    Confidentiality,
    Digest,
    Effect,
    Millis,
    RunId,
    Source,
    ToolName,
)
from bridle.rules.policy import Policy
from bridle.rules.run import REMEMBERED, Phase, RunState, ending
from bridle.rules.stop import StopNote, StopReason
from tests.rules.house import ALLOWED, MAIL, NOW, House, started, tool_call
from tests.rules.strategies import MOVES, STORIES, Move, houses, play

R = StopReason
START = started(Policy())
A, B = CallId("c1"), CallId("c2")
HOLD: Amounts = {TOOL_CALLS: 1, USD_NANO: 5, IN_FLIGHT: 1}


def admitted(call: CallId = A, turn: int = 1, effect: Effect = Effect.READ, purpose: Purpose = Purpose.WORK) -> Event:
    """A call with a hold of one seat and five nano-dollars."""
    return CallAdmitted(NOW, call, CallKind.TOOL, ToolName("t"), Digest("a"), HOLD, effect, turn=turn, purpose=purpose)


def refused(tool: str = "t", turn: int = 1, *, counts: bool = True) -> Event:
    """A refusal."""
    name = ToolName(tool)
    return CallRefused(NOW, A, CallKind.TOOL, name, Digest("a"), turn, R.TOOL_DENIED, {"tool": name}, counts=counts)


def entered(step: str = "look", limits: int = 0, finalise: Amounts | None = None) -> Event:
    """A step, with or without limits of its own."""
    return StepEntered(NOW, step, Digest("s"), {"max_steps": limits} if limits else {}, Millis(0), finalise or {})


def elements(value: object) -> int:
    """How many things a state holds, names and numbers alike."""
    match value:
        case RunState():
            return sum(elements(getattr(value, name)) for name in RunState.__dataclass_fields__)
        case dict():
            return sum(1 + elements(inner) for inner in value.values())
        case tuple():
            return sum(elements(inner) for inner in value)
        case _:
            return 1


class RunsThroughTheRules(RuleBasedStateMachine):
    """Everything that may happen to a run, in every order; the fold takes it all."""

    house: House
    before: tuple[RunState, str]

    @initialize(house=houses())
    def start(self, house: House) -> None:
        self.house = house
        self.before = (house.run, repr(house.run))

    @rule(what=st.sampled_from(MOVES), which=st.integers(0, 11), part=st.integers(0, 1_000))
    def move(self, what: str, which: int, part: int) -> None:
        self.before = (self.house.run, repr(self.house.run))
        play(self.house, Move(what, which, part))

    @rule(of=st.sampled_from([MAIL, "no.tool", "kb.read"]), count=st.integers(2, 5))
    def several_calls_of_one_turn(self, of: str, count: int) -> None:
        self.house.turn += 1
        for _ in range(count):
            self.house.propose(tool_call(of, "twin", self.house.turn))

    @precondition(lambda self: self.house.run.open_calls)
    @rule()
    def a_step_is_entered_while_calls_are_open(self) -> None:
        self.house.enter("next", {"max_tool_calls": 2})

    @rule(reason=st.sampled_from([R.KILLED, R.CONTEXT_OVERFLOW, R.MODEL_REFUSED]))
    def halt(self, reason: StopReason) -> None:
        self.house.halt(reason)

    @rule(which=st.integers(0, 39), answer=st.sampled_from(Answer))
    def a_person_answers(self, which: int, answer: Answer) -> None:
        self.house.answer(which, answer)

    @rule(again=st.booleans())
    def the_call_that_waits_comes_again(self, again: bool) -> None:
        for asked in self.house.run.asked[:3]:
            self.house.propose(tool_call(MAIL, asked.binding.removeprefix("mail.send "), self.house.turn))
        if again:
            self.house.suspend()

    @rule()
    def stop(self) -> None:
        self.house.stop()
        assert not self.house.run.open_calls
        assert not self.house.run.held

    @invariant()
    def the_stored_state_is_the_fold_of_the_journal(self) -> None:
        journal = self.house.journal
        assert fold(journal) == self.house.run
        middle = len(journal) // 2
        if middle:
            assert fold(journal[middle:], fold(journal[:middle])) == self.house.run
        assert self.house.run.seq == len(journal)

    @invariant()
    def an_earlier_state_stays_as_it_was(self) -> None:
        state, said = self.before
        assert repr(state) == said

    @invariant()
    def what_is_held_is_what_the_open_calls_hold(self) -> None:
        run, held = self.house.run, dict[str, int]()
        for opened in run.open_calls.values():
            for unit, amount in opened.hold.items():
                held[unit] = held.get(unit, 0) + amount
        assert {unit: amount for unit, amount in run.held.items() if amount} == {u: a for u, a in held.items() if a}
        assert all(amount >= 0 for part in (run.used, run.before) for amount in part.values())
        assert all(run.node_committed(unit) >= 0 for unit in run.before)

    @invariant()
    def a_write_is_admitted_once_for_each_yes_to_it(self) -> None:
        if not self.house.policy.require_approval:
            return
        allowed: set[CallId] = set()
        for event in self.house.journal:
            if isinstance(event, ApprovalDecided) and event.answer in (Answer.APPROVE, Answer.EDIT):
                allowed.add(event.call)
            if isinstance(event, CallAdmitted) and event.effect is Effect.WRITE:
                allowed.remove(event.approval)

    @invariant()
    def who_waits_holds_nothing_and_his_questions_are_few(self) -> None:
        run = self.house.run
        assert run.phase is not Phase.SUSPENDED or not run.open_calls
        assert len(run.asked) <= QUESTIONS
        assert run.phase is not Phase.STOPPED or not run.asked

    @invariant()
    def a_doubt_is_never_forgotten(self) -> None:
        if self.house.run.in_doubt:
            assert ending(self.house.run, StopNote(R.OK)).reason in (R.WRITE_IN_DOUBT, R.KILLED)


TestEverySequenceThatTheRulesEmit = RunsThroughTheRules.TestCase


@given(houses(), STORIES, st.integers(0, 200))
def test_a_fold_may_be_cut_anywhere_and_goes_on(house: House, story: Sequence[Move], cut: int) -> None:
    for move in story:
        play(house, move)
    cut = cut % len(house.journal) + 1
    assert fold(house.journal[cut:], fold(house.journal[:cut])) == fold(house.journal) == house.run


def test_the_size_of_a_state_does_not_depend_on_the_length_of_its_run() -> None:
    policy = Policy(ALLOWED, max_refusals=10**6)
    house = House(replace(policy, limits=replace(policy.limits, max_tool_calls=10**6, max_steps=10**6)))
    sizes = []
    for number in range(600):
        house.turn += 1
        house.propose(tool_call(args=f"a{number}", turn=house.turn))
        house.settle(next(iter(house.run.open_calls)), result=f"r{number}")
        for wanted in range(20):
            house.propose(tool_call(f"no.tool{wanted}", f"a{number}", house.turn))
        house.write(entered(f"s{number}", limits=9))
        sizes.append(elements(house.run))
    assert house.run.seq > 13_000
    assert max(sizes) == max(sizes[:30])


@pytest.mark.parametrize(
    "journal",
    [
        [],
        [admitted()],
        [START, START],
        [START, CallSettled(NOW, A, {})],
        [START, CallVoided(NOW, A)],
        [START, CallInDoubt(NOW, A)],
        [START, admitted(), CallSettled(NOW, A, {}), CallSettled(NOW, A, {})],
        [START, admitted(), CallVoided(NOW, A), CallSettled(NOW, A, {})],
        [START, admitted(), CallInDoubt(NOW, A), CallVoided(NOW, A)],
        [START, admitted(), CallResolved(NOW, A, True, "ann", "x")],
        [START, admitted(), CallInDoubt(NOW, A), *[CallResolved(NOW, A, True, "ann", "x")] * 2],
    ],
)
def test_a_journal_that_the_rules_never_emit_is_broken(journal: list[Event]) -> None:
    with pytest.raises(JournalBroken):
        fold(journal)


def test_a_run_begins_as_its_first_event_says() -> None:
    run = fold([replace(START, finalise={STEPS: 1})])
    assert (run.run, run.tenant, run.by, run.loop, run.name, run.version) == (
        "r-1",
        "acme",
        "ann",
        "flow",
        "research",
        "1",
    )
    assert (run.started_at, run.deadline, run.last_at, run.policy) == (NOW, NOW + 90_000, NOW, START.policy)
    assert (run.seq, run.epoch, run.phase, run.committed(STEPS), run.spent(STEPS)) == (1, 1, Phase.OPEN, 1, 0)


@pytest.mark.parametrize(
    ("after", "used", "held", "opened"),
    [
        ([], {}, HOLD, 1),
        ([CallSettled(NOW, A, {TOOL_CALLS: 1, USD_NANO: 2})], {TOOL_CALLS: 1, USD_NANO: 2}, {}, 0),
        ([CallSettled(NOW, A, {USD_NANO: 9}, overrun={USD_NANO: 4})], {USD_NANO: 9}, {}, 0),
        ([CallVoided(NOW, A)], {}, {}, 0),
        ([CallInDoubt(NOW, A)], {TOOL_CALLS: 1, USD_NANO: 5}, {}, 0),
        ([admitted(B), CallVoided(NOW, A)], {}, HOLD, 1),
        ([entered(), CallSettled(NOW, A, {USD_NANO: 2})], {STEPS: 1, USD_NANO: 2}, {}, 0),
        ([RunStopped(NOW, R.OK), CallSettled(NOW, A, {USD_NANO: 2})], {USD_NANO: 2}, {}, 0),
    ],
)
def test_what_a_call_held_is_paid_or_given_back(after: list[Event], used: Amounts, held: Amounts, opened: int) -> None:
    run = fold([START, admitted(), *after])
    assert (run.used, run.held, len(run.open_calls)) == (used, held, opened)


def test_bytes_and_seats_of_a_doubt_are_never_posted() -> None:
    hold = {TOOL_CALLS: 1, IN_FLIGHT: 1, BYTES_OBSERVED: 7}
    event = CallAdmitted(NOW, A, CallKind.TOOL, ToolName("t"), Digest("a"), hold, Effect.WRITE)
    assert fold([START, event, CallInDoubt(NOW, A)]).used == {TOOL_CALLS: 1}


def test_a_call_is_counted_by_the_step_that_it_began_in_and_by_no_other() -> None:
    run = fold([START, entered("look", 9), admitted(A), admitted(B), CallSettled(NOW, A, {USD_NANO: 3})])
    assert [run.node_committed(unit) for unit in (USD_NANO, STEPS)] == [3 + HOLD.get(USD_NANO, 0), HOLD.get(STEPS, 0)]
    run = fold([entered("again", 9), CallSettled(NOW, B, {USD_NANO: 4})], run)
    assert [run.node_committed(unit) for unit in (USD_NANO, *HOLD)] == [0] * (1 + len(HOLD))
    assert (run.used[USD_NANO], run.step, run.entered) == (7, "again", 2)


def test_a_step_keeps_its_own_last_word_until_it_is_said() -> None:
    run = fold([replace(START, finalise={STEPS: 2}), entered("look", 9, {STEPS: 1})])
    assert (run.node_committed(STEPS), run.committed(STEPS), bool(run.limits)) == (1, 3, True)
    run = fold([admitted(A, purpose=Purpose.FINALISE)], run)
    assert (run.node_finalise, run.finalise) == ({}, {STEPS: 2})
    run = fold([RunHalted(NOW, R.MAX_USD), admitted(B, purpose=Purpose.FINALISE)], run)
    assert (run.finalise, run.phase) == ({}, Phase.HALTED)
    assert not fold([entered("end")], run).limits


def test_downtime_moves_the_deadlines_and_another_delivery_has_another_epoch() -> None:
    inside = fold([START, StepEntered(NOW, "look", Digest("s"), {"max_seconds": 9}, Millis(NOW + 9_000))])
    back = fold([RunResumed(Millis(NOW + 500), 2, Millis(400))], inside)
    assert (back.deadline, back.node_deadline, back.epoch) == (NOW + 90_400, NOW + 9_400, 2)
    assert fold([START, RunResumed(NOW, 2, Millis(400))]).node_deadline == 0


@pytest.mark.parametrize(
    ("refusals", "counted"),
    [
        ([refused()], 1),
        ([refused(), refused()], 1),
        ([refused(), refused("u")], 2),
        ([refused(), refused(turn=2)], 2),
        ([refused(), refused("u"), refused(), refused("u")], 2),
        ([refused(counts=False), refused(counts=False)], 0),
        ([refused(counts=False), refused()], 1),
    ],
)
def test_a_refusal_counts_once_per_turn_and_tool(refusals: list[Event], counted: int) -> None:
    run = fold([START, *refusals])
    assert (run.refusals, run.calls) == (counted, len(refusals))


@pytest.mark.parametrize(
    ("source", "confidentiality", "failure", "tainted", "private"),
    [
        (Source.TRUSTED, Confidentiality.PUBLIC, None, False, False),
        (Source.UNTRUSTED, Confidentiality.PUBLIC, None, True, False),
        (Source.TRUSTED, Confidentiality.PRIVATE, None, False, True),
        (Source.UNTRUSTED, Confidentiality.PRIVATE, FailureKind.TIMEOUT, True, True),  # its error is read, too
    ],
)
def test_a_run_has_read_what_its_results_were_labelled_and_never_unreads_it(
    source: Source, confidentiality: Confidentiality, failure: FailureKind | None, tainted: bool, private: bool
) -> None:
    settled = CallSettled(NOW, A, {}, Digest("r"), failure, source, confidentiality)
    run = fold([START, admitted(), settled, admitted(B, 2), CallSettled(NOW, B, {})])
    assert (run.is_tainted, run.has_read_private) == (tainted, private)


def test_only_the_newest_results_are_remembered_and_twins_of_a_turn_once() -> None:
    journal: list[Event] = [START]
    for turn in range(20):
        for twin in range(3):
            call = CallId(f"c{turn}.{twin}")
            journal += [admitted(call, turn), CallSettled(NOW, call, {}, Digest(f"r{turn}"))]
        journal.append(CallReused(NOW, CallId("c"), ToolName("t"), Digest("a"), A, turn))
    run = fold(journal)
    assert [progress.turn for progress in run.recent] == list(range(20 - REMEMBERED, 20))
    assert run.calls == 80


def test_only_the_newest_refused_tools_of_a_turn_are_remembered() -> None:
    run = fold([START, *(refused(f"t{number}") for number in range(99))])
    assert (len(run.refused_tools), run.refusals) == (REMEMBERED, 99)


def test_a_retry_is_counted_beside_the_proposals() -> None:
    again = CallAdmitted(NOW, A, CallKind.TOOL, ToolName("t"), Digest("a"), {}, attempt=2)
    run = fold([START, admitted(B), again])
    assert (run.retries, run.calls) == (1, 2)


@pytest.mark.parametrize(
    ("journal", "reason"),
    [
        ([], R.OK),
        ([RunHalted(NOW, R.MAX_USD)], R.MAX_USD),
        ([admitted(), CallInDoubt(NOW, A)], R.WRITE_IN_DOUBT),
        ([admitted(), CallInDoubt(NOW, A), RunHalted(NOW, R.WRITE_IN_DOUBT)], R.WRITE_IN_DOUBT),
        ([admitted(), RunHalted(NOW, R.MAX_USD), CallInDoubt(NOW, A)], R.WRITE_IN_DOUBT),
        ([admitted(), RunHalted(NOW, R.KILLED), CallInDoubt(NOW, A)], R.KILLED),
        ([admitted(), CallInDoubt(NOW, A, again=True)], R.WRITE_IN_DOUBT),
        ([admitted(), CallInDoubt(NOW, A, again=True), CallResolved(NOW, A, False, "bridle", "x")], R.OK),
    ],
)
def test_a_halt_and_a_doubt_speak_before_what_the_flow_wanted_to_say(journal: list[Event], reason: StopReason) -> None:
    assert ending(fold([START, *journal]), StopNote(R.OK)).reason is reason


def test_a_doubt_that_is_cleared_after_the_end_changes_neither_the_end_nor_how_long_the_run_took() -> None:
    doubt = fold([START, admitted(), CallInDoubt(NOW, A), RunStopped(NOW, R.WRITE_IN_DOUBT, {"tool": "t"})])
    known = apply(doubt, CallResolved(Millis(NOW + 86_400_000), A, True, "ann", "the bank shows it"))
    assert known == replace(doubt, seq=doubt.seq + 1, in_doubt={})


@pytest.mark.parametrize("kind", ["receipt of a probe", "receipt of another run"])
def test_a_receipt_has_the_labels_of_its_tool(kind: str) -> None:
    source, private = Source.UNTRUSTED, Confidentiality.PRIVATE
    known = CallResolved(NOW, A, True, "bridle", "it is known", Digest("r"), 9, source, private)
    reused = CallReused(NOW, B, ToolName("t"), Digest("a"), A, 1, 1, RunId("r-0"), 9, source, private)
    run = fold([START, admitted(), CallInDoubt(NOW, A, again=True), known if kind == "receipt of a probe" else reused])
    assert (run.is_tainted, run.has_read_private) == (True, True)


def test_a_doubt_after_another_halt_names_its_tool() -> None:
    run = fold([START, admitted(), RunHalted(NOW, R.MAX_USD, {"limit": "$1", "used": "$1"}), CallInDoubt(NOW, A)])
    assert ending(run, StopNote(R.OK)).text() == "Nobody knows whether t took effect."


def test_a_stopped_run_keeps_its_reason_and_reserves_nothing() -> None:
    run = fold([replace(START, finalise={STEPS: 1}), RunStopped(NOW, R.OK_DEGRADED, {"missing": "a page"})])
    assert (run.phase, run.stop, run.finalise) == (Phase.STOPPED, StopNote(R.OK_DEGRADED, {"missing": "a page"}), {})


def test_one_event_is_applied_as_one_event_is_folded() -> None:
    assert apply(fold([START]), admitted()) == fold([START, admitted()])
    assert isinstance(START, RunStarted)
