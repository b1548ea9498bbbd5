"""Whose child a run is, and what holds for it because of that."""

from collections.abc import Sequence

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


def beside(tx: Transaction, run: RunState, above: Sequence[RunState]) -> tuple[RunState, ...]:
    """Every other run of the same family that is open: what one that has ended wrote, its parent counts."""
    top = above[-1] if above else run
    found, known = [top], {run.run, *(one.run for one in above)}
    for one in found:  # ends: a family is a tree of bounded depth, and each of its runs is found once
        found.extend(tx.state(child) for child in one.children)
    return tuple(one for one in found if one.run not in known)


def switched_off(tx: Transaction, run: RunState) -> Switch | None:
    """The switch that ends this run, or one above it; None when it may go on."""
    against = (against_run(tx.switches(), one.tenant, one.name) for one in (run, *lineage(tx, run)))
    return next((switch for switch in against if switch is not None), None)
