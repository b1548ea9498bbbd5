"""The small port behind which every model stands, and the port of its prices."""

from typing import Protocol

from bridle.rules.data import data
from bridle.rules.names import Millis, UsdNanos
from bridle.rules.prompt import ModelReply, ModelRequest, Usage


class Model(Protocol):
    """One model that can be asked."""

    @property
    def name(self) -> str:
        """As it is written in a policy or a flow: "openai:gpt-5"."""

    async def complete(self, request: ModelRequest, *, timeout: Millis) -> ModelReply:  # noqa: ASYNC109 - a word of the port, kept with asyncio.timeout
        """Ask once; `timeout` bounds everything, the last byte of the answer included, and nothing is retried.

        Raises `CallFailed`; its `happened` is False when the far end certainly did no work for this request.
        """

    async def aclose(self) -> None:
        """Give connections back. A model that was closed is not asked again."""


@data
class Ceiling:
    """What one request uses at its worst: tokens, and nano-dollars."""

    tokens_in: int
    tokens_out: int
    usd_nano: UsdNanos


class Pricing(Protocol):
    """What one model costs."""

    @property
    def context_tokens(self) -> int:
        """How many tokens it reads at most."""

    @property
    def default_max_output(self) -> int:
        """How many tokens it is asked to write at most, when nobody says less."""

    def ceiling(self, request: ModelRequest) -> Ceiling:
        """The worst case of a request: each byte a token, all of `max_output`, at the dearest tier that could apply."""

    def cost(self, usage: Usage) -> UsdNanos:
        """What the counted tokens cost, rounded up; never more than the ceiling while they stay within its tokens."""


class UnknownPrice(LookupError):
    """Nobody said what a model costs, so that it cannot be asked; `model` is its name, the message names the cure."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(
            f"{model}: {why}. Add its prices to the policy file:\n"
            f"models:\n"
            f'  "{model}":\n'
            f'    usd_per_million_in: "1.00"   # your price\n'
            f'    usd_per_million_out: "4.00"  # your price'
        )
        self.model = model


class PolicyNotPinned(AssertionError):
    """A request was about to leave without its pinned segment in front; nothing was sent. A bug of the caller."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"{model}: the pinned policy does not stand first in this request, so it was not sent; "
            "build requests with Prompt.request"
        )
