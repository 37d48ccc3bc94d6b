"""IDX files: what is read, and that no header is believed further than the bytes go."""

import contextlib
import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secmlops.images.errors import InvalidFile, TooManyImages
from secmlops.images.idx import read_idx, read_idx_images, write_idx

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)


def idx(shape: tuple[int, ...], values: bytes, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + values


@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_what_is_written_is_read(tmp_path, name):
    write_idx(tmp_path / name, PIXELS)
    assert np.array_equal(read_idx(tmp_path / name), PIXELS)


def test_images_and_labels(tmp_path):
    write_idx(tmp_path / "images", PIXELS)
    write_idx(tmp_path / "labels.gz", LABELS)
    read = read_idx_images(tmp_path / "images", tmp_path / "labels.gz")
    assert np.array_equal(read.images[:, 0], PIXELS.astype(np.float32) / np.float32(255))
    assert read.labels.tolist() == LABELS.tolist()
    assert read.classes == ("0", "1", "2")
    write_idx(tmp_path / "colour", np.stack([PIXELS, PIXELS // 2, PIXELS // 3], axis=-1))
    colour = read_idx_images(tmp_path / "colour", tmp_path / "labels.gz", classes=("a", "b", "c"))
    assert colour.shape == (3, 5, 4)
    assert np.array_equal(colour.images[:, 0], read.images[:, 0])


BOMB = gzip.compress(idx((28 * 28,), bytes(200_000_000)), 9)
LYING = {
    "empty": (b"", InvalidFile, "is no IDX file"),
    "text": (b"not an idx file at all", InvalidFile, "is no IDX file"),
    "three bytes": (b"\0\0\x08", InvalidFile, "is no IDX file"),
    "floats": (idx((2,), bytes(8), kind=0x0D), InvalidFile, "type 0x0d"),
    "no dimension": (idx((), b""), InvalidFile, "0 dimensions"),
    "too many dimensions": (idx((1,) * 5, b"a"), InvalidFile, "5 dimensions"),
    "header cut short": (idx((2, 2), b"")[:-3], InvalidFile, "cut short in its header"),
    "values cut short": (idx((6, 5, 4), bytes(100)), InvalidFile, "100 of the 120"),
    "no values": (idx((60_000, 28, 28), b""), InvalidFile, "0 of the 47,040,000"),
    "more values": (idx((6, 5, 4), bytes(121)), InvalidFile, "more than the 120"),
    "promises 256 GiB": (idx((2**28, 32, 32), bytes(64)), TooManyImages, "promises"),
    "promises more than any machine has": (idx((2**32 - 1,) * 4, bytes(64)), TooManyImages, "promises"),
    "gzip cut short": (gzip.compress(idx((6, 5, 4), PIXELS.tobytes()))[:-9], InvalidFile, "cut short"),
    "gzip with a wrong checksum": (
        gzip.compress(idx((6, 5, 4), PIXELS.tobytes()))[:-8] + bytes(8), InvalidFile, "broken"
    ),
    "gzip of noise": (b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 50, InvalidFile, "broken"),
    "gzip bomb": (BOMB, InvalidFile, "more than the 784"),
    "gzip that promises 200 MB": (gzip.compress(idx((200, 1000, 1000), b"")), InvalidFile, "0 of the 200,000,000"),
}  # fmt: skip


@pytest.mark.parametrize("case", LYING)
def test_lying_files_are_refused_within_little_memory(tmp_path, case):
    data, error, told = LYING[case]
    path = tmp_path / "lying"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(error, match=told):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024**2


@given(st.binary(max_size=64))
def test_noise_is_refused_or_read(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "file"
    path.write_bytes(b"\0\0\x08" + noise)
    with contextlib.suppress(InvalidFile):
        assert read_idx(path).nbytes <= len(noise)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    for name, array in {
        "images": PIXELS,
        "labels": LABELS,
        "fewer": LABELS[:5],
        "five channels": PIXELS[..., None],
        "flat": PIXELS[0],
        "no rows": PIXELS[:, :0],
    }.items():
        write_idx(tmp_path / name, array)
    for images, labels, told in [
        ("images", "fewer", "6 images, but fewer 5 labels"),
        ("labels", "labels", "no images"),
        ("images", "images", "no labels"),
        ("flat", "labels", "no images"),
        ("no rows", "labels", "make no image set"),
    ]:
        with pytest.raises(InvalidFile, match=told):
            read_idx_images(tmp_path / images, tmp_path / labels)
    with pytest.raises(InvalidFile, match="a label is outside"):
        read_idx_images(tmp_path / "images", tmp_path / "labels", classes=("only",))
    with pytest.raises(TooManyImages):
        read_idx_images(tmp_path / "images", tmp_path / "labels", max_bytes=119)


def test_mnist(public_data):
    folder = public_data / "vision" / "mnist"
    read = read_idx_images(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz")
    assert read.images.shape == (10_000, 1, 28, 28)
    assert np.bincount(read.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert read.images.max() == 1


def test_images_take_five_times_their_bytes_at_most(tmp_path):
    write_idx(tmp_path / "images", np.random.default_rng(0).integers(0, 256, (2000, 20, 20, 3), np.uint8))
    write_idx(tmp_path / "labels", np.zeros(2000, np.uint8))
    tracemalloc.start()
    try:
        read = read_idx_images(tmp_path / "images", tmp_path / "labels")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    values = read.images.size
    assert read.images.flags.c_contiguous
    assert peak < 5 * values + 4 * 1024**2


def test_more_than_a_quarter_of_a_gigabyte_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(idx((2**18, 32, 32), b""))
    with pytest.raises(InvalidFile, match="0 of the 268,435,456"):
        read_idx(tmp_path / "file")
    (tmp_path / "file").write_bytes(idx((2**28 + 1,), b""))
    with pytest.raises(TooManyImages, match="at most 268,435,456"):
        read_idx(tmp_path / "file")
