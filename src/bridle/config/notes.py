"""What is worth a second look in a good policy: settings that do nothing, because nothing there can use them."""

from collections.abc import Iterator

from bridle.config.build import cap_word
from bridle.config.crossing import GROUPS
from bridle.config.mistake import Keys, Mistake, did_you_mean
from bridle.config.money import written
from bridle.config.tree import Tree
from bridle.rules.names import USD_NANO, TenantId, ToolName
from bridle.rules.policy import Cap, Level, Narrowing, Policy


def notes_of(policy: Policy, tree: Tree) -> tuple[Mistake, ...]:
    """The notes on a policy, by position."""
    notes = [*_unused_tools(policy, tree)]
    for group in GROUPS:
        for name in tree.mapping((group,)):
            notes += _widening(policy, _narrowing(policy, group, name), tree, (group, name))
    notes += _wide_caps(policy, tree)
    return tuple(sorted(notes, key=lambda note: tree.order(note)))
