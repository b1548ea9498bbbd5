"""Where the journal of a house lies: a file, or dictionaries; what a bad disk does to it is really done to it."""

import os
import random
import resource
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from bridle.store.base import Store, Transaction
from bridle.store.memory import MemoryStore
from bridle.store.sqlite import SqliteStore
from bridle.store.writer import Job

# Here a worker dies and the kernel lives, so nothing has to reach a disk; tier P keeps its file on one.
SHARED_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


HEADER, FRAME = 32, 24  # bytes of the log's header, and of a frame's beside its page


class Disk:
    """The journal of a house; it survives its workers. With `tears`, the power goes while a worker commits."""

    def __init__(self, on_file: bool, chance: random.Random, *, tears: bool = False) -> None:
        self.is_file = on_file
        self.batch = chance.choice((1, 2, 3, 8, 256))  # functions in one commit, at most
        self._memory = MemoryStore()
        self._folder = tempfile.TemporaryDirectory(prefix="storm-", dir=SHARED_MEMORY) if on_file else None
        self._chance, self.tears = chance, tears
        self._unsure = (0, 0)  # the frames that a commit was writing when the power went
        self._covered: list[tuple[int, int]] = []
        self.path = Path(self._folder.name) / "storm.db" if self._folder else None

    @property
    def place(self) -> str:
        """As Bridle is told."""
        return f"sqlite:///{self.path}" if self.path else ":memory:"

    def open(self) -> Store:
        """The store, for one life of a worker; the same dictionaries every time."""
        if self.path:
            return SqliteStore(self.path, inline=True)
        self._memory._is_closed = False
        return self._memory

    def reader(self) -> Store:
        """The store, for who looks afterwards."""
        return SqliteStore(self.path, read_only=True) if self.path else self._memory

    def dies_while_it_commits(self, store: Store, number: int, die: Callable[[], None]) -> None:
        """The power goes in the middle of this commit of a worker: nobody is told of it, and it may be there or not."""
        assert isinstance(store, SqliteStore)
        commit, left = store._commit, count(number, -1)

        def committed(batch: list[Job[Transaction]]) -> None:
            began = self._frames()
            commit(batch)
            if next(left) == 1:
                is_on_its_way = store._since_checkpoint != 0  # a checkpoint would have waited for the log's fsync
                self._unsure = (began, self._frames()) if is_on_its_way else (0, 0)
                die()

        store._writer._commit = committed

    def loses(self, store: SqliteStore) -> None:
        """A worker died: what the kernel does for it; or, as the power goes, some of its last commit is on disk."""
        assert self.path is not None
        self.mend()
        kept = [self.path.read_bytes(), self._torn(self._log.read_bytes())] if self.tears else []
        for db in (store._read, store._write):
            with suppress(sqlite3.Error):
                db.close()
        os.close(store._roll._file)
        store._roll._file = -1
        store._let_go()
        if kept:
            self._index.unlink(missing_ok=True)
            self.path.write_bytes(kept[0])
            self._log.write_bytes(kept[1])

    def _torn(self, log: bytes) -> bytes:
        """The log, with some of the frames of its last transaction as they never were."""
        size = FRAME + int.from_bytes(log[8:12], "big")
        (began, ended), self._unsure = self._unsure, (0, 0)
        first, last = HEADER + (began if began <= ended else 0) * size, HEADER + ended * size
        if first >= last:
            return log
        at = self._chance.randrange(first, last)
        return log[:at] + (b"" if self._chance.random() < 0.5 else bytes(last - at) + log[last:])

    def _frames(self) -> int:
        """How many frames of the log are valid, as the index beside it says (SQLite's file format, "The WAL-Index")."""
        if not self._index.exists():
            return 0
        with self._index.open("rb") as index:
            return int.from_bytes(index.read(20)[16:20], sys.byteorder)

    @property
    def _log(self) -> Path:
        return Path(f"{self.path}-wal")

    @property
    def _index(self) -> Path:
        return Path(f"{self.path}-shm")

    def fill(self) -> None:
        """There is room for a little more, and for nothing after that."""
        self.has_room_for(self._log.stat().st_size + self._chance.randrange(100_000))

    def has_room_for(self, size: int = resource.RLIM_INFINITY) -> None:
        """No file of this process grows beyond so many bytes."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def lose_syncs(self) -> None:
        """What is written goes nowhere, and fsync says so: the log of the writer becomes /dev/null."""
        fds = [int(name) for name in os.listdir("/proc/self/fd")]
        logs = [fd for fd in fds if os.path.realpath(f"/proc/self/fd/{fd}") == os.path.realpath(self._log)]
        own, nowhere = min(logs), os.open(os.devnull, os.O_RDWR)
        self._covered.append((os.dup(own), own))
        os.dup2(nowhere, own)
        os.close(nowhere)

    def mend(self) -> None:
        """As it was."""
        self.has_room_for()
        while self._covered:
            kept, own = self._covered.pop()
            os.dup2(kept, own)
            os.close(kept)

    def remove(self) -> None:
        """Nothing stays."""
        if self._folder:
            self._folder.cleanup()
