"""Compares a policy with the tools that an application declared."""

import json
from collections.abc import Iterator, Mapping

from bridle.config.explain import ALWAYS
from bridle.config.mistake import Keys, Mistake, Severity, did_you_mean, one_of, printable, spelled
from bridle.config.schemas import arguments, properties_of
from bridle.rules.names import ToolName
from bridle.rules.policy import Policy

Schemas = Mapping[ToolName, Mapping[str, object]]
_Mismatch = tuple[Severity, Keys, str, str]


def mismatches(
    policy: Policy, schemas: Schemas | None, positions: Mapping[str, str] | None = None
) -> tuple[Mistake, ...]:
    """What the policy says of tools, against the JSON Schemas of their arguments.

    Error: an `args` or `require_approval` rule names an argument that its tool does not have. Note: an allowed tool
    that nobody declared.
    Without schemas (None), a note for each rule that could not be compared. `positions` (`Loaded.positions`) gives
    the mistakes their lines.
    """
    where = positions or {}
    found = (
        _uncompared(policy)
        if schemas is None
        else [*_unknown_arguments(policy, schemas), *_undeclared(policy, schemas)]
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
        known = properties_of(schemas[tool]) if (rule.args or rule.approval) and tool in schemas else None
        if known is None:
            continue
        named = [(("args", *keys), name) for keys, name in arguments(json.loads(rule.args or "{}"))]
        named += [(("require_approval",), name) for _, name in arguments(json.loads(rule.approval or "{}"))]
        for keys, name in named:
            if name not in known:
                message = f"names {printable(name)}, which is no argument of {tool}"
                has = f"it has {printable(one_of(sorted(known)), 200)}" if known else "it has none"
                yield Severity.ERROR, ("tools", tool, *keys), message, did_you_mean(name, known) or has


def _undeclared(policy: Policy, schemas: Schemas) -> Iterator[_Mismatch]:
    for tool in sorted(policy.allow - policy.deny):
        if tool not in schemas:
            hint = did_you_mean(tool, schemas) or "declare it with @b.tool, or remove it"
            yield Severity.NOTE, ("tools", "allow"), f"allows {tool}, which nobody declared", hint
