"""A house in virtual time that talks to a real socket on this machine: nothing is counted but what crossed the wire."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from bridle.testing.virtual_time import START, Events, VirtualLoop

GRACE_S = 0.001  # real seconds in which a packet on loopback arrives; only then does virtual time jump
T = TypeVar("T")


class WireLoop(VirtualLoop):
    """Virtual time with real sockets: the clock stands still while a packet may be on its way."""

    def waited(self, select: Callable[[float], Events], wanted: float | None) -> Events:
        """What is ready; when nothing comes within the grace, as of a loop of virtual time."""
        ready = select(0 if wanted is not None and wanted <= 0 else GRACE_S)
        return ready or super().waited(select, wanted)


def on_the_wire(story: Callable[[VirtualLoop], Coroutine[object, object, T]]) -> T:
    """Run `story(loop)` to its end, and a virtual second longer, in which closed sockets are let go."""

    async def told(loop: WireLoop) -> T:
        result = await story(loop)
        await loop.sleep(1)
        return result

    with asyncio.Runner(loop_factory=lambda: WireLoop(START)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WireLoop)
        return runner.run(told(loop))
