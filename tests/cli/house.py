"""Stores with real runs in them, by a clock that stands still unless a tool takes time; and `bridle` as a process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridle import Bridle, CallFailed, Denied, FailureKind, Flow, Run
from bridle.gateway.world import World
from bridle.rules.names import Millis
from bridle.runs.result import RunResult

STARTED = 1_795_219_200_000  # 2026-11-21 00:00:00 UTC
HOSTILE = "\x1b[31mred\x1b]0;owned\x07 \u202egnp.exe\u2066 \x9b31m \x7f"
POLICY: Mapping[str, object] = {
    "tools": {"allow": ["kb.read", "web.get", "notes.write"]},
    "budgets": {"max_tool_calls": 6},
}


@dataclass
class Clock:
    """The time, and fresh bytes that are the same every time."""

    at: int = STARTED
    given: int = 0

    def now(self) -> Millis:
        return Millis(self.at)

    def fresh(self, count: int) -> bytes:
        self.given += 1
        return self.given.to_bytes(count, "big")

    @property
    def world(self) -> World:
        return World(self.now, lambda: 0.0, self.fresh)


@dataclass
class House:
    """A house with a few tools, and flows that use them."""

    place: Path
    policy: Mapping[str, object] = field(default_factory=lambda: POLICY)
    clock: Clock = field(default_factory=Clock)
    failures: int = 1  # of web.get, before it answers

    def opened(self) -> Bridle:
        b = Bridle(self.policy, f"sqlite:///{self.place}", world=self.clock.world)
        clock = self.clock

        @b.tool("kb.read", effect="read", source="trusted")
        async def read(doc: str) -> str:
            clock.at += 20
            return f"{doc} {HOSTILE}"

        @b.tool("web.get", effect="read")
        async def get(url: str) -> str:
            clock.at += 300
            if self.failures:
                self.failures -= 1
                raise CallFailed(FailureKind.UNAVAILABLE, HOSTILE)
            return url

        @b.tool("notes.write", effect="write")
        async def write(text: str) -> str:
            raise AssertionError(f"nobody approved {text}")

        @b.tool("mail.send", effect="write")
        async def send(text: str) -> str:
            raise AssertionError(f"nobody allowed {text}")

        return b

    def run(self, flow: Flow, given: object = None, key: str | None = None) -> RunResult:
        async def ran() -> RunResult:
            async with self.opened() as b:
                return await b.run(flow, given, by="ann", key=key)

        return asyncio.run(ran())


def busy() -> Flow:
    """A run with everything in it that a story can have."""
    flow = Flow("busy")

    @flow.step(to=["work"])
    async def plan(run: Run, state: object) -> str:
        await run.call("kb.read", {"doc": "a.md"})
        return "work"

    @flow.step()
    async def work(run: Run, state: object) -> object:
        await run.call("web.get", {"url": f"https://example.org/{HOSTILE}"})
        await run.call("kb.read", {"doc": "b.md"})
        await run.call("kb.read", {"doc": "b.md"})
        for name, args in (("mail.send", {"text": "x"}), (f"no.such{HOSTILE}", {"q": "y"})):
            try:
                await run.call(name, args)
            except Denied:
                continue
        return f"It is so. {HOSTILE}"

    return flow


def greedy() -> Flow:
    """A run that wants more than it may have."""
    flow = Flow("greedy")

    @flow.step()
    async def more(run: Run, state: object) -> None:
        run.finish(partial="I got this far.")
        for number in range(100):
            await run.call("kb.read", {"doc": f"{number}.md"})

    return flow


def broken() -> Flow:
    """A run whose own code fails."""
    flow = Flow("broken")

    @flow.step()
    async def fails(run: Run, state: object) -> None:
        raise RuntimeError(HOSTILE)

    return flow


def program(*tokens: str, folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """`bridle` as a process of its own."""
    return subprocess.run(
        [_program(), *tokens],
        cwd=folder,
        env=_environ(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def process(*tokens: str, folder: Path, **environ: str) -> "subprocess.Popen[str]":
    """The same, while it runs."""
    return subprocess.Popen(
        [_program(), *tokens],
        cwd=folder,
        env=_environ(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _program() -> str:
    return str(Path(sys.executable).with_name("bridle"))


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDLE_", "NO_COLOR"))}
    return {**kept, "COLUMNS": "100", **more}
