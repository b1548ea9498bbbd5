"""The tools a house has declared: what each may do, what it takes, and the function behind it."""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from bridle.gateway.callee import Callee
from bridle.gateway.keys import check_template
from bridle.gateway.labels import Labels
from bridle.gateway.schemas import Schema
from bridle.rules import strict_json
from bridle.rules.failure import BridleError
from bridle.rules.names import Digest, ToolName
from bridle.rules.policy import Policy
from bridle.rules.prompt import ToolOffer
from bridle.rules.strict_json import Json
from bridle.rules.tool import Tool, narrowed

KNOWN = 10_000  # policies come and go; what is forgotten is worked out again


@dataclass(frozen=True, slots=True)
class Declared:
    """A tool with what it takes, what it returns, and the function that performs it (None: a foreign loop does)."""

    tool: Tool
    takes: Schema
    returns: Schema | None
    function: Callee | None
    is_typed: bool  # whether the arguments are built into the types of the signature
    probe: Callee | None = None  # of a write: asks the far end whether a key took effect
    preview: Callee | None = None  # of a write: shows an approver what it would change


@dataclass(frozen=True, slots=True)
class Ruled:
    """A declared tool under a policy."""

    declared: Declared
    tool: Tool
    rule: Schema | None  # the policy's own demands on the arguments
    output: Schema | None  # the tool's, or else the policy's, demands on the result
    asks: Schema | None = None  # the arguments that a person has to see first
    misnamed: tuple[str, ...] = ()  # sinks of the policy that the tool has no argument for: nobody vouches for them


class Toolbox:
    """Declares tools and finds them; what one policy makes of a tool is worked out once."""

    def __init__(self) -> None:
        self._declared: dict[ToolName, Declared] = {}
        self._ruled: dict[tuple[int, ToolName], tuple[Policy, Ruled]] = {}
        self._offers: dict[tuple[int, tuple[ToolName, ...]], tuple[Policy, tuple[ToolOffer, ...]]] = {}

    def declare(
        self,
        tool: Tool,
        function: Callable[..., object] | None,
        *,
        parameters: Mapping[str, object] | None = None,
        output: object = None,
        labels: Labels | None = None,
    ) -> Declared:
        """Add a tool. `parameters` and `output` are JSON Schemas or types; without them the signature speaks.

        Of the labels only the functions are looked at: the others are in the tool.

        Raises BridleError when the name is taken, or when the schema cannot be read from the signature.
        """
        if tool.name in self._declared:
            raise BridleError(f"the tool {tool.name} is declared twice; give one of them another name")
        beside = labels or Labels()
        try:
            takes = Schema.of_parameters(function) if parameters is None and function else Schema.of(parameters or {})
            returns = Schema.of(output, returned=True) if output is not None else None
            callees = [_callee(one) for one in (function, beside.get("probe"), beside.get("preview"))]
        except ValueError as error:
            raise BridleError(f"the tool {tool.name}: {error}") from error
        check_template(tool, takes)
        _check_sinks(tool, takes)
        declared = Declared(
            tool=replace(tool, schema=Digest(takes.digest), description=tool.description or _first_line(function)),
            takes=takes,
            returns=returns,
            function=callees[0],
            is_typed=parameters is None,
            probe=callees[1],
            preview=callees[2],
        )
        self._declared[tool.name] = declared
        return declared

    def __contains__(self, name: object) -> bool:
        return name in self._declared

    def __iter__(self) -> Iterator[Declared]:
        return iter(self._declared.values())

    def under(self, policy: Policy, name: ToolName) -> Ruled | None:
        """The tool as this policy has it, or None when nobody declared it."""
        known = self._ruled.get((id(policy), name))
        if known is not None and known[0] is policy:
            return known[1]
        declared = self._declared.get(name)
        if declared is None:
            return None
        rule = policy.tools.get(name)
        tool = narrowed(declared.tool, rule) if rule else declared.tool
        ruled = Ruled(
            declared,
            tool,
            _schema(rule.args) if rule and rule.args else None,
            _schema(rule.output) if rule and rule.output else declared.returns,
            _schema(rule.approval) if rule and rule.approval else None,
            tuple(sink.argument for sink in tool.sinks or () if sink.argument not in _properties(declared.takes)),
        )
        if len(self._ruled) >= KNOWN:
            self._ruled.clear()
        self._ruled[id(policy), name] = (policy, ruled)
        return ruled

    def offers(self, policy: Policy, names: tuple[ToolName, ...]) -> tuple[ToolOffer, ...]:
        """The allowed ones among these, as a model is shown them. The same tuple every time."""
        known = self._offers.get((id(policy), names))
        if known is not None and known[0] is policy:
            return known[1]
        found = []
        for name in names:
            declared = self._declared.get(name)
            if declared is not None and policy.allows(name):
                takes = strict_json.canonical(declared.takes.document).decode()
                found.append(ToolOffer(name, declared.tool.description, takes))
        if len(self._offers) >= KNOWN:
            self._offers.clear()
        self._offers[id(policy), names] = (policy, tuple(found))
        return tuple(found)

    def closest(self, name: str) -> str:
        """The declared name that looks most like this one, or nothing."""
        return next(iter(difflib.get_close_matches(name, self._declared, n=1)), "")


def _properties(takes: Schema) -> Mapping[str, object]:
    known = takes.document.get("properties")
    return known if isinstance(known, dict) else {}


def _check_sinks(tool: Tool, takes: Schema) -> None:
    """A sink that the tool does not take would never be looked at. Raises BridleError."""
    known = _properties(takes)
    for sink in tool.sinks or ():
        if sink.argument not in known:
            close = difflib.get_close_matches(sink.argument, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise BridleError(f"the tool {tool.name}: sinks: it takes no argument {sink.argument}{hint}")


def _schema(text: str) -> Schema:
    document: Json = strict_json.parse(text, max_bytes=1_000_000)
    assert isinstance(document, dict)
    return Schema.of(document)


def _first_line(function: Callable[..., object] | None) -> str:
    return (inspect.getdoc(function) or "").split("\n", 1)[0] if function else ""


def _callee(function: Callable[..., object] | None) -> Callee | None:
    return Callee.of(function) if function is not None else None
