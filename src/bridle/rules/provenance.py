"""Where the values of a call came from: a model's words are never a source, so every value is looked for in the run."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from bridle.rules.hosts import host_of, is_among
from bridle.rules.names import CallId, ToolName
from bridle.rules.readings import moment, number
from bridle.rules.sinks import DIRECTORY, Place, Sink
from bridle.rules.strict_json import Json
from bridle.rules.text_index import TextIndex, is_plain, normal

LONG_ENOUGH = 4  # characters of an id that is found in prose
_ID_FIELD = re.compile(r"(?:.*_)?(?:id|uuid)s?_?|.*[a-z](?:Id|ID)s?")
_CALLED_AN_ID = re.compile(r"(?:\bids?|\bnumber|\bnr|\bno|#)[\s.:=]*(?:of |is )?[\"'\u2018\u201c]?$")
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Result:
    """What one call returned, and what it was asked with."""

    call: CallId
    tool: ToolName
    value: Json
    asked: Mapping[str, Json] = field(default_factory=dict)
    is_untrusted: bool = True


@dataclass(frozen=True, slots=True)
class Directory:
    """Values that may be acted on whoever names them: listed, or whole fields of what a read-only tool returned."""

    values: frozenset[str] = frozenset()  # normal values
    tool: ToolName = ToolName("")


@dataclass(slots=True)
class Provenance:
    """What one run knows its values from. It grows with the run, and never says less than it did."""

    config: frozenset[str] = frozenset()  # normal values
    directories: Mapping[str, frozenset[str]] = field(default_factory=dict)  # normal values, by name
    directory_tools: Mapping[str, ToolName] = field(default_factory=dict)
    user: TextIndex = field(default_factory=TextIndex)
    trusted: TextIndex = field(default_factory=TextIndex)
    untrusted: TextIndex = field(default_factory=TextIndex)  # of these nothing derives
    ids: set[str] = field(default_factory=set)
    endorsed: set[str] = field(default_factory=set)  # a person approved a call that carried them
    fields: dict[ToolName, set[str]] = field(default_factory=dict)  # whole fields of the tools behind directories
    results: list[tuple[CallId, ToolName, bool]] = field(default_factory=list)  # and whether they are untrusted

    def said(self, words: Json) -> None:
        """The user's words: what he asked for."""
        for text in texts(words):
            self.user.add(text)

    def returned(self, result: Result) -> None:
        """A result came in."""
        owner = len(self.results)
        self.results.append((result.call, result.tool, result.is_untrusted))
        echoed = {normal(str(leaf)) for leaf in leaves(dict(result.asked))}
        is_listed = result.tool in self.directory_tools.values()
        index = self.untrusted if result.is_untrusted else self.trusted
        for text in texts(result.value):
            index.add(text, owner)
        if is_listed:
            found = {normal(text) for text in texts(result.value)}
            self.fields.setdefault(result.tool, set()).update(found - echoed)
        self.ids.update(normal(str(one)) for one in _typed_ids(result.value) if normal(str(one)) not in echoed)

    def endorse(self, values: Iterator[Scalar]) -> None:
        """A person approved a call with these."""
        self.endorsed.update(normal(str(value)) for value in values)

    def strange(self, value: Json, sink: Sink) -> list[Scalar]:
        """What in the value of a sink comes from none of its places."""
        return [leaf for leaf in leaves(value) if not self._derives(leaf, sink)]

    def derives(self, value: Json, sink: Sink) -> bool:
        """Whether everything in the value of a sink comes from one of its places."""
        return not self.strange(value, sink)

    def _derives(self, leaf: Scalar, sink: Sink) -> bool:
        if leaf is None or leaf == "":
            return True  # nothing is steered
        if isinstance(leaf, bool):
            return False
        if not isinstance(leaf, str):
            return self._number(Decimal(str(leaf)), str(leaf), sink)
        if not is_plain(leaf):
            return False
        value = normal(leaf)
        if value in self.endorsed or self._is_listed(value, sink):
            return True
        if "://" in leaf or sink.hosts:
            return self._url(leaf, value, sink)
        if (Place.IDS in sink.places or _ID_FIELD.fullmatch(sink.argument)) and not self._may_be_id(value, sink):
            return False
        as_number = number(leaf)
        if as_number is not None and self._number(as_number, value, sink):
            return True
        if Place.IDS in sink.places and value in self.ids:
            return True
        return any(index.holds(value) or _is_moment(index, leaf) for index in self._indexes(sink))

    def _indexes(self, sink: Sink) -> Iterator[TextIndex]:
        if Place.USER in sink.places:
            yield self.user
        if Place.TRUSTED in sink.places:
            yield self.trusted

    def _is_listed(self, value: str, sink: Sink) -> bool:
        if Place.CONFIG in sink.places and value in self.config:
            return True
        for place in sink.places:
            name = place.removeprefix(DIRECTORY)
            if name == place:
                continue
            if value in self.directories.get(name, ()):
                return True
            if value in self.fields.get(self.directory_tools.get(name, ToolName("")), ()):
                return True
        return False

    def _number(self, value: Decimal, written: str, sink: Sink) -> bool:
        if sink.most and abs(value) <= Decimal(sink.most):
            return True
        if normal(written) in self.endorsed or self._is_listed(normal(written), sink):
            return True
        if Place.IDS in sink.places or _ID_FIELD.fullmatch(sink.argument):
            return self._may_be_id(normal(written), sink) and (
                normal(written) in self.ids or any(index.holds(normal(written)) for index in self._indexes(sink))
            )
        return any(index.names_number(value) for index in self._indexes(sink))

    def _url(self, leaf: str, value: str, sink: Sink) -> bool:
        """A URL comes from where it stands whole, or from where its host is named by itself."""
        if any(index.holds(value) for index in self._indexes(sink)):
            return True
        host = host_of(leaf)
        if host is None:
            return False
        return (
            is_among(host, sink.hosts)
            or self._is_listed(host, sink)
            or any(index.holds(host) for index in self._indexes(sink))
        )

    def _may_be_id(self, value: str, sink: Sink) -> bool:
        """An id that is short, or a word, stands in many texts by chance: it has to be called one, or be a field."""
        if Place.IDS in sink.places and value in self.ids:
            return True
        if any(index.is_whole(value) for index in self._indexes(sink)):
            return True
        if len(value) >= LONG_ENOUGH and any(sign.isdigit() for sign in value):
            return True
        return any(_CALLED_AN_ID.search(text) for index in self._indexes(sink) for text in index.before(value))

    def stood(self, value: Json) -> bool:
        """Whether everything in a value stood verbatim in an earlier result, whoever wrote it."""
        found = [leaf for leaf in leaves(value) if leaf is not None and not isinstance(leaf, bool) and leaf != ""]
        return all(
            is_plain(str(leaf)) and any(one.holds(normal(str(leaf))) for one in (self.untrusted, self.trusted))
            for leaf in found
        )

    def is_known(self, arguments: Mapping[str, Json]) -> bool:
        """Whether all that a lookup is asked with comes from the user, trusted results or the policy.

        Yes, no and nothing steer too little to count.
        """
        places = (Place.USER, Place.TRUSTED, Place.CONFIG, *(DIRECTORY + name for name in self._directory_names()))
        return all(
            isinstance(leaf, bool) or self._derives(leaf, Sink(name, places))
            for name, value in arguments.items()
            for leaf in leaves(value)
        )

    def _directory_names(self) -> set[str]:
        return {*self.directories, *self.directory_tools}

    def first_seen(self, value: Scalar, sink: Sink) -> tuple[CallId, ToolName, bool] | None:
        """The call, its tool, and whether it is untrusted, of the result that a strange value was first seen in."""
        wanted = normal(str(value))
        owner = self.untrusted.first_owner(wanted)
        if owner is None and Place.TRUSTED not in sink.places:  # otherwise it was looked for there
            owner = self.trusted.first_owner(wanted)
        return self.results[owner] if owner is not None else None


def leaves(value: Json) -> Iterator[Scalar]:
    """The single values in a value, in order, and no names of fields."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def texts(value: Json) -> Iterator[str]:
    """All that can be read in a value: its texts, its numbers, and the names of its fields."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _typed_ids(value: Json) -> Iterator[Scalar]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if _ID_FIELD.fullmatch(name):
                yield from (leaf for leaf in leaves(inner) if leaf is not None and not isinstance(leaf, bool))
            yield from _typed_ids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _typed_ids(inner)


def _is_moment(index: TextIndex, text: str) -> bool:
    known = moment(text)
    if known is None:
        return False
    day, clock = known
    return index.names_day(day) and (clock is None or index.names_clock(clock))
