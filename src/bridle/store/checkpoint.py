"""Checkpoints: signed digests of where the chains ended, in a series of lines that is kept outside of the store.

A line is a JSON object. Its signature (Ed25519, RFC 8032) covers the object without `sig` and `heads`, as JSON with
sorted keys and without spaces; `heads_sha256` covers `heads`, written the same way.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from bridle.rules.failure import BridleError
from bridle.rules.names import Millis, RunId
from bridle.store.chain import Break, Head

Check = Callable[[str, bytes, bytes], str]  # the key's name, what was signed, a signature: what is wrong, or nothing
Heads = Mapping[RunId, Head]


class BadCheckpoint(BridleError):
    """A line is no checkpoint; the message says why."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One line: the end of the chain of the house, and of the open runs that moved since the line before.

    `before` is the digest of that line, empty in the first. `heads` is None where only the short line was kept.
    """

    n: int
    at: Millis
    before: str
    house: Head
    heads_sha256: str
    key: str
    heads: Heads | None = None
    sig: str = ""

    def signed(self) -> bytes:
        """The bytes that the signature covers."""
        return canonical(self._header())

    def digest(self) -> str:
        """What the next line calls this one."""
        return sha256(self.signed()).hexdigest()

    def line(self, *, short: bool = False) -> str:
        """The line; the short one is without the heads of runs, for logs with a limit."""
        found = {**self._header(), "sig": self.sig}
        if not short and self.heads is not None:
            found["heads"] = listed(self.heads)
        return canonical(found).decode()

    def _header(self) -> dict[str, object]:
        return {
            "at_ms": self.at,
            "before": self.before,
            "heads_sha256": self.heads_sha256,
            "house_head": self.house.hash.hex(),
            "house_seq": self.house.seq,
            "key": self.key,
            "n": self.n,
        }


def canonical(document: object) -> bytes:
    """JSON with sorted keys, without spaces, in ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def listed(heads: Heads) -> list[list[str | int]]:
    """Heads as JSON has them."""
    return [[run, head.seq, head.hash.hex()] for run, head in heads.items()]


def digest_of(heads: Heads) -> str:
    """What is signed of the heads of runs."""
    return sha256(canonical(listed(heads))).hexdigest()


def read(line: bytes) -> Checkpoint:
    """The checkpoint of a line, with its signature unchecked. Raises BadCheckpoint."""
    try:
        known = json.loads(line)
        return Checkpoint(
            n=int(known["n"]),
            at=Millis(int(known["at_ms"])),
            before=str(known["before"]),
            house=Head(int(known["house_seq"]), bytes.fromhex(known["house_head"])),
            heads_sha256=str(known["heads_sha256"]),
            key=str(known["key"]),
            heads=_heads(known.get("heads")),
            sig=str(known["sig"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadCheckpoint(f"this is no checkpoint: {line[:80]!r} ({type(error).__name__}: {error})") from error


def _heads(rows: list[tuple[str, int, str]] | None) -> Heads | None:
    return None if rows is None else {RunId(run): Head(int(seq), bytes.fromhex(head)) for run, seq, head in rows}


NO_HEADS = digest_of({})


@dataclass(frozen=True, slots=True)
class Series:
    """What a file of checkpoints says, and where it breaks first. `torn` lines were cut by a crash while written."""

    checkpoints: tuple[Checkpoint, ...] = ()
    broken: Break | None = None
    torn: int = 0


def read_series(text: bytes, check: Check, *, short: bool = False) -> Series:
    """Read lines of checkpoints up to the first that is not what it should be; a series begins with number 1.

    With `short`, lines may be without the heads of runs: a log was given that has only these.
    """
    found: list[Checkpoint] = []
    torn, before = 0, ""
    *lines, rest = text.split(b"\n")
    for line in lines:
        try:
            checkpoint = read(line)
        except BadCheckpoint:
            torn += 1  # a crash left half a line; what was cut on purpose breaks the series below
            continue
        what = _wrong(checkpoint, len(found) + 1, before, check)
        if not what and not short and checkpoint.heads is None and checkpoint.heads_sha256 != NO_HEADS:
            what = f"checkpoint {checkpoint.n} is without the heads of runs that were signed"
        if what:
            return Series(tuple(found), Break(len(found) + 1, what), torn)
        found.append(checkpoint)
        before = checkpoint.digest()
    return Series(tuple(found), None, torn + bool(rest))


def _wrong(checkpoint: Checkpoint, n: int, before: str, check: Check) -> str:
    if checkpoint.n != n:
        return f"checkpoint {n} is missing: {checkpoint.n} stands in its place"
    if checkpoint.before != before:
        return f"checkpoint {n} does not follow the one before it"
    if checkpoint.heads is not None and digest_of(checkpoint.heads) != checkpoint.heads_sha256:
        return f"the heads of runs in checkpoint {n} were changed"
    try:
        sig = bytes.fromhex(checkpoint.sig)
    except ValueError:
        return f"the signature of checkpoint {n} was changed"
    what = check(checkpoint.key, checkpoint.signed(), sig)
    return f"checkpoint {n} {what}" if what else ""


def last_of(lines: Iterable[bytes]) -> Checkpoint | None:
    """The newest checkpoint of these lines, which are given backwards; None when there is none."""
    for line in lines:
        try:
            return read(line)
        except BadCheckpoint:
            continue
    return None
