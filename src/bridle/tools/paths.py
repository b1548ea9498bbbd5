"""Opens files inside one folder and nowhere else, whatever the path says and whoever renames things meanwhile.

Each part of a path is opened from the directory before it and never through a symbolic link, so there is no moment
between the check and the use.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bridle.rules.failure import CallFailed, FailureKind

MAX_PATH = 1_024
MAX_PARTS = 32

_MEANINGS = {
    errno.ENOENT: (FailureKind.REJECTED, "there is no such file"),
    errno.ENAMETOOLONG: (FailureKind.REJECTED, "there is no such file"),
    errno.EINVAL: (FailureKind.REJECTED, "there is no such file"),
    errno.ENXIO: (FailureKind.REJECTED, "it is not a file"),
    errno.EISDIR: (FailureKind.REJECTED, "it is a folder, not a file"),
    errno.EACCES: (FailureKind.REJECTED, "this process may not read it"),
    errno.EPERM: (FailureKind.REJECTED, "this process may not read it"),
    errno.ELOOP: (FailureKind.REJECTED, "a symbolic link stands in the way"),
    errno.EMLINK: (FailureKind.REJECTED, "a symbolic link stands in the way"),
    errno.ENOTDIR: (FailureKind.REJECTED, "a link or a file stands where a folder should"),
}


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a relative path with slashes. Raises `CallFailed` (rejected) for what could lead anywhere else."""
    if not path or len(path) > MAX_PATH or not path.isprintable() or "\\" in path:
        _refuse("a path is one line of printable characters, with / between its parts")
    parts = tuple(path.split("/"))
    if len(parts) > MAX_PARTS or any(not part or part.startswith(".") for part in parts):
        _refuse("a path is relative to the folder, without . or .. and without hidden files")
    return parts


def open_folder(root: Path | int, parts: Sequence[str] = ()) -> int:
    """A descriptor of the directory at `parts` below `root`, for the caller to close. Raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    here = os.dup(root) if isinstance(root, int) else os.open(root, flags)
    for part in parts:
        try:
            inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=here)
        finally:
            os.close(here)
        here = inner
    return here


def read_inside(root: Path | int, parts: Sequence[str], max_bytes: int) -> bytes:
    """The bytes of the regular file at `parts` below `root`. Raises `CallFailed` if there is none or it is larger."""
    try:
        folder = open_folder(root, parts[:-1])
        try:
            # O_NONBLOCK: opening a pipe or a device must not wait for its other end
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(parts[-1], flags, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                _refuse("it is not a file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(max_bytes + 1)
        finally:
            os.close(descriptor)
    except OSError as failure:
        raise _translated(failure) from failure
    if len(data) > max_bytes:
        _refuse(f"it is larger than {max_bytes} bytes")
    return data


def _translated(failure: OSError) -> CallFailed:
    """What a failed open or read means to whoever asked; the path of the folder itself stays here."""
    kind, why = _MEANINGS.get(failure.errno or 0, (FailureKind.UNAVAILABLE, "the disk did not answer as it should"))
    return CallFailed(kind, f"This file cannot be read: {why}.", happened=False)


def _refuse(why: str) -> NoReturn:
    raise CallFailed(FailureKind.REJECTED, f"This file cannot be read: {why}.", happened=False)
