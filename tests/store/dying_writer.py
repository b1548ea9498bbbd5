"""A process that writes to a store until somebody kills it: `python -m tests.store.dying_writer <file> <seed>`.

It says on its standard output, without a buffer, what was acknowledged to it; its parent holds the store to that.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from bridle.rules.names import RunId
from bridle.rules.run import Phase
from bridle.store.base import Transaction
from bridle.store.sqlite import SqliteStore
from tests.store.contract import money
from tests.store.journals import Step, begin, written

KINDS = ("admit", "settle", "fail", "doubt", "refuse", "reuse", "enter")


async def one_run(store: SqliteStore, number: int, chance: random.Random) -> None:
    """A run in several transactions; each acknowledged one is said."""
    run = RunId(f"r{os.getpid()}-{number}")

    def start(tx: Transaction) -> int:
        state = begin(tx, run)
        tx.keep(run, "input", bytes(chance.randrange(3_000)))
        tx.set_balance(money, tx.balance(money, 10**12).reserve(1))
        return state.seq

    say(run, await store.transact(start))
    plan: list[Step] = [(chance.choice(KINDS), chance.randrange(10**6)) for _ in range(chance.randrange(12))]
    for event in written(store.recorded(run).state, plan):

        def more(tx: Transaction, event: object = event) -> int:
            assert event is not None
            return tx.append(run, 1, [event]).seq  # type: ignore[list-item]  # one of `written`

        say(run, await store.transact(more))

    def pay(tx: Transaction) -> int:
        assert tx.recorded(run).state.phase is Phase.STOPPED
        tx.set_balance(money, tx.balance(money, 10**12).settle(1, 1))
        return tx.recorded(run).state.seq

    await store.transact(pay)


def say(run: str, seq: int) -> None:
    os.write(1, f"{run} {seq}\n".encode())


async def main() -> None:
    """Eight at a time, for ever."""
    path, seed = sys.argv[1:]
    chance, store = random.Random(int(seed)), SqliteStore(Path(path))
    store.crowd = 8
    for number in range(0, 10**9, 8):
        await asyncio.gather(*(one_run(store, number + n, random.Random(chance.random())) for n in range(8)))


if __name__ == "__main__":
    asyncio.run(main())
