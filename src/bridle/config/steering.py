"""Makes the rule on the flow of information, and its directories, out of their sections of the policy file."""

from collections.abc import Mapping
from pathlib import Path

from bridle.config.grammar import DirectorySettings, FlowOfInformation
from bridle.config.mistake import Keys
from bridle.config.tree import Tree
from bridle.rules.flow_of_information import Endorse, FlowRule, Way, When
from bridle.rules.names import ToolName
from bridle.rules.sinks import Directory
from bridle.rules.text_index import is_plain, normal

MOST_BYTES = 5_000_000
MOST_VALUE = 500  # characters
LOOSEST = FlowRule(When.NEVER, *(Way.ALLOW,) * 7, Endorse.PER_VALUE_PER_RUN)  # what narrows nothing


FLOW_WORDS: Mapping[str, tuple[str, ...]] = {  # where each part of the rule stands in the section
    "when": ("when",),
    "writes_if_sinks_trusted": ("writes", "if_sinks_trusted"),
    "writes_else": ("writes", "else"),
    "writes_without_sinks": ("writes", "without_sinks"),
    "egress_if_sinks_trusted": ("egress", "if_sinks_trusted"),
    "egress_verbatim_public": ("egress", "verbatim_public"),
    "egress_else": ("egress", "else"),
    "private_and_untrusted_egress": ("private_and_untrusted", "egress"),
    "endorse": ("endorse",),
}


def flow_rule(said: FlowOfInformation, unsaid: FlowRule) -> FlowRule:
    """The rule that a section says; what it leaves out is as in `unsaid`."""
    words: Mapping[str, str | None] = {
        "writes_if_sinks_trusted": said.writes.if_sinks_trusted,
        "writes_else": said.writes.otherwise,
        "writes_without_sinks": said.writes.without_sinks,
        "egress_if_sinks_trusted": said.egress.if_sinks_trusted,
        "egress_verbatim_public": said.egress.verbatim_public,
        "egress_else": said.egress.otherwise,
        "private_and_untrusted_egress": said.private_and_untrusted.egress,
    }
    ways = {name: getattr(unsaid, name) if word is None else Way(word) for name, word in words.items()}
    when = unsaid.when if said.when is None else When(said.when)
    return FlowRule(when, **ways, endorse=unsaid.endorse if said.endorse is None else Endorse(said.endorse))


def directories(said: Mapping[str, DirectorySettings], tree: Tree, folder: Path | None) -> dict[str, Directory]:
    """The directories of a policy; what is wrong with one, or with its file, is written into the tree."""
    return {name: _directory(("directories", name), one, tree, folder) for name, one in said.items()}


def _directory(keys: Keys, said: DirectorySettings, tree: Tree, folder: Path | None) -> Directory:
    if said.tool:
        return Directory(tool=ToolName(said.tool))
    if said.file:
        return Directory(_from_file((*keys, "file"), said.file, tree, folder))
    return Directory(frozenset(normal(value) for value in said.values))


def _from_file(keys: Keys, name: str, tree: Tree, folder: Path | None) -> frozenset[str]:
    """The values of a file: one a line; empty lines, and lines that begin with #, say nothing."""
    if folder is None and not Path(name).is_absolute():
        tree.add(keys, f"is {name}, and a policy without a file has no folder to look in", "give the whole path")
        return frozenset()
    found = set()
    for at, value in _lines(keys, name, tree, (folder or Path()) / name):
        if is_plain(value) and len(value) <= MOST_VALUE:
            found.add(normal(value))
        else:
            what = "holds a sign that nobody can see" if len(value) <= MOST_VALUE else "is no single value"
            tree.add(keys, f"{name}:{at} {what}", "write one value a line, as it stands in a call")
    return frozenset(found)


def _lines(keys: Keys, name: str, tree: Tree, path: Path) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers; none, and a mistake, where the file cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        tree.add(keys, f"{name} cannot be read: {error.strerror}", "give the path of a file that this user may read")
        return []
    if len(data) > MOST_BYTES:
        tree.add(keys, f"{name} has more than {MOST_BYTES:,} bytes", "let a read-only tool be the directory")
        return []
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        tree.add(keys, f"{name}:{data.count(bytes([10]), 0, error.start) + 1} is not UTF-8", "save the file as UTF-8")
        return []
    said = ((at, line.strip()) for at, line in enumerate(lines, 1))
    return [(at, line) for at, line in said if line and not line.startswith("#")]
