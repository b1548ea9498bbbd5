"""Keys that sign checkpoints: made once, for their owner alone; a sentence for every one that cannot be used."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from bridle.store.signing import BadKey, checker, key_of, make, public_of, signer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit-key"


def test_a_key_signs_and_its_public_half_checks(path: Path) -> None:
    made = make(path)
    assert (oct(path.stat().st_mode & 0o777), oct(public_of(path).stat().st_mode & 0o777)) == ("0o600", "0o644")
    sig = signer(path).sign(b"so it was")
    check = checker(public_of(path))
    assert check(made.key, b"so it was", sig) == ""
    assert check(made.key, b"so it is", sig) == "does not say what was signed"
    assert check(made.key, b"so it was", sig[:-1]) == "does not say what was signed"
    assert "was signed by the key 0123, not by" in check("0123", b"so it was", sig)
    assert made.checker()(made.key, b"so it was", sig) == ""


def test_a_key_is_not_made_twice(path: Path) -> None:
    make(path)
    before = path.read_bytes()
    with pytest.raises(BadKey, match="there is a key already"):
        make(path)
    assert path.read_bytes() == before


def test_a_place_where_no_key_can_be_written_is_a_sentence() -> None:
    with pytest.raises(BadKey, match="name another place with --key or BRIDLE_AUDIT_KEY"):
        make(Path("/proc/audit-key"))


def missing(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def open_to_all(path: Path) -> None:
    path.chmod(0o644)


def garbage(path: Path) -> None:
    path.write_bytes(b"\x00\xff" * 50)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def the_public_half(path: Path) -> None:
    path.write_bytes(public_of(path).read_bytes())


def of_another_kind(path: Path) -> None:
    key = rsa.generate_private_key(65_537, 2_048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def with_a_password(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (missing, "No such file or directory. Name the key with --key or BRIDLE_AUDIT_KEY"),
        (a_folder, "Is a directory"),
        (open_to_all, "others than its owner may use this key; `chmod 600 "),
        (garbage, "this is no private key in PEM; `bridle audit init-key` makes one"),
        (empty, "this is no private key in PEM"),
        (the_public_half, "this is the public half of a key; name the private one"),
        (of_another_kind, "a checkpoint is signed with Ed25519, and this is another kind of key"),
        (with_a_password, "this key has a password, which nobody could type"),
    ],
)
def test_a_key_that_cannot_be_used_is_a_sentence(path: Path, spoil: Callable[[Path], None], sentence: str) -> None:
    make(path)
    spoil(path)
    with pytest.raises(BadKey) as raised:
        signer(path)
    assert sentence in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_public_key_that_is_none_is_a_sentence(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BadKey, match="this is no public key in PEM"):
        checker(path)


def test_without_the_extra_there_is_a_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(path)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(BadKey, match=r"pip install 'bridle\[audit\]'"):
        signer(path)


def test_the_key_that_is_named_comes_before_the_one_beside_the_store(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    assert key_of(store, None) is None
    make(tmp_path / "s.db.audit-key")
    assert key_of(store, None) == tmp_path / "s.db.audit-key"
    assert key_of(store, "/run/key") == Path("/run/key")
    assert key_of(None, "/run/key") is None, "a store in memory ends with its process"
