"""Fetches the text of a policy from a file, a text or a mapping, within bounds."""

import json
from collections.abc import Mapping
from pathlib import Path

from bridle.config.mistake import BadPolicy, Mistake
from bridle.config.tree import Tree, read_mapping
from bridle.config.yaml_tree import read_yaml

MOST_BYTES = 1_000_000
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
            return _from_file(Path(source)) if source else _refuse(NAME, "is an empty path", "name a file")
        case str():
            return _from_text(source, NAME)
        case Mapping():
            tree = read_mapping(source, NAME)
            return tree, "" if tree.found else json.dumps(tree.value, indent=2, ensure_ascii=False, default=str) + "\n"


def _from_file(path: Path) -> tuple[Tree, str]:
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return _refuse(name, "does not exist", "write one with `bridle init`, or give the right path")
    except OSError as error:
        return _refuse(name, f"cannot be read: {error.strerror}", "give the path of a file that this user may read")
    except ValueError:  # a path with a NUL in it
        return _refuse(name.replace("\0", "\\0"), "is not a path", "give the path of a file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) <= MOST_BYTES:
            before = data[: error.start]
            where = f"{name}:{before.count(b'\n') + 1}:{len(before) - before.rfind(b'\n')}"
            return _refuse(where, "is not UTF-8", "save the file as UTF-8")
        text = ""
    if len(data) > MOST_BYTES:
        return _refuse(name, f"is larger than {MOST_BYTES:,} bytes", "make it smaller")
    return read_yaml(text, name), text


def _from_text(text: str, name: str) -> tuple[Tree, str]:
    if len(text) > MOST_BYTES:
        return _refuse(name, f"is larger than {MOST_BYTES:,} bytes", "make it smaller")
    return read_yaml(text.removeprefix("\ufeff"), name), text


def _refuse(where: str, message: str, hint: str) -> tuple[Tree, str]:
    raise BadPolicy([Mistake(where, "", message, hint)])
