"""Signs where the chains end, every 60 seconds or 1,000 events, for whoever keeps that outside of the store."""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from bridle.rules.names import Millis, RunId
from bridle.rules.run import Phase
from bridle.store.chain import HOUSE, Head, root
from bridle.store.checkpoint import Checkpoint, digest_of
from bridle.store.signing import BadKey, Signer, key_of, signer
from bridle.store.sinks import FileSink, Sink, file_of, others
from bridle.store.work import Stored

log = logging.getLogger("bridle")
EVERY_MS = 60_000
EVENTS = 1_000
MOST_HEADS = 10_000  # of open runs in one line; what is more goes into the next


class Witness:
    """Signs for the process that owns a store. `now` is the caller's clock.

    It learns what was committed right after the commit, in the thread of the writer; the caller's `tick` comes from
    another one. A file that cannot be written stops nothing: it is logged, and tried again.
    """

    def __init__(
        self,
        signing: Signer,
        file: FileSink,
        also: Sequence[Sink],
        now: Callable[[], Millis],
        last: Checkpoint | None = None,
    ) -> None:
        self._signer = signing
        self._file = file
        self._also = also
        self._now = now
        self._lock = threading.Lock()
        self._last = last
        self._house = Head(0, root(HOUSE))
        self._moved: dict[RunId, Head] = {}  # open runs, since the newest checkpoint
        self._events = 0  # since then
        self._at = now()  # of the newest checkpoint, or of the newest attempt

    def begin(self, house: Head, heads: Mapping[RunId, Head]) -> None:
        """Sign what there is when the house opens; who owned the store before may have gone on until now."""
        with self._lock:
            with suppress(OSError):
                self._last = self._file.last()
            self._house = house
            self._moved = dict(heads)
            self._sign()

    def saw(self, runs: Mapping[RunId, Stored], events: int, house: Head | None) -> None:
        """Take in what was committed: its runs, how many events it wrote, and where the house ends if it moved."""
        with self._lock:
            for run, stored in runs.items():
                if stored.state.phase is Phase.STOPPED:
                    self._moved.pop(run, None)  # the house has its head
                else:
                    self._moved[run] = Head(stored.state.seq, stored.head)
            self._events += events
            self._house = house or self._house
            if self._events >= EVENTS:
                self._sign()

    def tick(self, house: Callable[[], Head], *, at_once: bool = False) -> None:
        """Sign what is due: what moved within the minute, entries of other processes included."""
        with self._lock:
            if not at_once and self._now() - self._at < EVERY_MS:
                return
            self._house = house()
            if self._moved or self._events or self._last is None or self._house != self._last.house:
                self._sign()
            self._at = self._now()

    def _sign(self) -> None:
        self._at, self._events = self._now(), 0
        is_whole = False
        while not is_whole:  # ends: every turn signs some of what moved, or gives up
            heads = dict(islice(self._moved.items(), MOST_HEADS))
            checkpoint = self._signed(heads)
            try:
                self._file.take(checkpoint)
            except OSError as error:
                log.error("checkpoint_failed %s: %s", self._file.path, error.strerror)
                return
            self._last = checkpoint
            for run in heads:
                del self._moved[run]
            self._tell(checkpoint)
            is_whole = not self._moved

    def _signed(self, heads: Mapping[RunId, Head]) -> Checkpoint:
        last = self._last
        n, before = (last.n + 1, last.digest()) if last is not None else (1, "")
        bare = Checkpoint(n, self._at, before, self._house, digest_of(heads), self._signer.key, heads)
        sig = self._signer.sign(bare.signed()).hex()
        return Checkpoint(n, self._at, before, self._house, bare.heads_sha256, bare.key, heads, sig)

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


def witness_with(signing: Signer, file: FileSink, also: Sequence[Sink], now: Callable[[], Millis]) -> Witness:
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
    return Witness(signing, file, also, now, last)
