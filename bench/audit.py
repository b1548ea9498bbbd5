"""What an audit costs an event: the same journal with the chains, the house and its signature, and without them."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from bridle.rules.call import CallKind
from bridle.rules.events import CallAdmitted, CallSettled, RunStarted, RunStopped
from bridle.rules.names import IN_FLIGHT, TOOL_CALLS, USD_NANO, CallId, Digest, Millis, RunId, TenantId, ToolName
from bridle.rules.stop import StopReason
from bridle.store import house
from bridle.store.base import RunKey, Transaction
from bridle.store.sqlite import SqliteStore
from bridle.store.witness import witness_of

RUNS = 200
CALLS = 15
EVENTS = 2 + 2 * CALLS
AT = Millis(1_795_219_200_000)


def start(run: RunId) -> RunStarted:
    """Begin a run."""
    return RunStarted(AT, run, TenantId("t"), "ann", "flow", "f", "1", Digest("p"), Digest("i"), Millis(AT + 90_000))


def one(tx: Transaction, run: RunId) -> None:
    """Write a whole run: its start, fifteen calls, its end."""
    tx.start(start(run), RunKey("", Digest(run)), b"salt of sixteen ")
    for number in range(CALLS):
        call, hold = CallId(f"c{number}"), {TOOL_CALLS: 1, IN_FLIGHT: 1, USD_NANO: 10_000_000}
        args = Digest("0123456789abcdef01234567")
        tx.append(run, 1, [CallAdmitted(AT, call, CallKind.TOOL, ToolName("kb.read"), args, hold, turn=number)])
        tx.append(run, 1, [CallSettled(AT, call, {TOOL_CALLS: 1, USD_NANO: 7_000_000}, args)])
    tx.append(run, 1, [RunStopped(AT, StopReason.OK)])


@contextmanager
def unaudited() -> Iterator[None]:
    """Take the chains and the house out."""
    with ExitStack() as stack:
        stack.enter_context(patch("bridle.store.chain.link", lambda before, body: before))
        stack.enter_context(patch.object(house, "write", lambda *_: None))
        yield


async def cpu_us(folder: Path, *, audited: bool) -> float:
    """Take the processor time of an event."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "s.db"
        witness = None
        if audited:
            from bridle.store.signing import make  # the extra, which a bench without it does not need

            make(path.with_name(path.name + ".audit-key"))
            witness = witness_of(path, lambda: AT)
        store = SqliteStore(path)
        if witness is not None:
            store.attend(witness)
        begin = time.process_time()
        for number in range(RUNS):
            await store.transact(lambda tx, number=number: one(tx, RunId(f"r{number}")))
        spent = time.process_time() - begin
        await store.close()
        assert store.path is not None
    return spent / RUNS / EVENTS * 1e6


async def difference(folder: Path) -> float:
    """Take it with and without, one after the other."""
    audited = await cpu_us(folder, audited=True)
    with unaudited():
        return audited - await cpu_us(folder, audited=False)


if __name__ == "__main__":
    json.dump({"us": asyncio.run(difference(Path(sys.argv[1])))}, sys.stdout)
