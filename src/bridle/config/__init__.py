"""Floor 2, the policy file: reads it, tells all its mistakes at once, hands pure rules to the floors around it.

May import: bridle.rules, ruamel.yaml, pydantic, jsonschema-rs.
Must never: decide about a call, guess at a setting, or let a float touch money.
Read `load.py` first, then `grammar.py`: every key of the file.
Tests: tests/config (tables of mistakes with their lines, and Hypothesis properties). Reference: docs/policy.md.
"""

from bridle.config.explain import Origin, Row, explain
from bridle.config.foresee import WorstCase, problems, worst_case
from bridle.config.grammar import json_schema
from bridle.config.load import Loaded, load_policy
from bridle.config.mismatch import mismatches
from bridle.config.mistake import BadPolicy, Mistake, Severity

__all__ = [
    "BadPolicy",
    "Loaded",
    "Mistake",
    "Origin",
    "Row",
    "Severity",
    "WorstCase",
    "explain",
    "json_schema",
    "load_policy",
    "mismatches",
    "problems",
    "worst_case",
]
