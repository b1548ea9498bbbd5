"""A process whose disk is full for a while: `python -m tests.store.filling_disk <file> <limit>`.

With the limit "rlimit" the kernel refuses to let its files grow (EFBIG); with "disk" the file system itself is small
(ENOSPC) and a ballast beside the file makes room again. It prints what it saw as JSON.
"""

import asyncio
import json
import resource
import sys
from pathlib import Path

from bridle.rules.budget import Balance
from bridle.rules.failure import ControlUnavailable
from bridle.rules.names import RunId
from bridle.store.base import Transaction
from bridle.store.sqlite import SqliteStore
from tests.store.contract import beginning, intact, keeping, money

ROOM = 200_000


def fill(path: Path, limit: str) -> None:
    if limit == "rlimit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))
        return
    with path.with_name("ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(b"\0" * 4_096):  # ends when the disk is full
                pass
        except OSError:
            pass


def clear(path: Path, limit: str) -> None:
    if limit == "rlimit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        path.with_name("ballast").unlink()


def large(number: int) -> bytes:
    return bytes([number]) * 60_000


async def attempt(store: SqliteStore, number: int) -> str:
    def write(tx: Transaction) -> None:
        keeping("r1", f"c{number}", f"n{number}", large(number))(tx)
        balance = tx.balance(money, 10**9)
        tx.set_balance(money, Balance(10**9, balance.settled + 1, 0))

    try:
        await store.transact(write)
    except ControlUnavailable as error:
        return str(error)
    return ""


async def main() -> None:
    path, limit = Path(sys.argv[1]), sys.argv[2]
    store = SqliteStore(path)
    store.crowd = 4
    await store.transact(beginning("r1"))
    fill(path, limit)
    one_by_one = [await attempt(store, number) for number in range(1, 10)]
    at_once = await asyncio.gather(*(attempt(store, number) for number in range(10, 20)))
    looked = intact(store, "r1").calls
    clear(path, limit)
    after = [await attempt(store, number) for number in range(20, 23)]
    said = [*one_by_one, *at_once, *after]
    kept = [number for number, error in enumerate(said, 1) if not error]
    state = intact(store, "r1")
    whole = all(store.payload(RunId("r1"), f"n{number}") == large(number) for number in kept)
    balance = store.balances()[money].settled
    await store.close()
    reopened = SqliteStore(path)
    found = {
        "refused": len(said) - len(kept), "sentences": sorted({error for error in said if error}), "kept": len(kept),
        "calls": state.calls, "whole": whole, "looked": looked, "after": after, "balance": balance,
        "reopened": intact(reopened, "r1").calls,
    }  # fmt: skip
    await reopened.close()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
