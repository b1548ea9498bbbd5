"""The rules that are compared, each as a policy of bridle and the labels that go with it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.ifc.labels import Label, Labelled
from bench.ifc.world import Suite
from bridle import Bridle
from bridle.rules.strict_json import Json

NEVER_ASKS: dict[str, Json] = {"writes": {"require_approval": False}, "flow": {"when": "never"}}
ALWAYS_ASKS: dict[str, Json] = {"writes": {"require_approval": True}, "flow": {"when": "never"}}
ASKS_WHEN_TAINTED: dict[str, Json] = {
    "writes": {"require_approval": "when_tainted"},
    "flow": {"writes": {"if_sinks_trusted": "approve", "else": "approve", "without_sinks": "approve"}},
}
BY_ORIGIN: dict[str, Json] = {
    "writes": {"require_approval": "when_tainted"},
    "flow": {
        "when": "tainted",
        "writes": {"if_sinks_trusted": "allow", "else": "approve", "without_sinks": "approve"},
        "egress": {"if_sinks_trusted": "allow", "verbatim_public": "allow", "else": "deny"},
        "private_and_untrusted": {"egress": "deny"},
    },
}
ASKS_BEFORE_IT_LOOKS: dict[str, Json] = {  # where the default denies an egress, or follows a link, a person decides
    "writes": {"require_approval": "when_tainted"},
    "flow": {
        "egress": {"verbatim_public": "approve", "else": "approve"},
        "private_and_untrusted": {"egress": "approve"},
    },
}
ROOM: dict[str, Json] = {  # enough for a task and an attack
    "max_tool_calls": 100,
    "max_steps": 200,
    "max_seconds": 3_600,
}


@dataclass(frozen=True)
class Rule:
    """One row of the report."""

    name: str
    policy: Mapping[str, Json]
    narrowed: bool = False  # to the tools of the task's own ground truth
    directories: bool = False
    refusals: int = 100  # of a run; at 0 the first one stops it


RULES = (
    Rule("nothing", NEVER_ASKS),
    Rule("approve every write", ALWAYS_ASKS),
    Rule("session taint", ASKS_WHEN_TAINTED),
    Rule("allowlist per node", NEVER_ASKS, narrowed=True),
    Rule("provenance", BY_ORIGIN),
    Rule("provenance + allowlist", BY_ORIGIN, narrowed=True),
    Rule("+ directories and amount cap", BY_ORIGIN, narrowed=True, directories=True),
    Rule("the same, stopped by its first refusal", BY_ORIGIN, narrowed=True, directories=True, refusals=0),
    Rule("directories, and a person decides on egress", ASKS_BEFORE_IT_LOOKS, narrowed=True, directories=True),
)


def house(suite: Suite, labelled: Labelled, rule: Rule, nodes: Mapping[str, frozenset[str]]) -> Bridle:
    """A house under this rule; `nodes` are the tools that each task needs."""
    policy: dict[str, object] = {
        "budgets": {**ROOM, "max_refusals": rule.refusals},
        "tools": {"allow": list(suite.tools)},
        **rule.policy,
    }
    if rule.directories:
        policy["directories"] = dict(labelled.directories)
    if rule.narrowed:
        policy["agents"] = {task: {"tools": {"allow": sorted(tools)}} for task, tools in nodes.items()}
    opened = Bridle(policy, ":memory:")
    for tool, schema in suite.tools.items():
        label = labelled.tools[tool]
        opened.declare(tool, None, schema, **(label if rule.directories else plain(label)))  # type: ignore[arg-type]  # a mapping of labels
    return opened


def plain(label: Label) -> Label:
    """The label as it is where no directory is configured, and no number is small enough for everybody."""
    sinks = label.get("sinks")
    if not isinstance(sinks, dict):
        return label
    return {**label, "sinks": {argument: _without(origins) for argument, origins in sinks.items()}}


def _without(origins: Json) -> Json:
    named = origins.get("from") if isinstance(origins, dict) else origins
    assert isinstance(named, list)
    return [origin for origin in named if not str(origin).startswith("dir:")]
