"""Floor 3, the only door: every call of a tool or a model is admitted, performed, judged and settled here.

May import: bridle.rules, bridle.store, and the port of bridle.models.
Must never: perform what was not admitted; retry outside `retry.py`; let another room import `perform`.
Read `gateway.py` first: it fits on a screen.
Tests: tests/gateway.
"""
