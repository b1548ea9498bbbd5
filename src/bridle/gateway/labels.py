"""The labels of a tool as its author writes them, and the tool they make."""

import difflib
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypedDict, TypeVar

from bridle.rules.failure import BridleError
from bridle.rules.names import MILLIS_PER_SECOND, Confidentiality, Effect, Millis, Source, ToolName, UsdNanos, usd
from bridle.rules.sinks import Sinks, read_sinks
from bridle.rules.tool import Idempotency, ReuseScope, Tool

E = TypeVar("E", bound=StrEnum)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,79}")
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)?")
_MINUTE = 60 * MILLIS_PER_SECOND
_FACTORS = {
    "ms": 1, "s": MILLIS_PER_SECOND, "m": _MINUTE, "h": 60 * _MINUTE, "d": 24 * 60 * _MINUTE, None: MILLIS_PER_SECOND,
}  # fmt: skip
_OF_WRITES = ("key", "probe", "preview", "lands_within", "key_ttl", "destructive", "max_writes")
_OF_EFFECTS = ("sinks", "without_sinks")


class Labels(TypedDict, total=False):
    """All of them may be left out; a tool without labels is an untrusted write.

    `cost` is what one call costs at most ("$0.02"), `timeout` and a number for `reuse` are seconds or "500ms", "10s",
    "2m", "24h"; `max_bytes` is the largest output that is accepted, `show_bytes` what a model is shown of it.

    Of a write: `key` names it by its arguments ("refund:{order_id}"), `idempotency` says how the far end knows a
    repeated one. `probe(key)` returns the receipt of a write, or None where the far end has not seen it; that counts
    after `lands_within`. After `key_ttl` the far end has forgotten a key. `preview(args)` is for who approves; it is
    performed before he does, and must not leave the house.

    Of a write or an egress: `sinks` names the arguments that steer it, and the places their values may come from in a
    run that has read untrusted text: {"to": ["user", "trusted", "dir:contacts"], "amount": {"from": ["user"], "max":
    100}, "url": {"from": ["user"], "hosts": ["*.example.com"]}}. `without_sinks` says that it has none.
    """

    description: str
    effect: str  # read | egress | write
    source: str  # trusted | untrusted
    confidentiality: str  # public | private
    idempotency: str  # key | natural | none
    reuse: str | int  # run | never | a duration
    expensive: bool
    cost: str
    timeout: str | int
    concurrency: int
    max_calls: int
    max_bytes: int
    show_bytes: int
    dependency: str
    summary: str
    key: str
    probe: Callable[..., object]
    preview: Callable[..., object]
    lands_within: str | int
    key_ttl: str | int
    destructive: bool  # what it takes away does not come back
    sinks: Mapping[str, object]  # argument: places, or {"from": places, "hosts": [...], "max": number}
    without_sinks: bool
    max_writes: int  # of one run; 1 where it has a business key


def tool_of(name: str, labels: Labels) -> Tool:
    """The tool of these labels. Raises BridleError, naming the label and what it may be."""
    if not _NAME.fullmatch(name):
        raise BridleError(f"{name!r} is no name for a tool: letters, digits and _ . : / - make one")
    for label in labels:
        if label not in Labels.__annotations__:
            close = difflib.get_close_matches(label, Labels.__annotations__, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; they are {', '.join(Labels.__annotations__)}"
            raise BridleError(f"the tool {name}: {label} is no label{hint}")
    effect = _one_of(Effect, name, "effect", labels.get("effect", "write"))
    for label in _OF_WRITES if effect is not Effect.WRITE else ():
        if label in labels:
            raise BridleError(f"the tool {name}: {label} is for writes, and its effect is {effect}")
    for label in _OF_EFFECTS if effect is Effect.READ else ():
        if label in labels:
            raise BridleError(f"the tool {name}: {label} is for writes and egress, and its effect is read")
    for label in ("probe", "preview"):
        if label in labels and not callable(labels.get(label)):
            raise BridleError(f"the tool {name}: {label} is a function, not {labels.get(label)!r}")
    default_reuse = "never" if effect is Effect.WRITE else "run"
    return Tool(
        name=ToolName(name),
        description=labels.get("description", ""),
        effect=effect,
        source=_one_of(Source, name, "source", labels.get("source", "untrusted")),
        confidentiality=_one_of(Confidentiality, name, "confidentiality", labels.get("confidentiality", "private")),
        idempotency=_one_of(Idempotency, name, "idempotency", labels.get("idempotency", "none")),
        reuse=_reuse(name, labels.get("reuse", default_reuse)),
        expensive=labels.get("expensive", False),
        cost=_money(name, labels.get("cost", "0")),
        timeout=_duration(name, "timeout", labels.get("timeout", 30)),
        concurrency=_whole(name, "concurrency", labels.get("concurrency", 16)),
        max_calls=_whole(name, "max_calls", labels.get("max_calls", 1_000_000)),
        max_bytes=_whole(name, "max_bytes", labels.get("max_bytes", 10_000_000)),
        show_bytes=_whole(name, "show_bytes", labels.get("show_bytes", 16_000)),
        dependency=labels.get("dependency", ""),
        summary=labels.get("summary", ""),
        key=_text(name, "key", labels.get("key", "")),
        lands_within=_duration(name, "lands_within", labels.get("lands_within", 30)),
        key_ttl=_duration(name, "key_ttl", labels.get("key_ttl", "24h")),
        destructive=labels.get("destructive", False),
        sinks=_sinks(name, labels),
        max_writes=_whole(name, "max_writes", labels.get("max_writes", 1 if labels.get("key") else 1_000_000)),
    )


def _sinks(tool: str, labels: Labels) -> Sinks | None:
    """The controlling arguments; none at all, where its author says so; None where nobody says anything."""
    if labels.get("without_sinks"):
        if labels.get("sinks"):
            raise BridleError(f"the tool {tool}: it has sinks, and without_sinks says that it has none")
        return ()
    if "sinks" not in labels:
        return None
    try:
        return read_sinks(labels["sinks"], destructive=labels.get("destructive", False))
    except ValueError as error:
        raise BridleError(f"the tool {tool}: sinks: {error}") from error


def _one_of(kind: type[E], tool: str, label: str, given: str) -> E:
    try:
        return kind(given)
    except ValueError as error:
        raise BridleError(f"the tool {tool}: {label} is one of {', '.join(kind)}, not {given!r}") from error


def _text(tool: str, label: str, given: object) -> str:
    if not isinstance(given, str):
        raise BridleError(f"the tool {tool}: {label} is a text, not {given!r}")
    return given


def _reuse(tool: str, given: str | int) -> ReuseScope | Millis:
    if given in tuple(ReuseScope):
        return ReuseScope(given)
    return _duration(tool, "reuse", given)


def _duration(tool: str, label: str, given: str | int) -> Millis:
    found = _DURATION.fullmatch(str(given))
    if isinstance(given, bool) or found is None or int(found[1]) == 0:
        raise BridleError(f"the tool {tool}: {label} is a time like 10, '10s', '500ms' or '24h', not {given!r}")
    return Millis(int(found[1]) * _FACTORS[found[2]])


def _money(tool: str, given: str) -> UsdNanos:
    try:
        amount = usd(str(given).removeprefix("$"))
    except (ArithmeticError, ValueError) as error:
        raise BridleError(f"the tool {tool}: cost is an amount of dollars like '$0.02', not {given!r}") from error
    if amount < 0:
        raise BridleError(f"the tool {tool}: cost is not below 0, as {given!r} is")
    return amount


def _whole(tool: str, label: str, given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given <= 0:
        raise BridleError(f"the tool {tool}: {label} is a whole number greater than 0, not {given!r}")
    return given
