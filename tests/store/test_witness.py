"""Checkpoints: when one is due, what it holds, and what becomes of a file that breaks or cannot be written."""

import json
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridle.store import sinks
from bridle.store import witness as witnessing
from bridle.store.checkpoint import Checkpoint, Series, read_series
from bridle.store.enlisting import enlisted
from bridle.store.memory import MemoryStore
from bridle.store.signing import BadKey, Signer, make
from bridle.store.sinks import FileSink, StdoutSink, SyslogSink, file_of, others
from bridle.store.sqlite import SqliteStore
from bridle.store.witness import witness_with
from tests.store.house_contract import turned
from tests.store.tampering import Clock, work_of

MINUTE = 60_000


class House:
    """A store whose worker signs, by a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.signer: Signer = make(folder / "key")
        self.sink = FileSink(folder / "lines")
        self.store = SqliteStore(folder / "s.db")
        self.store.attend(witness_with(self.signer, self.sink, (), self.clock.now))

    async def reopened(self) -> None:
        await self.store.close()
        self.store = SqliteStore(self.folder / "s.db")
        self.store.attend(witness_with(self.signer, self.sink, (), self.clock.now))

    def later(self, ms: int) -> None:
        self.clock.at += ms
        self.store.tick()

    @property
    def series(self) -> Series:
        return read_series(self.sink.path.read_bytes(), self.signer.checker())

    @property
    def lines(self) -> tuple[Checkpoint, ...]:
        assert self.series.broken is None
        return self.series.checkpoints


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    await made.store.close()


# When


async def test_the_first_is_signed_when_the_house_opens(house: House) -> None:
    assert [(line.n, line.before, line.house) for line in house.lines] == [(1, "", house.store.house())]


async def test_what_moved_is_signed_within_a_minute(house: House) -> None:
    await house.store.transact(work_of("r1", 2, stop=False))
    house.later(MINUTE - 1)
    assert len(house.lines) == 1
    house.later(1)
    state = house.store.recorded(next(iter(house.lines[-1].heads or ())))
    assert [(run, head.seq, head.hash) for run, head in (house.lines[-1].heads or {}).items()] == [
        ("r1", state.state.seq, state.head)
    ]


async def test_a_house_that_rests_writes_nothing(house: House) -> None:
    for _ in range(1_000):
        house.later(MINUTE)
    assert len(house.lines) == 1


async def test_a_thousand_events_are_not_waited_for(house: House) -> None:
    for number in range(110):  # 20 events each
        await house.store.transact(work_of(f"r{number}", 9, stop=True))
    assert len(house.lines) == 3
    assert house.lines[1].house.seq == 50


def beside(house: House) -> SqliteStore:
    """Another worker on the same store, which signs into the same file with a sink of its own."""
    store = SqliteStore(house.folder / "s.db")
    store.attend(witness_with(house.signer, FileSink(house.folder / "lines"), (), house.clock.now))
    return store


async def test_what_another_process_wrote_is_signed_too(house: House) -> None:
    other = SqliteStore(house.folder / "s.db")
    await other.transact(turned("writes"))
    await other.transact(work_of("r1", 1, stop=False))
    house.later(MINUTE)
    assert house.lines[-1].house == house.store.house()
    assert list(house.lines[-1].heads or {}) == ["r1"]
    await other.close()


async def test_workers_sign_one_series_and_one_of_them_signs_a_minute_for_all(house: House) -> None:
    other = beside(house)
    for number in range(5):
        await other.transact(work_of(f"o{number}", 1, stop=False))
        await house.store.transact(work_of(f"h{number}", 1, stop=False))
        house.clock.at += MINUTE
        for store in (other, house.store) if number % 2 else (house.store, other):
            store.tick()
    assert [line.n for line in house.lines] == [*range(1, 8)]
    assert {run for line in house.lines for run in line.heads or {}} == {f"{who}{n}" for who in "oh" for n in range(5)}
    await other.close()


async def test_workers_that_sign_at_the_same_moment_keep_the_series_whole(house: House) -> None:
    others = [beside(house) for _ in range(4)]
    witnesses = [store.witness for store in (house.store, *others)]
    with ThreadPoolExecutor(len(witnesses)) as threads:
        for _ in range(20):
            for done in [threads.submit(one.saw, 1_000, lambda: (house.store.house(), {})) for one in witnesses if one]:
                done.result()
    assert len(house.lines) == 5 + 100
    for store in others:
        await store.close()


async def test_a_file_that_another_process_holds_on_to_stops_nothing(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "PATIENCE", 0.01)
    await house.store.transact(turned("writes"))
    with FileSink(house.sink.path).alone():
        house.later(MINUTE)
    assert f"checkpoint_failed {house.sink.path}: another process holds it" in caplog.text
    house.later(MINUTE)
    assert len(house.lines) == 2


async def test_what_is_left_is_signed_when_the_house_closes(house: House) -> None:
    await house.store.transact(work_of("r1", 2, stop=True))
    end = house.store.house()
    await house.store.close()
    assert house.lines[-1].house == end


async def test_a_run_that_stays_open_is_signed_again_after_a_restart_and_the_series_goes_on(house: House) -> None:
    await house.store.transact(work_of("r1", 2, stop=False))
    await house.reopened()
    assert [line.n for line in house.lines] == [1, 2, 3]
    assert house.lines[1].heads == house.lines[2].heads != {}


async def test_more_open_runs_than_one_line_takes_go_into_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnessing, "MOST_HEADS", 10)
    for number in range(25):
        await house.store.transact(work_of(f"r{number}", 1, stop=False))
    house.later(MINUTE)
    assert [len(line.heads or {}) for line in house.lines] == [0, 10, 10, 5]


# What is wrong with a file


async def filled(house: House, count: int) -> list[bytes]:
    for number in range(count):
        await house.store.transact(work_of(f"r{number}", 1, stop=number % 2 == 0))
        house.later(MINUTE)
    return house.sink.path.read_bytes().splitlines(keepends=True)


def said(series: Series) -> list[tuple[bytes, object]]:
    """What the lines say; an empty list of heads under another name is the same as none."""
    return [(line.signed(), line.heads or None) for line in series.checkpoints]


async def test_every_change_of_a_line_is_found(house: House) -> None:
    lines = await filled(house, 5)
    whole, before = b"".join(lines), said(house.series)
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        found = read_series(bytes(changed), house.signer.checker())
        is_last = place >= len(whole) - len(lines[-1])
        assert found.broken is not None or said(found) == before or (is_last and found.torn), place


async def test_a_line_that_is_missing_or_moved_is_found(house: House) -> None:
    lines = await filled(house, 5)
    for at in range(len(lines) - 1):
        for changed in ([*lines[:at], *lines[at + 1 :]], [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]):
            series = read_series(b"".join(changed), house.signer.checker())
            assert series.broken is not None
            assert series.broken.what == f"checkpoint {at + 1} is missing: {at + 2} stands in its place"


async def test_a_forged_series_of_another_key_is_found(house: House, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    house.signer = other
    assert house.series.broken is not None
    assert "was signed by the key" in house.series.broken.what


@pytest.mark.parametrize("left", [1, 40, -2])
async def test_half_a_line_that_a_crash_left_is_ended_and_the_series_goes_on(house: House, left: int) -> None:
    lines = await filled(house, 3)
    await house.store.close()
    house.sink.path.write_bytes(b"".join(lines[:-1]) + lines[-1][:left])
    await house.reopened()
    assert house.series.torn == 1
    assert [line.n for line in house.lines] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "line",
    [b"[]", b"7", b"null", b"{}", b'{"n":"x"}', b"[" * 5_000, b"\xff", b'{"heads":7}', b"9" * 5_000, b'{"n":1e999}'],
)
async def test_hostile_lines_are_torn_lines(house: House, line: bytes) -> None:
    whole = house.sink.path.read_bytes()
    found = read_series(line + b"\n" + whole, house.signer.checker())
    assert (found.torn, found.broken, len(found.checkpoints)) == (1, None, 1)


async def test_the_short_line_is_signed_as_well(house: House) -> None:
    await filled(house, 3)
    short = "\n".join(line.line(short=True) for line in house.lines) + "\n"
    strict = read_series(short.encode(), house.signer.checker())
    assert strict.broken is not None
    assert strict.broken.what == "checkpoint 3 is without the heads of runs that were signed"
    found = read_series(short.encode(), house.signer.checker(), short=True)
    assert (found.broken, [line.heads for line in found.checkpoints]) == (None, [None] * 4)
    assert all(len(line) < 700 for line in short.splitlines())


# What cannot be written


async def test_a_file_that_cannot_be_written_stops_nothing_and_is_tried_again(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(sink: FileSink, checkpoint: Checkpoint) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk, caplog.at_level(logging.ERROR, "bridle"):
        disk.setattr(FileSink, "take", full)
        for number in range(60):
            await house.store.transact(work_of(f"r{number}", 9, stop=number % 2 == 0))
        house.later(MINUTE)
    assert [record.message for record in caplog.records] == [
        f"checkpoint_failed {house.sink.path}: No space left on device"
    ] * 2
    house.later(MINUTE)
    assert len(house.lines) == 2
    assert len(house.lines[-1].heads or {}) == 30


async def test_a_file_of_another_key_is_not_gone_on_with(house: House, tmp_path: Path) -> None:
    with pytest.raises(BadKey, match=r"were signed by the key .* move the file away"):
        witness_with(make(tmp_path / "other"), house.sink, (), house.clock.now)


def test_a_file_of_checkpoints_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    with pytest.raises(BadKey, match="name another file for checkpoints in BRIDLE_AUDIT_TO"):
        witness_with(make(tmp_path / "key"), FileSink(tmp_path / "lines"), (), Clock().now)


# Where to


def test_words_and_paths_say_where_checkpoints_go(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    assert file_of(store, None).path == tmp_path / "s.db.checkpoints"
    assert file_of(store, "stdout, /var/log/x").path == Path("/var/log/x")
    assert [type(sink) for sink in others("stdout,syslog,/var/log/x")] == [StdoutSink, SyslogSink]
    assert others("") == []


async def test_standard_output_gets_the_short_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = list[str]()
    monkeypatch.setattr("syslog.syslog", lambda priority, line: said.append(line))
    monkeypatch.setenv("BRIDLE_AUDIT_TO", "stdout,syslog")
    make(tmp_path / "s.db.audit-key")
    store = enlisted(tmp_path / "s.db", Clock().now)
    await store.close()
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["n"], "heads" in json.loads(line), said) == (1, False, [f"bridle {line}"])
    assert (tmp_path / "s.db.checkpoints").stat().st_mode & 0o777 == 0o640


async def test_a_key_that_cannot_be_used_leaves_the_store_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDLE_AUDIT_KEY", str(tmp_path / "nowhere"))
    with pytest.raises(BadKey, match="nowhere: No such file"):
        enlisted(tmp_path / "s.db", Clock().now)
    assert not (tmp_path / "s.db").exists()
    monkeypatch.delenv("BRIDLE_AUDIT_KEY")
    await enlisted(tmp_path / "s.db", Clock().now).close()


async def test_a_store_in_memory_is_not_signed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRIDLE_AUDIT_KEY", str(tmp_path / "nowhere"))
    store = enlisted(None, Clock().now)
    assert isinstance(store, MemoryStore)
    await store.close()
