"""Opens a store for the process that owns it: that one alone writes, and signs where a key is configured."""

from collections.abc import Callable
from pathlib import Path

from bridle.rules.names import Millis
from bridle.store.sqlite import SqliteStore
from bridle.store.witness import witness_of


def own(path: Path | None, now: Callable[[], Millis]) -> SqliteStore:
    """The store in a file, or in memory. `now` is the house's clock. Raises StoreUnusable, StoreBusy and BadKey."""
    witness = witness_of(path, now)
    store = SqliteStore(path)
    if witness is not None:
        store.attend(witness)
    return store
