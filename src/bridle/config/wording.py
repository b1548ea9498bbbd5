"""Checks the grammar of a policy and puts what pydantic found into our words."""

from collections.abc import Mapping
from typing import get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bridle.config.grammar import (
    Budgets,
    GroupRules,
    GroupTools,
    LabelSettings,
    PolicyFile,
    Section,
    Tools,
    ToolSettings,
)
from bridle.config.mistake import Keys, did_you_mean, shown, spelled
from bridle.config.tree import MOST_MISTAKES, Tree
from bridle.config.values import BAD_VALUE

OF_TOOLS: Mapping[type[Section], type[Section]] = {Tools: ToolSettings, GroupTools: LabelSettings}
_EMPTY = "write its settings below it, or remove the line"


def parsed(tree: Tree) -> PolicyFile | None:
    """The policy file in its grammar, or None after writing every mistake into the tree."""
    try:
        return PolicyFile.model_validate(tree.value)
    except ValidationError as error:
        found = [(_keys(wrong["loc"]), wrong) for wrong in error.errors(include_url=False)]
        in_order = sorted((each for each in found if _is_news(tree, *each)), key=lambda each: tree.at(each[0]))
        for keys, wrong in in_order[:MOST_MISTAKES]:
            tree.add(keys, *_said(wrong["type"], keys, wrong["input"], wrong.get("ctx", {})))
        for keys, _ in in_order[MOST_MISTAKES:]:
            tree.add(keys, "is wrong too")  # only counted: guessing at words takes time
        return None


def _is_news(tree: Tree, keys: Keys, wrong: ErrorDetails) -> bool:
    """Whether a mistake is about a value that could be read, or about the key before it."""
    return not tree.is_hole(keys[:-1] if wrong["type"] == "extra_forbidden" else keys)


def _keys(loc: Keys) -> Keys:
    """The way to a value; pydantic marks a mistake in a key itself with "[key]"."""
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _said(kind: str, keys: Keys, value: object, context: Mapping[str, object]) -> tuple[str, str]:
    """A mistake's message and hint."""
    match kind:
        case _ if kind == BAD_VALUE:
            return str(context["message"]), str(context["hint"])
        case "extra_forbidden":
            return _unknown(keys, value)
        case "missing":
            return "is missing", f"write {keys[-1]}: followed by its value"
        case "model_type" | "dict_type":
            return _no_mapping(keys, value)
        case "list_type":
            example = f"[{value}]" if isinstance(value, str) and value.isprintable() and len(value) < 40 else "[...]"
            return f"is {shown(value)}, not a list", f"write {example}"
        case "too_short":
            return "is an empty list", "name at least one, or remove the line"
        case _:
            return f"is {shown(value)}, which cannot be read here", "see the reference of the policy file"


def _no_mapping(keys: Keys, value: object) -> tuple[str, str]:
    """Said where settings belong and something else stands."""
    if not keys:
        return f"is {shown(value)}, not a mapping", "a policy is a mapping of sections: budgets, tools, writes, ..."
    if value is None:
        return "is empty", _EMPTY
    guess = ""
    if keys[0] == "tools" and len(keys) == 2:
        guess = did_you_mean(str(keys[1]), Tools.model_fields)
    return f"is {shown(value)}, not a mapping", guess or _EMPTY


def _unknown(keys: Keys, value: object) -> tuple[str, str]:
    """Said of a key that its section does not name."""
    name, section = str(keys[-1]), _section_at(keys[:-1])
    message = f"is not {section.noun}"
    if section is ToolSettings and isinstance(value, Mapping):
        return message, f"write a tool's name in one key: {spelled(keys[-2:])}:"
    if home := _home_of(name, section):
        return message, f"it belongs under {home}:"
    words = [field.alias or known for known, field in section.model_fields.items()]
    return message, did_you_mean(name, words)


def _home_of(name: str, section: type[Section]) -> str:
    """The section in which a known key was probably meant to stand."""
    homes: tuple[tuple[str, type[Section]], ...] = (("budgets", Budgets), ("house", GroupRules))
    for home, candidate in homes:
        is_known = name in candidate.model_fields and name.startswith("max_")
        if is_known and candidate is not section and not issubclass(candidate, section):
            return home
    return ""


def _section_at(keys: Keys) -> type[Section]:
    """The section of the grammar at some place of the file."""
    section: type[Section] = PolicyFile
    inside: type[Section] | None = None  # of a mapping from names to sections
    for key in keys:
        if inside is not None:
            section, inside = inside, None
        elif section in OF_TOOLS and key not in section.model_fields:
            section = OF_TOOLS[section]
        else:
            annotation = section.model_fields[str(key)].annotation
            if get_origin(annotation) is dict:
                inside = get_args(annotation)[1]
            else:
                assert isinstance(annotation, type)
                assert issubclass(annotation, Section)
                section = annotation
    return section
