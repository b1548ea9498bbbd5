"""What an incident needs of a house: the caller opens a `Bridle`, because this room stands below it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, Unpack

from bridle.gateway.labels import Labels
from bridle.gateway.world import World
from bridle.models.port import Model
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult


class IncidentHouse(Protocol):
    """The part of `Bridle` that an incident uses."""

    def tool(self, name: str, **labels: Unpack[Labels]) -> Callable[[Callable[..., object]], object]:
        """Declare a function as a tool."""

    async def run(self, flow: Flow, given: object, /, *, by: str) -> RunResult:
        """Run a flow to its end."""


OpenHouse = Callable[[Path, Mapping[str, Model], World], AbstractAsyncContextManager[IncidentHouse]]
"""Opens a house: `lambda policy, models, world: Bridle(policy, ":memory:", models=models, world=world)`."""
