"""The signature file `model.sig`: an OpenSSF model-signing signature over every other file of the bundle.

It is a Sigstore bundle around a DSSE envelope around an in-toto statement that lists each file with its SHA-256
(https://model-transparency.readthedocs.io, https://github.com/secure-systems-lab/dsse). Signing and verifying are
model-signing's. What is added here is strictness: one exact form of the file, so that no byte of it can change
unnoticed, and a sure answer to "another key, or changed content?".
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from secmlops.bundle.errors import SignatureInvalid, UntrustedKey
from secmlops.bundle.keys import fingerprint, in_memory_file, private_key_file, public_pem
from secmlops.bundle.layout import SIGNATURE

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"

_HASH_BY_CURVE: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
"""As model-signing pairs them."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parts of a signature file.

    Attributes:
        payload: the signed statement (JSON).
        signature: ECDSA signature over the DSSE encoding of the payload, DER.
        signed_by: SHA-256 (hex) of the signer's public key; a hint that is not itself signed.
    """

    payload: bytes
    signature: bytes
    signed_by: str


def make_signature(folder: Path, key: ec.EllipticCurvePrivateKey, signature_path: Path) -> None:
    """Sign all files of a folder but the signature itself."""
    from model_signing import signing

    with private_key_file(key) as key_path:
        config = signing.Config().use_elliptic_key_signer(private_key=key_path)
        config.set_hashing_config(_hashing()).sign(folder, signature_path)


def check_signature(folder: Path, data: bytes, names: list[str], key: ec.EllipticCurvePublicKey) -> Mapping[str, str]:
    """Check the bytes of a signature file against a key and a folder.

    Another key or changed content? A signature that the trusted key does not verify is from another key when it
    names another key, and is damaged when it names the trusted one. One that the trusted key does verify, but that
    names another, was tampered with.

    Args:
        folder: the bundle.
        data: the bytes of its `model.sig`.
        names: the names of all its other files.
        key: the trusted key.

    Returns:
        `sha256:...` by file name, as signed.

    Raises:
        UntrustedKey: signed with another key.
        SignatureInvalid: anything else that does not fit.
    """
    trusted = fingerprint(key)
    try:
        envelope = parse_envelope(data)
    except ValueError as error:
        raise SignatureInvalid(folder, [f"{SIGNATURE} is damaged: {error}"]) from error
    genuine = _is_signed_by(key, envelope)
    if not genuine and envelope.signed_by != trusted:
        raise UntrustedKey(folder, envelope.signed_by, trusted)
    if not genuine or envelope.signed_by != trusted:
        raise SignatureInvalid(folder, [f"{SIGNATURE} was changed after signing"])
    try:
        digests = signed_digests(envelope.payload)
    except ValueError as error:
        raise SignatureInvalid(folder, [f"{SIGNATURE} does not list files as it should: {error}"]) from error
    _compare_names(folder, set(names), set(digests))
    _check_with_model_signing(folder, data, key)
    return digests


def parse_envelope(data: bytes) -> Envelope:
    """Take a signature file apart, accepting only the one form that model-signing writes.

    Raises:
        ValueError: any other form; the message says why.
    """
    try:
        content = json.loads(data.decode("ascii"))
        hint = content["verificationMaterial"]["publicKey"]["hint"]
        payload = content["dsseEnvelope"]["payload"]
        signature = content["dsseEnvelope"]["signatures"][0]["sig"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise ValueError("not a model-signing signature made with a key") from None
    if not _is_sha256(hint):
        raise ValueError("the signer's key is not named by its SHA-256")
    expected = {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": payload,
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": signature, "keyid": ""}],
        },
    }
    if json.dumps(expected, separators=(",", ":")).encode() != data:
        raise ValueError("not in the form in which signatures are written")
    return Envelope(payload=_base64(payload), signature=_base64(signature), signed_by=hint)


def signed_digests(payload: bytes) -> dict[str, str]:
    """The files that a signed statement lists, as `sha256:...` by name.

    Raises:
        ValueError: another kind of statement, another hash, names that are paths, or names given twice.
    """
    try:
        return _listed(json.loads(payload))
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it lacks what a statement has") from None


def _listed(statement: dict[str, Any]) -> dict[str, str]:
    if statement.get("_type") != _STATEMENT_TYPE or statement.get("predicateType") != _PREDICATE_TYPE:
        raise ValueError("it is another kind of statement")
    found: dict[str, str] = {}
    for resource in statement["predicate"]["resources"]:
        name, digest = resource["name"], resource["digest"]
        if resource["algorithm"] != "sha256" or not _is_sha256(digest):
            raise ValueError("a file is not named by its SHA-256")
        if name in found or name in ("", ".", "..") or "/" in name:
            raise ValueError("a file is listed twice or lies in a folder")
        found[name] = f"sha256:{digest}"
    return found


def _compare_names(folder: Path, present: set[str], signed: set[str]) -> None:
    problems = [f"{name!r} is missing" for name in sorted(signed - present)]
    problems += [f"{name!r} was added" for name in sorted(present - signed)]
    if problems:
        raise SignatureInvalid(folder, problems)


def _check_with_model_signing(folder: Path, data: bytes, key: ec.EllipticCurvePublicKey) -> None:
    from model_signing import verifying

    with in_memory_file(public_pem(key)) as key_path, in_memory_file(data) as signature_path:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key_path)
        try:
            config.set_hashing_config(_hashing()).verify(folder, signature_path)
        except Exception as error:  # the library raises many kinds; whatever it is, the bundle is not verified
            raise SignatureInvalid(folder, [_first_line(error)]) from error


def _hashing() -> Any:
    from model_signing import hashing

    config = hashing.Config().use_file_serialization(hashing_algorithm="sha256", allow_symlinks=False)
    # Files of git are ignored by default; here every file counts.
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _is_signed_by(key: ec.EllipticCurvePublicKey, envelope: Envelope) -> bool:
    # DSSE pre-authentication encoding: type and payload, each with its length.
    head = f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(envelope.payload)} "
    try:
        key.verify(envelope.signature, head.encode() + envelope.payload, ec.ECDSA(_HASH_BY_CURVE[key.curve.name]))
    except InvalidSignature:
        return False
    return True


def _base64(text: object) -> bytes:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        raise ValueError("broken base64") from None
    if not data or base64.b64encode(data).decode() != text:
        raise ValueError("broken base64")
    return data


def _is_sha256(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
