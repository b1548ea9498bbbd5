"""What the door answers, told as a person would tell it."""

from bridle.bridle import Bridle
from bridle.rules.names import ToolName, usd
from bridle.rules.policy import Limits
from bridle.rules.tool import ToolRule
from tests.gateway.house import TOOLS, allowing, tell


def test_an_identical_read_is_answered_by_the_one_before_it() -> None:
    calls = tell(
        """
        at    call                          answer
        0s    search.read q=berlin          admit
        1s    search.read q=berlin          reuse
        2s    search.read q=paris limit=5   admit
        3s    search.read limit=5 q=paris   reuse
        4s    kb.read doc=1                 admit
        5s    kb.read doc=1                 reuse
        """,
        allowing(*TOOLS),
    )
    assert calls.made == ["search.read(berlin)", "search.read(paris)", "kb.read(1)"]


def test_a_write_makes_every_earlier_reading_old() -> None:
    calls = tell(
        """
        at    call                     answer
        0s    kb.read doc=1            admit
        1s    kb.read doc=1            reuse
        2s    mail.send to=ann         admit
        3s    kb.read doc=1            admit
        4s    mail.send to=ann         admit
        """,
        allowing(*TOOLS),
    )
    assert calls.made == ["kb.read(1)", "mail.send(ann)", "kb.read(1)", "mail.send(ann)"]


def test_a_reading_is_reused_for_as_long_as_its_tool_says() -> None:
    tell(
        """
        at    call                     answer
        0s    news.read topic=rain     admit
        9s    news.read topic=rain     reuse
        10s   news.read topic=snow     admit
        11s   news.read topic=rain     admit
        20s   news.read topic=rain     reuse
        22s   poll.read job=a          admit
        23s   poll.read job=a          admit
        24s   poll.read job=a          admit
        25s   poll.read job=a          admit
        """,
        allowing(*TOOLS),
    )


def test_what_is_not_listed_not_declared_or_not_of_the_form_is_refused() -> None:
    calls = tell(
        """
        at    call                     answer
        0s    page.get url=x           refuse tool_denied allowlist
        1s    nothing.like it=1        refuse tool_denied unknown
        2s    search.raed q=x          refuse tool_denied unknown
        3s    search.read              refuse policy_denied arguments
        4s    search.read q=7          refuse policy_denied arguments
        5s    search.read q=x size=3   refuse policy_denied arguments
        6s    kb.read doc=one          refuse policy_denied arguments
        7s    search.read q=x          admit
        """,
        allowing("search.read", "kb.read", "nothing.like"),
    )
    assert calls.made == ["search.read(x)"]


def test_the_rule_of_the_policy_on_arguments_holds_beside_the_tools_own_form() -> None:
    rule = ToolRule(args='{"properties":{"to":{"pattern":"@example.org$"}}}')
    calls = tell(
        """
        at    call                          answer
        0s    mail.send to=ann@example.org  admit
        1s    mail.send to=eve@evil.org     refuse policy_denied args
        2s    mail.send to=7                refuse policy_denied arguments
        """,
        allowing(*TOOLS, tools={ToolName("mail.send"): rule}),
    )
    assert calls.made == ["mail.send(ann@example.org)"]


def test_a_write_waits_for_a_person_unless_the_policy_says_otherwise() -> None:
    calls = tell(
        """
        at    call                     answer
        0s    kb.read doc=1            admit
        1s    mail.send to=ann         ask
        """,
        allowing(*TOOLS, require_approval=True),
    )
    assert calls.made == ["kb.read(1)"]


def test_a_tool_has_a_number_of_calls_of_its_own_in_a_run() -> None:
    tell(
        """
        at    call                     answer
        0s    kb.read doc=1            admit
        1s    kb.read doc=2            admit
        2s    kb.read doc=2            reuse
        3s    kb.read doc=3            admit
        4s    kb.read doc=4            admit
        5s    kb.read doc=5            refuse tool_quota
        6s    kb.read doc=4            reuse
        7s    search.read q=x          admit
        """,
        allowing(*TOOLS),
    )


def test_after_90_seconds_nothing_is_admitted() -> None:
    tell(
        """
        at    call                     answer
        0s    search.read q=berlin     admit
        1s    search.read q=berlin     reuse
        89s   search.read q=paris      admit
        91s   kb.read doc=1            halt max_seconds
        92s   kb.read doc=1            refuse max_seconds
        """,
        allowing(*TOOLS),
    )


def test_140_calls_in_17_minutes_stop_at_15_calls() -> None:
    lines = [f"{7 * n}s".ljust(6) + f"search.read q=q{n}".ljust(25) for n in range(140)]
    answers = ["admit"] * 15 + ["halt max_tool_calls"] + ["refuse max_tool_calls"] * 124
    table = "at    call                     answer\n" + "\n".join(map(str.__add__, lines, answers))
    calls = tell(table, allowing(*TOOLS, limits=Limits(max_seconds=1_020)))
    assert len(calls.made) == 15


def test_the_next_call_must_fit_into_the_money_at_its_worst() -> None:
    calls = tell(
        """
        at    call                     answer
        0s    page.get url=a           admit
        1s    page.get url=b           admit
        2s    page.get url=a           reuse
        3s    search.read q=x          admit
        4s    page.get url=c           halt max_usd
        5s    search.read q=y          refuse max_usd
        """,
        allowing(*TOOLS, limits=Limits(max_usd=usd("0.299"))),
    )
    assert calls.count("page.get") == 2


def test_at_80_percent_nothing_expensive_starts() -> None:
    tell(
        """
        at    call                     answer
        0s    page.get url=a           admit
        1s    search.read q=w1         admit
        2s    search.read q=w2         admit
        3s    search.read q=w3         admit
        4s    page.get url=b           refuse policy_denied wrap_up
        5s    search.read q=w4         admit
        """,
        allowing(*TOOLS, limits=Limits(max_tool_calls=5)),
    )


def test_the_same_call_with_the_same_result_three_times_is_a_loop() -> None:
    tell(
        """
        at    call                     answer
        0s    search.read q=a          admit
        1s    search.read q=a          reuse
        2s    search.read q=a          halt no_progress
        """,
        allowing(*TOOLS),
    )


def test_two_calls_in_turn_three_times_over_are_a_loop() -> None:
    tell(
        """
        at    call                     answer
        0s    search.read q=a          admit
        1s    search.read q=b          admit
        2s    search.read q=a          reuse
        3s    search.read q=b          reuse
        4s    search.read q=a          reuse
        5s    search.read q=b          halt no_progress
        """,
        allowing(*TOOLS),
    )


async def turned(b: Bridle, level: str, tenant: str = "") -> None:
    """Somebody turns the kill switch."""
    await b.kill(level, tenant=tenant, by="ann", because="an incident")


def test_the_switch_at_writes_takes_away_writes() -> None:
    calls = tell(
        """
        at    call                     answer
        0s    search.read q=a          admit
        1s    mail.send to=ann         refuse killed
        2s    page.get url=a           admit
        """,
        allowing(*TOOLS),
        lambda b: turned(b, "writes"),
    )
    assert calls.count("mail.send") == 0


def test_the_switch_at_expensive_takes_away_writes_and_what_is_expensive() -> None:
    calls = tell(
        """
        at    call                     answer
        0s    search.read q=a          admit
        1s    mail.send to=ann         refuse killed
        2s    page.get url=a           refuse killed
        3s    search.read q=b          admit
        """,
        allowing(*TOOLS),
        lambda b: turned(b, "expensive", "default"),
    )
    assert calls.made == ["search.read(a)", "search.read(b)"]


def test_the_switch_of_another_tenant_changes_nothing() -> None:
    tell(
        """
        at    call                     answer
        0s    mail.send to=ann         admit
        """,
        allowing(*TOOLS),
        lambda b: turned(b, "all", "umbrella"),
    )
