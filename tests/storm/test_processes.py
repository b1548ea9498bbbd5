"""Tier P in small: workers are killed with SIGKILL, and every promise holds over the processes that are left."""

from bench.storm.processes import processes
from bench.storm.report import markdown
from bench.storm.storm import Order
from bench.storm.tally import EVERY_RUN


def test_runs_of_killed_processes_are_taken_over_and_every_promise_holds() -> None:
    order = Order(7, "calm", 60, 4, tier="P")
    played = processes(order, 25)
    whole = played.tally.rows[EVERY_RUN]
    assert not played.tally.violations
    assert (whole.runs, played.tally.crashes) == (60, 2)
    assert whole.ok >= 50  # but those of foreign loops that died
    assert whole.duplicates == whole.overspent == 0
    assert "| from a kill to a takeover, p95 | <= 20 s |" in "\n".join(markdown(order, played))
