"""The contract, held by every store there is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridle.store.base import Store
from bridle.store.memory import MemoryStore
from bridle.store.sqlite import SqliteStore
from tests.store.contract import StoreContract
from tests.store.families_contract import FamiliesContract
from tests.store.house_contract import HouseContract


class TestMemory(StoreContract, FamiliesContract, HouseContract):
    """In memory: dictionaries, and nothing is ever waited for."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore()
        store.crowd = 100
        yield store
        await store.close()


class TestFile(StoreContract, FamiliesContract, HouseContract):
    """In a file, for many runs: larger batches go through the writer's thread."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = SqliteStore(tmp_path / "bridle.db")
        store.crowd = 100
        yield store
        await store.close()


class TestFileAlone(StoreContract, FamiliesContract, HouseContract):
    """In a file, for one run: every transaction is committed at once."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = SqliteStore(tmp_path / "bridle.db")
        yield store
        await store.close()
