"""Where the values of a call came from: a model's words are never a source, so every value is looked for in the run."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import TypeGuard

from bridle.rules.hosts import host_of, is_among
from bridle.rules.names import CallId, ToolName
from bridle.rules.readings import moment, number
from bridle.rules.sinks import DIRECTORY, Place, Sink
from bridle.rules.strict_json import Json
from bridle.rules.text_index import TextIndex, is_exact, is_plain, normal

MOST_VALUES = 200  # in one argument; nobody can vouch for more, and each takes its time
MOST_VALUE = 2_000  # characters of one; a longer one steers nothing that anybody could have named
LONG_ENOUGH = 4  # characters of an id that is found in prose
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID_FIELD = re.compile(r"(?:.*_)?(?:id|uuid)s?_?|.*[a-z](?:Id|ID)s?")
_CALLED_AN_ID = re.compile(r"(?:\bids?|\bnumber|\bnr|\bno|#)[\s.:=]*(?:of |is )?[\"'\u2018\u201c]?$")
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Result:
    """What one call returned, and what it was asked with."""

    call: CallId
    tool: ToolName
    value: Json
    asked: Mapping[str, Json] | None = field(default_factory=dict)  # None: nobody knows any more
    is_untrusted: bool = True


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
    endorsed: set[tuple[str, str, str]] = field(default_factory=set)  # what a person approved, by tool and argument
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
        index = self.untrusted if result.is_untrusted else self.trusted
        for text in texts(result.value):
            index.add(text, owner)
        if result.asked is None:
            return
        asked = {normal(str(leaf)) for value in result.asked.values() for leaf in leaves(value)}
        if result.tool in self.directory_tools.values():
            found = {normal(str(leaf)) for leaf in values(result.value)}
            self.fields.setdefault(result.tool, set()).update(one for one in found if not _is_echo(one, asked))
        ids = {normal(str(one)) for one in _typed_ids(result.value)}
        self.ids.update(one for one in ids if not _is_echo(one, asked))

    def endorse(self, sink: Sink, value: Json) -> None:
        """A person approved a call with this: it is trusted there, and nowhere else."""
        self.endorsed.update((sink.tool, sink.argument, normal(text)) for text in texts(value))

    def strange(self, value: Json, sink: Sink) -> list[Scalar]:
        """What in the value of a sink comes from none of its places; of very many values, the first."""
        found = list(islice(leaves(value), MOST_VALUES + 1))
        if len(found) > MOST_VALUES:
            return found[:1]
        return [leaf for leaf in found if not self._derives(leaf, sink)]

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
        if len(leaf) > MOST_VALUE or not is_plain(leaf) or not is_exact(leaf):
            return False
        value = normal(leaf)
        if (sink.tool, sink.argument, value) in self.endorsed or self._is_listed(value, sink):
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
        if sink.most and 0 <= value <= Decimal(sink.most):
            return True
        if (sink.tool, sink.argument, normal(written)) in self.endorsed or self._is_listed(normal(written), sink):
            return True
        if Place.IDS in sink.places or _ID_FIELD.fullmatch(sink.argument):
            return self._may_be_id(normal(written), sink) and (
                (Place.IDS in sink.places and normal(written) in self.ids)
                or any(index.holds(normal(written)) for index in self._indexes(sink))
            )
        return any(index.names_number(value) for index in self._indexes(sink))

    def _url(self, leaf: str, value: str, sink: Sink) -> bool:
        """A URL comes from where it stands whole, or where its host does, behind `https://` or with `www.`.

        A bare name is none: README.md is a file, and a host.
        """
        if any(index.holds(value) for index in self._indexes(sink)):
            return True
        host = host_of(leaf)
        if host is None:
            return False
        if is_among(host, sink.hosts) or self._is_listed(host, sink):
            return True
        named = [f"https://{host}", f"http://{host}", *([host] if host.startswith("www.") else [])]
        return any(index.holds(one) for index in self._indexes(sink) for one in named)

    def _may_be_id(self, value: str, sink: Sink) -> bool:
        """An id that is short, or a word, stands in many texts by chance: it has to be called one, or be a field."""
        if Place.IDS in sink.places and value in self.ids:
            return True
        if any(index.is_whole(value) for index in self._indexes(sink)):
            return True
        if len(value) >= LONG_ENOUGH and any(sign.isdigit() for sign in value):
            return True
        return any(_CALLED_AN_ID.search(text) for index in self._indexes(sink) for text in index.before(value))

    def stood(self, arguments: Mapping[str, Json]) -> bool:
        """Whether every argument stood verbatim in an earlier result, whoever wrote it."""
        given = list(islice((leaf for value in arguments.values() for leaf in leaves(value)), MOST_VALUES + 1))
        if len(given) > MOST_VALUES:
            return False
        found = [leaf for leaf in given if leaf is not None and not isinstance(leaf, bool) and leaf != ""]
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
            isinstance(leaf, bool)
            for name, value in arguments.items()
            for leaf in self.strange(value, Sink(name, places))
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
    """The single values in a value, in order, and the names of fields: a name may carry as much as a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def values(value: Json) -> Iterator[Scalar]:
    """The single values in a value, without the names of fields."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from values(inner)
    elif value is not None and not isinstance(value, bool):
        yield value


def _is_echo(field_: str, asked: Collection[str]) -> bool:
    """Whether a field says what the call was asked with, or a part of it."""
    return any(field_ in one for one in asked)


def texts(value: Json) -> Iterator[str]:
    """All that can be read in a value: its texts, its numbers, and the names of its fields."""
    return (str(leaf) for leaf in leaves(value) if leaf is not None and not isinstance(leaf, bool))


def _typed_ids(value: Json) -> Iterator[Scalar]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if _ID_FIELD.fullmatch(name):
                found = inner if isinstance(inner, list) else [inner]
                yield from (one for one in found if _is_an_id(one))
            yield from _typed_ids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _typed_ids(inner)


def _is_an_id(value: Json) -> TypeGuard[str | int]:
    return isinstance(value, str | int) and not isinstance(value, bool) and bool(_ID.fullmatch(str(value)))


def _is_moment(index: TextIndex, text: str) -> bool:
    known = moment(text)
    if known is None:
        return False
    day, clock = known
    return index.names_day(day) and (clock is None or index.names_clock(clock))
