"""Compares a policy with the tools that an application declared."""

import json
from collections.abc import Iterator, Mapping, Sequence

from bridle.config.explain import ALWAYS
from bridle.config.mistake import Keys, Mistake, Severity, did_you_mean, one_of, printable, spelled
from bridle.config.schemas import arguments, properties_of
from bridle.rules.names import Effect, Source, ToolName
from bridle.rules.policy import Policy
from bridle.rules.sinks import directories_of
from bridle.rules.tool import Tool, ToolRule, narrowed

Schemas = Mapping[ToolName, Mapping[str, object]]
_Mismatch = tuple[Severity, Keys, str, str]


def mismatches(
    policy: Policy, schemas: Schemas | None, positions: Mapping[str, str] | None = None, tools: Sequence[Tool] = ()
) -> tuple[Mistake, ...]:
    """What the policy says of tools, against the JSON Schemas of their arguments.

    Error: an `args` or `require_approval` rule, or a sink, names an argument that its tool does not have; a sink names
    a directory that is not there; a write that may go without a person says nothing of its sinks. Note: an allowed
    tool that nobody declared.
    Without schemas (None), a note for each rule that could not be compared. `positions` (`Loaded.positions`) gives
    the mistakes their lines.
    """
    where = positions or {}
    found = (
        _uncompared(policy)
        if schemas is None
        else [*_unknown_arguments(policy, schemas), *_unsteered(policy, tools), *_undeclared(policy, schemas)]
    )
    return tuple(
        Mistake(where.get(spelled(keys), ""), spelled(keys), message, hint, severity)
        for severity, keys, message, hint in found
    )


def _uncompared(policy: Policy) -> Iterator[_Mismatch]:
    message, hint = "was not compared with the tool's own schema", "`bridle check --app module:b` compares them"
    for tool, rule in policy.tools.items():
        for word, schema in (("args", rule.args), ("require_approval", rule.approval)):
            if schema and schema != ALWAYS:
                yield Severity.NOTE, ("tools", tool, word), message, hint


def _unknown_arguments(policy: Policy, schemas: Schemas) -> Iterator[_Mismatch]:
    for tool, rule in policy.tools.items():
        known = properties_of(schemas[tool]) if (rule.args or rule.approval or rule.sinks) and tool in schemas else None
        if known is None:
            continue
        named = [(("args", *keys), name) for keys, name in arguments(json.loads(rule.args or "{}"))]
        named += [(("sinks", sink.argument), sink.argument) for sink in rule.sinks or ()]
        named += [(("require_approval",), name) for _, name in arguments(json.loads(rule.approval or "{}"))]
        for keys, name in named:
            if name not in known:
                message = f"names {printable(name)}, which is no argument of {tool}"
                has = f"it has {printable(one_of(sorted(known)), 200)}" if known else "it has none"
                yield Severity.ERROR, ("tools", tool, *keys), message, did_you_mean(name, known) or has


def _unsteered(policy: Policy, tools: Sequence[Tool]) -> Iterator[_Mismatch]:
    """What the rule on the flow of information would have to guess."""
    rules = [(tool, narrowed(tool, policy.tools.get(tool.name, ToolRule()))) for tool in tools]
    for tool, ruled in rules:
        keys = ("tools", tool.name, "sinks")
        for name in sorted(directories_of(tool.sinks or ()) - set(policy.directories)):
            hint = did_you_mean(name, policy.directories) or f"write it under directories: {name}: {{...}}"
            yield Severity.ERROR, keys, f"of {tool.name} names the directory {name}, which is not there", hint
        if ruled.effect is Effect.WRITE and ruled.sinks is None and policy.allows(tool.name):
            severity = Severity.NOTE if policy.require_approval else Severity.ERROR
            hint = "name them in the tool or here; or say without_sinks: true"
            yield severity, keys, f"of {tool.name}, which writes, are not named", hint
    for name, directory in policy.directories.items():
        behind = next((ruled for _, ruled in rules if ruled.name == directory.tool), None)
        if behind is not None and behind.effect is Effect.READ and behind.source is Source.UNTRUSTED:
            hint = "a directory is a tool that strangers cannot write into"
            yield Severity.ERROR, ("directories", name, "tool"), f"is {behind.name}, which is untrusted", hint
        if behind is not None and behind.effect is not Effect.READ:
            hint = "a directory is a tool that only reads"
            yield (
                Severity.ERROR,
                ("directories", name, "tool"),
                f"is {behind.name}, whose effect is {behind.effect}",
                hint,
            )


def _undeclared(policy: Policy, schemas: Schemas) -> Iterator[_Mismatch]:
    for tool in sorted(policy.allow - policy.deny):
        if tool not in schemas:
            hint = did_you_mean(tool, schemas) or "declare it with @b.tool, or remove it"
            yield Severity.NOTE, ("tools", "allow"), f"allows {tool}, which nobody declared", hint
