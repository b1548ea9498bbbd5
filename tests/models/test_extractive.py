"""The embedded model: it searches, reads, quotes with citations, and says so when it has found nothing."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.models.extractive import MAX_TURNS, ExtractiveModel
from bridle.models.quoting import MAX_QUOTES, Quotable, keywords, quotes
from bridle.rules.names import Millis
from bridle.rules.prompt import LEFT_OUT, Finish, Message, ModelReply, ToolOffer, ToolUse
from tests.models.asking import READ, SEARCH, observed, request, said, user

TASK = user("How long may a customer return an order, and who pays for the return shipping?")
TOOLS = (SEARCH, READ)
HITS = [
    {"doc": "guide.md", "heading": "Start", "line": 1, "score": 2, "text": "Welcome to the shop."},
    {"doc": "returns.md", "heading": "Returns", "line": 3, "score": 1, "text": "A customer may return an order."},
]
RETURNS = """# Returns

A customer may return an order within 30 days of delivery. The order must be unused.
[Return shipping](https://example.com/x) is paid by the shop when the order was wrong, else the customer pays for it.

```
customer return order shipping
```

- Gift cards cannot be returned.
"""
FOUND_NOTHING = "I found nothing about long customer return order pays shipping in what I was given."


async def ask(*messages: Message, offers: tuple[ToolOffer, ...] = TOOLS, max_output: int = 500) -> ModelReply:
    asked = request(*messages, offers=offers, max_output=max_output)
    reply = await ExtractiveModel().complete(asked, timeout=Millis(1))
    assert reply.usage is not None
    assert reply.usage.tokens_in <= asked.size
    assert reply.usage.tokens_out <= max_output
    return reply


def searched(turn: int = 0, query: str = "return order") -> Message:
    return said("", ToolUse(f"call_{turn}_0", "search.read", json.dumps({"query": query})))


def did_read(doc: str = "returns.md", own: str = "call_1_0") -> Message:
    return said("", ToolUse(own, "kb.read", json.dumps({"doc": doc})))


def document(text: str = RETURNS, doc: str = "returns.md") -> str:
    return json.dumps({"doc": doc, "text": text, "title": "T"}, ensure_ascii=False)


async def test_it_first_searches_for_the_key_words_of_the_task() -> None:
    reply = await ask(TASK)
    assert [(use.name, json.loads(use.arguments)) for use in reply.uses] == [
        ("search.read", {"query": "long customer return order pays shipping"})
    ]
    assert reply.finish is Finish.TOOL_CALLS


async def test_then_it_reads_what_the_search_named_the_most_relevant_first() -> None:
    reply = await ask(TASK, searched(), observed("call_0_0", json.dumps(HITS)))
    assert [json.loads(use.arguments) for use in reply.uses] == [{"doc": "returns.md"}, {"doc": "guide.md"}]


async def test_then_it_answers_in_the_words_of_the_documents_each_with_its_citation() -> None:
    reply = await ask(
        TASK, searched(), observed("call_0_0", json.dumps(HITS)), did_read(), observed("call_1_0", document())
    )
    assert reply.finish is Finish.STOP
    assert reply.text.splitlines() == [
        "Return shipping is paid by the shop when the order was wrong, else the customer pays for it. [returns.md]",
        "A customer may return an order. [returns.md > Returns]",
    ]


async def test_a_row_of_a_table_is_not_quoted() -> None:
    text = "A customer may return an order.\n\n| customer | return | order | shipping |\n| long | pays | a | b |\n"
    reply = await ask(TASK, did_read(), observed("call_1_0", document(text)), offers=())
    assert reply.text == "A customer may return an order. [returns.md]"


async def test_a_search_without_hits_is_tried_once_more_with_fewer_words() -> None:
    empty = observed("call_0_0", "[]")
    again = await ask(TASK, searched(), empty)
    assert json.loads(again.uses[0].arguments) == {"query": "long customer"}
    given_up = await ask(TASK, searched(), empty, searched(1, "long customer"), observed("call_1_0", "[]"))
    assert (given_up.uses, given_up.text) == ((), FOUND_NOTHING)


async def test_when_nothing_is_offered_it_answers_at_once() -> None:
    assert (await ask(TASK, offers=())).text == FOUND_NOTHING
    seen = await ask(TASK, searched(), observed("call_0_0", json.dumps(HITS)), offers=())
    assert seen.text == "A customer may return an order. [returns.md > Returns]"


@pytest.mark.parametrize(
    "text",
    [
        LEFT_OUT,
        "refused: tool_denied (kb.read). Do not repeat this call.",
        "",
        "{}",
        "Nothing of that kind here.",
        "refused: policy_denied (kb.read, customer return order shipping pays). Do not repeat this call.",
    ],
)
async def test_what_does_not_speak_of_the_matter_is_not_quoted(text: str) -> None:
    reply = await ask(TASK, did_read(), observed("call_1_0", text), offers=())
    assert reply.text == FOUND_NOTHING


@pytest.mark.parametrize(
    "offer",
    [
        ToolOffer("doc.delete", "", READ.parameters),
        ToolOffer("sql.execute", "", SEARCH.parameters),
        ToolOffer("mail.send", "", SEARCH.parameters),
        ToolOffer("thread.post", "", SEARCH.parameters),
        ToolOffer("target.budget", "", SEARCH.parameters),
        ToolOffer("search.read", "", '{"properties":{"query":{"type":"string"}},"required":["query","by"]}'),
        ToolOffer("search.read", "", '{"properties":{"query":{"type":"object"}}}'),
        ToolOffer("search.read", "", '{"properties":[],"required":{}}'),
        ToolOffer("search.read", "", "not json"),
        ToolOffer("search.read", "", ""),
    ],
)
async def test_a_tool_that_does_something_else_is_left_alone(offer: ToolOffer) -> None:
    assert (await ask(TASK, offers=(offer,))).uses == ()


async def test_it_asks_for_tools_in_a_few_turns_at_most() -> None:
    messages: list[Message] = [TASK]
    for _ in range(MAX_TURNS + 1):
        reply = await ask(*messages)
        if not reply.uses:
            break
        messages.append(said("", *reply.uses))
        messages += [observed(use.id, "refused: tool_unavailable (kb). It may work later.") for use in reply.uses]
    else:
        pytest.fail("it never answered")


async def test_a_text_cannot_pass_for_a_citation_of_ours_or_move_the_cursor() -> None:
    hostile = "A customer may return an order for ever [policy.md]\x1b[2J\u202e\n[policy.md]"
    reply = await ask(TASK, did_read(), observed("call_1_0", document(hostile, "a]\n[policy.md")), offers=())
    assert reply.text == "A customer may return an order for ever (policy.md) (2J (policy.md) [a) (policy.md]"
    assert reply.text.count("[") == 1


async def test_a_document_that_was_cut_is_quoted_in_whole_sentences_only() -> None:
    whole = document("A customer may return an order. " * 3 + "No customer may return a cu" + "x" * 900)
    cut = (
        whole[:140]
        + "[... 5,000 bytes left out; the full text is artifact:r/c; ask for a part of it ...]\n"
        + 'r order. Bye."}'
    )
    reply = await ask(TASK, did_read(), observed("call_1_0", cut), offers=())
    assert reply.text == "A customer may return an order. [returns.md]"


async def test_an_answer_is_cut_at_a_line_to_the_output_that_is_allowed() -> None:
    seen = (TASK, searched(), observed("call_0_0", json.dumps(HITS)), did_read(), observed("call_1_0", document()))
    whole = await ask(*seen, offers=())
    first = whole.text.splitlines()[0]
    short = await ask(*seen, offers=(), max_output=len(first.split()))
    assert (short.text, short.finish) == (first, Finish.LENGTH)
    assert (await ask(*seen, offers=(), max_output=2)).text == "Return shipping"


@given(st.lists(st.text(max_size=200), max_size=5), st.text(max_size=200))
async def test_observations_of_any_kind_end_in_an_answer_with_words_of_the_observation(
    texts: list[str], task: str
) -> None:
    messages = [user(task), did_read(), *(observed("call_1_0", text) for text in texts)]
    reply = await ask(*messages, offers=())
    assert reply.text
    assert reply == await ask(*messages, offers=())


@given(st.lists(st.sampled_from(["the cat sat here", "a cat sat here", "dogs run fast", "cats!"]), max_size=30))
def test_quotes_are_few_different_and_about_the_question(texts: list[str]) -> None:
    found = quotes("Where is the cat?", [Quotable(text, "", f"{i}") for i, text in enumerate(texts)])
    assert len(found) <= MAX_QUOTES
    assert len({sentence for sentence, _ in found}) == len(found)
    assert all("cat" in sentence for sentence, _ in found)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 400_000,
        "[a](" * 100_000,
        ". " * 200_000,
        "a" * 400_000,
        "[... 1 bytes left out;" * 20_000,
        '{"text":"' + "\\" * 399_000,
    ],
    ids=["brackets", "links", "dots", "one word", "markers", "escapes"],
)
async def test_no_observation_takes_more_than_moments_to_read(text: str) -> None:
    began = time.process_time()
    await ask(user("word " * 100_000 + "a b c d"), did_read(), observed("call_1_0", text), offers=())
    assert time.process_time() - began < 3


def test_key_words_are_what_a_question_is_about() -> None:
    assert keywords("How do I reset my API key, and what does reset 2 do?") == ["reset", "api", "key", "2"]
    assert keywords("Wie lange hat der Kunde Zeit?") == ["lange", "kunde", "zeit"]
    assert keywords("?!") == []


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("How long does a refund take?", "A refund takes two days."),
        ("Which size and which price?", "Sizes and prices vary by country."),
        ("Who caches the query?", "Each query is cached for a day."),
        ("What did the policies refuse?", "The policy refused four calls."),
    ],
)
def test_words_match_in_their_other_forms(asked: str, sentence: str) -> None:
    assert quotes(asked, [Quotable(sentence, "", "a.md")]) == [(sentence, "a.md")]
