"""The memory row, in a process of its own: `python -m bench.in_flight <contestant> <runs> <folder or nothing>`."""

import asyncio
import json
import sys
from pathlib import Path

from bench.measure import bytes_in_flight
from bench.peers import contestant


async def main(name: str, runs: str, folder: str = "") -> None:
    """Print how many megabytes so many parked runs take."""
    who = contestant(name)
    await who.open(Path(folder) if folder else None)
    grown = await bytes_in_flight(who, int(runs))
    await who.close()
    print(json.dumps({"mb": grown / 1e6}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
