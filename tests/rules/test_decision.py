"""The six answers to a proposed call, as stories: what is proposed when, and what is said to it."""

from dataclasses import replace

from bridle.rules.call import Call, Purpose
from bridle.rules.decision import Admit, Decision, Deny, Halt, Hold, Later, Reuse
from bridle.rules.failure import FailureKind
from bridle.rules.health import OPENS_AFTER, WELL, Health
from bridle.rules.names import (
    ACTIVE_MS,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Amounts,
    Millis,
    UsdNanos,
)
from bridle.rules.policy import Cap, KillLevel, Level, Limits, Policy, Window
from bridle.rules.run import Phase
from bridle.rules.stop import StopNote, StopReason
from bridle.rules.switch import Switch
from tests.rules.house import ALLOWED, NOW, READ, House, model_call, tool_call

RESERVE: Amounts = {MODEL_CALLS: 1, STEPS: 1, TOKENS_IN: 100, TOKENS_OUT: 50, ACTIVE_MS: 5_000}
UNIT = {"d": 86_400_000, "m": 60_000, "s": 1_000}


def scenario(table: str, policy: Policy | None = None, finalise: Amounts | None = None) -> House:
    """Play a story and compare every answer with its last column.

    A call is `tool key=value`, `model` or `finalise`. After `->` stands how it ended: `open`, a result, or a kind of
    failure; without it the call is settled at once, its result being its arguments. `&` begins a call of the same turn.
    Other rows are what happens to the house: `enter`, `resume`, `kill`, `settle`.
    """
    house = House(policy or Policy(allow=ALLOWED), finalise=finalise)
    for number, line in enumerate(table.strip().splitlines()[1:], 1):
        at, _, rest = line.strip().partition(" ")
        said, _, answer = rest.strip().rpartition("  ")
        house.now = Millis(max(house.now, NOW + int(at[:-1]) * UNIT[at[-1]]))
        given = happened(house, said.strip())
        assert given == answer.strip(), f"row {number}: {said.strip()} at {at}: {given}, not {answer.strip()}"
    return house


def happened(house: House, said: str) -> str:
    """Let one row happen; what the house says to it."""
    words, _, ended = (part.strip() for part in said.partition("->"))
    verb, *rest = words.removeprefix("& ").split()
    match verb:
        case "enter":
            limits = {name: int(value) for name, _, value in (word.partition("=") for word in rest[1:])}
            return "entered" if house.enter(rest[0], limits) else f"halt {house.run.halt and house.run.halt.reason}"
        case "resume":
            house.resume(int(rest[0].removeprefix("away=").removesuffix("s")) * 1_000)
            return "resumed"
        case "kill":
            house.switches = () if rest[0] == "off" else (Switch(KillLevel(rest[0])),)
            return "killed"
        case "settle":
            house.settle(next(iter(house.run.open_calls)))
            return "settled"
    house.turn += not words.startswith("&")
    call = proposal(verb, rest, house.turn)
    decision = house.propose(call)
    if isinstance(decision.answer, Admit):
        end(house, call, ended)
    return shown(decision)


def proposal(verb: str, args: list[str], turn: int) -> Call:
    """The call that a row proposes."""
    if verb in ("model", "finalise"):
        cost = int(args[0].removeprefix("cost=")) if args else 0
        return model_call(cost=cost, purpose=Purpose.FINALISE if verb == "finalise" else Purpose.WORK)
    tools = {"search.read": 2_000}
    call = tool_call(verb, " ".join(args), turn)
    return replace(call, hold={**call.hold, USD_NANO: tools[verb]}) if verb in tools else call


def end(house: House, call: Call, ended: str) -> None:
    """How an admitted call of a row ends."""
    newest = list(house.run.open_calls)[-1]
    if ended == "open":
        return
    if ended in tuple(FailureKind):
        house.settle(newest, failure=FailureKind(ended))
        house.health = house.health.answered(house.now, FailureKind(ended), Millis(30_000))
        return
    house.settle(newest, result=ended or call.args)
    house.health = house.health.answered(house.now, None)


def shown(decision: Decision) -> str:
    """The answer as the last column says it."""
    match decision.answer:
        case Admit(reserve=hold):
            return f"admit {hold[USD_NANO]}" if USD_NANO in hold else "admit"
        case Reuse():
            return "reuse"
        case Hold(rule=rule):
            return f"hold {rule}"
        case Later(reason=reason):
            return f"later {reason}"
        case Deny(reason=reason):
            return f"deny {reason}"
        case Halt(reason=reason, level=level):
            return f"halt {reason} of the step" if level is Level.NODE else f"halt {reason}"


def test_a_day_at_the_door() -> None:
    scenario("""
        at    call                                 answer
        0s    search.read q=berlin                 admit 2000
        1s    search.read q=berlin                 reuse
        2s    mail.send to=ann                     hold approval_required
        3s    door.open                            deny tool_denied
        4s    kb.read doc=1                        admit
        90s   kb.read doc=2                        halt max_seconds
        91s   kb.read doc=3                        halt max_seconds
    """)


def test_140_calls_in_17_minutes_stops_at_15_calls() -> None:
    rows = "".join(f"{number * 7}s  kb.read doc={number}  {{}}\n" for number in range(140))
    answers = ["admit"] * 15 + ["halt max_tool_calls"] * 125
    house = scenario("at  call  answer\n" + rows.format(*answers), Policy(ALLOWED, limits=Limits(max_seconds=1_200)))
    assert house.run.spent(TOOL_CALLS) == 15


def test_90_seconds_are_90_seconds_and_the_downtime_of_a_crash_is_none_of_them() -> None:
    scenario("""
        at     call                                answer
        0s     kb.read doc=1                       admit
        89s    kb.read doc=2                       admit
        89s    resume away=3600s                   resumed
        3689s  kb.read doc=3                       admit
        3690s  kb.read doc=4                       halt max_seconds
    """)


def test_a_step_that_used_its_calls_is_over_and_the_run_goes_on() -> None:
    scenario("""
        at    call                                 answer
        0s    enter look max_tool_calls=2          entered
        1s    kb.read doc=1                        admit
        2s    kb.read doc=2 -> open                admit
        3s    kb.read doc=3                        halt max_tool_calls of the step
        4s    enter write max_seconds=10           entered
        5s    kb.read doc=4                        admit
        6s    settle                               settled
        14s   kb.read doc=5                        halt max_seconds of the step
        15s   enter end                            entered
        15s   kb.read doc=5                        admit
    """)


def test_a_run_out_of_calls_still_has_its_last_word_and_only_one() -> None:
    house = scenario(
        """
        at    call                                 answer
        0s    model                                admit
        1s    model                                halt max_model_calls
        2s    kb.read doc=1                        halt max_model_calls
        3s    finalise                             admit
        4s    finalise                             halt max_model_calls
        """,
        Policy(ALLOWED, limits=Limits(max_model_calls=2)),
        finalise=RESERVE,
    )
    assert house.run.phase is Phase.HALTED


def test_a_killed_run_has_no_last_word() -> None:
    scenario(
        """
        at    call                                 answer
        0s    model                                admit
        1s    kill writes                          killed
        2s    mail.send to=ann                     deny killed
        3s    video.make of=cats                   admit
        4s    kill expensive                       killed
        5s    video.make of=dogs                   deny killed
        6s    kb.read doc=1                        admit
        7s    kill all                             killed
        8s    model                                halt killed
        9s    kill off                             killed
        9s    finalise                             halt killed
        """,
        finalise=RESERVE,
    )


def test_work_ends_while_the_last_word_still_has_its_five_seconds() -> None:
    scenario(
        """
        at    call                                 answer
        84s   model                                admit
        85s   model                                halt max_seconds
        85s   finalise                             admit
        """,
        finalise=RESERVE,
    )
    scenario(
        """
        at    call                                 answer
        85s   model                                halt max_seconds
        90s   finalise                             halt max_seconds
        """,
        finalise=RESERVE,
    )


def test_from_80_percent_on_nothing_expensive_starts() -> None:
    scenario("""
        at    call                                 answer
        71s   video.make of=cats                   admit
        72s   video.make of=dogs                   deny policy_denied
        72s   kb.read doc=1                        admit
    """)


def test_a_dependency_that_is_down_is_left_alone_then_probed() -> None:
    house = scenario("""
        at    call                                 answer
        0s    kb.read doc=1 -> timeout             admit
        0s    kb.read doc=2 -> unavailable         admit
        0s    kb.read doc=3 -> timeout             admit
        0s    kb.read doc=4 -> rate_limited        admit
        1s    kb.read doc=5                        later rate_limited
        30s   kb.read doc=5 -> timeout             admit
        31s   kb.read doc=6 -> timeout             admit
        32s   kb.read doc=7                        deny tool_unavailable
    """)
    assert house.health.failures == OPENS_AFTER
    house.health = replace(WELL, not_before=Millis(NOW + 10**6))
    assert shown(house.propose(tool_call(args="8"))) == "deny rate_limited"
    house.health = Health(failures=OPENS_AFTER, open_until=Millis(NOW + 10**6))
    assert shown(house.propose(model_call())) == "halt model_unavailable"


def test_the_fourth_refusal_stops_the_run_and_twins_of_one_turn_count_once() -> None:
    house = scenario("""
        at    call                                 answer
        0s    door.open                            deny tool_denied
        0s    & door.open                          deny tool_denied
        1s    door.open n=1                        deny tool_denied
        2s    door.open n=2                        deny tool_denied
        3s    kb.read doc=1                        admit
        4s    door.open n=3                        deny tool_denied
        5s    kb.read doc=1                        halt tool_denied
    """)
    assert house.run.halt == StopNote(StopReason.TOOL_DENIED, {"tool": "door.open", "rule": "unknown"})


def test_a_budget_of_the_house_comes_back_with_its_window() -> None:
    cap = Cap(Level.HOUSE, USD_NANO, Window.MINUTE, 5_000)
    policy = Policy(ALLOWED, limits=Limits(max_seconds=300), caps=(cap,))
    scenario(
        """
        at    call                                 answer
        0s    search.read q=a                      admit 2000
        1s    search.read q=b                      admit 2000
        40s   search.read q=c                      admit 2000
        41s   search.read q=d                      admit 2000
        42s   search.read q=e                      halt account_budget
        """,
        policy,
    )  # NOW is 20 seconds after a full minute, so that the third call falls into the next one


def test_a_full_bulkhead_is_waited_for() -> None:
    narrow = House(Policy(allow=ALLOWED), [replace(READ, concurrency=1)])
    assert shown(narrow.propose(tool_call(args="1"))) == "admit"
    assert shown(narrow.propose(tool_call(args="2"))) == "later tool_unavailable"
    narrow.settle(next(iter(narrow.run.open_calls)))
    assert shown(narrow.propose(tool_call(args="2"))) == "admit"


def test_money_is_held_at_its_worst_until_the_call_is_settled() -> None:
    policy = Policy(ALLOWED, limits=Limits(max_usd=UsdNanos(5_000)), require_approval=False)
    house = scenario(
        """
        at    call                                 answer
        0s    search.read q=a -> open              admit 2000
        0s    & search.read q=b -> open            admit 2000
        0s    & search.read q=c                    halt max_usd
        """,
        policy,
    )
    for call in tuple(house.run.open_calls):
        house.settle(call, used={USD_NANO: 1})
    assert house.run.committed(USD_NANO) == 2


def test_a_held_call_reserves_nothing() -> None:
    house = scenario("""
        at    call                                 answer
        0s    mail.send to=ann                     hold approval_required
    """)
    assert (dict(house.run.held), house.balances) == ({}, {})
