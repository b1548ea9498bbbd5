"""The roll of workers: each process that drives runs holds a lock for life, so that the kernel tells who died."""

import fcntl
import os
import secrets
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from bridle.rules.names import Millis

NANOS_PER_MILLI = 1_000_000


class Roll:
    """One small file for each worker, beside the store, under an flock that dies with its process."""

    def __init__(self, path: Path) -> None:
        self._folder = path.with_name(path.name + ".workers")
        self._file = -1
        self.own = ""  # the name of this worker; empty for a process that drives no runs

    def enlist(self) -> str:
        """Become a worker. Raises OSError."""
        if not self.own:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            name = f"w{os.getpid()}-{secrets.token_hex(4)}"
            hidden = self._folder / f".{name}"  # until it is locked, or somebody might take it for a dead one's
            self._file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            os.utime(self._file, (0, 0))
            hidden.rename(self._folder / name)
            self.own = name
        return self.own

    def beat(self, at: Millis) -> None:
        """This worker was alive at this time, by the clock of its house."""
        if self._file >= 0:
            os.utime(self._file, ns=(at * NANOS_PER_MILLI, at * NANOS_PER_MILLI))

    def last_seen(self, worker: str) -> Millis:
        """When another worker was alive for the last time that is known; 0 when nobody knows."""
        if not worker or worker == self.own:
            return Millis(0)
        try:
            return Millis((self._folder / worker).stat().st_mtime_ns // NANOS_PER_MILLI)
        except OSError:
            return Millis(0)

    def is_alive(self, worker: str) -> bool:
        """Whether somebody by this name lives."""
        if worker == self.own:
            return bool(worker)
        if not worker:
            return False
        place = self._folder / worker
        try:
            file = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # not ours to see: what cannot be known dead is alive
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(file)

    def bury(self, drivers: Collection[str]) -> None:
        """Remove the files of the dead, but of those whose runs nobody has taken over yet: they say since when."""
        for name in self._names():
            if name not in drivers and not self.is_alive(name):
                with suppress(OSError):
                    (self._folder / name).unlink()

    def living(self) -> list[str]:
        """Every worker that lives."""
        return sorted(name for name in self._names() if self.is_alive(name))

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._folder) if not name.startswith(".")]
        except OSError:
            return []

    def close(self) -> None:
        """Leave the roll: what this worker left open is anybody's."""
        if self._file >= 0:
            (self._folder / self.own).unlink(missing_ok=True)
            os.close(self._file)
            self._file, self.own = -1, ""
