"""Open runs that no living worker drives, and their writes, of which nobody has written down what became of them."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bridle.rules.effect import Intent, IntentStatus
from bridle.rules.names import Millis
from bridle.rules.run import RunState
from bridle.store import codec
from bridle.store.opening import connect
from bridle.store.roll import Roll
from bridle.store.statements import SQL

MOST = 10_000  # runs that are looked at, the oldest first


@dataclass(frozen=True, slots=True)
class Adrift:
    """One open run that nobody drives, with its writes that may have been sent."""

    state: RunState
    in_flight: tuple[Intent, ...]


def adrift(path: Path, at: Millis) -> list[Adrift]:
    """The runs that a worker would take over now, the oldest first. Raises StoreUnusable, and sqlite3.Error.

    Each worker is asked before its runs are read: so what was taken over or ended meanwhile is not among them.
    """
    roll = Roll(path)
    with closing(connect(path, True)) as db:
        drivers = [worker for (worker,) in db.execute(SQL["select_drivers"]).fetchall()]
        gone = [worker for worker in drivers if not roll.is_alive(worker)]
        rows = [row for worker in gone for row in db.execute(SQL["select_driven"], (worker, at, MOST)).fetchall()]
        states = sorted((codec.decode_state(row) for (row,) in rows), key=lambda state: state.started_at)[:MOST]
        found = []
        for state in states:
            intents = [codec.decode_intent(row) for row in db.execute(SQL["select_unresolved"], (state.run,))]
            found.append(Adrift(state, tuple(each for each in intents if each.status is IntentStatus.OPEN)))
    return found
