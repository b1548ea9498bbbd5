"""The closed set of stop reasons, row by row as the design promises it, and the sentences that people read."""

import string
from itertools import permutations

import pytest

from bridle.rules.stop import STOPS, Detail, Precedence, Retry, Status, StopNote, StopReason, strongest

PROMISED = {
    reason: (status, retry, int(http), who.strip())
    for reason, status, retry, http, who in (
        line.split(maxsplit=4)
        for line in """
        ok                   ok         none    200  -
        ok_degraded          ok         later   200  user
        max_steps            stopped    change  402  agent owner
        max_seconds          stopped    change  402  agent owner
        max_model_calls      stopped    change  402  agent owner
        max_tool_calls       stopped    change  402  agent owner
        max_tokens           stopped    change  402  agent owner
        max_usd              stopped    change  402  agent owner
        tool_quota           stopped    change  402  agent owner
        account_budget       stopped    later   402  tenant admin
        price_unknown        stopped    change  422  operator
        no_progress          stopped    never   422  agent owner
        context_overflow     stopped    change  422  agent owner
        model_refused        stopped    never   422  user
        answer_invalid       stopped    change  422  agent owner
        input_rejected       stopped    change  422  user
        tool_denied          stopped    never   403  agent owner
        policy_denied        stopped    never   403  agent owner
        approval_denied      stopped    human   403  requester
        approval_expired     stopped    later   403  approvers
        tool_unavailable     failed     later   424  tool owner
        tool_output_invalid  stopped    change  424  tool owner
        model_unavailable    failed     later   424  operator
        rate_limited         stopped    later   424  operator
        cancelled            cancelled  any     200  user
        superseded           cancelled  follow  200  -
        killed               stopped    human   423  whoever set the switch
        worker_lost          failed     later   424  operator
        run_expired          stopped    later   422  requester
        credentials_invalid  failed     change  403  tenant admin
        tenant_suspended     stopped    human   403  admin
        config_invalid       failed     change  422  agent owner
        control_unavailable  failed     later   424  operator
        internal_error       failed     later   424  us
        write_in_doubt       stopped    human   424  operator
        """.strip().splitlines()
    )
}

LIMIT: Detail = {"limit": 15, "used": 14}
SAID: dict[str, tuple[Detail, str]] = {
    "ok": ({}, "The run answered."),
    "ok_degraded": ({"missing": "the weather"}, "The run answered without the weather."),
    "max_steps": (LIMIT, "The run used all its steps (14 of 15)."),
    "max_seconds": (LIMIT, "The run used all its time (14 of 15 s)."),
    "max_model_calls": (LIMIT, "The run used all its model calls (14 of 15)."),
    "max_tool_calls": (LIMIT, "The run used all its tool calls (14 of 15)."),
    "max_tokens": (LIMIT, "The next request did not fit into the run's tokens (14 of 15)."),
    "max_usd": ({"limit": "$1.00", "used": "$0.9"}, "The next call did not fit into the run's money ($0.9 of $1.00)."),
    "tool_quota": ({**LIMIT, "tool": "kb.read"}, "The run used all its calls of kb.read (14 of 15)."),
    "account_budget": ({"level": "house", "until": "midnight"}, "The budget of house is used up until midnight."),
    "price_unknown": ({"model": "gpt"}, "The price of gpt is not known, so its cost cannot be bounded."),
    "no_progress": ({"tool": "kb.read"}, "The run repeated itself without learning anything new (kb.read)."),
    "context_overflow": ({}, "The policy and the task do not fit into what the model can read."),
    "model_refused": ({}, "The model would not answer this."),
    "answer_invalid": ({"error": "no JSON"}, "The answer does not have the declared form: no JSON."),
    "input_rejected": ({"error": "no JSON"}, "The input was not accepted: no JSON."),
    "tool_denied": ({"tool": "kb.read"}, "The tool kb.read is not allowed here."),
    "policy_denied": ({"tool": "kb.read", "rule": "args"}, "The policy refused a call of kb.read (args)."),
    "approval_denied": ({"tool": "mail.send"}, "A person said no to mail.send."),
    "approval_expired": ({"tool": "mail.send"}, "Nobody decided about mail.send in time. Nothing was written."),
    "tool_unavailable": ({"tool": "kb.read"}, "The tool kb.read is not available."),
    "tool_output_invalid": (
        {"tool": "kb.read", "error": "no JSON"}, "The tool kb.read returned something that is not usable: no JSON.",
    ),
    "model_unavailable": ({"model": "gpt"}, "The model gpt is not available."),
    "rate_limited": (
        {"tool": "kb.read"}, "The far end of kb.read asked to slow down for longer than the run had time.",
    ),
    "cancelled": ({}, "The run was cancelled."),
    "superseded": ({"by": "r-2"}, "Another run took over (r-2)."),
    "killed": (
        {"level": "writes", "scope": "tenant acme", "by": "ann"}, "The kill switch is on (writes, tenant acme).",
    ),
    "worker_lost": ({}, "The process that ran this died, and its loop was not bridle's to resume."),
    "run_expired": ({}, "The run waited for too long."),
    "credentials_invalid": ({"tool": "kb.read", "error": "401"}, "The credentials for kb.read were not accepted: 401."),
    "tenant_suspended": ({}, "The tenant is suspended."),
    "config_invalid": ({"error": "no model"}, "The set-up is not valid: no model."),
    "control_unavailable": (
        {"error": "disk full"}, "The journal could not be written, so nothing new was allowed to start (disk full).",
    ),
    "internal_error": ({"error": "ValueError", "incident_id": "i-1"}, "The code of the run failed (ValueError)."),
    "write_in_doubt": ({"tool": "mail.send"}, "Nobody knows whether mail.send took effect."),
}  # fmt: skip

RANKS = [
    {"killed"},
    {"control_unavailable"},
    {"write_in_doubt"},
    {"account_budget"},
    {"max_steps", "max_seconds", "max_model_calls", "max_tool_calls", "max_tokens", "max_usd", "tool_quota"},
    {"no_progress"},
]


def test_the_set_is_closed_and_every_reason_has_one_row() -> None:
    assert set(STOPS) == set(StopReason)
    assert list(PROMISED) == [reason.value for reason in StopReason]
    assert set(SAID) == set(PROMISED)


@pytest.mark.parametrize("reason", StopReason)
def test_a_row_says_what_is_promised(reason: StopReason) -> None:
    row, (status, retry, http, who) = STOPS[reason], PROMISED[reason]
    assert (row.status, row.retry, row.http, row.who or "-") == (status, retry, http, who)
    note = StopNote(reason)
    assert (note.row, note.status, note.retry, note.who) == (row, row.status, row.retry, row.who)
    assert note.message_key == f"stop.{reason}"


@pytest.mark.parametrize("reason", StopReason)
def test_no_stop_has_an_http_code_that_a_client_sends_again_by_itself(reason: StopReason) -> None:
    http = STOPS[reason].http
    assert http not in (408, 409, 429)
    assert 200 <= http < 500


@pytest.mark.parametrize("reason", StopReason)
def test_a_stop_is_one_sentence_with_its_detail_in_it(reason: StopReason) -> None:
    detail, sentence = SAID[reason]
    note = StopNote(reason, {**detail, "else": "x"})
    assert note.text() == note.text("de") == sentence


@pytest.mark.parametrize("reason", StopReason)
def test_advice_needs_no_more_than_the_documented_detail(reason: StopReason) -> None:
    row = STOPS[reason]
    blanks = {name for text in (row.text, row.advice) for _, name, _, _ in string.Formatter().parse(text) if name}
    assert blanks <= SAID[reason][0].keys()
    assert row.advice.endswith(".")


def test_what_nobody_gave_is_shown_as_a_question_mark() -> None:
    assert StopNote(StopReason.MAX_STEPS, {"limit": 3}).text() == "The run used all its steps (? of 3)."


def test_a_detail_with_braces_is_text_and_no_template() -> None:
    assert StopNote(StopReason.NO_PROGRESS, {"tool": "{error}"}).text().endswith("({error}).")


@pytest.mark.parametrize("reason", StopReason)
def test_precedence_is_killed_then_control_then_doubt_then_money_then_limits_then_loops_then_the_rest(
    reason: StopReason,
) -> None:
    rank = next((rank for rank, reasons in enumerate(RANKS) if reason in reasons), len(RANKS))
    assert STOPS[reason].precedence == rank
    assert len(Precedence) == len(RANKS) + 1


def test_the_strongest_stop_wins_and_among_equals_the_first() -> None:
    for one, other in permutations(map(StopNote, StopReason), 2):
        expected = other if other.row.precedence < one.row.precedence else one
        assert strongest([one, other]) is expected
        assert strongest((one, other)) is expected


def test_among_no_stops_none_is_strongest() -> None:
    with pytest.raises(ValueError, match="empty"):
        strongest([])


def test_a_status_is_the_end_of_some_reason_but_for_waiting() -> None:
    assert {row.status for row in STOPS.values()} == set(Status) - {Status.WAITING}
    assert {row.retry for row in STOPS.values()} == set(Retry)


@pytest.mark.parametrize(
    ("reason", "rule", "text"),
    [
        ("tool_denied", "unknown", "No tool mail.send is declared here."),
        ("tool_denied", "allowlist", "The tool mail.send is not allowed here."),
        ("policy_denied", "arguments", "The arguments of mail.send do not have its form: $.to is missing."),
        ("policy_denied", "wrap_up", "The policy refused a call of mail.send (wrap_up)."),
    ],
)
def test_the_rule_that_fired_has_words_of_its_own(reason: str, rule: str, text: str) -> None:
    note = StopNote(StopReason(reason), {"tool": "mail.send", "rule": rule, "error": "$.to is missing"})
    assert note.text() == text
    assert "{" not in note.advice
