"""Floor 1, the rules: what may happen, decided from facts that are passed in.

May import: the standard library without clocks, disks, networks, randomness, logging or asyncio.
Must never: await, read a clock, log, or change what it was given.
Read `checks.py` first: the ordered tuple CHECKS is the constitution.
Tests: tests/rules (tables and Hypothesis properties).
"""
