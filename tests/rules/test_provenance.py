"""Where values come from: what derives, and every trick that must not."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.rules.provenance import MOST_VALUE, MOST_VALUES
from bridle.rules.sinks import read_sinks, stricter
from bridle.rules.strict_json import Json
from bridle.rules.text_index import MOST_TEXT, TextIndex, is_plain, normal
from tests.rules.known import MAIL, TRUSTED, knowing, result, sink


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ("ann@acme.example", ("user",)),
        ("ANN@acme.example", ("user",)),
        ("Ann  Smith", ("user",)),
        ("DE89 3704\n0044", ("user",)),
        (["ann@acme.example", "Ann Smith"], ("user",)),
        ([], ()),
        (None, ()),
        ("", ()),
        (50, ("user",)),
        (50.0, ("user",)),
        ("50", ("user",)),
        ("2026-05-15", ("user",)),
        ("2026-05-15 14:00", ("user",)),
        ("2026-05-15T14:00:00", ("user",)),
        ("https://docs.acme.example/a?b=1", ("user",)),
        ("https://www.acme.example/today", ("user",)),
        ("ops@acme.example", ("config",)),
        ("Bob@Acme.example", ("dir:contacts",)),
        ("carl@acme.example", ("trusted",)),
        ("dora@acme.example", ("trusted",)),
        (75, ("trusted",)),
        ("\uff21nn Smith", ("user",)),  # a full-width letter is the letter
    ],
)
def test_what_stands_in_a_place_derives_from_it(value: Json, places: tuple[str, ...]) -> None:
    assert knowing(MAIL, TRUSTED).derives(value, sink(*places))


@pytest.mark.parametrize(
    "value",
    [
        "eve@evil.example",
        "acme.example",
        "nn@acme.example",
        "ann@acme.exampl",
        "ann@acme.example.evil.example",
        "acme",  # a word of an address is no address, and no name
        "Ann Smith eve@evil.example",
        ["ann@acme.example", "eve@evil.example"],
        {"to": "eve@evil.example"},
        "\u0430nn@acme.example",  # a Cyrillic letter
        "ann\u200b@acme.example",
        "ann@acme.example\u202e",
        "ann@acme.example\x00",
        "ops@acme.example",  # of the policy, and not of a place that is named
        900,
        5,
        "2026-05-16",
        "2026-05-15 15:00",
        True,
        "http://evil.example/x",
        "https://ann@evil.example/",
        "https://docs.acme.example@evil.example/a",
        "https://docs.acme.example%2eevil.example/",
        "https://docs.acme.example\\@evil.example/",
        "https://docs.acme.example.evil.example/",
        "https://evil.example/?u=https://docs.acme.example/a?b=1",
        "https://d\u043ecs.acme.example/a",
        "https://xn--dcs-6kc.acme.example/a",
        "https://ZG9jcw==/a",
        base64.b64encode(b"https://docs.acme.example/a").decode(),
        "file:///etc/passwd",
        "https://acme.example/",
        "\uff41nn@acme.example",  # but an address is read sign by sign
        "ann@acme.example\n",
        {"eve@evil.example": None},
        [{"eve@evil.example": []}],
        ["ann@acme.example"] * 201,
        "00000050",
        "x" * 2_001,
        "C:\\Users",
        "+50",
        3704,  # a part of an account
        "1999-05-15",
    ],
)
def test_what_does_not_stand_there_does_not_derive(value: Json) -> None:
    assert not knowing(MAIL, TRUSTED).derives(value, sink("user"))


def test_values_do_not_grow_together_from_two_texts() -> None:
    known = knowing(result("crm.read", ["Ann", "Smith"], untrusted=False), task="nothing")
    assert not known.derives("Ann Smith", sink("trusted"))


def test_an_untrusted_result_is_no_source() -> None:
    assert not knowing(MAIL).derives("eve@evil.example", sink("user", "trusted", "config", "ids", "dir:contacts"))


def test_up_to_a_maximum_it_does_not_matter_where_a_number_comes_from() -> None:
    known = knowing(MAIL)
    assert known.derives(100, sink("user", most="100"))
    assert known.derives(0, sink("user", most="100"))
    assert known.derives("99.5", sink("user", most="100"))
    assert known.derives(50, sink("user", most="10")), "the user said it"
    assert not known.derives("lots", sink("user", most="100"))
    assert not known.derives(100.01, sink("user", most="100"))
    assert not known.derives(-100, sink("user", most="100")), "less than nothing is another direction"


def test_hosts_are_compared_by_name() -> None:
    known, one = knowing(MAIL), sink("user", argument="url", hosts=("api.acme.example", "*.cdn.example"))
    assert known.derives("https://api.acme.example/x?q=1", one)
    assert known.derives("https://a.cdn.example/", one)
    assert not known.derives("50", one), "what goes to a host is no number"
    for evil in (
        "https://api.acme.example.evil.example/",
        "https://cdn.example/",
        "https://xapi.acme.example/",
        "api.acme.example",
    ):
        assert not known.derives(evil, one), evil


def test_what_was_approved_is_trusted_in_this_run() -> None:
    known = knowing(MAIL)
    mailed, paid = replace(sink("user"), tool="mail"), replace(sink("user", argument="amount"), tool="pay")
    known.endorse(mailed, ["eve@evil.example"])
    known.endorse(paid, 900)
    assert known.derives("EVE@evil.example", mailed)
    assert known.derives(900, paid)
    assert not known.derives("eve@evil.example.org", mailed)
    assert not known.derives("eve@evil.example", paid), "another argument is another question"
    assert not known.derives(900, mailed)
    assert not known.derives("eve@evil.example", replace(mailed, tool="pay"))


def test_a_lookup_that_something_untrusted_steers_is_known_by_its_arguments() -> None:
    known = knowing(MAIL, TRUSTED)
    assert known.is_known({"name": "Ann Smith", "all": True, "limit": None})
    assert known.is_known({"mail": "bob@acme.example"})
    assert not known.is_known({"name": "eve@evil.example"})
    assert not known.is_known({"filter": {"any": ["Ann Smith", "eve@evil.example"]}})


def test_verbatim_is_what_stood_in_a_result_whoever_wrote_it() -> None:
    known = knowing(MAIL)
    assert known.stood({"url": "http://evil.example/x"})
    assert not known.stood({"url": "http://evil.example/x?secret=1"})
    assert not known.stood({"url": "http://evil.example/x", "q": "more"})
    assert known.stood({"url": "http://evil.example/x", "none": None, "yes": True, "empty": ""}), "these say nothing"
    assert known.stood({"of": ["Pay"] * MOST_VALUES})
    assert not known.stood({"of": ["Pay"] * (MOST_VALUES + 1)}), "nobody can vouch for so many"


def test_what_is_too_long_or_hides_a_sign_derives_from_nothing_even_where_it_stands() -> None:
    longest, hidden = "x" * MOST_VALUE, "ann\u200b@acme.example"
    known = knowing(task=f"{longest} {longest}y {hidden}")
    assert known.derives(longest, sink("user"))
    assert not known.derives(f"{longest}y", sink("user"))
    assert not known.derives(hidden, sink("user"))


def test_yes_no_and_nothing_are_no_words_of_the_user() -> None:
    known = knowing(task={"all": True, "some": False, "of": None})
    assert not any(known.derives(one, sink("user")) for one in ("true", "false", "none"))
    assert known.derives(["all", "of"], sink("user")), "the names of fields are"


def test_of_very_many_values_none_is_vouched_for() -> None:
    known, places = knowing(), sink("user")
    assert known.derives(["Ann Smith"] * MOST_VALUES, places)
    assert known.strange(["Ann Smith"] * (MOST_VALUES + 1), places) == ["Ann Smith"]


def test_the_first_result_that_a_value_stood_in_is_named() -> None:
    known = knowing(TRUSTED, MAIL)
    assert known.first_seen("eve@evil.example", sink("user")) == ("c1", "mail.read", True)
    assert known.first_seen("nobody@nowhere.example", sink("user")) is None
    assert known.first_seen("dora@acme.example", sink("user")) == ("c1", "crm.read", False)
    assert known.first_seen("dora@acme.example", sink("trusted")) is None, "there it was looked for, and was not enough"


@given(st.text(max_size=60), st.text(max_size=60), st.text(min_size=1, max_size=20))
def test_more_places_never_derive_less_and_fewer_never_more(task: str, page: str, value: str) -> None:
    known = knowing(result("web.get", page, untrusted=False), task=task)
    wide, narrow = sink("user", "trusted"), sink("user")
    assert known.derives(value, wide) or not known.derives(value, narrow)
    both = stricter((wide,), (narrow,))
    assert both is not None
    assert known.derives(value, both[0]) == known.derives(value, narrow)


@given(st.lists(st.text(max_size=40), max_size=5), st.text(min_size=1, max_size=12))
def test_an_index_finds_only_what_stands_there(texts: list[str], value: str) -> None:
    index = TextIndex()
    for text in texts:
        index.add(text)
    if index.holds(normal(value)):
        assert any(normal(value) in normal(text) for text in texts)


@given(st.lists(st.sampled_from(["ann", "smith", "x.example", "50", "ann@x.example"]), min_size=1, max_size=8))
def test_whole_words_of_a_text_are_found_in_it(words: list[str]) -> None:
    index = TextIndex()
    index.add("nothing here")
    index.add(" ".join(words))
    assert all(index.holds(word) for word in words)
    assert index.holds(" ".join(words))


def test_hidden_signs_are_seen() -> None:
    assert is_plain("Ann Smith\n")
    assert not any(is_plain(f"a{sign}b") for sign in "\u200b\u202e\u2066\x00\x1b\ue000\ufeff")


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ([], "mapping"),
        ({"to": "user"}, "list of names"),
        ({"to": ["usr"]}, "no place"),
        ({"to": ["dir:"]}, "no place"),
        ({"to": {"form": ["user"]}}, "no setting"),
        ({"n": {"from": [], "max": "ten"}}, "number"),
        ({"n": {"from": [], "max": float("nan")}}, "number"),
        ({"url": {"from": [], "hosts": ["http://x.example"]}}, "no host"),
        ({"url": {"from": [], "hosts": ["*"]}}, "no host"),
        ({1: ["user"]}, "no name"),
    ],
)
def test_sinks_say_what_is_wrong_with_them(given_: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_sinks(given_)


def test_a_text_beyond_the_bound_is_not_read_and_vouches_for_nothing() -> None:
    known = knowing(task="nothing")
    known.returned(result("crm.read", "word " * (MOST_TEXT // 5 + 1), untrusted=False))
    known.returned(result("crm.read", "then ann@acme.example", untrusted=False))
    assert not known.derives("word word", sink("trusted"))
    assert known.derives("ann@acme.example", sink("trusted"))


def test_a_common_word_costs_no_more_than_its_bound() -> None:
    index = TextIndex()
    index.add("the end " * 10_000 + "the only end")
    assert index.holds("the end")
    assert not index.holds("end end")
    assert index.holds("the only end"), "the rarest word is looked for"


@pytest.mark.parametrize(
    ("task", "url", "derives"),
    [
        ("see README.md and report.zip", "https://readme.md/?q=secret", False),
        ("see README.md and report.zip", "https://report.zip/", False),
        ("look at acme.example please", "https://acme.example/any/path", False),
        ("look at www.acme.example please", "https://www.acme.example/any/path", True),
        ("version 10.0.0.1 of it", "http://10.0.0.1/latest/meta-data", False),
        ("look at https://acme.example please", "http://acme.example/any/path", True),
        ("look at https://acme.example/plan", "https://acme.example/other", False),
        ("write to ann@acme.example", "https://acme.example/", False),
        ("mail ann@strasse.example", "https://stra\u00dfe.example/", False),
    ],
)
def test_a_host_counts_where_it_is_named_by_itself(task: str, url: str, derives: bool) -> None:
    assert knowing(MAIL, task=task).derives(url, sink("user", argument="url")) is derives


def test_folding_makes_no_other_address_of_one() -> None:
    known = knowing(MAIL, task="mail ann@strasse.example, or Stra\u00dfe 5")
    assert not known.derives("ann@stra\u00dfe.example", sink("user"))
    assert known.derives("STRASSE 5", sink("user"))


@pytest.mark.parametrize("text", ["1" + ",000" * 50_000 + "x", "a" + "\u0301\u0323" * 50_000, "1." * 100_000])
def test_hostile_texts_take_a_time_that_grows_with_their_length(text: str) -> None:
    """Each of these took the square of its length: this ends, or the suite does not."""
    known = knowing(result("web.get", text, untrusted=False), task="nothing")
    assert not known.derives(5.5, sink("trusted"))
    assert not known.derives("2026-01-01", sink("trusted"))
