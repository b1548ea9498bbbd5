"""Start the benchmark in the environment of the peers, whose pins are not ours: `make bench`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "bench" / ".venv" / "bin" / "python"


def main() -> None:
    """Become the peers' Python, with the benchmark and bridle's sources in its path."""
    if not PYTHON.exists():
        sys.exit("bench: the peers are not installed in bench/.venv; `make bench` does that, then runs this.")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    quiet = {"LANGSMITH_TRACING": "false"}
    command = [str(PYTHON), "-m", "bench.report", *sys.argv[1:]]
    os.execve(PYTHON, command, {**os.environ, **quiet, "PYTHONPATH": paths})


if __name__ == "__main__":
    main()
