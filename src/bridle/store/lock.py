"""The writer's lock: of all processes on one file, and all threads with a lock of their own, one writes at a time."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from bridle.rules.failure import ControlUnavailable

PATIENCE = 5.0  # seconds; who holds the lock for longer is stopped or stuck
_FIRST_NAP, _LONGEST_NAP = 0.000_2, 0.01  # seconds


class WriterLock:
    """An flock beside the file, held from BEGIN to COMMIT; the kernel lets go of it when its process dies.

    SQLite's own lock would do for the transactions. This one also keeps checkpoints apart from the writes of other
    processes, which SQLite before 3.51.3 can confuse (https://sqlite.org/wal.html#walresetbug). Raises OSError when
    the file cannot be made, and ControlUnavailable when the lock cannot be had.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._file = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        nap, given_up = _FIRST_NAP, 0.0
        while True:  # ends after PATIENCE
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                given_up = given_up or time.monotonic() + PATIENCE
                if time.monotonic() > given_up:
                    raise ControlUnavailable(
                        f"{self._name}: another process has been writing for {PATIENCE:g} s; is it stopped?"
                    ) from None
                time.sleep(nap)
                nap = min(2 * nap, _LONGEST_NAP)
            else:
                return

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
