"""The roll of workers: each process that drives runs holds a lock for life, so that the kernel tells who died."""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path


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
            self._file = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self.own = name
        return self.own

    def is_alive(self, worker: str) -> bool:
        """Whether somebody by this name lives; the file of one who does not is removed."""
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
            with suppress(OSError):
                place.unlink()
            return False
        finally:
            os.close(file)

    def living(self) -> list[str]:
        """Every worker that lives."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return []
        return sorted(name for name in names if self.is_alive(name))

    def close(self) -> None:
        """Leave the roll: what this worker left open is anybody's."""
        if self._file >= 0:
            (self._folder / self.own).unlink(missing_ok=True)
            os.close(self._file)
            self._file, self.own = -1, ""
