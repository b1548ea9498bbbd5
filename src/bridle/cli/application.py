"""The user's own code: imports `module:name` from where one stands, and finds the house and the flow in it."""

import importlib
import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType

from bridle.bridle import Bridle
from bridle.cli.exits import Failed
from bridle.runs.flow import Flow


@dataclass(frozen=True, slots=True)
class Application:
    """What a module holds: its one house, and its flows by the name of their variable."""

    name: str
    house: Bridle | None
    flows: dict[str, Flow]

    def flow(self) -> Flow:
        """The only flow there is. Raises Failed when there is none, or a choice."""
        if len(self.flows) == 1:
            return next(iter(self.flows.values()))
        module = self.name.partition(":")[0]
        if not self.flows:
            raise Failed(f"{self.name}: there is no Flow in {module}; write one, or name another module with --app")
        raise Failed(
            f"{self.name}: which flow? Write --app with one of {', '.join(f'{module}:{n}' for n in self.flows)}"
        )


def application(named: str, store: str | None = None) -> Application:
    """Import `module:name`, where `name` is a Flow or a Bridle. `store` is for a house that names none itself."""
    module_name, colon, attribute = named.removesuffix(".py").partition(":")
    if not module_name or (colon and not attribute):
        raise Failed(f"--app {named}: write module:name, as in flow:b")
    if store:
        os.environ["BRIDLE_STORE"] = store
    module = _imported(module_name)
    houses = {name: found for name, found in vars(module).items() if isinstance(found, Bridle)}
    flows = {name: found for name, found in vars(module).items() if isinstance(found, Flow)}
    chosen = _chosen(module, attribute, [*flows, *houses]) if attribute else None
    if isinstance(chosen, Flow):
        flows = {attribute: chosen}
    if isinstance(chosen, Bridle):
        houses = {attribute: chosen}
    if len({id(house) for house in houses.values()}) > 1:
        raise Failed(f"--app {named}: there are several houses; name one of {', '.join(houses)}")
    return Application(named, next(iter(houses.values()), None), flows)


def _imported(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise Failed(
                f"--app {name}: there is no module {error.name} in this folder or among the packages"
            ) from error
        raise Failed(f"--app {name}: it imports {error.name}, which is not installed") from error
    except SyntaxError as error:
        raise Failed(f"--app {name}: {error.filename}:{error.lineno}: {error.msg}") from error


def _chosen(module: ModuleType, attribute: str, known: list[str]) -> Flow | Bridle:
    found = getattr(module, attribute, None)
    if isinstance(found, Flow | Bridle):
        return found
    if found is not None:
        raise Failed(f"--app {module.__name__}:{attribute} is neither a Flow nor a Bridle")
    near = get_close_matches(attribute, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'no flows and no houses'}"
    raise Failed(f"--app {module.__name__}:{attribute}: there is no {attribute} in {module.__name__}; {hint}")
