"""Loads a policy: every mistake at once, or the pure rules with their digest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bridle.config.build import policy_of
from bridle.config.crossing import find_crossings
from bridle.config.explain import settings
from bridle.config.mistake import BadPolicy, Keys, Mistake, spelled
from bridle.config.notes import notes_of
from bridle.config.source import Source, read
from bridle.config.steering import directories
from bridle.config.tree import Tree
from bridle.config.wording import parsed
from bridle.rules.names import Digest
from bridle.rules.policy import Policy

_NARROWING = ("tenants", "flows", "nodes", "tools")  # what stands there was said, but for the lists of the house
_HOUSE_LISTS = (("tools", "allow"), ("tools", "deny"))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy that was read without a mistake.

    `digest` names the policy, not its text; `text` is the source as it was read (of a mapping: its JSON); `notes` are
    worth a second look; `defaults` are the paths of the settings that the source left to their safe defaults;
    `positions` tells where each path stands ("policy.yaml:14:3"); it is empty for a mapping.
    """

    policy: Policy
    digest: Digest
    text: str
    notes: tuple[Mistake, ...]
    defaults: tuple[str, ...]
    positions: Mapping[str, str]


def load_policy(source: Source) -> Loaded:
    """Read a policy from a path, a text (a str with a line break), a mapping, or None for the policy that denies all.

    Raises BadPolicy with every mistake of the source.
    """
    tree, text = read(source)
    file, listed = None, {}
    if tree.is_whole:
        file = parsed(tree)
        find_crossings(tree)
        if file is not None:
            listed = directories(file.directories, tree, _folder(source))
    if tree.found:
        raise BadPolicy(tree.mistakes())
    assert file is not None, "what cannot be parsed has a mistake"
    policy = policy_of(file, listed)
    return Loaded(
        policy=policy,
        digest=policy.digest(),
        text=text,
        notes=notes_of(policy, tree),
        defaults=tuple(spelled(keys) for keys, _ in settings(policy) if _is_default(keys, tree)),
        positions=MappingProxyType(_positions(tree)),
    )


def _folder(source: Source) -> Path | None:
    """Where the files lie that a policy names; a text or a mapping has no place."""
    if isinstance(source, Path) or (isinstance(source, str) and "\n" not in source):
        return Path(source).absolute().parent
    return None


def _is_default(keys: Keys, tree: Tree) -> bool:
    may_be = keys[0] not in _NARROWING or keys in _HOUSE_LISTS
    return may_be and not tree.holds(keys)


def _positions(tree: Tree) -> dict[str, str]:
    """Where each path stands. What stands under `agents` is found under `flows` too, as the policy calls it."""
    found = {spelled(keys): tree.where(at) for keys, at in tree.positions.items()}
    agents = [(keys, at) for keys, at in tree.positions.items() if keys[:1] == ("agents",) and len(keys) > 1]
    return found | {spelled(("flows", *keys[1:])): tree.where(at) for keys, at in agents}
