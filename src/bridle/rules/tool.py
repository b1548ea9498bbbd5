"""What is known of a tool before it is called: its effect, its labels, and the bounds of one call."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from bridle.rules.names import Confidentiality, Digest, Effect, Millis, Source, ToolName, UsdNanos
from bridle.rules.sinks import Place, Sink, Sinks, stricter

N = TypeVar("N", bound=int)
E = TypeVar("E", bound=StrEnum)


class ReuseScope(StrEnum):
    """Whether the result of an identical call may stand for a new one."""

    RUN = "run"
    NEVER = "never"


class Idempotency(StrEnum):
    """How the far end recognises a repeated write."""

    KEY = "key"  # it takes an idempotency key
    NATURAL = "natural"  # doing it twice is doing it once
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as its author declared it; a policy may only make it stricter.

    An unlabelled tool is an untrusted write: the defaults here are the strict ones.
    """

    name: ToolName
    description: str = ""
    effect: Effect = Effect.WRITE
    source: Source = Source.UNTRUSTED
    confidentiality: Confidentiality = Confidentiality.PRIVATE
    idempotency: Idempotency = Idempotency.NONE
    reuse: ReuseScope | Millis = ReuseScope.NEVER  # a number: results younger than that many milliseconds
    expensive: bool = False
    cost: UsdNanos = UsdNanos(0)  # what one call costs at most
    timeout: Millis = Millis(30_000)
    concurrency: int = 16  # calls in flight at the same time, over all runs of a tenant
    max_calls: int = 1_000_000  # calls in one run
    max_bytes: int = 10_000_000  # a larger output is refused
    show_bytes: int = 16_000  # what of an output the model is shown
    dependency: str = ""  # whose health it shares; its own name when empty
    summary: str = ""  # a sentence with {argument} blanks, for people
    schema: Digest = Digest("")  # of its arguments
    key: str = ""  # of a write: the template of its business key, with {argument} blanks
    lands_within: Millis = Millis(30_000)  # a write that was not seen by then will not take effect any more
    key_ttl: Millis = Millis(86_400_000)  # how long the far end remembers a key
    destructive: bool = False  # what it takes away does not come back
    sinks: Sinks | None = None  # its controlling arguments; empty: its author says that it has none; None: nobody said
    max_writes: int = 1_000_000  # of a write: how many of one run take effect at most

    @property
    def depends_on(self) -> str:
        """The name under which the health of its far end is kept."""
        return self.dependency or self.name


@dataclass(frozen=True, slots=True)
class ToolRule:
    """What a policy says of one tool; None leaves the declaration as it is."""

    effect: Effect | None = None
    source: Source | None = None
    confidentiality: Confidentiality | None = None
    reuse: ReuseScope | Millis | None = None
    expensive: bool | None = None
    cost: UsdNanos | None = None
    timeout: Millis | None = None
    concurrency: int | None = None
    max_calls: int | None = None
    max_bytes: int | None = None
    show_bytes: int | None = None
    args: str = ""  # a JSON Schema that every call's arguments must satisfy, as canonical JSON
    output: str = ""  # a JSON Schema that every output must satisfy, as canonical JSON
    approval: str = ""  # a JSON Schema: arguments that satisfy it wait for a person, as canonical JSON
    destructive: bool | None = None
    sinks: Sinks | None = None
    max_writes: int | None = None
    narrower: Sinks | None = None  # what tenants and flows add: they narrow sinks that were named, and name none

    def stricter(self, other: "ToolRule") -> "ToolRule":
        """This rule with the labels and quotas of another one, where they admit less."""
        return replace(
            self,
            effect=_strictest(self.effect, other.effect, _EFFECTS),
            source=_strictest(self.source, other.source, (Source.TRUSTED, Source.UNTRUSTED)),
            confidentiality=_strictest(self.confidentiality, other.confidentiality, tuple(Confidentiality)),
            destructive=self.destructive or other.destructive,
            narrower=stricter(self.narrower, other.sinks),
            max_calls=_least_said(self.max_calls, other.max_calls),
            max_writes=_least_said(self.max_writes, other.max_writes),
        )


_EFFECTS = (Effect.READ, Effect.EGRESS, Effect.WRITE)


_WHOLE_RUN = 10**15  # milliseconds; longer than any run


def _reuse_window(reuse: ReuseScope | Millis) -> int:
    return {ReuseScope.NEVER: 0, ReuseScope.RUN: _WHOLE_RUN}[reuse] if isinstance(reuse, ReuseScope) else reuse


def narrowed(tool: Tool, rule: ToolRule) -> Tool:
    """The tool under a rule of the policy: each label as strict, each bound as small, as the stricter of the two."""
    destructive = tool.destructive or bool(rule.destructive)
    sinks = stricter(tool.sinks, rule.sinks)
    if sinks:
        sinks = stricter(sinks, rule.narrower)
    return Tool(
        name=tool.name,
        description=tool.description,
        effect=max(tool.effect, rule.effect or tool.effect, key=_EFFECTS.index),
        source=Source.UNTRUSTED if rule.source is Source.UNTRUSTED else tool.source,
        confidentiality=(
            Confidentiality.PRIVATE if rule.confidentiality is Confidentiality.PRIVATE else tool.confidentiality
        ),
        idempotency=tool.idempotency,
        reuse=tool.reuse if rule.reuse is None else min(tool.reuse, rule.reuse, key=_reuse_window),
        expensive=tool.expensive or bool(rule.expensive),
        cost=max(tool.cost, tool.cost if rule.cost is None else rule.cost),
        timeout=_least(tool.timeout, rule.timeout),
        concurrency=_least(tool.concurrency, rule.concurrency),
        max_calls=_least(tool.max_calls, rule.max_calls),
        max_bytes=_least(tool.max_bytes, rule.max_bytes),
        show_bytes=_least(tool.show_bytes, rule.show_bytes),
        dependency=tool.dependency,
        summary=tool.summary,
        schema=tool.schema,
        key=tool.key,
        lands_within=tool.lands_within,
        key_ttl=tool.key_ttl,
        destructive=destructive,
        sinks=_without_ids(sinks) if destructive else sinks,
        max_writes=_least(tool.max_writes, rule.max_writes),
    )


def _without_ids(sinks: Sinks | None) -> Sinks | None:
    """What is gone does not come back, so that an id which a tool returned is not enough."""
    if sinks is None:
        return None
    return tuple(
        Sink(sink.argument, tuple(place for place in sink.places if place != Place.IDS), sink.hosts, sink.most)
        for sink in sinks
    )


def _strictest(mine: E | None, theirs: E | None, order: tuple[E, ...]) -> E | None:
    said = [one for one in (mine, theirs) if one is not None]
    return max(said, key=order.index, default=None)


def _least_said(mine: int | None, theirs: int | None) -> int | None:
    return min((one for one in (mine, theirs) if one is not None), default=None)


def _least(declared: N, ruled: N | None) -> N:
    return declared if ruled is None else min(declared, ruled)
