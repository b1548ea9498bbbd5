"""Where a run gets its models from: a name becomes something that answers, and what it costs at its worst."""

from dataclasses import dataclass
from typing import Protocol

from bridle.models.port import Model, Pricing
from bridle.rules.names import UsdNanos
from bridle.rules.policy import Policy
from bridle.rules.prompt import ModelRequest

CONTEXT_TOKENS = 128_000  # of a model that nobody described
MAX_OUTPUT = 4_096


@dataclass(frozen=True, slots=True)
class Seat:
    """A model at work. `price` is None when nobody knows it: then every request is refused."""

    name: str
    model: Model | None  # None: a foreign loop brings its own client
    price: Pricing | None
    is_ours: bool = False  # one of bridle's own clients, which end when they are cancelled

    @property
    def context_tokens(self) -> int:
        """How many tokens it reads at most."""
        return self.price.context_tokens if self.price is not None else CONTEXT_TOKENS

    @property
    def max_output(self) -> int:
        """How many tokens it is asked to write at most."""
        return self.price.default_max_output if self.price is not None else MAX_OUTPUT

    def hold(self, request: ModelRequest) -> tuple[int, int, UsdNanos]:
        """The worst case of one request: tokens in, tokens out, nano-dollars."""
        assert self.price is not None
        ceiling = self.price.ceiling(request)
        return ceiling.tokens_in, ceiling.tokens_out, ceiling.usd_nano


class Desk(Protocol):
    """Opens models by name."""

    def seat(self, name: str, policy: Policy, *, foreign: bool = False) -> Seat:
        """The model of this name under a policy; a foreign one is only priced.

        Raises BridleError when there is no such kind of model.
        """
