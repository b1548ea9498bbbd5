"""Two kills in a row: at any commit of a run and at any commit of its recovery; `make crash` tries every pair."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.runs import crashing_parent, dying_writes
from tests.runs import test_dying_parents as parents
from tests.runs import test_dying_writes as writes
from tests.runs.lives import lived

SAMPLE = 6  # pairs of each story in `make test`
COMMITS_OF_A_WRITE = range(1, 15)
COMMITS_OF_A_QUESTION = range(1, 25)  # asked, suspended, answered and taken up again, before the write
MOMENTS_OF_A_QUESTION = ("before effect", "after effect", *map(str, COMMITS_OF_A_QUESTION))
OF_WRITES = [
    (kind, first, second) for kind in writes.KINDS for first in writes.MOMENTS for second in COMMITS_OF_A_WRITE
] + [
    (dying_writes.SEEN + kind, first, second)
    for kind in writes.KINDS
    for first in MOMENTS_OF_A_QUESTION
    for second in COMMITS_OF_A_QUESTION
]  # fmt: skip
OF_PARENTS = [(first, second) for first in range(1, parents.MOST) for second in range(1, parents.MOST)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The same sample in every worker: drawn from the seed that the tests print."""
    known: list[tuple[object, ...]] = [*(OF_WRITES if "kind" in metafunc.fixturenames else OF_PARENTS)]
    names = ("kind", "first", "second") if "kind" in metafunc.fixturenames else ("first", "second")
    if os.environ.get("CRASH_PAIRS") != "all":
        seed = str(getattr(metafunc.config.option, "randomly_seed", 0))
        known = random.Random(f"{seed} {metafunc.function.__name__}").sample(known, SAMPLE)
    metafunc.parametrize(names, known)


async def test_a_write_takes_effect_once_through_two_kills(
    tmp_path: Path, kind: str, first: str, second: int
) -> None:  # fmt: skip
    store, world = tmp_path / "a.db", tmp_path / "a.txt"
    for dies in (first, str(second)):
        await asyncio.to_thread(lived, dying_writes.life, store, world, kind, dies)
    result, status, admitted = await writes.resumed(store, world, kind)
    writes.held(world, kind, result, status, f"{kind}, killed at {first} and at {second}")
    assert admitted <= 4


async def test_a_run_with_children_ends_once_through_two_kills(tmp_path: Path, first: int, second: int) -> None:
    store, world = tmp_path / "a.db", tmp_path / "a.txt"
    world.touch()
    kills = 0
    for number in (first, second):
        kills += not await asyncio.to_thread(lived, crashing_parent.life, store, world, number)
    result = await parents.resumed(store, world)
    assert (result.status, result.answer) == ("ok", [parents.ANSWER, parents.ANSWER])
    await parents.add_up(store, result.run_id)
    again = len(world.read_text().split("\n")[:-1]) - 7
    assert 0 <= again <= kills  # at most the calls that were in flight
