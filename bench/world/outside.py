"""The outside world, a process of its own: `python -m bench.world.outside <scenario> <ledger>` prints its port.

It is the model's provider, the search and the payments of every agent. What really happened is what it writes into its
ledger, one JSON object a line; no agent writes there.
"""

import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.world.scenarios import HUGE_BYTES, Scenario, reply

SEARCH_SECONDS = 0.05
CRASH_SECONDS = 30.0  # how long the reply to the first refund is held, for whoever kills the agent meanwhile


class Ledger:
    """What happened, in the order in which it happened."""

    def __init__(self, path: Path) -> None:
        """Start an empty one."""
        self._file = path.open("w", buffering=1)
        self._lock = threading.Lock()
        self._refunds = 0
        self._searching = 0

    def write(self, what: str, **facts: object) -> None:
        """Write one line."""
        with self._lock:
            self._file.write(json.dumps({"what": what, **facts}) + "\n")

    def refund(self, **facts: object) -> int:
        """Pay, and say how many refunds were paid by now."""
        with self._lock:
            self._refunds += 1
            self._file.write(json.dumps({"what": "refund", **facts}) + "\n")
            return self._refunds

    def searching(self, change: int) -> int:
        """Count who searches right now."""
        with self._lock:
            self._searching += change
            return self._searching


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    scenario: Scenario
    ledger: Ledger

    def do_POST(self) -> None:
        """Answer as the scenario says."""
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(raw)
        match self.path:
            case "/model":
                self._model(asked, len(raw))
            case "/search":
                self._search(asked)
            case "/refund":
                self._refund(asked)
            case _:
                self._answer(404, {"error": "nothing is here"})

    def _model(self, asked: dict[str, object], size: int) -> None:
        replies, told = asked["replies"], asked["told"]
        assert isinstance(replies, int)
        assert isinstance(told, list)
        said = reply(self.scenario, replies, [str(text) for text in told])
        uses = [] if isinstance(said, str) else said
        self.ledger.write("model", run=asked["run"], bytes=size, proposed=len(uses))
        calls = [{"id": f"call_{uuid.uuid4().hex[:12]}", "tool": use.tool, "args": use.args} for use in uses]
        self._answer(200, {"calls": calls, "answer": said if isinstance(said, str) else ""})

    def _search(self, asked: dict[str, object]) -> None:
        at_once = self.ledger.searching(1)
        self.ledger.write("search", run=asked["run"], q=asked["q"], at_once=at_once)
        time.sleep(SEARCH_SECONDS)
        self.ledger.searching(-1)
        match self.scenario:
            case Scenario.DOWN:
                self._answer(503, {"error": "down"})
            case Scenario.HUGE:
                self._answer(200, {"found": "x" * HUGE_BYTES})
            case _:
                self._answer(200, {"found": "nothing that settles it"})

    def _refund(self, asked: dict[str, object]) -> None:
        paid = self.ledger.refund(order=asked["order"], key=self.headers.get("Idempotency-Key"))
        if paid == 1 and self.scenario is Scenario.CRASH:
            time.sleep(CRASH_SECONDS)
        if paid == 1 and self.scenario is Scenario.LOST:
            self.close_connection = True
            return
        self._answer(200, {"receipt": f"receipt {paid}"})

    def _answer(self, status: int, body: dict[str, object]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the interface's word
        """Say nothing: the ledger does."""


class Outside(ThreadingHTTPServer):
    """The server; an agent that hung up is no news."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


def main(scenario: str, ledger: str) -> None:
    """Serve until killed."""
    Handler.scenario, Handler.ledger = Scenario(scenario), Ledger(Path(ledger))
    server = Outside(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
