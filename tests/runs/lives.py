"""A life of a process that may kill itself: forked from one that has imported everything, so thousands are cheap."""

import multiprocessing
import signal
from collections.abc import Callable

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.runs.crashing_parent", "tests.runs.dying_writes"])
PATIENCE = 60  # seconds


def lived(story: Callable[..., None], *given: object) -> bool:
    """Whether a process came to the end of its story; kill -9 is the only other way that it may end."""
    process = _FORKS.Process(target=story, args=given)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode in (0, -signal.SIGKILL), f"{story.__module__}{given}: {process.exitcode}"
    return process.exitcode == 0
