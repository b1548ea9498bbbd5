"""The command line: `bridle run`, `show`, `cancel` and the other words that one types.

May import: every room below, each where it is needed.
Must never: decide about a call, write to a journal by itself, or send a tool's bytes to a terminal as they came.
Read `app.py` first: the commands, and how an error becomes a sentence and an exit code.
Tests: tests/cli. Reference: docs/cli.md.
"""

import sys


def main() -> None:
    """The program `bridle`."""
    from bridle.cli.app import started

    sys.exit(started(sys.argv[1:]))
