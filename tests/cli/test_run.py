"""Runs from the command line: answered, stopped, joined, interrupted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Bridled
from tests.cli.house import process, program

DOCS = {
    "stops.md": "# Stops\n\n## How it is chosen\n\nThe stop reason with the smallest precedence is chosen.\n",
    "cats.md": "# Cats\n\nA cat sleeps sixteen hours a day.\n",
    "sub/evil.md": "# Evil\n\nThe stop reason \x1b[2J\x1b]0;owned\x07 is \u202echosen by nobody at all.\n",
}
QUESTION = "How is a stop reason chosen?"
APP = """\
import asyncio
import threading
import sys
import time

from bridle import Bridle, Flow

b = Bridle({"tools": {"allow": ["wait.read", "block.read"]}, "budgets": {"max_tool_calls": 3}})


@b.tool("wait.read", effect="read", source="trusted")
async def wait(seconds: int) -> str:
    await asyncio.sleep(seconds)
    return str(seconds)


@b.tool("block.read", effect="read", source="trusted")
def block() -> str:
    threading.Event().wait(60)
    return "at last"


waiting = Flow("waiting")
blocking = Flow("blocking")
greedy = Flow("greedy")
mute = Flow("mute")
stuck = Flow("stuck")


@waiting.step()
async def once(run, state):
    return (await run.call("wait.read", {"seconds": state["seconds"]})).value


@blocking.step()
async def for_long(run, state):
    await run.call("block.read", {})


@greedy.step()
async def more(run, state):
    run.finish(partial={"so": "far"})
    for number in range(9):
        await run.call("wait.read", {"seconds": -number})


@stuck.step()
async def at_once(run, state):
    print("begun", file=sys.stderr, flush=True)
    time.sleep(30)


@mute.step()
async def fails(run, state):
    raise ValueError("my own mistake")
"""


@pytest.fixture
def docs(here: Path) -> Path:
    for name, text in DOCS.items():
        (here / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "docs" / name).write_text(text, "utf-8")
    return here


@pytest.fixture
def app(here: Path) -> Path:
    (here / "app.py").write_text(APP)
    return here


def test_a_question_is_answered_from_a_folder_with_citations(docs: Path) -> None:
    done = program("run", QUESTION, "--docs", "docs", folder=docs)
    assert done.returncode == 0, done.stderr
    assert (
        "The stop reason with the smallest precedence is chosen. [stops.md > Stops > How it is chosen]" in done.stdout
    )
    assert "ok  The run answered." in done.stdout
    steps = [line.split()[-1] for line in done.stderr.splitlines() if " step " in line and "answer" not in line]
    assert steps == ["plan", "read"]
    assert "= the result of c1, reused" in done.stderr
    (run,) = [line.split()[-1] for line in done.stdout.splitlines() if "bridle show" in line]
    assert program("show", run, folder=docs).returncode == 0


def test_hostile_documents_are_shown_harmlessly(docs: Path) -> None:
    done = program("run", "Is the stop reason chosen by nobody at all?", folder=docs)
    assert done.returncode == 0, done.stderr
    assert "nobody at all" in done.stdout
    for raw in ("\x1b", "\x07", "\u202e"):
        assert raw not in done.stdout + done.stderr


def test_the_result_as_json_is_all_there_is_on_stdout(bridle: Bridled, docs: Path) -> None:
    assert docs.is_dir()
    done = bridle("run", QUESTION, "--json")
    document = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert (document["status"], document["stop_reason"]) == ("ok", "ok")
    assert "[stops.md" in document["answer"]
    assert document["spent"]["tool_calls"] <= 6


def test_a_folder_without_an_answer_says_so(bridle: Bridled, here: Path) -> None:
    (here / "empty").mkdir()
    done = bridle("run", QUESTION, "--docs", "empty")
    assert done.code == 0
    assert done.out.startswith("I found nothing about stop reason chosen")


def test_a_policy_file_in_the_folder_governs_the_run(bridle: Bridled, docs: Path) -> None:
    (docs / "bridle.yaml").write_text("tools:\n  allow: []\n")
    done = bridle("run", QUESTION)
    assert done.code == 3
    assert "stopped  tool_denied: The tool search.read is not allowed here." in done.out
    (docs / "mine.yaml").write_text("tools:\n  allow: [search.read, kb.read]\nbudgets:\n  max_tool_calls: 1\n")
    done = bridle("run", QUESTION, "--policy", "mine.yaml")
    assert done.code == 3
    assert "stopped  max_tool_calls: The run used all its tool calls (1 of 1)." in done.out


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([], 'what do you want to know? Write bridle run "your question"'),
        (["x", "--docs", "nowhere"], "nowhere: there is no such folder; give the path of a folder"),
        (["x"], "docs: there is no such folder; name a folder of Markdown or text with --docs"),
        (["x", "--input", "{}"], "--input is for a flow of yours"),
        (["x", "--app", "app:b", "--docs", "."], "--docs is for the built-in flow"),
        (
            ["--app", "app:b"],
            "app:b: which flow? Write --app with one of app:waiting, app:blocking, app:greedy, app:mute",
        ),
        (["--app", "app:waiting", "--input", "{"], "--input is not JSON: "),
        (["x", "--app", "app:waiting", "--input", "{}"], "give either a question or --input, not both"),
        (["x", "--store", "file/s.db", "--docs", "."], "file/s.db"),
        (["x", "--docs", ".", "--policy", "no.yaml"], "no.yaml: does not exist"),
        (["x", "--docs", ".", "--model", "opnai:gpt"], "did you mean openai:gpt-5?"),
    ],
)
def test_what_cannot_be_run_is_a_sentence(tokens: list[str], said: str, bridle: Bridled, app: Path) -> None:
    (app / "file").write_text("no folder")
    done = bridle("run", *tokens)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_stopped_run_exits_3_with_its_partial_result(app: Path) -> None:
    done = program("run", "--app", "app:greedy", folder=app)
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines()[:4] == ["How far it came:", "  {", '    "so": "far"', "  }"]
    assert "stopped  max_tool_calls: The run used all its tool calls (3 of 3)." in done.stdout
    assert "raise the limit in the policy if the work was worth it. (agent owner)" in done.stdout


def test_a_failed_run_exits_1(app: Path) -> None:
    done = program("run", "--app", "app:mute", folder=app)
    assert done.returncode == 1
    assert "failed  internal_error: The code of the run failed (ValueError: my own mistake)." in done.stdout
    assert "Traceback" not in done.stderr


def test_the_same_key_is_the_same_run(app: Path) -> None:
    tokens = ("run", "--app", "app:waiting", "--input", '{"seconds": 0}', "--key", "k")
    first, second = (program(*tokens, folder=app) for _ in range(2))
    assert first.stdout == second.stdout
    assert "the same was asked before" in second.stderr
    assert len(json.loads(program("runs", "--json", folder=app).stdout)["runs"]) == 1


def test_ctrl_c_cancels_the_run_and_shows_how_it_ended(app: Path) -> None:
    running = process("run", "--app", "app:waiting", "--input", '{"seconds": 60}', folder=app)
    assert running.stderr is not None
    assert any("step once" in line for line in running.stderr)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "cancelled  The run was cancelled. By Ctrl-C." in out
    assert "cancelling; Ctrl-C again leaves at once" in err
    shown = json.loads(program("show", "--json", folder=app).stdout)
    assert (shown["status"], shown["detail"]) == ("cancelled", {"by": "Ctrl-C"})
    assert program("doctor", folder=app).returncode == 0


def test_a_second_ctrl_c_leaves_at_once(app: Path) -> None:
    running = process("run", "--app", "app:blocking", folder=app)
    assert running.stderr is not None
    assert any("step for_long" in line for line in running.stderr)
    running.send_signal(signal.SIGINT)
    assert any("cancelling" in line for line in running.stderr)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) == 130
    running.communicate()
    assert program("doctor", folder=app).returncode == 0


def test_a_second_ctrl_c_leaves_at_once_also_when_a_step_blocks_the_loop(app: Path) -> None:
    running = process("run", "--app", "app:stuck", folder=app)
    assert running.stderr is not None
    assert any("begun" in line for line in running.stderr)
    running.send_signal(signal.SIGINT)
    assert any("cancelling" in line for line in running.stderr)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=20) == 130
    running.communicate()


def test_sigterm_cancels_the_run_in_its_own_name(app: Path) -> None:
    running = process("run", "--app", "app:waiting", "--input", '{"seconds": 60}', folder=app)
    assert running.stderr is not None
    assert any("step once" in line for line in running.stderr)
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "cancelled  The run was cancelled. By SIGTERM." in out


def test_a_run_that_was_killed_goes_on_when_it_is_asked_for_again(app: Path) -> None:
    tokens = ("run", "--app", "app:waiting", "--input", '{"seconds": 1}')
    running = process(*tokens, folder=app)
    assert running.stderr is not None
    assert any("step once" in line for line in running.stderr)
    running.kill()
    running.communicate()
    (left,) = json.loads(program("runs", "--open", "--json", folder=app).stdout)["runs"]
    assert "Nobody works on it. The same request takes it up again" in program("show", folder=app).stdout
    again = program(*tokens, folder=app)
    assert again.returncode == 0
    assert "resumed after" in again.stderr
    assert left["run_id"] in again.stdout


def test_a_store_that_another_process_writes_is_shared_with_it(app: Path) -> None:
    running = process("run", "--app", "app:waiting", "--input", '{"seconds": 60}', folder=app)
    assert running.stderr is not None
    assert any("step once" in line for line in running.stderr)
    second = program("run", "--app", "app:waiting", "--input", '{"seconds": 0}', folder=app)
    assert second.returncode == 0, second.stderr
    (line,) = json.loads(program("runs", "--open", "--json", folder=app).stdout)["runs"]
    assert "A process works on it" in program("show", line["run_id"], folder=app).stdout
    running.kill()
    running.communicate()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_a_sentence(bridle: Bridled, docs: Path) -> None:
    docs.chmod(0o500)
    done = bridle("run", QUESTION)
    docs.chmod(0o700)
    assert done.code == 1
    assert "Permission denied" in done.err


DEAF = """\
import asyncio
from bridle import Bridle, Flow

b = Bridle({"budgets": {"max_seconds": 1}})
deaf = Flow("deaf", state=dict)


@deaf.step()
async def for_ever(run, state):
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except BaseException:
            pass
"""


def test_a_step_that_does_not_stop_keeps_no_process_alive(tmp_path: Path) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    done = program("run", "--app", "deaf:deaf", folder=tmp_path)
    assert (done.returncode, "max_seconds" in done.stdout) == (3, True), done.stdout
    assert "a step still works, and does not stop; it is left behind" in done.stderr
    assert json.loads(program("runs", "--open", "--json", folder=tmp_path).stdout)["runs"] == []


def test_on_a_terminal_the_run_is_shown_live(docs: Path) -> None:
    script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    command = [sys.executable, "-c", script, str(Path(sys.executable).with_name("bridle")), "run", QUESTION]
    environ = {**os.environ, "TERM": "xterm-256color"}
    environ.pop("NO_COLOR", None)
    done = subprocess.run(
        command, cwd=docs, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    shown = done.stdout.decode()
    assert done.returncode == 0
    assert "max_tool_calls" in shown
    assert "/ 15" in shown
    assert "\x1b[32mok\x1b[0m" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is given back
