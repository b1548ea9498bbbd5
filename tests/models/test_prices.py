"""Prices: the policy first, the list second, never a guess; and no bill above the ceiling."""

from datetime import date
from decimal import Decimal

import pytest
from genai_prices import Usage as ListedUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from bridle.models.port import UnknownPrice
from bridle.models.prices import price_of
from bridle.rules.policy import ModelPrice
from bridle.rules.prompt import Usage
from tests.models.asking import request

TODAY = date(2026, 11, 20)
SOLD = ["openai:gpt-5", "openai:gpt-4.1", "openai:gpt-6-sol", "deepseek:deepseek-v4-pro", "google:gemini-2.5-pro"]
TOKENS = st.integers(0, 2_000_000)


def test_the_word_of_the_policy_wins() -> None:
    policy = {"openai:gpt-5": ModelPrice(3, 7, context_tokens=1_000, max_output=100)}
    pricing = price_of("openai:gpt-5", policy)
    assert pricing.cost(Usage(10, 10)) == 100
    assert (pricing.context_tokens, pricing.default_max_output) == (1_000, 100)


def test_a_listed_price_is_nano_dollars_a_token() -> None:
    pricing = price_of("openai:gpt-5", {}, today=TODAY)  # $1.25 and $10 a million
    assert pricing.cost(Usage(1_000, 100)) == 1_250 * 1_000 + 10_000 * 100
    assert (pricing.context_tokens, pricing.default_max_output) == (400_000, 4_096)


def test_the_ceiling_is_every_byte_a_token_and_the_whole_output() -> None:
    asked = request(max_output=256)
    ceiling = price_of("openai:gpt-5", {}, today=TODAY).ceiling(asked)
    assert (ceiling.tokens_in, ceiling.tokens_out) == (asked.size, 256)
    assert ceiling.usd_nano == 1_250 * asked.size + 10_000 * 256


@pytest.mark.parametrize("model", ["scripted:answers.yaml", "scripted", "extractive"])
def test_an_embedded_model_costs_nothing_by_declaration(model: str) -> None:
    assert price_of(model, {}).ceiling(request()).usd_nano == 0


@pytest.mark.parametrize(
    "model",
    [
        "openai:gpt-99-unheard-of",
        "nobody:gpt-5",
        "litellm:openai/gpt-5",
        "my-openai-proxy:gpt-5",
        "gpt-5",
        "openai:",
        "",
        ":",
        "openai:gpt-5@http://127.0.0.1:1/v1",
        "openai:gpt-4o-search-preview",
        "perplexity:sonar-deep-research",
        "perplexity:sonar",
        "openai:text-embedding-3-small",
        "openai:whisper-1",
    ],
)
def test_what_nobody_can_bound_has_no_price_and_the_message_is_the_cure(model: str) -> None:
    with pytest.raises(UnknownPrice) as caught:
        price_of(model, {}, today=TODAY)
    assert caught.value.model == model
    assert f'models:\n  "{model}":\n' in str(caught.value)


@pytest.mark.parametrize("model", SOLD)
@given(tokens_in=TOKENS, tokens_out=TOKENS, cached=TOKENS)
def test_no_bill_by_the_list_is_above_our_cost(model: str, tokens_in: int, tokens_out: int, cached: int) -> None:
    provider, _, name = model.partition(":")
    billed = ListedUsage(input_tokens=tokens_in, output_tokens=tokens_out, cache_read_tokens=min(cached, tokens_in))
    bill = calc_price(billed, name, provider_id=provider).total_price
    assert price_of(model, {}, today=TODAY).cost(Usage(tokens_in, tokens_out)) >= bill * 10**9


@pytest.mark.parametrize("model", SOLD)
@given(tokens_in=st.integers(0, 10**7), tokens_out=st.integers(0, 5_000), spare=st.integers(0, 10**6))
def test_no_cost_within_the_bound_is_above_the_ceiling(model: str, tokens_in: int, tokens_out: int, spare: int) -> None:
    pricing = price_of(model, {}, today=TODAY)
    prompt = request(max_output=5_000)
    asked = type(prompt)("m", prompt.messages, (), 5_000, prompt.pinned, tokens_in + spare, prompt.digest)
    assert pricing.cost(Usage(tokens_in, tokens_out)) <= pricing.ceiling(asked).usd_nano


def test_a_price_by_the_hour_is_reserved_at_its_dearest_hour() -> None:
    pricing = price_of("deepseek:deepseek-v4-pro", {}, today=TODAY)
    assert pricing.cost(Usage(1_000_000, 0)) == Decimal("1.32") * 10**9


def test_a_price_that_has_ended_is_not_reserved() -> None:
    before = price_of("deepseek:deepseek-v4-flash", {}, today=date(2026, 1, 1)).cost(Usage(1_000_000, 1_000_000))
    after = price_of("deepseek:deepseek-v4-flash", {}, today=TODAY).cost(Usage(1_000_000, 1_000_000))
    assert (before, after) == (1_500_000_000, 1_500_000_000)


def test_a_fraction_of_a_nano_dollar_is_rounded_up() -> None:
    assert price_of("deepseek:deepseek-v3.2", {}, today=TODAY).cost(Usage(1, 1)) == 229 + 344
