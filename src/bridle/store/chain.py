"""The hash chain of a run: each link covers the one before it and the bytes of one event."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from bridle.rules.names import Digest, RunId

_SHA256 = hashlib.sha256()


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


def verify(run: RunId, entries: Iterable[tuple[int, bytes, bytes]], head: bytes) -> Break | None:
    """Walk a journal of (seq, body, hash). Finds an edit, a removal, an insertion, a reordering, and a cut end."""
    before, expected = root(run), 1
    for seq, body, hash_ in entries:
        if seq != expected:
            return Break(expected, f"event {expected} is missing")
        before = link(before, body)
        if before != hash_:
            return Break(seq, f"event {seq} was changed")
        expected += 1
    return None if before == head else Break(expected, f"the journal ends before event {expected}")
