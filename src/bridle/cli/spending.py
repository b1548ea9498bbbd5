"""Who spent what in a stretch of time, by the journals: by tenant, flow, tool, who asked, and run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bridle.rules.events import CallAdmitted, CallInDoubt, CallRefused, CallSettled
from bridle.rules.failure import FailureKind
from bridle.rules.names import USD_NANO, CallId, Millis, RunId, ToolName
from bridle.rules.run import RunState
from bridle.store import codec
from bridle.store.audit import snapshot
from bridle.store.statements import SQL

_OF_CALLS = tuple(f'["{kind.__name__}",'.encode() for kind in (CallAdmitted, CallInDoubt, CallRefused, CallSettled))


@dataclass(slots=True)
class Spender:
    """What calls of one name came to. Money in nano-dollars; `held` is set aside for calls in flight."""

    spent: int = 0
    calls: int = 0  # that ended; each attempt is one
    failed: int = 0
    refused: int = 0
    in_flight: int = 0
    held: int = 0
    runs: set[RunId] = field(default_factory=set)


@dataclass(slots=True)
class Spending:
    """Everybody who spent something, refused ones included, by name."""

    total: Spender = field(default_factory=Spender)
    tenants: dict[str, Spender] = field(default_factory=dict)
    flows: dict[str, Spender] = field(default_factory=dict)
    tools: dict[str, Spender] = field(default_factory=dict)
    askers: dict[str, Spender] = field(default_factory=dict)
    runs: dict[str, Spender] = field(default_factory=dict)

    def of(self, state: RunState, tool: str) -> tuple[Spender, ...]:
        """Where a call of this tool counts."""
        named = (
            (self.tenants, state.tenant), (self.flows, state.name), (self.tools, tool), (self.askers, state.by),
            (self.runs, state.run),
        )  # fmt: skip
        found = (self.total, *(group.setdefault(name, Spender()) for group, name in named))
        for spender in found:
            spender.runs.add(state.run)
        return found


def spending(path: Path, since: Millis) -> Spending:
    """Add up the calls that ended or were refused since a time, and those in flight. Raises StoreUnusable."""
    found = Spending()
    with snapshot(path) as db:
        for no, row in db.execute(SQL["select_moved"], (since,)):
            state = codec.decode_state(row)
            lines = ((seq, body) for seq, body, _ in db.execute(SQL["select_events"], (no, 0)))
            _add_ended(found, state, lines, since)
        for (row,) in db.execute(SQL["select_in_flight"]):
            _add_open(found, codec.decode_state(row))
    return found


def _add_ended(found: Spending, state: RunState, lines: Iterable[tuple[int, bytes]], since: Millis) -> None:
    for tool, event in _ended(state.run, lines):
        for spender in found.of(state, tool) if event.at >= since else ():
            if isinstance(event, CallRefused):
                spender.refused += 1
            else:
                spender.spent += event.used.get(USD_NANO, 0)
                spender.calls += 1
                spender.failed += event.failure is not None


def _ended(run: RunId, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[ToolName, CallSettled | CallRefused]]:
    """How calls ended, each with its tool. A write in doubt is paid in full, as its admission says."""
    admitted: dict[CallId, CallAdmitted] = {}
    for seq, body in lines:
        match codec.decode_at(run, seq, body) if body.startswith(_OF_CALLS) else None:
            case CallAdmitted(call=call) as event:
                admitted[call] = event
            case CallInDoubt(at=at, call=call):
                yield admitted[call].tool, CallSettled(at, call, admitted[call].hold, failure=FailureKind.TIMEOUT)
            case CallSettled(call=call) as event:
                yield admitted[call].tool, event
            case CallRefused(tool=tool) as event:
                yield tool, event
            case _:
                pass


def _add_open(found: Spending, state: RunState) -> None:
    for opened in state.open_calls.values():
        for spender in found.of(state, opened.tool):
            spender.in_flight += 1
            spender.held += opened.hold.get(USD_NANO, 0)
