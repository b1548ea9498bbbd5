"""Sinks: the arguments that steer an effect, and the places their values may come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import cast

from bridle.rules.hosts import is_pattern
from bridle.rules.names import ToolName

DIRECTORY = "dir:"


class Place(StrEnum):
    """Where a value of a sink may come from; `dir:<name>` beside these is a directory of the policy."""

    USER = "user"  # the words of who asked for the run
    TRUSTED = "trusted"  # what a trusted tool returned that nothing untrusted steered
    CONFIG = "config"  # the constants of the policy
    IDS = "ids"  # an id that a tool returned in a field of ids


@dataclass(frozen=True, slots=True)
class Sink:
    """One controlling argument. Beside `places`, `hosts` admits URLs by their host, and `most` numbers up to it."""

    argument: str
    places: tuple[str, ...]
    hosts: tuple[str, ...] = ()  # names, or `*.example.com`
    most: str = ""  # a decimal number: up to it, it does not matter where a number comes from
    tool: str = ""  # whose sink it is, where that matters


@dataclass(frozen=True, slots=True)
class Directory:
    """Values that may be acted on whoever names them: listed, or whole fields of what a read-only tool returned."""

    values: frozenset[str] = frozenset()  # normal values
    tool: ToolName = ToolName("")


Sinks = tuple[Sink, ...]


def read_sinks(given: object, *, destructive: bool = False) -> Sinks:
    """The sinks of a mapping {argument: [place, ...] or {from: [...], hosts: [...], max: 50}}.

    Raises ValueError, naming the argument, what is wrong with it and what to write.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"write a mapping such as {{to: [user]}}, not {given!r}")
    if not given:
        raise ValueError("it names no argument; say without_sinks: true where there is none")
    found = []
    for argument, said in given.items():
        if not isinstance(argument, str) or not argument:
            raise ValueError(f"{argument!r} is no name of an argument")
        found.append(_sink(argument, said, destructive=destructive))
    return tuple(found)


def _sink(argument: str, said: object, *, destructive: bool) -> Sink:
    whole = said if isinstance(said, Mapping) else {"from": said}
    for word in whole:
        if word not in ("from", "hosts", "max"):
            raise ValueError(f"{argument}: {word!r} is no setting of a sink; they are from, hosts, max")
    places = _names(argument, "from", whole.get("from", []))
    for place in places:
        named = place.startswith(DIRECTORY) and place != DIRECTORY
        if not named and place not in tuple(Place):
            raise ValueError(f"{argument}: {place!r} is no place; they are {', '.join(Place)} and dir:<name>")
    if destructive and Place.IDS in places:
        raise ValueError(f"{argument}: a destructive tool takes no ids that a tool returned; take `ids` away")
    hosts = tuple(host.casefold() for host in _names(argument, "hosts", whole.get("hosts", [])))
    for host in hosts:
        if not is_pattern(host):
            raise ValueError(f"{argument}: {host!r} is no host such as docs.example.com or *.example.com")
    return Sink(argument, places, hosts, _most(argument, whole.get("max")))


def _names(argument: str, word: str, given: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise ValueError(f"{argument}: {word} is a list of names, not {given!r}")
    return tuple(str(one) for one in dict.fromkeys(given))


def _most(argument: str, given: object) -> str:
    if given is None:
        return ""
    number = Decimal(str(given)) if isinstance(given, int | float | Decimal) and not isinstance(given, bool) else None
    if number is None or not number.is_finite():
        raise ValueError(f"{argument}: max is a number, not {given!r}")
    return f"{number.normalize():f}"


def stricter(sinks: Sinks | None, other: Sinks | None) -> Sinks | None:
    """What both admit: every sink of either, and of one that both name only what both say. None says nothing."""
    if sinks is None or other is None:
        return sinks if other is None else other
    theirs = {sink.argument: sink for sink in other}
    both = [_both(sink, theirs.pop(sink.argument)) if sink.argument in theirs else sink for sink in sinks]
    return (*both, *theirs.values())


def _both(sink: Sink, other: Sink) -> Sink:
    most = min(sink.most, other.most, key=Decimal) if sink.most and other.most else ""
    places = tuple(place for place in sink.places if place in other.places)
    return Sink(sink.argument, places, tuple(host for host in sink.hosts if host in other.hosts), most)


def directories_of(sinks: Sinks) -> frozenset[str]:
    """The names of the directories that sinks point at."""
    return frozenset(place.removeprefix(DIRECTORY) for sink in sinks for place in sink.places if ":" in place)


def as_sinks(known: object) -> Sinks | None:
    """Sinks again, from the plain JSON of a policy."""
    if known is None:
        return None
    rows = cast("list[dict[str, object]]", known)
    return tuple(
        Sink(str(row["argument"]), tuple(cast("list[str]", row["places"])), tuple(cast("list[str]", row["hosts"])),
             str(row["most"]))
        for row in rows
    )  # fmt: skip
