"""The KILL file: the last resort on one machine, for when nothing else can be reached."""

import os
from pathlib import Path

from bridle.rules.names import Millis
from bridle.rules.policy import KillLevel
from bridle.rules.switch import Switch

NAME = "KILL"
MOST_READ = 64  # bytes
BY = "the KILL file"


def places(store: Path | None) -> tuple[str, ...]:
    """Where a KILL file is looked for: beside the store, and in BRIDLE_HOME."""
    home = os.environ.get("BRIDLE_HOME")
    folders = [str(store.absolute().parent)] if store is not None else []
    folders += [str(Path(home).absolute())] if home else []
    return tuple(dict.fromkeys(os.path.join(folder, NAME) for folder in folders))


def switch_of(paths: tuple[str, ...]) -> tuple[Switch, ...]:
    """What the KILL files say now. A file that is there and says nothing that can be read takes everything away."""
    found: tuple[Switch, ...] = ()
    for path in paths:
        try:
            stood = os.lstat(path).st_mtime_ns // 1_000_000
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            stood = 0  # it cannot be seen whether it is there: then it is
        found = (*found, Switch(_level(path), by=f"{BY} {path}", at=Millis(stood)))
    return found


def _level(path: str) -> KillLevel:
    """The level that stands in a file; all of them for an empty, strange or unreadable one."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe in its place keeps nobody waiting
        try:
            return KillLevel(os.read(file, MOST_READ).decode("utf-8").strip().lower())
        finally:
            os.close(file)
    except (OSError, ValueError):
        return KillLevel.ALL
