"""The desk: opens each model once, closes them all, and never lets a secret out of its sight."""

import os
from collections.abc import Callable, Mapping

from bridle.models.opening import UnknownModel, open_model
from bridle.models.port import Model, Pricing, UnknownPrice
from bridle.models.prices import price_of
from bridle.rules.failure import BridleError
from bridle.rules.policy import Policy
from bridle.runs.desk import Seat


class ModelDesk:
    """Keeps the contract of `bridle.runs.desk.Desk`. `given` are models that the caller made; the rest open by name."""

    def __init__(
        self,
        given: Mapping[str, Model],
        secrets: Callable[[str], str | None] = os.environ.get,
        base_urls: Mapping[str, str] | None = None,
    ) -> None:
        self._given = dict(given)
        self._opened: dict[str, Model] = {}
        self._prices: dict[tuple[str, int], tuple[Policy, Pricing | None]] = {}
        self._secrets = secrets
        self._base_urls = dict(base_urls or {})

    def seat(self, name: str, policy: Policy, *, foreign: bool = False) -> Seat:
        """The model of this name under a policy. Raises BridleError when there is no such kind of model."""
        model = None if foreign else self._model(name)
        return Seat(name, model, self._price(name, policy), is_ours=name in self._opened)

    def _model(self, name: str) -> Model:
        known = self._given.get(name) or self._opened.get(name)
        if known is not None:
            return known
        try:
            self._opened[name] = open_model(name, secrets=self._secrets, base_urls=self._base_urls)
        except (UnknownModel, ValueError, OSError) as error:
            raise BridleError(str(error)) from error
        return self._opened[name]

    def _price(self, name: str, policy: Policy) -> Pricing | None:
        known = self._prices.get((name, id(policy)))
        if known is not None and known[0] is policy:
            return known[1]
        price: Pricing | None
        try:
            price = price_of(name, policy.models)
        except UnknownPrice:
            price = None
        if len(self._prices) > 10_000:  # policies come and go; a price is looked up again
            self._prices.clear()
        self._prices[name, id(policy)] = (policy, price)
        return price

    async def aclose(self) -> None:
        """Close the models that were opened here."""
        for model in self._opened.values():
            await model.aclose()
        self._opened.clear()
