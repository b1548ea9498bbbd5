"""A command line in this process, in a folder of its own."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridle.cli.app import started


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Bridled = Callable[..., Done]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to stand in, without anything of this machine's own."""
    monkeypatch.chdir(tmp_path)
    for name in ("BRIDLE_STORE", "BRIDLE_HOME", "BRIDLE_DEBUG", "NO_COLOR", "USER", "LOGNAME"):
        monkeypatch.setenv(name, "")  # so that what a command sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("app", None)


@pytest.fixture
def bridle(here: Path, capsys: pytest.CaptureFixture[str]) -> Bridled:
    """`bridle("show", "last")`: one command, its exit code and what it said."""
    assert here.is_dir()

    def typed(*tokens: str) -> Done:
        capsys.readouterr()
        code = started(tokens)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return typed
