"""Where checkpoints go: a file to which lines are only added, standard output, the system's log."""

import os
import sys
import syslog
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bridle.store.checkpoint import Checkpoint, last_of

SUFFIX = ".checkpoints"
LOOKED_AT = 8_000_000  # bytes at the end of a file, where the newest line is looked for
WORDS = ("stdout", "syslog")


class Sink(Protocol):
    """Takes checkpoints. Raises OSError when it cannot."""

    def take(self, checkpoint: Checkpoint) -> None:
        """Write one down."""


class FileSink:
    """A file that its owner writes and its group may read; each line is on the disk before the next thing happens."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def take(self, checkpoint: Checkpoint) -> None:
        """Add a line. Half a line that a crash left is ended first."""
        is_new = not self.path.exists()
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(file).st_size
            ends = b"\n" if size and os.pread(file, 1, size - 1) != b"\n" else b""
            line = ends + checkpoint.line().encode() + b"\n"
            while line:  # ends: every turn writes some of it, or raises
                line = line[os.write(file, line) :]
            os.fsync(file)
        finally:
            os.close(file)
        if is_new:
            _sync_folder(self.path.absolute().parent)

    def last(self) -> Checkpoint | None:
        """The newest line; None in a new file. Raises OSError."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - LOOKED_AT, 0))
                *lines, _ = file.read().split(b"\n")
        except FileNotFoundError:
            return None
        return last_of(reversed(lines))


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


def others(to: str | None) -> Sequence[Sink]:
    """Where else they go."""
    known: dict[str, Sink] = {"stdout": StdoutSink(), "syslog": SyslogSink()}
    return [known[word] for word in _words(to) if word in known]


def _words(to: str | None) -> list[str]:
    return [word.strip() for word in (to or "").split(",") if word.strip()]


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
