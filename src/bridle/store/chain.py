"""The hash chains, one of each run and one of the house: each link covers the one before it and the bytes of one entry.

A link is SHA-256 over the link before it and the body. The link before the first is SHA-256 over `bridle:` and the name
of the chain: the id of the run, or `house`, which is no id of a run.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from bridle.rules.names import Digest, RunId

_SHA256 = hashlib.sha256()
HOUSE = RunId("house")


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: how many entries it has, and the link of the last one."""

    seq: int
    hash: bytes


def root(run: RunId) -> bytes:
    """The link before the first event."""
    return hashlib.sha256(b"bridle:" + run.encode()).digest()


def link(before: bytes, body: bytes) -> bytes:
    """The link after one more event."""
    hashed = _SHA256.copy()  # OpenSSL looks an algorithm up by name each time that one is made
    hashed.update(before + body)
    return hashed.digest()


def keyed(salt: bytes, payload: bytes) -> Digest:
    """What an event says of a payload: BLAKE2b keyed with the run's salt, 24 hex digits (RFC 7693)."""
    return Digest(hashlib.blake2b(payload, key=salt, digest_size=12).hexdigest())


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a journal and its chain disagree."""

    seq: int
    what: str


def verify(
    run: RunId, entries: Iterable[tuple[int, bytes, bytes]], head: bytes | None, noun: str = "event"
) -> Break | None:
    """Walk a journal of (seq, body, hash). Finds an edit, a removal, an insertion, a reordering, and a cut end.

    A chain whose head stands nowhere else is walked with None, and a cut end is not found then.
    """
    before, expected = root(run), 1
    for seq, body, hash_ in entries:
        if seq != expected:
            return Break(expected, f"{noun} {expected} is missing")
        before = link(before, body)
        if before != hash_:
            return Break(seq, f"{noun} {seq} was changed")
        expected += 1
    if head is None or before == head:
        return None
    return Break(expected, f"the journal ends before {noun} {expected}")
