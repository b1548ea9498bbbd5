"""Whose child a run is, and what holds for it because of that."""

from bridle.rules.run import RunState
from bridle.rules.switch import Switch, against_run
from bridle.store.base import Transaction


def lineage(tx: Transaction, run: RunState) -> tuple[RunState, ...]:
    """The parent of a run, the parent of that, and so on; empty for a run that somebody asked for."""
    found: list[RunState] = []
    while run.parent:  # ends: generations are few
        run = tx.state(run.parent)
        found.append(run)
    return tuple(found)


def switched_off(tx: Transaction, run: RunState) -> Switch | None:
    """The switch that ends this run, or one above it; None when it may go on."""
    against = (against_run(tx.switches(), one.tenant, one.name) for one in (run, *lineage(tx, run)))
    return next((switch for switch in against if switch is not None), None)
