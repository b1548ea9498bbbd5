"""The bundled tools, declared in a house with one line each, under their own labels."""

from pathlib import Path
from typing import cast

from bridle.bridle import Bridle
from bridle.gateway.labels import Labels
from bridle.tools import files, http_get, kb


def documents(b: Bridle, folder: str | Path, index: str | Path | None = None) -> kb.Library:
    """Declare `kb.read` and `search.read` over a folder of Markdown and text; `index` keeps the index in a file."""
    library = kb.Library(Path(folder), Path(index) if index is not None else None)
    b.declare("kb.read", library.read, **cast(Labels, kb.LABELS["kb.read"]))
    b.declare("search.read", library.search, **cast(Labels, kb.LABELS["search.read"]))
    return library


def web(b: Bridle, *, https_only: bool = True) -> None:
    """Declare `http.get`."""
    b.declare("http.get", http_get.Fetcher(https_only=https_only).get, **cast(Labels, http_get.LABELS["http.get"]))


def folder(b: Bridle, root: str | Path) -> None:
    """Declare `files.read`, and `notes.write`, which is a write."""
    of = files.Folder(Path(root))
    b.declare("files.read", of.read, **cast(Labels, files.LABELS["files.read"]))
    b.declare("notes.write", of.write_note, **cast(Labels, files.LABELS["notes.write"]))
