"""What a model costs: the policy's word first, then the list of genai-prices, and without either it is not asked."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from bridle.models.port import Ceiling, Pricing, UnknownPrice
from bridle.rules.names import UsdNanos
from bridle.rules.policy import ModelPrice
from bridle.rules.prompt import ModelRequest, Usage

if TYPE_CHECKING:
    from genai_prices import types

FREE = ModelPrice(0, 0)
NANOS_PER_TOKEN = 1_000  # a dollar per million tokens is a thousand nano-dollars per token
TOKENS_IN = ("input_mtok", "cache_read_mtok", "cache_write_mtok")  # a provider may cache without being asked
TOKENS_IN_ON_DEMAND = ("cache_write_1h_mtok",)  # only when a client asks; ours does not, an attached one may
TOKENS_OUT = ("output_mtok", "output_reasoning_mtok")
NEVER_SENT = re.compile(r"(?:input|output|cache)_(?:audio|image|video)_\w+|(?:web|storage)_searches_kcount")
SEARCHES_BY_ITSELF = re.compile(r"search|research|sonar|online")


@dataclass(frozen=True, slots=True)
class Rate:
    """Nano-dollars a token in steps of (start, price): above `start` input tokens every token costs `price`.

    The first step starts at -1, so that every request has a price.
    """

    steps: tuple[tuple[int, int], ...]

    def of(self, tokens_in: int) -> int:
        """The dearest step that a request with at most so many input tokens can reach."""
        if len(self.steps) == 1:
            return self.steps[0][1]
        return max(price for start, price in self.steps if max(tokens_in, 0) > start)


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one model, as integers that were rounded up."""

    tokens_in: Rate
    tokens_in_at_worst: Rate
    tokens_out: Rate
    context_tokens: int
    default_max_output: int

    def ceiling(self, request: ModelRequest) -> Ceiling:
        """See `Pricing.ceiling`."""
        rate_in, rate_out = self.tokens_in_at_worst.of(request.size), self.tokens_out.of(request.size)
        dollars = UsdNanos(request.size * rate_in + request.max_output * rate_out)
        return Ceiling(request.size, request.max_output, dollars)

    def cost(self, usage: Usage) -> UsdNanos:
        """See `Pricing.cost`. Tokens that came from a cache are charged in full: `Usage` does not tell them apart."""
        rate_in, rate_out = self.tokens_in.of(usage.tokens_in), self.tokens_out.of(usage.tokens_in)
        return UsdNanos(usage.tokens_in * rate_in + usage.tokens_out * rate_out)


def price_of(model: str, policy_models: Mapping[str, ModelPrice], *, today: date | None = None) -> Pricing:
    """The prices of a model as it is named in a policy or a flow ("openai:gpt-5").

    The policy's prices win. "scripted:..." and "extractive" cost nothing, by declaration. `today` (UTC) chooses among
    prices that have a date. Raises `UnknownPrice`.
    """
    if model in policy_models:
        return declared(policy_models[model])
    if model == "extractive" or model.partition(":")[0] == "scripted":
        return declared(FREE)
    return _listed(model, today or datetime.now(UTC).date())


def declared(price: ModelPrice) -> Prices:
    """The prices that a policy declares."""
    rate_in, rate_out = Rate(((-1, price.usd_nano_per_token_in),)), Rate(((-1, price.usd_nano_per_token_out),))
    return Prices(rate_in, rate_in, rate_out, price.context_tokens, price.max_output)


@lru_cache(maxsize=256)
def _listed(model: str, today: date) -> Prices:
    from genai_prices import data_snapshot

    provider, _, name = model.partition(":")
    if not name:
        raise UnknownPrice(model, "no provider is named before a colon, as in openai:gpt-5")
    if "@http" in name:
        raise UnknownPrice(model, "what an address of your own costs is in no price list")
    if SEARCHES_BY_ITSELF.search(name):
        raise UnknownPrice(model, "it searches by itself, and no number of ours bounds what that costs")
    try:
        found, info = data_snapshot.get_snapshot().find_provider_model(name, None, provider, None)
    except LookupError:
        raise UnknownPrice(model, "the price list does not know it") from None
    if found.id != provider:
        raise UnknownPrice(model, f"the price list has no provider {provider} (does {found.id} mean the same?)")
    possible = [dict(_known(model, prices)) for prices in _possible(info, today)]
    return Prices(
        tokens_in=_dearest(model, possible, TOKENS_IN),
        tokens_in_at_worst=_dearest(model, possible, TOKENS_IN + TOKENS_IN_ON_DEMAND),
        tokens_out=_dearest(model, possible, TOKENS_OUT),
        context_tokens=info.context_window or FREE.context_tokens,
        default_max_output=FREE.max_output,
    )


def _possible(info: "types.ModelInfo", today: date) -> list["types.ModelPrice"]:
    """The prices that can apply from today on: in the list, the last one whose condition holds wins."""
    from genai_prices.types import StartDateConstraint

    if not isinstance(info.prices, list):
        return [info.prices]
    first = 0
    for at, conditional in enumerate(info.prices):
        limit = conditional.constraint
        if limit is None or (isinstance(limit, StartDateConstraint) and limit.start_date <= today):
            first = at
    return [conditional.prices for conditional in info.prices[first:]]


def _known(model: str, prices: "types.ModelPrice") -> Iterator[tuple[str, object]]:
    """The prices of tokens; a price of something else that we cannot bound is an unknown price."""
    for key, price in vars(prices).items():
        if key in TOKENS_IN + TOKENS_IN_ON_DEMAND + TOKENS_OUT and price is not None:
            yield key, price
        elif price is not None and not NEVER_SENT.fullmatch(key):
            raise UnknownPrice(model, f"its price list has {key}, which tokens do not bound")


def _dearest(model: str, possible: list[dict[str, object]], keys: tuple[str, ...]) -> Rate:
    """For each number of input tokens, the dearest of all prices that may be meant."""
    if not all(keys[0] in prices for prices in possible):
        raise UnknownPrice(model, f"its price list has no {keys[0]}")
    steps = {step for prices in possible for key in keys if key in prices for step in _steps(model, prices[key])}
    return Rate(tuple(sorted(steps)))


def _steps(model: str, price: object) -> Iterator[tuple[int, int]]:
    from genai_prices.types import TieredPrices

    if isinstance(price, TieredPrices):
        yield -1, _per_token(model, price.base)
        for tier in price.tiers:
            yield tier.start, _per_token(model, tier.price)
    else:
        yield -1, _per_token(model, price)


def _per_token(model: str, per_million: object) -> int:
    if not isinstance(per_million, Decimal) or not per_million.is_finite() or per_million < 0:
        raise UnknownPrice(model, "its price list has a price that is no amount of money")
    return int((per_million * NANOS_PER_TOKEN).to_integral_value(ROUND_CEILING))
