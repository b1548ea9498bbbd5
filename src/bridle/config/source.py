"""Fetches the text of a policy from a file, a text or a mapping, within bounds."""

import json
from collections.abc import Mapping
from pathlib import Path

from bridle.config.mistake import BadPolicy, Mistake, printable
from bridle.config.tree import Tree, read_mapping
from bridle.config.yaml_tree import read_yaml

MOST_BYTES = 1_000_000
MOST_PATH = 4_096  # characters
NAME = "policy"  # what a policy without a file is called in messages

Source = Path | str | Mapping[str, object] | None


def read(source: Source) -> tuple[Tree, str]:
    """A policy as a tree, and its text. Raises BadPolicy when there is no text to read.

    A str without a line break is a path. The text of a mapping is its JSON, that of None is empty.
    """
    match source:
        case None:
            return Tree(NAME, {}), ""
        case Path():
            return _from_file(source)
        case str() if "\n" not in source:
            if not source:
                raise _unreadable(NAME, "is an empty path", "name a file")
            return _from_file(Path(source))
        case str():
            return _from_text(source)
        case Mapping():
            tree = read_mapping(source, NAME)
            return tree, "" if tree.found else json.dumps(tree.value, indent=2, ensure_ascii=False, default=str) + "\n"


def _from_file(path: Path) -> tuple[Tree, str]:
    name = printable(str(path), MOST_PATH)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(name, "does not exist", "write one with `bridle init`, or give the right path") from None
    except OSError as error:
        hint = "give the path of a file that this user may read"
        raise _unreadable(name, f"cannot be read: {error.strerror}", hint) from None
    except ValueError:  # a path with a NUL or a lone surrogate in it
        raise _unreadable(name, "is not a path", "give the path of a file") from None
    if len(data) > MOST_BYTES:
        raise _too_large(name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise _unreadable(f"{name}:{line}:{column}", "is not UTF-8", "save the file as UTF-8") from None
    return read_yaml(text, name), text


def _from_text(text: str) -> tuple[Tree, str]:
    if len(text) > MOST_BYTES:
        raise _too_large(NAME)
    return read_yaml(text.removeprefix("\ufeff"), NAME), text


def _too_large(where: str) -> BadPolicy:
    return _unreadable(where, f"is larger than {MOST_BYTES:,} bytes", "make it smaller")


def _unreadable(where: str, message: str, hint: str) -> BadPolicy:
    return BadPolicy([Mistake(where, "", message, hint)])
