"""Keys that sign checkpoints: Ed25519 in a PEM file, the public half beside it; needs the extra `audit`."""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from bridle.rules.failure import BridleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SUFFIX = ".audit-key"
PUBLIC = ".pub"
NAMED_BY = 16  # hex digits of SHA-256 over the raw public key
MOST_BYTES = 10_000
TOO_OPEN = 0o027  # of the rights of a private key: its group may read it, nobody else may, and only its owner writes


class BadKey(BridleError):
    """A key cannot be used; the message says which, why, and what to do."""


class Signer:
    """A private key. `key` is its name in checkpoints."""

    def __init__(self, private: "Ed25519PrivateKey") -> None:
        self._private = private
        self.key = name_of(private.public_key())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._private.sign(message)

    def checker(self) -> "Checker":
        """The public half, for who verifies."""
        return Checker(self._private.public_key())


class Checker:
    """A public key; called with a key's name, a message and a signature, it says what is wrong, or nothing."""

    def __init__(self, public: "Ed25519PublicKey") -> None:
        self._public = public
        self.key = name_of(public)

    def __call__(self, key: str, message: bytes, sig: bytes) -> str:
        from cryptography.exceptions import InvalidSignature

        if key != self.key:
            return f"was signed by the key {key[:NAMED_BY]}, not by {self.key}"
        try:
            self._public.verify(sig, message)
        except InvalidSignature:
            return "does not say what was signed"
        return ""


def name_of(public: "Ed25519PublicKey") -> str:
    """The name of a key: the beginning of a digest of its public half."""
    return sha256(public.public_bytes_raw()).hexdigest()[:NAMED_BY]


def key_of(store: Path | None, named: str | None) -> Path | None:
    """Which private key signs for a store: the one that is named, else one beside it; None when there is none."""
    if store is None:
        return None
    if named:
        return Path(named)
    beside = store.with_name(store.name + SUFFIX)
    return beside if beside.exists() else None


def public_of(path: Path) -> Path:
    """Where the public half of a key is."""
    return path.with_name(path.name + PUBLIC)


def signer(path: Path) -> Signer:
    """The private key in a file. Raises BadKey."""
    needs_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = _read(path)
    if path.stat().st_mode & TOO_OPEN:
        raise BadKey(f"{path}: others than its owner may use this key; `chmod 600 {path}`, or make a new one")
    if b"PUBLIC KEY" in pem:
        raise BadKey(f"{path}: this is the public half of a key; name the private one, without {PUBLIC}")
    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise BadKey(f"{path}: this key has a password, which nobody could type; make one with {MAKES}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(f"{path}: this is no private key in PEM; {MAKES} makes one") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise BadKey(f"{path}: a checkpoint is signed with Ed25519, and this is another kind of key; {MAKES} makes one")
    return Signer(private)


MAKES = "`bridle audit init-key`"


def checker(path: Path) -> Checker:
    """The public key in a file. Raises BadKey."""
    needs_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(f"{path}: this is no public key in PEM; {MAKES} writes one beside the private key") from error
    if not isinstance(public, Ed25519PublicKey):
        raise BadKey(f"{path}: a checkpoint is signed with Ed25519, and this is another kind of key")
    return Checker(public)


def make(path: Path) -> Signer:
    """Make a key: the private half for its owner alone, the public one beside it. Raises BadKey."""
    needs_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        _write_new(path, pem, 0o600)
        with suppress(FileNotFoundError):  # left over from a key that is gone
            public_of(path).unlink()
        _write_new(public_of(path), public, 0o644)
    except FileExistsError as error:
        raise BadKey(f"{path}: there is a key already; a new one would make its checkpoints unreadable") from error
    except OSError as error:
        raise BadKey(f"{path}: {error.strerror}; name another place with --key or BRIDLE_AUDIT_KEY") from error
    return Signer(private)


def needs_cryptography() -> None:
    """Raises BadKey where the extra is not installed."""
    try:
        import cryptography
    except ImportError as error:
        raise BadKey("signing checkpoints needs the extra `audit`: pip install 'bridle[audit]'") from error
    assert cryptography.__version__, "an installed package has a version"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as error:
        raise BadKey(
            f"{path}: {error.strerror}. Name the key with --key or BRIDLE_AUDIT_KEY; {MAKES} makes one."
        ) from error


def _write_new(path: Path, content: bytes, rights: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, rights)
    try:
        os.write(file, content)
        os.fsync(file)
    finally:
        os.close(file)
