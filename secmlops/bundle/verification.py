"""Verifying and reading a bundle: the only way by which a model reaches a server.

The checks run in a fixed order, so the same fault always gives the same error:

1. the folder and what may be in it (`MalformedBundle`, `ForbiddenFile`)
2. there is a signature (`MissingSignature`)
3. by the trusted key (`UntrustedKey`)
4. over exactly these bytes (`SignatureInvalid`)
5. the files are what their names say (`MalformedBundle`)
6. the verdict passed (`GateNotPassed`)
7. and names this very model (`VerdictMismatch`)

There is no switch to skip one. MITRE ATLAS AML.M0011, AML.M0013, AML.M0014.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from secmlops.bundle.errors import (
    GateNotPassed,
    MalformedBundle,
    MissingSignature,
    SignatureInvalid,
    VerdictMismatch,
)
from secmlops.bundle.formats import check_content, parse_json_object
from secmlops.bundle.keys import KeySource, fingerprint, load_public_key
from secmlops.bundle.layout import (
    ALLOWED,
    MODEL_FILES,
    REQUIRED,
    SIGNATURE,
    bytes_digest,
    check_names,
    digest_of,
    read_file,
    scan,
)
from secmlops.bundle.signature import check_signature
from secmlops.lifecycle.gate import Verdict


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """What is known of a bundle that passed every check.

    Attributes:
        path: its folder.
        model_digest: the digest of its model, which the verdict names.
        verdict: the passed verdict.
        signed_by: SHA-256 (hex) of the trusted key.
        digests: `sha256:...` by file name, as signed.
    """

    path: Path
    model_digest: str
    verdict: Verdict
    signed_by: str
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, to read a model from.

    Bytes are hashed at the moment they are read and compared with what was signed, so a file that is swapped
    between verifying and reading is noticed.

    Attributes:
        verified: what was verified.
        card: the model card.
        preprocess: everything needed to turn a request into model input.
        provenance: the in-toto statement.
    """

    verified: VerifiedBundle
    card: dict[str, Any]
    preprocess: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def path(self) -> Path:
        """The bundle's folder."""
        return self.verified.path

    @property
    def verdict(self) -> Verdict:
        """The gate's verdict, which passed and names this model."""
        return self.verified.verdict

    @property
    def model_digest(self) -> str:
        """`sha256:...` of the model."""
        return self.verified.model_digest

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the signed files."""
        return tuple(self.verified.digests)

    def read_bytes(self, name: str) -> bytes:
        """Read a signed file.

        Raises:
            MalformedBundle: the bundle has no such file.
            SignatureInvalid: it is no longer what was signed.
        """
        if name not in self.verified.digests:
            raise MalformedBundle(self.path, f"has no file {name!r}")
        return _read_signed(self.path, name, self.verified.digests[name])

    def model_files(self) -> dict[str, bytes]:
        """All files of the model (`layout.MODEL_FILES`) by name, each as signed.

        Raises:
            SignatureInvalid: one is no longer what was signed.
        """
        return {name: self.read_bytes(name) for name in self.names if name in MODEL_FILES}


def verify(path: str | Path, trusted_key: KeySource) -> VerifiedBundle:
    """Check a bundle from its folder to its verdict, in the order of this module.

    Args:
        path: the bundle's folder.
        trusted_key: path of a PEM public key, `env:NAME`, or PEM text.

    Raises:
        MissingKey: the trusted key is not where it was said to be.
        InvalidKey: it is no ECDSA public key in PEM.
        BundleError: the first check that fails, by its own subclass.
    """
    return _verify(path, load_public_key(trusted_key))[0]


def load(path: str | Path, trusted_key: KeySource) -> Bundle:
    """Verify a bundle and open it for reading.

    Raises:
        SecmlopsError: as `verify`.
    """
    verified, records = _verify(path, load_public_key(trusted_key))
    return Bundle(
        verified=verified,
        card=parse_json_object(records["card.json"]),
        preprocess=parse_json_object(records["preprocess.json"]),
        provenance=parse_json_object(records["provenance.json"]),
    )


def _verify(path: str | Path, key: ec.EllipticCurvePublicKey) -> tuple[VerifiedBundle, dict[str, bytes]]:
    listing = scan(path)
    if SIGNATURE not in listing.sizes:
        raise MissingSignature(path)
    folder = listing.folder
    names = [name for name in listing.sizes if name != SIGNATURE]
    digests = check_signature(folder, read_file(folder, SIGNATURE), names, key)
    _check_allowed(folder, names)
    records = _check_contents(folder, digests)
    verdict = _verdict(folder, records["gate.json"])
    if not verdict.passed:
        raise GateNotPassed(folder, verdict.failures)
    found = digest_of(digests)
    if verdict.model_digest != found:
        raise VerdictMismatch(folder, verdict.model_digest, found)
    return VerifiedBundle(folder, found, verdict, fingerprint(key), MappingProxyType(dict(digests))), records


def _check_allowed(folder: Path, names: list[str]) -> None:
    check_names(folder, names, list(REQUIRED))
    strangers = sorted(set(names) - set(ALLOWED))
    if strangers:
        raise MalformedBundle(folder, f"holds what no bundle has: {', '.join(strangers)}")


def _check_contents(folder: Path, digests: Mapping[str, str]) -> dict[str, bytes]:
    """Check each file's content, holding one model file at a time in memory; returns the small records."""
    records = {}
    for name, digest in digests.items():
        data = _read_signed(folder, name, digest)
        try:
            check_content(name, data)
        except ValueError as error:
            raise MalformedBundle(folder, f"{name!r} is not what its name says: {error}") from error
        if name in REQUIRED:
            records[name] = data
    return records


def _read_signed(folder: Path, name: str, digest: str) -> bytes:
    data = read_file(folder, name)
    if bytes_digest(data) != digest:
        raise SignatureInvalid(folder, [f"{name!r} was changed"])
    return data


def _verdict(folder: Path, data: bytes) -> Verdict:
    try:
        return Verdict.model_validate_json(data)
    except ValidationError as error:
        raise MalformedBundle(folder, f"gate.json is no verdict: {error.error_count()} errors") from error
