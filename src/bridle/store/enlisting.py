"""Opens a store for a worker: it is on the roll, and signs where a key is configured."""

from collections.abc import Callable
from pathlib import Path

from bridle.rules.names import Millis
from bridle.store.memory import MemoryStore
from bridle.store.sqlite import SqliteStore
from bridle.store.witness import witness_of


def enlisted(path: Path | None, now: Callable[[], Millis]) -> SqliteStore | MemoryStore:
    """The store in a file, or in memory. `now` is the house's clock. Raises StoreUnusable and BadKey."""
    if path is None:
        memory = MemoryStore()
        memory.enlist()
        return memory
    witness = witness_of(path, now)
    store = SqliteStore(path)
    store.enlist()
    if witness is not None:
        store.attend(witness)
    return store
