"""Floor 4, what proposes calls: flows, investigations, and the doors for loops that are not ours.

May import: bridle.rules, bridle.store, and bridle.gateway but not its `perform`.
Must never: call a tool or a model by itself; count what the gateway counts.
Read `investigation.py` first: the agent loop fits on a screen.
Tests: tests/runs.
"""
