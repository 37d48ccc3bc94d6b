"""IDX files, the form in which MNIST and its kin are published; gzipped or not.

A header of two zero bytes, a type, the number of dimensions and each size (big-endian), then the values. Only unsigned
bytes are taken, which is what images and labels are made of. A header is believed only as far as the limits and the
file's own bytes go: memory follows what was read, never what was promised.

Source: LeCun, Cortes and Burges, The MNIST database, "The IDX file format" (1998).
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np

from secmlops.images.errors import InvalidFile, InvalidImageSet, TooManyImages
from secmlops.images.image_set import ImageSet

MAX_BYTES: Final = 256 * 1024**2
"""Default bound on the values of one file, unpacked: as floats they take 1 GiB. MNIST's training images are 45 MiB."""

_GZIP_SIGNATURE = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_MAX_DIMENSIONS = 4
_CHUNK_BYTES = 1024**2


def read_idx(path: str | Path, *, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the file; gzip is told from its first bytes, not from its name.
        max_bytes: bound on the values.

    Returns:
        uint8, of the shape in the header.

    Raises:
        InvalidFile: no IDX file, of another type than bytes, cut short, or longer than its header says.
        TooManyImages: the header promises more than `max_bytes`.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        is_packed = file.read(2) == _GZIP_SIGNATURE
        file.seek(0)
        try:
            if not is_packed:
                return _read(file, path, max_bytes)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(cast(BinaryIO, unpacked), path, max_bytes)
        except EOFError:
            raise InvalidFile(path, "the gzip file is cut short: fetch it again") from None
        except (gzip.BadGzipFile, zlib.error):
            raise InvalidFile(path, "the gzip file is broken: fetch it again") from None


def read_idx_images(
    images: str | Path, labels: str | Path, *, classes: tuple[str, ...] = (), max_bytes: int = MAX_BYTES
) -> ImageSet:
    """Read a pair of IDX files: images (n, height, width) or (n, height, width, channels), and labels (n,).

    Args:
        images: file of images.
        labels: file of labels.
        classes: the classes' names; empty: `0`, `1`, ... up to the largest label.
        max_bytes: bound on the values of either file; at most five times as many bytes are taken.

    Raises:
        InvalidFile: as `read_idx`, or the files do not belong together.
        TooManyImages: as `read_idx`.
    """
    kinds = read_idx(labels, max_bytes=max_bytes)
    if kinds.ndim != 1:
        raise InvalidFile(labels, f"holds an array of shape {list(kinds.shape)}, no labels")
    pixels = read_idx(images, max_bytes=max_bytes)
    if pixels.ndim not in (3, 4):
        raise InvalidFile(images, f"holds an array of shape {list(pixels.shape)}, no images")
    if len(pixels) != len(kinds):
        raise InvalidFile(images, f"holds {len(pixels):,} images, but {Path(labels).name} {len(kinds):,} labels")
    names = classes or tuple(str(index) for index in range(int(kinds.max(initial=0)) + 1))
    planes = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    try:
        floats = np.divide(planes, np.float32(255), dtype=np.float32, order="C")
        return ImageSet(floats, kinds.astype(np.int64), names)
    except InvalidImageSet as error:
        raise InvalidFile(images, f"and {Path(labels).name} make no image set: {error}") from None


def write_idx(path: str | Path, array: np.ndarray) -> None:
    """Write an array of unsigned bytes as an IDX file; gzipped where the name ends in `.gz`."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    content = head + array.astype(np.uint8, casting="safe").tobytes()
    Path(path).write_bytes(gzip.compress(content, mtime=0) if str(path).endswith(".gz") else content)


def _read(file: BinaryIO, path: str | Path, max_bytes: int) -> np.ndarray:
    shape = _shape(file, path)
    expected = math.prod(shape)
    if expected > max_bytes:
        raise TooManyImages(path, f"promises {expected:,} bytes of values: at most {max_bytes:,} are taken")
    data = bytearray()
    while len(data) < expected:
        chunk = file.read(min(_CHUNK_BYTES, expected - len(data)))
        if not chunk:
            raise InvalidFile(path, f"holds {len(data):,} of the {expected:,} values that its header promises")
        data += chunk
    if file.read(1):
        raise InvalidFile(path, f"holds more than the {expected:,} values that its header promises")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(file: BinaryIO, path: str | Path) -> tuple[int, ...]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0":
        raise InvalidFile(path, "is no IDX file: it does not begin with two zero bytes and a type")
    kind, dimensions = head[2], head[3]
    if kind != _UNSIGNED_BYTE:
        raise InvalidFile(path, f"holds values of type 0x{kind:02x}: only unsigned bytes (0x08) are taken")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise InvalidFile(path, f"has {dimensions} dimensions: 1 to {_MAX_DIMENSIONS} are taken")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise InvalidFile(path, "is cut short in its header")
    return struct.unpack(f">{dimensions}I", sizes)
