"""Mistakes between settings: each of them is fine alone, and together they cannot be meant."""

from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from bridle.config.grammar import Tools
from bridle.config.mistake import Keys, printable
from bridle.config.schemas import wrong_with
from bridle.config.tree import Tree
from bridle.config.values import Tool

GROUPS = ("tenants", "flows", "agents", "nodes")
_TOOL: TypeAdapter[str] = TypeAdapter(Tool)


def find_crossings(tree: Tree) -> None:
    """Write every such mistake into the tree. Looks at the values as read, so that a mistake elsewhere hides none."""
    for keys in _lists_of_tools(tree):
        _allowed_and_denied(tree, keys)
    for name in tree.mapping(("agents",)):
        if name in tree.mapping(("flows",)):
            tree.add(("agents", name), "stands under flows too, and both words mean the same", "keep one of them")
    for name in tree.mapping(("tools",)):
        if name not in Tools.model_fields:
            _tool(tree, name)


def _lists_of_tools(tree: Tree) -> Iterator[Keys]:
    yield ("tools",)
    for group in GROUPS:
        for name in tree.mapping((group,)):
            yield (group, name, "tools")


def _allowed_and_denied(tree: Tree, keys: Keys) -> None:
    allowed = {name for _, name in tree.names((*keys, "allow"))}
    for i, name in tree.names((*keys, "deny")):
        if name in allowed:
            tree.add(
                (*keys, "deny", i),
                f"denies {printable(name)}, which is allowed as well",
                "keep it in one of the two lists",
            )


def _tool(tree: Tree, name: str) -> None:
    """The name of a tool that has settings, and the schemas among them."""
    if isinstance(tree.mapping(("tools",))[name], dict):
        try:
            _TOOL.validate_python(name)
        except ValidationError as error:
            context = error.errors()[0].get("ctx", {})
            tree.add(("tools", name), str(context["message"]), str(context["hint"]))
    for word in ("args", "output"):
        keys: Keys = ("tools", name, word)
        schema = tree.mapping(keys)
        if any(hole[: len(keys)] == keys for hole in tree.holes):
            continue  # the schema was not read as it was written
        for inner, message, hint in wrong_with(schema):
            tree.add((*keys, *inner), message, hint)
