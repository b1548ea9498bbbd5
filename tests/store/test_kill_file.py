"""The KILL file: being there is enough, and what cannot be read takes everything away."""

import os
from pathlib import Path

import pytest

from bridle.rules.policy import KillLevel
from bridle.rules.switch import HOUSE
from bridle.store.kill_file import places, switch_of
from bridle.store.sqlite import SqliteStore


@pytest.mark.parametrize(
    ("content", "level"),
    [
        (b"", "all"),
        (b"all", "all"),
        (b"writes", "writes"),
        (b"  Expensive\n", "expensive"),
        (b"egress\n", "egress"),
        (b"off", "all"),
        (b"writes please", "all"),
        (b"\xff\xfe", "all"),
        (b"writes" + b" " * 100_000 + b"x", "writes"),
        (b"\0" * 1_000, "all"),
    ],
)
def test_its_content_is_a_level_and_everything_else_means_all(tmp_path: Path, content: bytes, level: str) -> None:
    (tmp_path / "KILL").write_bytes(content)
    (switch,) = switch_of(places(tmp_path / "bridle.db"))
    assert (switch.level, switch.scope, switch.generation) == (KillLevel(level), HOUSE, 0)
    assert switch.by == f"the KILL file {tmp_path / 'KILL'}"


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def a_closed_file(path: Path) -> None:
    path.write_text("writes")
    path.chmod(0)


@pytest.mark.parametrize("made", [a_folder, a_pipe, a_link_to_nothing, a_link_to_itself])
def test_whatever_bears_its_name_is_one(tmp_path: Path, made: object) -> None:
    made(tmp_path / "KILL")  # type: ignore[operator]  # one of the functions above
    (switch,) = switch_of(places(tmp_path / "bridle.db"))
    assert switch.level is KillLevel.ALL


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads what is closed to others")
def test_one_that_may_not_be_read_takes_everything_away(tmp_path: Path) -> None:
    a_closed_file(tmp_path / "KILL")
    (switch,) = switch_of(places(tmp_path / "bridle.db"))
    assert switch.level is KillLevel.ALL


def test_one_that_cannot_even_be_looked_for_is_there(tmp_path: Path) -> None:
    too_long = str(tmp_path / ("x" * 5_000) / "KILL")
    (switch,) = switch_of((too_long,))
    assert switch.level is KillLevel.ALL


def test_it_is_looked_for_beside_the_store_and_in_the_home_of_bridle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, house = tmp_path / "home", tmp_path / "house"
    home.mkdir()
    monkeypatch.delenv("BRIDLE_HOME", raising=False)
    assert places(house / "s.db") == (str(house / "KILL"),)
    assert places(None) == ()
    monkeypatch.setenv("BRIDLE_HOME", str(home))
    assert places(house / "s.db") == (str(house / "KILL"), str(home / "KILL"))
    assert places(None) == (str(home / "KILL"),)
    monkeypatch.setenv("BRIDLE_HOME", str(house))
    assert places(house / "s.db") == (str(house / "KILL"),)


async def test_it_is_looked_at_in_every_transaction(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "bridle.db")

    async def levels() -> list[str]:
        return [switch.level.value for switch in await store.transact(lambda tx: tx.switches())]

    assert await levels() == []
    (tmp_path / "KILL").write_text("writes")
    assert await levels() == ["writes"]
    (tmp_path / "KILL").write_text("")
    assert await levels() == ["all"]
    (tmp_path / "KILL").unlink()
    assert await levels() == []
    await store.close()
