"""What `bridle audit` looks at and leaves behind: lines that were signed, gaps that were found, payloads erased."""

import os
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from bridle.cli.place import meant, reading
from bridle.cli.screen import counted, moment
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import Millis, RunId
from bridle.store import erasure
from bridle.store.audit import Audit, Gap, held_by, snapshot
from bridle.store.base import Erasure, Grounds
from bridle.store.chain import Head
from bridle.store.checkpoint import Check, Series, read_series
from bridle.store.opening import connect, writing
from bridle.store.signing import checker, key_of, public_of, signer
from bridle.store.sinks import file_of

UNREADABLE = "no public key is here to check the checkpoints with: name it with --key"


@dataclass(slots=True)
class Lines:
    """The checkpoints of a store, and what is to be said of them."""

    series: Series
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def reach(self) -> str:
        """How far one may rely on it, as the end of a sentence."""
        if not self.series.checkpoints:
            return "as far as the file itself can tell"
        return f"up to checkpoint {self.series.checkpoints[-1].n} of {moment(self.series.checkpoints[-1].at)}"


def held_lines(store: Path, file: Path | None, public: Path | None) -> Lines:
    """The checkpoints, with every signature checked. Raises BadKey, and OSError for a file that was named."""
    key = key_of(store, os.environ.get("BRIDLE_AUDIT_KEY"))
    path = file or file_of(store, os.environ.get("BRIDLE_AUDIT_TO")).path
    if file is None and not path.exists():
        if key is None:
            return Lines(Series(), notes=["no checkpoints: who can rewrite the file can rewrite its chains as well"])
        return Lines(Series(), [Gap("checkpoints", 1, f"{path} is gone: a key signs for this store")])
    text = path.read_bytes()
    check = _check(store, public, key)
    if check is None:
        return Lines(Series(), [Gap("checkpoints", 1, UNREADABLE)])
    series = read_series(text, check, short=file is not None)
    lines = Lines(series)
    if series.torn:
        lines.notes.append(f"{counted(series.torn, 'line')} of {path} was cut while it was written")
    if series.broken is not None:
        lines.gaps.append(Gap("checkpoints", series.broken.seq, series.broken.what))
    elif not series.checkpoints:
        lines.gaps.append(Gap("checkpoints", 1, f"{path} has no checkpoint"))
    return lines


def _check(store: Path, public: Path | None, key: Path | None) -> Check | None:
    if public is not None:
        return checker(public)
    beside = key or store.with_name(store.name + ".audit-key")
    if public_of(beside).exists():
        return checker(public_of(beside))
    return signer(beside).checker() if beside.exists() else None


@dataclass(frozen=True, slots=True)
class Examined:
    """What an audit looked at, and what it found, the first gap first."""

    head: Head
    entries: int
    runs: int
    events: int
    erased: int
    lines: Lines
    gaps: Sequence[Gap]

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        signed = self.lines.series.checkpoints
        newest = signed[-1] if signed else None
        return {
            "ok": not self.gaps,
            "house": {"entries": self.entries, "head": self.head.hash.hex()},
            "runs": self.runs,
            "events": self.events,
            "erased": self.erased,
            "checkpoints": {"count": len(signed), "newest_at_ms": newest.at if newest is not None else None},
            "notes": self.lines.notes,
            "gaps": [{"where": gap.where, "seq": gap.seq, "what": gap.what} for gap in self.gaps],
        }


def examined(
    path: Path, lines: Lines, heads: Iterable[bytes], only: RunId | None, since: Millis, most: int
) -> Examined:
    """Walk the chains of a store. Raises StoreUnusable."""
    with snapshot(path) as db:
        audit = Audit(db, held_by(lines.series.checkpoints, heads))
        gaps = [*lines.gaps, *islice(audit.gaps(only, since), most)]
    return Examined(audit.head, audit.entries, audit.runs, audit.events, audit.erased, lines, gaps)


@dataclass(slots=True)
class Erased:
    """What was erased, and which runs keep their payloads. `is_wiped` says whether the write-ahead log is clean too."""

    runs: list[Erasure] = field(default_factory=list)
    kept: list[Erasure] = field(default_factory=list)
    is_wiped: bool = False

    @property
    def payloads(self) -> int:
        """How many."""
        return sum(one.payloads for one in self.runs)

    @property
    def bytes(self) -> int:
        """Of which size."""
        return sum(one.bytes for one in self.runs)

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "runs": [one.run for one in self.runs],
            "payloads": self.payloads,
            "bytes": self.bytes,
            "kept": [{"run": one.run, "why": one.kept} for one in self.kept],
            "log_is_clean": self.is_wiped,
        }


def erased(path: Path, run: str | None, before: Millis | None, tenant: str | None, grounds: Grounds) -> Erased:
    """Erase one run, or those that ended before a time; beside processes at work as well.

    Raises StoreUnusable and ControlUnavailable.
    """
    done = Erased()
    with reading(path) as store:
        named = [meant(store, run)] if run is not None else []
    with closing(connect(path, True)) as db:
        for page in [named] if before is None else erasure.expired(db, before, tenant):
            with writing(path) as own:
                for one in erasure.erase(own, page, grounds):
                    (done.kept if one.kept else done.runs).append(one)
    with suppress(ControlUnavailable), writing(path) as own:
        done.is_wiped = erasure.wipe(own)
    return done
