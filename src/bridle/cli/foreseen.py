"""What a policy will mean for the tools, the models and the flows that it is to govern."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from bridle.cli.application import Application, application
from bridle.config import Loaded, Mistake, Severity, mismatches, problems, worst_case
from bridle.gateway.labels import Labels, tool_of
from bridle.models.port import UnknownPrice
from bridle.models.prices import price_of
from bridle.rules.names import Digest, TenantId, ToolName, show_usd
from bridle.rules.policy import Policy
from bridle.rules.prompt import Message, ModelRequest, Role
from bridle.rules.tool import Tool
from bridle.runs.flow import BadFlow, Flow
from bridle.tools import files, http_get, kb


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Sentences about the worst case, and everything that is worth a look."""

    worst: tuple[str, ...]
    found: tuple[Mistake, ...]


def foresee(loaded: Loaded, app: str | None) -> Foreseen:
    """Compare the policy with itself, and with an application where one is named."""
    policy = loaded.policy
    found = [*loaded.notes, *problems(policy, loaded.positions)]
    if app is None:
        found += mismatches(policy, None, loaded.positions)
        return Foreseen((*_models(policy, ()), *_tools(policy, bundled(policy), is_all=False)), tuple(found))
    known = application(app)
    tools = [declared.tool for declared in known.house.toolbox] if known.house is not None else []
    schemas: dict[ToolName, Mapping[str, object]] = (
        {declared.tool.name: declared.takes.document for declared in known.house.toolbox} if known.house else {}
    )
    found += mismatches(policy, schemas, loaded.positions, tools)
    found += _of_application(loaded, known, {tool.name for tool in tools})
    models = tuple(dict.fromkeys(node.model for flow in known.flows.values() for node in flow.nodes))
    allowed = [tool for tool in tools if policy.allows(tool.name)]
    return Foreseen((*_models(policy, models), *_tools(policy, allowed, is_all=known.house is not None)), tuple(found))


def bundled(policy: Policy) -> list[Tool]:
    """The tools that come with bridle and that this policy allows, under their own labels."""
    labels = {**kb.LABELS, **http_get.LABELS, **files.LABELS}
    return [tool_of(name, cast(Labels, given)) for name, given in labels.items() if policy.allows(ToolName(name))]


def _tools(policy: Policy, tools: list[Tool], *, is_all: bool) -> Iterator[str]:
    """What a call holds of each of these tools; `is_all` when no other one is declared."""
    for tool in sorted(tools, key=lambda each: each.name):
        yield worst_case(policy, tool).sentence
    unknown = sorted(policy.allow - policy.deny - {tool.name for tool in tools})
    if unknown and is_all:
        yield from (f"No tool {name} is declared, so a call of it is refused." for name in unknown)
    elif unknown:
        named = ", ".join(unknown)
        yield f"What a call of {named} holds, its declaration says; `bridle check --app module:b` reads it."
    if not policy.allow - policy.deny:
        yield "No tool is allowed, so no tool call holds anything."


def _models(policy: Policy, used: tuple[str, ...]) -> Iterator[str]:
    for model in policy.models:
        yield worst_case(policy, model).sentence
    for model in used:
        if model not in policy.models:
            yield _priced(policy, model)
    if not policy.models and not used:
        yield "One call of extractive holds $0.00. Other models hold their price: of `models:`, or of genai-prices."


def _priced(policy: Policy, model: str) -> str:
    """The hold of the largest request to a model that the policy gives no price for."""
    try:
        price = price_of(model, policy.models)
    except UnknownPrice as error:
        return f"One call of {model} is refused: {error}. Put its prices under `models:`."
    output = price.default_max_output
    largest = ModelRequest(model, (Message(Role.USER, ""),), (), output, "", price.context_tokens, Digest(""))
    hold = price.ceiling(largest)
    return (
        f"One call of {model} holds at most {show_usd(hold.usd_nano)} of max_usd {show_usd(policy.limits.max_usd)} "
        f"({price.context_tokens:,} tokens in, {output:,} out)."
    )


def _of_application(loaded: Loaded, known: Application, declared: set[ToolName]) -> Iterator[Mistake]:
    if known.house is not None and known.house.policy.digest() != loaded.digest:
        message = f"the house in {known.name} has another policy ({known.house.policy.digest()})"
        yield Mistake("", "", message, "give Bridle(...) this file", Severity.NOTE)
    for name, flow in known.flows.items():
        yield from _of_flow(loaded.policy, name, flow, declared)


def _of_flow(policy: Policy, name: str, flow: Flow, declared: set[ToolName]) -> Iterator[Mistake]:
    try:
        flow.check()
    except BadFlow as error:
        for line in str(error).splitlines():
            yield Mistake("", name, line, "", Severity.ERROR)
    allowed = policy.for_run(TenantId("default"), flow.name)
    for node in flow.nodes:
        where = f"{flow.name}.{node.name}"
        for tool in node.tools:
            if tool not in declared:
                message = f"offers {tool}, which nobody declared"
                yield Mistake("", where, message, "declare it, or take it out", Severity.NOTE)
            elif not allowed.allows(tool):
                message = f"offers {tool}, which the policy does not allow"
                yield Mistake("", where, message, "allow it, or take it out", Severity.NOTE)
