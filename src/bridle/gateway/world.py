"""What the outside lends to the gateway: the time, chance and fresh bytes, so that a test may lend others."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from bridle.rules.names import Millis


def _wall_clock() -> Millis:
    return Millis(time.time_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class World:
    """`now` gives Unix milliseconds, `chance` a number in [0, 1), `fresh` that many unguessable bytes."""

    now: Callable[[], Millis] = _wall_clock
    chance: Callable[[], float] = random.random
    fresh: Callable[[int], bytes] = os.urandom
