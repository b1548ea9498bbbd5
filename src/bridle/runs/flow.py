"""A flow: a typed state machine whose edges are declared and checked before anything runs."""

import difflib
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridle.rules.failure import BridleError
from bridle.rules.names import ToolName, usd
from bridle.rules.policy import LIMIT_NAMES, LimitsPatch

if TYPE_CHECKING:
    pass

StepFunction = Callable[..., Awaitable[object]]  # of a Run and a state of the flow's own type


@dataclass(frozen=True, slots=True)
class Node:
    """An investigation: a bounded autonomous loop inside a flow."""

    name: str
    model: str
    goal: str  # a template over `{state.…}` under the name that the flow gives its state
    tools: tuple[ToolName, ...]
    limits: LimitsPatch
    output: object = None  # a type; None is plain text
    into: str = ""  # the field of the state that receives what was found


@dataclass(frozen=True, slots=True)
class Step:
    """One step. Plain ones have a function, investigations a node."""

    name: str
    to: tuple[str, ...]
    visits: int
    function: StepFunction | None = None
    node: Node | None = None
    found: str = ""  # where an investigation goes with a result
    exhausted: str = ""  # where it goes without one; empty: the run stops


class BadFlow(BridleError):
    """A flow that cannot be right: a missing edge, an unreachable step, a cycle without a bound."""


@dataclass(slots=True)
class Flow:
    """Declare steps with `@flow.step(to=[...])` and `flow.investigate(...)`; `check` is called before the first run.

    A step with edges returns the name of the next one; a step without edges ends the flow with what it returns.
    `state` is a dataclass or a pydantic model; it is journaled at every step.
    """

    name: str
    version: str = "1"
    state: type = dict
    start: str = ""
    steps: dict[str, Step] = field(default_factory=dict)
    _is_checked: bool = False

    def step(self, to: Sequence[str] = (), *, visits: int = 0) -> Callable[[StepFunction], StepFunction]:
        """Declare a plain step. `visits` bounds how often it is entered; one step of every cycle needs it."""

        def declared(function: StepFunction) -> StepFunction:
            if not inspect.iscoroutinefunction(function):
                raise BadFlow(f"{self.name}: the step {function.__name__} must be an async function")
            self._add(Step(function.__name__, tuple(to), visits, function))
            return function

        return declared

    def investigate(  # noqa: PLR0913 - an investigation is declared in one place, each part by its name
        self,
        name: str,
        *,
        model: str,
        goal: str,
        tools: Sequence[str],
        limits: Mapping[str, int | str] | None = None,
        output: object = None,
        into: str = "",
        to: Mapping[str, str] | None = None,
        visits: int = 0,
    ) -> None:
        """Declare an investigation. `limits` narrows the policy's; `to` has the edges `found` and `exhausted`.

        Without a `found` edge the flow ends with what was found; without an `exhausted` edge it stops when a limit of
        the node is used up. Raises BadFlow for a limit or an edge that does not exist.
        """
        edges = dict(to or {})
        for edge in edges:
            if edge not in ("found", "exhausted"):
                raise BadFlow(f"{self.name}.{name}: {edge!r} is no edge of an investigation; they are found, exhausted")
        node = Node(
            name, model, goal, tuple(ToolName(t) for t in tools), limits_of(self, name, limits or {}), output, into
        )
        found, exhausted = edges.get("found", ""), edges.get("exhausted", "")
        targets = tuple(dict.fromkeys(target for target in (found, exhausted) if target))
        self._add(Step(name, targets, visits, node=node, found=found, exhausted=exhausted))

    def quarantine(
        self, name: str, *, model: str, goal: str, output: object, into: str = "", to: Mapping[str, str] | None = None
    ) -> None:
        """Declare a step in which a model without any tool puts what it is given into a strict form.

        For text that nobody vouches for and that goes on to act elsewhere: what comes out has the form of `output`, or
        nothing comes out. Name numbers, dates and closed sets of words; a free text in it says what it likes.
        """
        if output is None:
            raise BadFlow(f"{self.name}.{name}: a quarantine without a form keeps nothing in; give it an output")
        self.investigate(name, model=model, goal=goal, tools=(), output=output, into=into, to=to)

    def _add(self, step: Step) -> None:
        if step.name in self.steps:
            raise BadFlow(f"{self.name}: the step {step.name} is declared twice")
        self.steps[step.name] = step
        self.start = self.start or step.name
        self._is_checked = False

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its investigations."""
        return tuple(step.node for step in self.steps.values() if step.node is not None)

    def check(self) -> None:
        """Raise BadFlow, naming every mistake, unless all edges lead somewhere and all cycles have a bound."""
        if self._is_checked:
            return
        mistakes = [*self._missing_edges(), *self._unreachable(), *self._unbounded_cycles()]
        if mistakes:
            raise BadFlow("\n".join(f"{self.name}: {mistake}" for mistake in mistakes))
        self._is_checked = True

    def _missing_edges(self) -> Iterator[str]:
        if not self.steps:
            yield "it has no step"
        elif self.start not in self.steps:
            yield f"it starts at {self.start!r}, which is no step"
        for step in self.steps.values():
            for target in step.to:
                if target not in self.steps:
                    close = difflib.get_close_matches(target, self.steps, n=1)
                    hint = f"; did you mean {close[0]}?" if close else ""
                    yield f"{step.name} leads to {target!r}, which is no step{hint}"

    def _unreachable(self) -> Iterator[str]:
        reached, waiting = set[str](), [self.start]
        while waiting:  # ends: every step is entered into `reached` once
            name = waiting.pop()
            if name in reached or name not in self.steps:
                continue
            reached.add(name)
            waiting.extend(self.steps[name].to)
        yield from (f"no edge leads to {name}" for name in self.steps if name not in reached)

    def _unbounded_cycles(self) -> Iterator[str]:
        """A cycle is bounded when one of its steps has `visits`: without those steps nothing may lead back."""
        free = {name: [t for t in step.to if t in self.steps and not self.steps[t].visits]
                for name, step in self.steps.items() if not step.visits}  # fmt: skip
        for name, targets in free.items():
            seen, waiting = set[str](), list(targets)
            while waiting:  # ends: every step is entered into `seen` once
                at = waiting.pop()
                if at == name:
                    yield f"{name} can come back to itself for ever; give a step of the cycle `visits=`"
                    break
                if at not in seen:
                    seen.add(at)
                    waiting.extend(free[at])

    def mermaid(self) -> str:
        """The flow as a Mermaid diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.start}"]
        for step in self.steps.values():
            if step.node is not None:
                lines.append(f"    {step.name} : {step.name} (investigates)")
                lines += [f"    {step.name} --> {step.found or '[*]'} : found"]
                lines += [f"    {step.name} --> {step.exhausted or '[*]'} : exhausted"]
            else:
                lines += [f"    {step.name} --> {target}" for target in step.to or ("[*]",)]
        return "\n".join(lines)


def limits_of(flow: Flow, node: str, given: Mapping[str, int | str]) -> dict[str, int]:
    """Narrowed limits as whole numbers; money may be written as a string of dollars."""
    found = {}
    for name, value in given.items():
        if name not in LIMIT_NAMES:
            close = difflib.get_close_matches(name, LIMIT_NAMES, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; they are {', '.join(LIMIT_NAMES)}"
            raise BadFlow(f"{flow.name}.{node}: {name} is no limit{hint}")
        try:
            amount = usd(str(value).removeprefix("$")) if name == "max_usd" else value
        except (ArithmeticError, ValueError) as error:  # NaN is a ValueError
            raise BadFlow(f"{flow.name}.{node}: max_usd is an amount of dollars like '0.20', not {value!r}") from error
        if isinstance(amount, bool) or not isinstance(amount, int) or amount <= 0:
            raise BadFlow(f"{flow.name}.{node}: {name} is a whole number greater than 0, not {value!r}")
        found[name] = amount
    return found
