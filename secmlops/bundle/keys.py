"""Signing keys: ECDSA key pairs in PEM, from a file or from the environment.

A key is named by a `KeySource`:
- a path to a PEM file,
- `env:NAME`, an environment variable that holds PEM text or a path,
- PEM text itself (it starts with `-----BEGIN`).
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from secmlops.bundle.errors import InvalidKey, KeyExists, MissingKey

KeySource = str | Path

MAX_KEY_BYTES = 64 * 1024
CURVES = ("secp256r1", "secp384r1", "secp521r1")

_PEM = "-----BEGIN"
_ENV = "env:"


def keygen(prefix: str | Path) -> tuple[Path, Path]:
    """Make an ECDSA P-256 key pair: PREFIX, the private key with mode 0600, and PREFIX.pub.

    Returns:
        The paths of the private and the public key.

    Raises:
        KeyExists: either file exists; nothing is written.
    """
    private_path, public_path = Path(prefix), Path(f"{prefix}.pub")
    for path in (private_path, public_path):
        if os.path.lexists(path):
            raise KeyExists(path)
    private_path.parent.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    _write_new(private_path, _private_pem(key), 0o600)
    try:
        _write_new(public_path, public_pem(key.public_key()), 0o644)
    except BaseException:
        private_path.unlink(missing_ok=True)
        raise
    return private_path, public_path


def load_private_key(source: KeySource) -> ec.EllipticCurvePrivateKey:
    """Read a private key.

    Raises:
        MissingKey: no such file, or the environment variable is not set.
        InvalidKey: not an unencrypted PEM private key on one of `CURVES`.
    """
    name, data = _read(source)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        raise InvalidKey(name, "it is encrypted, and no password can be given here") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidKey(name, "it is no PEM private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise InvalidKey(name, "it is not on curve P-256, P-384 or P-521")
    return key


def load_public_key(source: KeySource) -> ec.EllipticCurvePublicKey:
    """Read a public key.

    Raises:
        MissingKey: no such file, or the environment variable is not set.
        InvalidKey: not a PEM public key on one of `CURVES`; a private key is refused, it has no place there.
    """
    name, data = _read(source)
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidKey(name, "it is no PEM public key (PREFIX.pub)") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise InvalidKey(name, "it is not on curve P-256, P-384 or P-521")
    return key


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """The key as PEM SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 (hex) of the PEM form: what a signature names as its signer."""
    return hashlib.sha256(public_pem(key)).hexdigest()


@contextmanager
def private_key_file(key: ec.EllipticCurvePrivateKey) -> Iterator[Path]:
    """The key as a file for as long as the block runs; in memory only where the system can (Linux)."""
    with in_memory_file(_private_pem(key)) as path:
        yield path


@contextmanager
def in_memory_file(data: bytes) -> Iterator[Path]:
    """A path that reads as these bytes, for libraries that take paths only.

    On Linux nothing touches a disk, so it works on read-only file systems and leaves no secret behind; elsewhere
    it is a file that only this user can read, removed at the end.
    """
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data"
            _write_new(path, data, 0o600)
            yield path
        return
    with open(os.memfd_create("secmlops"), "wb") as file:
        file.write(data)
        file.flush()
        yield Path(f"/proc/self/fd/{file.fileno()}")


def _read(source: KeySource) -> tuple[str, bytes]:
    if isinstance(source, str) and source.startswith(_ENV):
        variable = source.removeprefix(_ENV)
        value = os.environ.get(variable, "").strip()
        if not value:
            raise MissingKey(source, f"set the environment variable {variable} to a PEM key or the path of one")
        return (source, value.encode()) if value.startswith(_PEM) else (f"{source} ({value})", _read_file(value))
    if isinstance(source, str) and source.lstrip().startswith(_PEM):
        return "<PEM text>", source.encode()
    return str(source), _read_file(source)


def _read_file(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_KEY_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise MissingKey(str(path), f"{reason}; make a pair with `secmlops keygen`") from error


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
    except FileExistsError:
        raise KeyExists(path) from None
    with open(descriptor, "wb") as file:
        file.write(data)
