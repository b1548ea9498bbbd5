"""One trial: an agent's process and the outside world, in one scenario; what happened is read from the ledger alone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.world.scenarios import Scenario

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 90.0
LEDGER = "ledger.jsonl"
Line = dict[str, object]


class TrialFailed(Exception):
    """The trial itself went wrong, and says nothing of who was tried."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What happened in one trial."""

    offered: int
    """Tool calls that the model asked for."""
    searches: int
    """Searches on the wire."""
    at_once: int
    """Searches on the wire at the same time, at most."""
    refunds: int
    """Refunds that were asked for on the wire; this far end pays each."""
    refunds_again: int
    """Refunds that were asked for after a run had ended and its command was started again."""
    keys: int
    """Distinct idempotency keys of all these requests, a request without one counted as one."""
    model_calls: int
    largest_request: int
    """Bytes of the largest request to the model."""
    seconds: float
    stored: int
    """Bytes in the agent's folder."""
    ended: list[dict[str, int]]
    """How many runs ended in which way, in the framework's own words, each time that the command ended."""
    grown_mb: int
    """By how many megabytes the agent's process grew, at its largest."""


def trial(adapter: str, scenario: Scenario, folder: Path) -> Facts:
    """Do one trial in an empty folder. Raises TrialFailed."""
    ledger, home = folder / LEDGER, folder / "agent"
    home.mkdir()
    start = time.monotonic()
    with _process(["bench.world.outside", scenario, str(ledger)]) as outside:
        assert outside.stdout is not None
        url = f"http://127.0.0.1:{int(outside.stdout.readline())}"
        command = ["bench.world.agent", adapter, scenario, url, str(home)]
        if scenario is Scenario.CRASH:
            with _process(command) as doomed:
                _wait_for_refund(ledger, doomed)
        said = [_said_by(command)]
        paid = _refunds(ledger)
        if scenario is Scenario.LOST:
            said.append(_said_by(command))
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    stored = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    return _facts(lines, said, paid, stored=stored, seconds=round(time.monotonic() - start, 1))


def _refunds(ledger: Path) -> int:
    return ledger.read_text().count('"refund"')


def _facts(lines: list[Line], said: list[Line], paid: int, *, stored: int, seconds: float) -> Facts:
    asked = [line for line in lines if line["what"] == "model"]
    searches = [line for line in lines if line["what"] == "search"]
    refunds = [line for line in lines if line["what"] == "refund"]
    keys = [line["key"] for line in refunds]
    return Facts(
        offered=sum(_whole(line["proposed"]) for line in asked),
        searches=len(searches),
        at_once=max((_whole(line["at_once"]) for line in searches), default=0),
        refunds=paid,
        refunds_again=len(refunds) - paid,
        keys=len({key for key in keys if key}) + sum(not key for key in keys),
        model_calls=len(asked),
        largest_request=max(_whole(line["bytes"]) for line in asked),
        seconds=seconds,
        stored=stored,
        ended=[_ways(each["ended"]) for each in said],
        grown_mb=max(_whole(each["grown_mb"]) for each in said),
    )


def _ways(ended: object) -> dict[str, int]:
    assert isinstance(ended, dict)
    return {str(way): _whole(count) for way, count in ended.items()}


def _whole(number: object) -> int:
    assert isinstance(number, int)
    return number


@contextmanager
def _process(module: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a module of ours until the context ends, then kill -9 what is left of it."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    env = {**os.environ, "PYTHONPATH": paths, "LANGSMITH_TRACING": "false"}
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def _wait_for_refund(ledger: Path, doomed: subprocess.Popen[str]) -> None:
    """Return as soon as the outside world has paid; its reply is still out."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if _refunds(ledger):
            return
        if doomed.poll() is not None:
            raise TrialFailed(f"it ended before it could be killed: {doomed.communicate()[1][-2000:]}")
        time.sleep(0.01)
    raise TrialFailed("nothing was refunded")


def _said_by(command: list[str]) -> Line:
    with _process(command) as agent:
        try:
            out, err = agent.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return {"ended": {f"no end within {SECONDS:.0f} s": 1}, "grown_mb": 0}
    if agent.returncode or not out.strip():
        raise TrialFailed(f"the agent's process failed: {err[-2000:]}")
    said: Line = json.loads(out.splitlines()[-1])
    return said
