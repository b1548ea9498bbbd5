"""The commands, and how an error becomes one sentence and an exit code."""

import logging
import os
import sqlite3
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

from cyclopts import App, CycloptsError

from bridle.cli.exits import ERROR, INTERRUPTED, Failed
from bridle.cli.screen import ERR, bad, visible
from bridle.rules.failure import BridleError

QUIET = logging.NullHandler()  # one, so that it is added once
HELP = """Explicit flow by default, bounded autonomy inside declared nodes, one door for every effect,
a reason for every stop."""
# Each command with its module, which is imported when the command is given, and its line in the list.
COMMANDS = {
    "demo": ("demo", "Watch governed runs, two incidents being stopped, and a write being refused."),
    "init": ("init", "Write a policy, a flow and a document to start with."),
    "check": ("check", "Check a policy file: all its mistakes, or all that it means."),
    "schema": ("check", "Print the JSON Schema of the policy file, for editors."),
    "run": ("run", "Run a flow, or answer a question from a folder of documents."),
    "runs": ("runs", "List the newest runs; what one has spent includes its children."),
    "top": ("top", "Show who spends, most first; each call counts once, for the run that made it."),
    "show": ("show", "Tell the story of one run."),
    "explain": ("explain", "Say why calls were refused or wait, and where their arguments came from."),
    "approvals": ("approvals", "List what waits for a person."),
    "approve": ("answer", "Allow a call that waits: once, and exactly as it is shown."),
    "edit": ("answer", "Allow it with smaller arguments."),
    "reject": ("answer", "Refuse it, and say why."),
    "respond": ("answer", "Refuse it with an answer: it is not made, and the run is told these words."),
    "cancel": ("cancel", "End a run, whoever works on it."),
    "doubts": ("doubts", "List the writes of which nobody knows whether they took effect."),
    "resolve": ("doubts", "Say whether a write in doubt took effect."),
    "kill": ("kill", "Take away writes, expensive calls, egress or everything, at once and in every process."),
    "unkill": ("kill", "Give it back."),
    "audit": ("audit", "Verify and export the journals, sign where they end, erase what need not stay."),
    "doctor": ("doctor", "Look for what is wrong with the store, the policy and this machine."),
}
EPILOGUE = """Exit codes: 0 ok, 1 error, 2 notes of a policy, a finding of the doctor, a gap of an audit,
3 a run was stopped or waits for a person, 130 interrupted."""


def version() -> str:
    """The version that is installed."""
    from importlib import metadata

    return metadata.version("bridle")


def commands() -> App:
    """The program, with its commands in the order in which a newcomer meets them."""
    app = App(
        name="bridle",
        help=HELP,
        help_epilogue=EPILOGUE,
        version=version,
        suppress_keyboard_interrupt=False,
        default_parameter=None,
    )
    app["--help"].group = app["--version"].group = "Options"
    for order, (command, (module, line)) in enumerate(COMMANDS.items()):
        app.command(f"bridle.cli.{module}:{command}", name=command, help=line, sort_key=order)
    return app


def started(tokens: Sequence[str]) -> int:
    """Run one command of the line and return its exit code. What nobody planned is told in one sentence."""
    sys.excepthook = unplanned
    if not os.environ.get("BRIDLE_DEBUG"):
        logging.getLogger("bridle").addHandler(QUIET)  # an incident is a sentence here, and its traceback a wish
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = commands()(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Failed as failed:
        return _said(failed, failed.code)
    except CycloptsError as error:
        return _said(error, ERROR, _mistyped(error, tokens))
    except (BridleError, sqlite3.Error, ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            return _unread()
        return _said(error, ERROR)
    except KeyboardInterrupt:
        ERR.line("interrupted")
        return INTERRUPTED


def _said(error: BaseException, code: int, text: str = "") -> int:
    """The sentence of an error on stderr; with BRIDLE_DEBUG=1, where it came from as well."""
    if os.environ.get("BRIDLE_DEBUG"):
        traceback.print_exception(error)
    said = text or _sentence(error)
    for number, each in enumerate(said.splitlines() or [type(error).__name__]):
        ERR.line(*((bad("bridle: "), each) if number == 0 else (each,)))
    return code


def _sentence(error: BaseException) -> str:
    if isinstance(error, sqlite3.Error):
        return f"the store cannot be read: {error}. Is it a bridle store? `bridle doctor` looks closer."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    return str(error)


def _mistyped(error: CycloptsError, tokens: Sequence[str]) -> str:
    """What is wrong with a line, and the help of the command that was meant, where that is known."""
    if error.command_chain:
        return f"{_plain(str(error))} `bridle {' '.join(error.command_chain)} --help` lists what there is."
    command = next((token for token in tokens if token in COMMANDS), "")
    if command and tokens[0].startswith("-"):
        told = f"{tokens[0]} stands before the command, and options stand behind it."
        return f"{told} `bridle {command} --help` lists what there is."
    return f"{_plain(str(error))} `bridle --help` lists what there is."


def _plain(text: str) -> str:
    """An error of the command line without its box and its blank lines."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _unread() -> int:
    """Whoever read our output has seen enough: nothing is wrong, and nothing else is to be said."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def unplanned(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody planned, as one sentence that names the line; Python then exits with 1."""
    if os.environ.get("BRIDLE_DEBUG"):
        sys.__excepthook__(kind, error, trace)
        return
    frames = traceback.extract_tb(trace)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    sys.stderr.write(
        visible(f"bridle: {kind.__name__}: {error}{where}. BRIDLE_DEBUG=1 shows how it came to that.") + "\n"
    )
