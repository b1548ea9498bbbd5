"""Where checkpoints go: a file to which lines are only added, standard output, the system's log."""

import fcntl
import os
import sys
import syslog
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bridle.store.checkpoint import Checkpoint, last_of

SUFFIX = ".checkpoints"
LOOKED_AT = 8_000_000  # bytes at the end of a file, where the newest line is looked for
PATIENCE, NAP = 1.0, 0.001  # seconds
WORDS = ("stdout", "syslog")


class CheckpointSink(Protocol):
    """Takes checkpoints. Raises OSError when it cannot."""

    def take(self, checkpoint: Checkpoint) -> None:
        """Write one down."""


class FileSink:
    """A file that its owner writes and its group may read; each line is on the disk before the next thing happens.

    Several processes may add to it: each under `alone`, so that its line follows the newest, whoever wrote that.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._newest: tuple[int, Checkpoint | None] = (-1, None)  # at which size of the file it was the newest

    @contextmanager
    def alone(self) -> Iterator[Checkpoint | None]:
        """The newest line, while no other process adds one. Raises OSError."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            _lock(file)
            yield self.last()
        finally:
            os.close(file)

    def take(self, checkpoint: Checkpoint) -> None:
        """Add a line. Half a line that a crash left is ended first."""
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(file).st_size
            ends = b"\n" if size and os.pread(file, 1, size - 1) != b"\n" else b""
            line = ends + checkpoint.line().encode() + b"\n"
            whole = size + len(line)
            while line:  # ends: every turn writes some of it, or raises
                line = line[os.write(file, line) :]
            os.fsync(file)
        finally:
            os.close(file)
        self._newest = whole, checkpoint
        if not size:
            _sync_folder(self.path.absolute().parent)

    def last(self) -> Checkpoint | None:
        """The newest line; None in a new file. Raises OSError."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size != self._newest[0]:
                    file.seek(max(size - LOOKED_AT, 0))
                    *lines, _ = file.read().split(b"\n")
                    self._newest = size, last_of(reversed(lines))
        except FileNotFoundError:
            return None
        return self._newest[1]


def _lock(file: int) -> None:
    """Raises OSError when another process has it for too long: it is stopped."""
    until = time.monotonic() + PATIENCE
    while True:  # ends after PATIENCE
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise OSError(error.errno, "another process holds it") from error
            time.sleep(NAP)
        else:
            return


class StdoutSink:
    """Standard output, where containers have their log: the short line."""

    def take(self, checkpoint: Checkpoint) -> None:
        """Write a line and flush it."""
        sys.stdout.write(checkpoint.line(short=True) + "\n")
        sys.stdout.flush()


class SyslogSink:
    """The log of the system, which may send it to another machine: the short line, as facility `auth`."""

    def take(self, checkpoint: Checkpoint) -> None:
        """Hand a line over."""
        syslog.syslog(syslog.LOG_INFO | syslog.LOG_AUTH, "bridle " + checkpoint.line(short=True))


def file_of(store: Path, to: str | None) -> FileSink:
    """The file of a store's checkpoints: the path among the words of `to`, else one beside the store."""
    paths = [word for word in _words(to) if word not in WORDS]
    return FileSink(Path(paths[0]) if paths else store.with_name(store.name + SUFFIX))


def others(to: str | None) -> Sequence[CheckpointSink]:
    """Where else they go."""
    known: dict[str, CheckpointSink] = {"stdout": StdoutSink(), "syslog": SyslogSink()}
    return [known[word] for word in _words(to) if word in known]


def _words(to: str | None) -> list[str]:
    return [word.strip() for word in (to or "").split(",") if word.strip()]


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
