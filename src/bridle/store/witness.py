"""Signs where the chains end, every 60 seconds or 1,000 events, for whoever keeps that outside of the store."""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import Millis, RunId
from bridle.store.chain import Head
from bridle.store.checkpoint import Checkpoint, Heads, digest_of
from bridle.store.signing import BadKey, Signer, key_of, signer
from bridle.store.sinks import CheckpointSink, FileSink, file_of, others

log = logging.getLogger("bridle")
EVERY_MS = 60_000
EVENTS = 1_000
MOST_HEADS = 10_000  # of open runs in one line; what is more goes into the next
Look = Callable[[], tuple[Head, Mapping[RunId, Head]]]  # the end of the house, and the heads of the open runs
Due = Callable[[Checkpoint | None, Head, Heads], bool]  # the newest line, where the house ends, what moved


class Witness:
    """Signs for a worker. `now` is the caller's clock, and `look` reads where the chains of the store end.

    Several workers sign into one file: each line follows the newest, and names every open run that moved since this
    worker's own line before. What was committed is counted right after the commit, in the thread of the writer; the
    caller's `tick` comes from another one. A file that cannot be written stops nothing: it is logged, and tried again.
    """

    def __init__(
        self, signing: Signer, file: FileSink, also: Sequence[CheckpointSink], now: Callable[[], Millis]
    ) -> None:
        self._signer = signing
        self._file = file
        self._also = also
        self._now = now
        self._lock = threading.Lock()
        self._signed: dict[RunId, Head] = {}  # open runs, as a line of this worker has them
        self._events = 0  # of this worker, since its newest line
        self._at = now()  # of the newest line, or of the newest attempt

    def begin(self, look: Look) -> None:
        """Sign what there is when a worker opens the store."""
        with self._lock:
            self._sign(look)

    def saw(self, events: int, look: Look) -> None:
        """Count what was committed."""
        with self._lock:
            self._events += events
            if self._events >= EVENTS:
                self._sign(look)

    def tick(self, look: Look, *, at_once: bool = False) -> None:
        """Sign what is due: what moved within the minute, by whatever process; one worker does it for all."""

        def is_due(last: Checkpoint | None, house: Head, moved: Heads) -> bool:
            if last is not None and not at_once and self._at - last.at < EVERY_MS:
                self._at = last.at  # another worker was here
                return False
            return last is None or bool(moved) or house != last.house

        with self._lock:
            if at_once or self._now() - self._at >= EVERY_MS:
                self._sign(look, is_due)

    def _sign(self, look: Look, is_due: Due = lambda last, house, moved: True) -> None:
        self._at, self._events = self._now(), 0
        try:
            with self._file.alone() as last:
                house, heads = look()
                self._signed = {run: head for run, head in self._signed.items() if run in heads}
                moved = {run: head for run, head in heads.items() if self._signed.get(run) != head}
                if is_due(last, house, moved):
                    self._write(last, house, moved)
        except (OSError, ControlUnavailable) as error:
            log.error("checkpoint_failed %s: %s", self._file.path, getattr(error, "strerror", None) or error)

    def _write(self, last: Checkpoint | None, house: Head, moved: Heads) -> None:
        rest = iter(moved.items())
        while True:  # ends: every turn writes some of what moved, or raises
            heads = dict(islice(rest, MOST_HEADS))
            last = self._following(last, house, heads)
            self._file.take(last)
            self._signed.update(heads)
            self._tell(last)
            if len(heads) < MOST_HEADS:
                return

    def _following(self, last: Checkpoint | None, house: Head, heads: Heads) -> Checkpoint:
        n, before = (last.n + 1, last.digest()) if last is not None else (1, "")
        bare = Checkpoint(n, self._at, before, house, digest_of(heads), self._signer.key, heads)
        sig = self._signer.sign(bare.signed()).hex()
        return Checkpoint(n, self._at, before, house, bare.heads_sha256, bare.key, heads, sig)

    def _tell(self, checkpoint: Checkpoint) -> None:
        for sink in self._also:
            try:
                sink.take(checkpoint)
            except OSError as error:
                log.error("checkpoint_not_sent %s: %s", type(sink).__name__, error.strerror)


def witness_of(store: Path | None, now: Callable[[], Millis]) -> Witness | None:
    """Who signs for a store: None where no key is configured. Raises BadKey for one that cannot be used."""
    path, to = key_of(store, os.environ.get("BRIDLE_AUDIT_KEY")), os.environ.get("BRIDLE_AUDIT_TO")
    if store is None or path is None:
        return None
    return witness_with(signer(path), file_of(store, to), others(to), now)


def witness_with(signing: Signer, file: FileSink, also: Sequence[CheckpointSink], now: Callable[[], Millis]) -> Witness:
    """Who goes on with a file of checkpoints. Raises BadKey when that is another key's, or cannot be read."""
    try:
        last = file.last()
    except OSError as error:
        raise BadKey(f"{file.path}: {error.strerror}; name another file for checkpoints in BRIDLE_AUDIT_TO") from error
    if last is not None and last.key != signing.key:
        raise BadKey(
            f"{file.path}: these checkpoints were signed by the key {last.key}, not by {signing.key};"
            " move the file away to begin a new series, and keep it with its public key"
        )
    return Witness(signing, file, also, now)
