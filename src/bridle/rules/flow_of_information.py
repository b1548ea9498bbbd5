"""The rule that needs no model: a run that has read untrusted text acts on values that somebody else vouches for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from bridle.rules.data import data
from bridle.rules.names import CallId, Effect, ToolName
from bridle.rules.sinks import DIRECTORY, Place
from bridle.rules.strict_json import Json
from bridle.rules.tool import Tool

MOST_SHOWN = 200  # characters of a value in a sentence


class When(StrEnum):
    """In which runs the rule speaks."""

    NEVER = "never"
    TAINTED = "tainted"  # in one that has read something untrusted
    ALWAYS = "always"


class Way(StrEnum):
    """What becomes of a call."""

    ALLOW = "allow"
    APPROVE = "approve"  # a person decides
    DENY = "deny"


class Endorse(StrEnum):
    """What an approval says about the values in the call, beside the call itself."""

    PER_VALUE_PER_RUN = "per_value_per_run"  # they count as trusted for the rest of the run
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class FlowRule:
    """The `flow` section of a policy; the defaults are the strict ones that an ordinary agent can work under."""

    when: When = When.TAINTED
    writes_if_sinks_trusted: Way = Way.ALLOW
    writes_else: Way = Way.APPROVE
    writes_without_sinks: Way = Way.APPROVE
    egress_if_sinks_trusted: Way = Way.ALLOW
    egress_verbatim_public: Way = Way.ALLOW
    egress_else: Way = Way.DENY
    private_and_untrusted_egress: Way = Way.DENY
    endorse: Endorse = Endorse.PER_VALUE_PER_RUN

    def stricter(self, other: "FlowRule") -> "FlowRule":
        """Of each pair the one that admits less."""
        pairs = ((one.name, getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        return FlowRule(**{name: max(mine, theirs, key=_strictness) for name, mine, theirs in pairs})


def _strictness(word: StrEnum) -> int:
    """Each set of words stands from the loosest to the strictest; equal words of two sets are not the same word."""
    return list(type(word)).index(word)


@data
class Unproven:
    """A controlling argument whose value came from none of the places it may come from."""

    argument: str
    places: tuple[str, ...]  # it may come from
    call: CallId = CallId("")  # whose result it was first seen in; empty: in none
    tool: ToolName = ToolName("")  # of that call
    is_untrusted: bool = False  # that result


@data
class Tracing:
    """What is known of the values of one call, as it stood when they were chosen."""

    is_tainted: bool = False  # the run had read something untrusted
    has_read_private: bool = False
    unproven: tuple[Unproven, ...] = ()
    is_verbatim: bool = False  # every value stood in an earlier result as it is
    is_steered: bool = False  # it asks with what something untrusted said, so its result is untrusted too


UNTRACED = Tracing()


def told_of(traced: Tracing) -> dict[str, str]:
    """What a model and the journal are told of the arguments that nobody vouches for: never their values."""
    if not traced.unproven:
        return {}
    first = traced.unproven[0]
    told = {"argument": ", ".join(one.argument for one in traced.unproven)}
    if first.places:
        told["may come from"] = " or ".join(first.places)
    return told | ({"seen in": f"{first.call} ({first.tool})"} if first.call else {})


def because(unproven: Iterable[Unproven], arguments: Mapping[str, Json]) -> Iterator[str]:
    """For people: where each controlling argument that nobody vouches for came from, with its value, in a sentence."""
    for one in unproven:
        value = str(arguments.get(one.argument, ""))
        shown = value if len(value) <= MOST_SHOWN else value[: MOST_SHOWN - 3] + "..."
        source = "untrusted" if one.is_untrusted else "trusted"
        seen = f"was first seen in the output of {one.call} ({one.tool}, {source})"
        places = ", ".join(f"not in {_said(place)}" for place in one.places) or "it may come from nowhere"
        yield f"`{one.argument}` = {shown} {seen if one.call else 'stood in no output'}; {places}"


def _said(place: str) -> str:
    words = {
        Place.USER: "the task", Place.TRUSTED: "what trusted tools returned", Place.CONFIG: "the policy's constants",
        Place.IDS: "the ids that tools returned",
    }  # fmt: skip
    return words[Place(place)] if place in tuple(Place) else place.removeprefix(DIRECTORY)


def way_of(rule: FlowRule, tool: Tool, traced: Tracing) -> Way:
    """What becomes of a call under this rule, as far as it goes: other checks have their own say."""
    if tool.effect is Effect.READ or rule.when is When.NEVER:
        return Way.ALLOW
    if not traced.is_tainted and rule.when is When.TAINTED:
        return Way.ALLOW
    if tool.effect is Effect.WRITE:
        if not tool.sinks:
            return rule.writes_without_sinks
        return rule.writes_else if traced.unproven else rule.writes_if_sinks_trusted
    if not traced.unproven:  # as of one without sinks: its author says that it goes to one place, whatever is asked
        way = rule.egress_if_sinks_trusted
    elif traced.is_verbatim and not traced.has_read_private:
        way = rule.egress_verbatim_public
    else:
        way = rule.egress_else
    if traced.is_tainted and traced.has_read_private:
        return max(way, rule.private_and_untrusted_egress, key=_strictness)
    return way
