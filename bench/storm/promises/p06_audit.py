"""P6: an edit, a removal, an insertion, a reordering and a cut of a journal are found by its chain."""

from collections.abc import Iterator

from bench.storm.evidence import Evidence, Journal
from bench.storm.plan import chance_of
from bridle.store import chain

Lines = list[tuple[int, bytes, bytes]]
SAMPLE = 5  # journals of a house that somebody tampers with


def violations(seen: Evidence) -> Iterator[str]:
    """Chains that do not hold, heads that users hold and no journal leads to, tampering that is not found."""
    for journal in seen.journals.values():
        broken = chain.verify(journal.run, _lines(journal), journal.head)
        if broken is not None:
            yield f"{journal.run}: {broken.what}"
    for told in seen.answers:
        known = seen.journals.get(told.run)
        if known is not None and told.head and all(entry.hash.hex() != told.head for entry in known.entries):
            yield f"{told.run}: the head that its user holds is not in its journal"
    luck = chance_of(seen.house, "tampering")
    for journal in list(seen.journals.values())[:SAMPLE]:
        at = luck.randrange(len(journal.entries))
        for how, lines in _tampered(_lines(journal), at):
            if chain.verify(journal.run, lines, journal.head) is None:
                yield f"{journal.run}: {how} of event {at + 1} was not found"


def _lines(journal: Journal) -> Lines:
    return [(entry.seq, entry.body, entry.hash) for entry in journal.entries]


def _tampered(lines: Lines, at: int) -> Iterator[tuple[str, Lines]]:
    seq, body, hash_ = lines[at]
    yield "an edit", [*lines[:at], (seq, body + b" ", hash_), *lines[at + 1 :]]
    yield "a removal", [*lines[:at], *((number - 1, *rest) for number, *rest in lines[at + 1 :])]  # type: ignore[list-item]  # a line again
    yield "a cut", lines[:at]
    yield "an insertion", [*lines[:at], lines[at], *((number + 1, *rest) for number, *rest in lines[at:])]  # type: ignore[list-item]  # a line again
    if at + 1 < len(lines):
        later = lines[at + 1]
        swapped = [(seq, *later[1:]), (later[0], body, hash_)]
        yield "a reordering", [*lines[:at], *swapped, *lines[at + 2 :]]
