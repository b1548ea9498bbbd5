"""Values that come from the fields of results: ids, and the fields of directories."""

import pytest

from bridle.rules.names import CallId, ToolName
from bridle.rules.provenance import Provenance, Result
from bridle.rules.sinks import Sink, read_sinks
from bridle.rules.strict_json import Json
from tests.rules.known import MAIL, knowing, result, sink


class TestIds:
    """An id that is short, or a word, stands in many texts by chance."""

    ids = sink("user", "ids", argument="file_id")

    def test_a_field_of_ids_is_one(self) -> None:
        known = knowing(
            result("files.list", [{"id_": 14, "name": "a"}, {"file_id": "15"}]), task="share the newest file"
        )
        assert known.derives("14", self.ids)
        assert known.derives(14, self.ids)
        assert known.derives("15", self.ids)
        assert not known.derives("16", self.ids)

    def test_prose_is_none(self) -> None:
        known = knowing(MAIL, task="share the file of 14 pages")
        assert not known.derives("14", self.ids)
        assert not known.derives("pages", self.ids)

    def test_the_user_may_call_it_an_id(self) -> None:
        for task in ("file with id '14'", "File ID: 14", "file no. 14", "file #14", "file number 14"):
            assert knowing(MAIL, task=task).derives("14", sink("user", argument="file_id")), task

    @pytest.mark.parametrize("one", [sink("user", argument="file_id"), sink("user", "ids"), sink("ids", "user")])
    @pytest.mark.parametrize("value", ["14", 14, 14.0])
    def test_a_number_of_prose_is_none_wherever_ids_go(self, one: Sink, value: Json) -> None:
        assert not knowing(task="share the file of 14 pages").derives(value, one)
        assert knowing(task="share the file of 14 pages").derives(value, sink("user")), "elsewhere it is a number"

    def test_prose_is_none_where_an_untrusted_result_has_it_as_an_id(self) -> None:
        known = knowing(result("files.list", {"id": 14}), task="share the file of 14 pages")
        assert not known.derives("14", sink("user", argument="file_id"))
        assert not known.derives(14, sink("user", argument="file_id"))

    def test_long_enough_with_a_digit_is_found_in_prose(self) -> None:
        assert knowing(task="refund 44571 please").derives(44571, sink("user", argument="order_id"))
        assert knowing(task="refund A-10 please").derives("A-10", sink("user", argument="order_id"))
        assert not knowing(task="refund A-1 please").derives("A-1", sink("user", argument="order_id"))
        assert knowing(MAIL, task="refund A-1044 please").derives("A-1044", sink("user", argument="order_id"))
        assert not knowing(MAIL, task="refund order please").derives("order", sink("user", argument="order_id"))

    def test_what_a_call_was_asked_with_is_no_id(self) -> None:
        known = knowing(result("files.get", {"id": "14", "text": "no such file"}, {"file_id": "14"}), task="x")
        assert not known.derives("14", self.ids)

    @pytest.mark.parametrize("value", ["12345", 12345])
    def test_an_id_of_a_result_counts_only_where_ids_may_come_from(self, value: Json) -> None:
        known = knowing(result("files.list", {"id": 12345}), task="nothing")
        assert known.derives(value, self.ids)
        assert not known.derives(value, sink("user", "trusted", argument="file_id"))

    def test_one_of_letters_counts_where_a_field_says_it(self) -> None:
        known = knowing(result("files.list", {"id": "f-ab"}), task="nothing")
        assert known.derives("F-AB", sink("ids", argument="file_id"))
        assert not known.derives("f-ab", sink("user", "trusted", argument="file_id"))

    def test_a_word_that_is_all_of_a_text_is_one(self) -> None:
        assert knowing(task={"file": "pages"}).derives("pages", sink("user", argument="file_id"))
        assert not knowing(task={"file": "the pages"}).derives("pages", sink("user", argument="file_id"))

    def test_what_nobody_would_call_an_id_is_none(self) -> None:
        strange: Json = {
            "id": "eve@evil.example",
            "ids": {"x": ["DE00"]},
            "docId": "../etc",
            "uuid": True,
            "nr_id": None,
        }
        known = knowing(result("api.get", strange), task="nothing")
        for one in ("eve@evil.example", "DE00", "../etc", "x", "true", "none"):
            assert not known.derives(one, self.ids), one

    def test_a_result_that_nobody_knows_the_question_of_has_none(self) -> None:
        known = knowing(Result(CallId("c1"), ToolName("files.list"), {"id": "14"}, None), task="x")
        assert not known.derives("14", self.ids)

    def test_a_destructive_tool_takes_none(self) -> None:
        with pytest.raises(ValueError, match="destructive"):
            read_sinks({"file_id": ["user", "ids"]}, destructive=True)


class TestDirectories:
    """Whole fields of what a read-only tool returned, other than what it was asked with."""

    people = sink("dir:people")

    def test_a_whole_field_counts_whoever_asked(self) -> None:
        found = result("people.find", [{"name": "Eva", "mail": "eva@acme.example"}], {"name": "e"})
        assert knowing(found).derives("eva@acme.example", self.people)

    def test_an_echo_does_not(self) -> None:
        echo = result("people.find", {"asked": "eve@evil.example", "found": []}, {"name": "eve@evil.example"})
        assert not knowing(echo).derives("eve@evil.example", self.people)
        says = result("people.find", "there is no eve@evil.example here", {"name": "eve@evil.example"})
        assert not knowing(says).derives("eve@evil.example", self.people)

    @pytest.mark.parametrize("asked", ["x eve@evil.example", "<eve@evil.example>", "to:eve@evil.example"])
    def test_an_echo_in_other_words_does_not(self, asked: str) -> None:
        echo = result("people.find", {"suggest": ["eve@evil.example"]}, {"name": asked})
        assert not knowing(echo).derives("eve@evil.example", self.people)

    def test_the_name_of_a_field_does_not(self) -> None:
        assert not knowing(result("people.find", {"eve@evil.example": 1})).derives("eve@evil.example", self.people)

    def test_nothing_yes_and_no_are_no_fields(self) -> None:
        known = knowing(result("people.find", {"a": None, "b": True, "c": [False]}))
        assert not any(known.derives(one, self.people) for one in ("none", "true", "false"))

    def test_numbers_and_hosts_may_be_listed(self) -> None:
        known = Provenance(frozenset({"4711"}), {"hosts": frozenset({"api.bob.example"}), "user": frozenset({"eve"})})
        assert known.derives(4711, sink("config"))
        assert not known.derives(4711, sink("user", "trusted"))
        assert known.derives("https://api.bob.example/x", sink("dir:hosts"))
        assert not known.derives("https://api.bob.example/x", sink("config"))
        assert known.derives("eve", sink("dir:user"))
        assert not known.derives("eve", sink("user")), "a directory of this name is not the user"

    def test_a_part_of_a_field_does_not(self) -> None:
        assert not knowing(result("people.find", {"note": "or eve@evil.example"})).derives(
            "eve@evil.example", self.people
        )
