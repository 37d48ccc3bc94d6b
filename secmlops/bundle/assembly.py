"""Putting a bundle together, and signing it."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from secmlops.bundle.errors import MalformedBundle, TargetNotEmpty, VerdictMismatch
from secmlops.bundle.formats import check_content, parse_json_object
from secmlops.bundle.keys import KeySource, load_private_key
from secmlops.bundle.layout import (
    ALLOWED,
    REQUIRED,
    SIGNATURE,
    bytes_digest,
    check_names,
    digest_of,
    present_model_files,
    read_file,
    scan,
)
from secmlops.bundle.provenance import Provenance, statement
from secmlops.bundle.sbom import bill_of_materials
from secmlops.bundle.signature import make_signature
from secmlops.lifecycle.gate import Verdict


def assemble(model_dir: str | Path, out: str | Path, *, verdict: Verdict, provenance: Provenance) -> Path:
    """Make an unsigned bundle from a model folder.

    The model's files (`layout.MODEL_FILES`) are copied, anything else in the folder stays behind; `gate.json`,
    `provenance.json` and `sbom.json` are written. The folder appears complete or not at all. A failed verdict is
    written too, so that the bundle can be studied: nothing will load it.

    Args:
        model_dir: the model folder that was judged.
        out: the bundle's folder; it must not exist, or be empty.
        verdict: the gate's verdict about this very model.
        provenance: how the model came to be.

    Returns:
        The bundle's folder.

    Raises:
        MalformedBundle: a file is missing, or not what its name says.
        ForbiddenFile: a model file is a link, or is in truth a pickle or the like.
        VerdictMismatch: the verdict is about another model.
        TargetNotEmpty: `out` holds something.
    """
    source, target = Path(model_dir), Path(out)
    require_new(target)
    contents = {name: read_file(source, name) for name in present_model_files(source)}
    for name, data in contents.items():
        _check_content(source, name, data)
    digests = {name: bytes_digest(data) for name, data in contents.items()}
    digest = digest_of(digests)
    if verdict.model_digest != digest:
        raise VerdictMismatch(source, verdict.model_digest, digest)
    card = parse_json_object(contents["card.json"])
    contents["gate.json"] = verdict.model_dump_json(indent=2).encode()
    contents["provenance.json"] = _json(statement(provenance, digests))
    contents["sbom.json"] = _json(bill_of_materials(card, provenance, digests, digest))
    _write_folder(target, contents)
    return target


def sign(bundle: str | Path, key: KeySource) -> Path:
    """Sign every file of a bundle; `model.sig` is written last, in one step (MITRE ATLAS AML.M0013).

    What the files say is not judged here but by `verify`: a bundle with a failed verdict can be signed for study.

    Args:
        bundle: the bundle's folder, as `assemble` made it.
        key: path of a PEM private key, `env:NAME`, or PEM text.

    Returns:
        The path of the signature.

    Raises:
        MissingKey: the key is not where it was said to be.
        InvalidKey: it is no ECDSA private key in PEM.
        MalformedBundle: files are missing, or some do not belong in a bundle.
        ForbiddenFile: something no bundle may hold.
    """
    private_key = load_private_key(key)
    listing = scan(bundle)
    names = [name for name in listing.sizes if name != SIGNATURE]
    check_names(bundle, names, list(REQUIRED))
    strangers = sorted(set(names) - set(ALLOWED))
    if strangers:
        raise MalformedBundle(bundle, f"holds what no bundle has: {', '.join(strangers)}")
    target = listing.folder / SIGNATURE
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / SIGNATURE
        make_signature(listing.folder, private_key, made)
        _replace(target, made.read_bytes())
    return target


def require_new(out: str | Path) -> None:
    """Check that a bundle can be written to a folder, before the work that leads up to it.

    Raises:
        TargetNotEmpty: it exists, and is no empty folder.
    """
    target = Path(out)
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise TargetNotEmpty(target)


def _check_content(folder: Path, name: str, data: bytes) -> None:
    try:
        check_content(name, data)
    except ValueError as error:
        raise MalformedBundle(folder, f"{name!r} is not what its name says: {error}") from error


def _write_folder(target: Path, contents: dict[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        try:
            os.replace(folder, target)
        except OSError as error:
            raise TargetNotEmpty(target) from error


def _replace(target: Path, data: bytes) -> None:
    # In the bundle's own folder, so that the last step is a rename; a leftover would be refused as an added file.
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2, allow_nan=False).encode()
