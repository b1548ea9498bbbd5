"""The story of a run, as people and programs read it."""

import json
import unicodedata
from pathlib import Path

import pytest

from tests.cli.conftest import Bridled
from tests.cli.house import FLOWS, House, broken, busy, greedy

BUSY = ""


def test_the_story_of_a_busy_run(bridle: Bridled, here: Path) -> None:
    House(here / "s.db").run(busy())
    done = bridle("show", "--store", "s.db")
    print(done.out)
    assert 0
