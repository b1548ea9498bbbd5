"""Mistakes between settings: each of them is fine alone, and together they cannot be meant."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from pydantic import TypeAdapter, ValidationError

from bridle.config.grammar import Tools
from bridle.config.mistake import Keys, did_you_mean, printable, shown
from bridle.config.schemas import wrong_with
from bridle.config.tree import Tree, Value
from bridle.config.values import APPROVALS, Tool
from bridle.rules.sinks import DIRECTORY

WAYS = ("above", "when")
VALUED = ("values", "file", "tool")  # where a directory has its values from
GROUPS = ("tenants", "flows", "agents", "nodes")
_TOOL: TypeAdapter[str] = TypeAdapter(Tool)


def find_crossings(tree: Tree) -> None:
    """Write every such mistake into the tree. Looks at the values as read, so that a mistake elsewhere hides none."""
    for keys in _lists_of_tools(tree):
        _allowed_and_denied(tree, keys)
    _sinks(tree)
    for name, said in tree.mapping(("directories",)).items():
        if isinstance(said, dict):
            _directory(tree, ("directories", name), said)
    for name in tree.mapping(("agents",)):
        if name in tree.mapping(("flows",)):
            tree.add(("agents", name), "stands under flows too, and both words mean the same", "keep one of them")
    for keys in [(), *((group, name) for group in GROUPS[:3] for name in tree.mapping((group,)))]:
        _schema(tree, (*keys, "answer", "schema"))
    for name in tree.mapping(("tools",)):
        if name not in Tools.model_fields:
            _tool(tree, name)


def _sinks(tree: Tree) -> None:
    """A sink names a directory that nobody wrote, or is a sink of a tool that says it has none."""
    groups = [("tools",), *((group, name, "tools") for group in GROUPS[:3] for name in tree.mapping((group,)))]
    known = tree.mapping(("directories",))
    for keys in groups:
        for name in tree.mapping(keys):
            sinks = tree.mapping((*keys, name, "sinks"))
            if sinks and tree.mapping((*keys, name)).get("without_sinks") is True:
                tree.add((*keys, name, "without_sinks"), "stands beside sinks", "keep one of them")
            for argument, said in sinks.items():
                places = (*keys, name, "sinks", argument, *(("from",) if isinstance(said, dict) else ()))
                for i, place in tree.names(places):
                    directory = place.removeprefix(DIRECTORY)
                    if directory != place and directory not in known:
                        hint = did_you_mean(directory, known) or f"write it under directories: {directory}: {{...}}"
                        tree.add((*places, i), f"names the directory {printable(directory)}, which is not there", hint)


def _directory(tree: Tree, keys: Keys, said: Mapping[str, Value]) -> None:
    ways = [word for word in VALUED if word in said]
    if len(ways) > 1 or not said:  # where it says another word, that is the mistake
        what = f"says {' and '.join(ways)}, and only one of them is read" if said else "says nothing"
        tree.add(keys, what, "write one of {values: [...]}, {file: contacts.txt}, {tool: contacts.find}")


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
        _schema(tree, ("tools", name, word))
    if isinstance(tree.mapping(("tools", name)).get("require_approval"), dict):
        _approval(tree, ("tools", name, "require_approval"))


def _schema(tree: Tree, keys: Keys) -> None:
    if any(hole[: len(keys)] == keys for hole in tree.holes):
        return  # the schema was not read as it was written
    for inner, message, hint in wrong_with(tree.mapping(keys)):
        tree.add((*keys, *inner), message, hint)


def _approval(tree: Tree, keys: Keys) -> None:
    """Which calls of a tool wait for a person, where the file says more than `true`."""
    said = tree.mapping(keys)
    for word in said:
        if word not in WAYS:
            tree.add((*keys, word), "is not a way to choose calls", did_you_mean(word, WAYS) or f"write {APPROVALS}")
    ways = [word for word in WAYS if word in said]
    if not said:
        tree.add(keys, "is empty", f"write {APPROVALS}")
    if len(ways) > 1:
        tree.add((*keys, ways[1]), f"stands beside {ways[0]}, and only one of them is read", "keep one of them")
    for word in ways:
        inner = (*keys, word)
        if not isinstance(said[word], dict):
            example = "{amount: 50}" if word == "above" else "{properties: {...}}"
            tree.add(inner, f"is {shown(said[word])}, not a mapping", f"write a mapping, such as {example}")
        elif word == "when":
            _schema(tree, inner)
        else:
            _above(tree, inner)


def _above(tree: Tree, keys: Keys) -> None:
    if not tree.mapping(keys):
        tree.add(keys, "is empty", "name an argument and the most that needs nobody, such as {amount: 50}")
    for name, most in tree.mapping(keys).items():
        if isinstance(most, bool) or not isinstance(most, int | float | Decimal) or not Decimal(most).is_finite():
            tree.add((*keys, name), f"is {shown(most)}, not a number", "write the most that needs nobody, such as 50")
