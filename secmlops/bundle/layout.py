"""Which files a bundle is made of, and the folder they lie in.

A bundle is one flat folder. What may be in it is listed here; a link, a folder, a device, or a file in a format
that can run code is refused before anything else is looked at.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from secmlops.bundle.errors import ForbiddenFile, MalformedBundle
from secmlops.bundle.formats import HEAD_BYTES, forbidden_format

WEIGHT_FILES: Final = ("model.onnx", "weights.safetensors")
"""The model itself: at least one of these. Where both are there, they are one network in two forms."""

MODEL_FILES: Final = (*WEIGHT_FILES, "card.json", "preprocess.json", "tokenizer.json")
"""What a model folder may hand to a bundle; the digest of a model is taken over those that are there."""

RECORD_FILES: Final = ("gate.json", "provenance.json", "sbom.json")
"""What a bundle adds to the model."""

SIGNATURE: Final = "model.sig"

REQUIRED: Final = ("card.json", "preprocess.json", *RECORD_FILES)
ALLOWED: Final = (*MODEL_FILES, *RECORD_FILES, SIGNATURE)

MAX_ENTRIES: Final = 64
MAX_JSON_BYTES: Final = 64 * 1024**2
MAX_MODEL_BYTES: Final = 8 * 1024**3
MAX_SIGNATURE_BYTES: Final = 1024**2

_CHUNK_BYTES = 1024**2
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder whose entries are all plain files of no forbidden format.

    Attributes:
        folder: the folder, links in its own path resolved.
        sizes: length in bytes by file name.
    """

    folder: Path
    sizes: Mapping[str, int]


def scan(path: str | Path) -> Listing:
    """List a folder, refusing what no bundle may hold. The folder itself may be reached by a link.

    Raises:
        MalformedBundle: not a folder, more than `MAX_ENTRIES` entries, or a file larger than its limit.
        ForbiddenFile: a link, folder or device, or a format that can run code, whatever its name.
    """
    folder = _folder(path)
    sizes: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(sizes) >= MAX_ENTRIES:
                raise MalformedBundle(path, f"holds more than {MAX_ENTRIES} files")
            if not entry.is_file(follow_symlinks=False):
                raise ForbiddenFile(path, entry.name, "it is a link, a folder or a device")
            sizes[entry.name] = check_file(folder, entry.name)
    return Listing(folder, dict(sorted(sizes.items())))


def check_file(folder: Path, name: str) -> int:
    """Check one file from outside: plain, within its size, no forbidden format; returns its size in bytes.

    Raises:
        ForbiddenFile: it is no plain file, or of a forbidden format.
        MalformedBundle: it is larger than its limit.
    """
    size, head = _open_and_read(folder, name, HEAD_BYTES)
    reason = forbidden_format(name, head, size)
    if reason:
        raise ForbiddenFile(folder, name, reason)
    if size > size_limit(name):
        raise MalformedBundle(folder, f"{name!r} is larger than {size_limit(name):,} bytes")
    return size


def size_limit(name: str) -> int:
    """The largest allowed size of a file, in bytes."""
    if name in WEIGHT_FILES:
        return MAX_MODEL_BYTES
    return MAX_SIGNATURE_BYTES if name == SIGNATURE else MAX_JSON_BYTES


def read_file(folder: Path, name: str) -> bytes:
    """Read a whole file of a folder without following links.

    Raises:
        ForbiddenFile: it is no plain file.
        MalformedBundle: it is gone, or larger than its limit.
    """
    limit = size_limit(name)
    size, data = _open_and_read(folder, name, limit + 1)
    if max(size, len(data)) > limit:
        raise MalformedBundle(folder, f"{name!r} is larger than {limit:,} bytes")
    return data


def present_model_files(model_dir: Path) -> list[str]:
    """The names out of `MODEL_FILES` that a model folder holds, sorted by name.

    Raises:
        MalformedBundle: not a folder, `card.json` or `preprocess.json` is missing, or there is none of
            `WEIGHT_FILES`.
        ForbiddenFile: one of them is a link, or is in truth of a forbidden format.
    """
    folder = _folder(model_dir)
    names = [name for name in sorted(MODEL_FILES) if os.path.lexists(folder / name)]
    for name in names:
        check_file(folder, name)
    check_names(model_dir, names, [name for name in REQUIRED if name in MODEL_FILES])
    return names


def check_names(path: str | Path, names: list[str], required: list[str]) -> None:
    """Check that the required files are there, with at least one of `WEIGHT_FILES`.

    Raises:
        MalformedBundle: they are not.
    """
    missing = [name for name in required if name not in names]
    if missing:
        raise MalformedBundle(path, f"lacks {', '.join(missing)}")
    if not any(name in names for name in WEIGHT_FILES):
        raise MalformedBundle(path, f"lacks the model: {' or '.join(WEIGHT_FILES)}")


def model_digest(model_dir: str | Path) -> str:
    """`sha256:...` of a model: what a verdict names.

    Taken over the files out of `MODEL_FILES` that are there, so a model folder and the bundle made from it have the
    same digest: SHA-256 of the compact JSON object {name: SHA-256 (hex) of the file}, sorted by name.

    Raises:
        MalformedBundle: not a model folder.
        ForbiddenFile: a model file is a link, or is in truth of a forbidden format.
    """
    folder = _folder(model_dir)
    return digest_of({name: file_digest(folder / name) for name in present_model_files(folder)})


def digest_of(file_digests: Mapping[str, str]) -> str:
    """The model digest from the `sha256:...` digests of files; names outside `MODEL_FILES` do not count."""
    hashes = {name: file_digests[name].removeprefix("sha256:") for name in sorted(file_digests) if name in MODEL_FILES}
    return bytes_digest(json.dumps(hashes, separators=(",", ":")).encode())


def file_digest(path: str | Path) -> str:
    """`sha256:...` over a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def bytes_digest(data: bytes) -> str:
    """`sha256:...` over bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _folder(path: str | Path) -> Path:
    folder = Path(os.path.realpath(path))
    if not folder.is_dir():
        raise MalformedBundle(path, "is not a folder")
    return folder


def _open_and_read(folder: Path, name: str, limit: int) -> tuple[int, bytes]:
    try:
        # O_NONBLOCK: opening a named pipe would otherwise wait for its writer for ever.
        descriptor = os.open(folder / name, _OPEN_FLAGS)
    except FileNotFoundError:
        raise MalformedBundle(folder, f"{name!r} is gone") from None
    except OSError as error:
        raise ForbiddenFile(folder, name, f"it cannot be opened as a plain file ({error.strerror})") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ForbiddenFile(folder, name, "it is a link, a folder or a device")
        return status.st_size, file.read(limit)
