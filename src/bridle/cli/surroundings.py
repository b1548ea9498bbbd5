"""What `bridle doctor` looks at around the store: the room on its disk, and who else may read its files."""

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from bridle.cli.diagnosis import Diagnosis, State

MEGABYTE = 1_000_000
LEAST_FREE, LITTLE_FREE = MEGABYTE, 100 * MEGABYTE
OTHERS = stat.S_IRWXG | stat.S_IRWXO  # rights of everybody but the owner


def room(path: Path) -> Diagnosis:
    """How much is free on the disk of the store, against what it needs to go on."""
    folder = path.absolute().parent
    wal = path.with_name(path.name + "-wal")
    try:
        free = shutil.disk_usage(folder).free
        waiting = wal.stat().st_size if wal.exists() else 0
    except OSError as error:
        return Diagnosis("disk", State.NOTE, f"How much is free at {folder} is not known: {error.strerror}.")
    said = f"{_size(free)} free at {folder}"
    if free < max(LEAST_FREE, waiting):
        text = f"The disk is full: {said}." if waiting <= LEAST_FREE else f"{said}; {wal.name} has {_size(waiting)}."
        now = "Make room: no run can be written down, and none goes on. `touch KILL` there stops everything."
        return Diagnosis("disk", State.BAD, text, now)
    if free < LITTLE_FREE:
        return Diagnosis("disk", State.NOTE, f"Only {said}.", "Make room before it is full: then no run goes on.")
    return Diagnosis("disk", State.WELL, f"{said}.")


def privacy(path: Path) -> Iterator[Diagnosis]:
    """Whether others than its owner may read or write the store, which holds inputs, results and salts."""
    files = [path, path.with_name(path.name + "-wal")]
    modes = {file: stat.S_IMODE(file.stat().st_mode) for file in files if file.exists()}
    open_ones = {file: mode for file, mode in modes.items() if mode & OTHERS}
    if open_ones:
        text = ", ".join(f"{file} has mode {mode:04o}" for file, mode in open_ones.items())
        now = f"chmod 600 {' '.join(map(str, open_ones))}"
        yield Diagnosis("privacy", State.NOTE, f"Others may read or write the store: {text}.", now)


def _size(count: int) -> str:
    """Bytes as people say them, rounded down."""
    return f"{count // MEGABYTE:,} MB" if count >= MEGABYTE else f"{count // 1_000} kB"
