"""The SQL of the store in a file: one statement in one file, under one name."""

from collections.abc import Mapping
from importlib import resources


def _statements() -> Mapping[str, str]:
    """Every named statement; the comment on its first line says what it is for."""
    folder = resources.files("bridle.store") / "sql" / "sqlite"
    found = {}
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            found[file.name.removesuffix(".sql")] = file.read_text("utf-8").split("\n", 1)[1]
    return found


SQL = _statements()
