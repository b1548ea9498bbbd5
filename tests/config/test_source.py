"""Where a policy is read from, and what its reader is told when there is nothing to read."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridle.config import BadPolicy, load_policy


def said(source: Path | str) -> str:
    with pytest.raises(BadPolicy) as caught:
        load_policy(source)
    return str(caught.value)


def test_a_path_that_is_missing_is_a_mistake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = "does not exist; write one with `bridle init`, or give the right path"
    assert said("bridle.yaml") == said(Path("bridle.yaml")) == f"bridle.yaml: {sentence}"
    assert said("tools: {}") == f"tools: {{}}: {sentence}"


def test_what_is_no_file_is_a_mistake(tmp_path: Path) -> None:
    hint = "give the path of a file that this user may read"
    assert said(tmp_path) == f"{tmp_path}: cannot be read: Is a directory; {hint}"
    assert said("x" * 300) == f"{'x' * 300}: cannot be read: File name too long; {hint}"
    assert said("a\0b") == "a\\x00b: is not a path; give the path of a file"
    assert said("") == "policy: is an empty path; name a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.touch(mode=0o000)
    assert "cannot be read: Permission denied" in said(path)


def test_a_file_is_utf_8_and_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"\xef\xbb\xbfbudgets:\r\n  max_steps: 3\r\n")
    loaded = load_policy(path)
    assert loaded.policy.limits.max_steps == 3
    assert loaded.positions["budgets"] == f"{path}:1:1"
    path.write_bytes("budgets: {}\n# grün\n".encode("latin-1"))
    assert said(path) == f"{path}:2:5: is not UTF-8; save the file as UTF-8"
    path.write_bytes("budgets: {}\n".encode("utf-16"))
    assert said(path) == f"{path}:1:1: is not UTF-8; save the file as UTF-8"


def test_a_file_of_more_than_a_megabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"#" * 1_000_001)
    assert said(path) == f"{path}: is larger than 1,000,000 bytes; make it smaller"
    assert said("#\n" * 500_001) == "policy: is larger than 1,000,000 bytes; make it smaller"
    assert said("/dev/zero") == "/dev/zero: is larger than 1,000,000 bytes; make it smaller"


@given(st.binary(max_size=200))
def test_junk_bytes_raise_nothing_but_bad_policy(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.yaml"
    path.write_bytes(junk)
    with suppress(BadPolicy):
        load_policy(path)
