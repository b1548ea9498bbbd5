"""A run while it works: a live panel on a terminal, plain lines elsewhere."""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridle.bridle import Bridle
from bridle.cli.screen import Screen, cut, dim, duration
from bridle.cli.timeline import Timeline
from bridle.cli.where import now
from bridle.rules.names import (
    MILLIS_PER_SECOND,
    MODEL_CALLS,
    STEPS,
    TOKENS_IN,
    TOKENS_OUT,
    TOOL_CALLS,
    USD_NANO,
    Millis,
    RunId,
    TenantId,
    show_usd,
)
from bridle.rules.policy import Limits
from bridle.rules.run import RunState
from bridle.runs.flow import Flow
from bridle.runs.result import RunResult

if TYPE_CHECKING:
    from rich.table import Table

EVERY_SECONDS = 0.1  # the panel is drawn anew
LOOKS_SECONDS = 0.005  # between two looks for the run at its start
BAR = 20  # columns


class Watch:
    """Shows one run of this process until it ends. The run is known once it has started."""

    def __init__(self, b: Bridle, flow: Flow, tenant: str, screen: Screen) -> None:
        self._b = b
        self._flow = flow
        self._tenant = tenant
        self._screen = screen
        self._limits = b.policy.for_run(TenantId(tenant), flow.name).limits
        self._last: RunState | None = None
        self._note = ""
        self._since = now()
        self._is_live = False

    def _state(self) -> RunState | None:
        """The run as it stands: of those of this flow and tenant the newest."""
        mine = [s for s in self._b.progress() if s.name == self._flow.name and s.tenant == self._tenant]
        if mine:
            self._last = max(mine, key=lambda state: state.started_at)
        return self._last

    async def run(self, work: "asyncio.Task[RunResult]") -> RunId | None:
        """The id of the run, as soon as it has one; None when it ended before."""
        while not work.done():  # ends: a run starts at once, or its task fails
            state = self._state()
            if state is not None:
                return state.run
            await asyncio.wait((work,), timeout=LOOKS_SECONDS)
        return None

    async def quietly(self, work: "asyncio.Task[RunResult]") -> None:
        """Show nothing."""
        await self.run(work)

    async def until(self, work: "asyncio.Task[RunResult]") -> None:
        """Show the run until it has ended; what goes wrong is the caller's to see."""
        run = await self.run(work)
        if run is None:
            self._say_what_was(work)
        elif self._screen.is_terminal:
            await self._panel(work, run)
        else:
            await self._lines(work, run)

    def _say_what_was(self, work: "asyncio.Task[RunResult]") -> None:
        """A run that was faster than the eye; one that had ended before we asked is not told again."""
        if work.cancelled() or work.exception() is not None:
            return
        run = work.result().run_id
        if not run:
            return  # the kill switch let none start
        self._last = self._b.store.recorded(run).state
        if self._last.started_at >= self._since:
            timeline = self._timeline(run)
            for entry in self._b.store.journal(run):
                for spans in timeline.told(entry.event):
                    self._screen.line(*spans)

    def say(self, text: str) -> None:
        """One sentence beside the run."""
        self._note = text
        if not self._is_live:
            self._screen.line(dim(text))

    def leave(self) -> None:
        """Give the terminal back: the process ends here."""
        if self._is_live:
            os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # not through a buffer that we may have cut into

    def _timeline(self, run: RunId) -> Timeline:
        state = self._last
        assert state is not None, "a run that is watched has started"
        return Timeline(state.started_at, lambda name: self._b.store.payload(run, name), self._screen.width)

    async def _lines(self, work: "asyncio.Task[RunResult]", run: RunId) -> None:
        timeline, seen = self._timeline(run), 0
        is_over = False
        while not is_over:  # ends: every run ends, or waits for a person
            is_over = work.done()
            for entry in self._b.store.journal(run, seen):
                seen = entry.seq
                for spans in timeline.told(entry.event):
                    self._screen.line(*spans)
            await asyncio.wait((work,), timeout=EVERY_SECONDS / 2)

    async def _panel(self, work: "asyncio.Task[RunResult]", run: RunId) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(stderr=True, highlight=False, no_color=not self._screen.is_coloured)
        timeline, seen = self._timeline(run), 0
        with Live(console=console, auto_refresh=False, transient=True) as live:
            self._is_live = True
            is_over = False
            while not is_over:  # ends: every run ends, or waits for a person
                is_over = work.done()
                for entry in self._b.store.journal(run, seen):
                    seen = entry.seq
                    for spans in timeline.told(entry.event):
                        live.console.print(Text.from_ansi(self._screen.painted(spans)), soft_wrap=True)
                live.update(self._drawn(run), refresh=True)
                await asyncio.wait((work,), timeout=EVERY_SECONDS)
            self._is_live = False

    def _drawn(self, run: RunId) -> "Table":
        from rich.table import Table
        from rich.text import Text

        state = self._state()
        assert state is not None, "a run that is watched has started"
        width = max(self._screen.width - 2, 20)
        panel = Table.grid(padding=(0, 2))
        outer = Table.grid()
        outer.add_row(Text(cut(f"{run}  {state.phase.value}  step {state.step or '-'}", width), style="bold"))
        waiting = self._b.awaiting(run)
        for name, since in waiting[:4]:
            outer.add_row(Text(cut(f"waits for {name}, {duration(now() - since)}", width)))
        if len(waiting) > 4:
            outer.add_row(Text(f"and {len(waiting) - 4} more"))
        if not waiting:
            outer.add_row(Text("works", style="dim"))
        for unit, used, limit, share in budgets(state, self._limits, now()):
            filled = min(round(share * BAR), BAR)
            colour = "red" if share >= 1 else "yellow" if share >= 0.8 else "green"
            panel.add_row(
                Text(unit), Text("█" * filled + "░" * (BAR - filled), style=colour), Text(f"{used} / {limit}")
            )
        outer.add_row(panel)
        if self._note:
            outer.add_row(Text(cut(self._note, width), style="yellow"))
        return outer


def budgets(state: RunState, limits: Limits, at: Millis) -> list[tuple[str, str, str, float]]:
    """Each limit of the run: its name, what is used or held of it, the limit itself, and the share."""
    used: Mapping[str, int] = {
        "max_steps": state.committed(STEPS) - state.finalise.get(STEPS, 0),
        "max_model_calls": state.committed(MODEL_CALLS) - state.finalise.get(MODEL_CALLS, 0),
        "max_tool_calls": state.committed(TOOL_CALLS),
        "max_tokens": state.spent(TOKENS_IN) + state.spent(TOKENS_OUT),
        "max_usd": state.spent(USD_NANO) + state.held.get(USD_NANO, 0),
        "max_seconds": state.active(max(at, state.last_at)) // MILLIS_PER_SECOND,
    }
    found = []
    for name, amount in used.items():
        limit = getattr(limits, name)
        shown = (show_usd(amount), show_usd(limit)) if name == "max_usd" else (f"{amount:,}", f"{limit:,}")
        found.append((name, *shown, amount / limit))
    return found
