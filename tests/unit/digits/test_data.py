"""Where digits come from: bundled, IDX files by path, S3 and web, folders of images."""

import functools
import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from secmlops.bundle import file_digest
from secmlops.digits.data import IDX_FILES, UnknownLayout, load_digits
from secmlops.digits.data_report import write_data_report
from secmlops.images.duplicates import Removed
from secmlops.images.errors import ImagesError, InvalidFile
from secmlops.images.idx import read_idx, write_idx
from secmlops.images.image_set import ImageSet
from secmlops.images.splits import Splits, divide
from secmlops.images.validation import UnfitImages, validate
from secmlops.storage import objects
from secmlops.storage.uri import CredentialInUri, InvalidUri
from secmlops.storage.web import ChecksumMismatch, MissingChecksum, fetch_verified, parse_web_uri
from tests.unit.images.pictures import encoded, picture
from tests.unit.storage.conftest import bucket, s3_server

__all__ = ["bucket", "s3_server"]


def write_digits(folder: Path, suffix: str = ".gz") -> Path:
    """Four IDX files like MNIST's: 240 and 60 images of 6 x 6."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for images, labels, count in ((IDX_FILES[0], IDX_FILES[1], 240), (IDX_FILES[2], IDX_FILES[3], 60)):
        write_idx(folder / f"{images}{suffix}", random.integers(0, 256, (count, 6, 6), np.uint8))
        write_idx(folder / f"{labels}{suffix}", np.arange(count, dtype=np.uint8) % 10)
    return folder


def assert_same(one: Splits, two: Splits) -> None:
    for name, part in one.items().items():
        other = two.items()[name]
        assert np.array_equal(part.images, other.images)
        assert np.array_equal(part.labels, other.labels)
        assert part.classes == other.classes


def test_the_bundled_digits():
    splits = load_digits()
    sizes = [len(part) for part in splits.items().values()]
    assert sum(sizes) == 1797
    assert sizes[1:] == pytest.approx([270, 270], abs=3)
    assert splits.train.shape == (1, 8, 8)
    assert splits.train.images.max() == 1
    assert validate(splits).problems == ()
    assert splits.sources["sklearn-digits"].startswith("sha256:")
    assert_same(splits, load_digits(seed=0))
    assert not np.array_equal(splits.test.images, load_digits(seed=1).test.images)


def test_idx_files_by_path(tmp_path):
    packed, plain = write_digits(tmp_path / "packed"), write_digits(tmp_path / "plain", suffix="")
    splits = load_digits(packed)
    assert [len(part) for part in splits.items().values()] == [220, 20, 60]
    assert splits.sources == {f"{name}.gz": file_digest(packed / f"{name}.gz") for name in IDX_FILES}
    assert_same(splits, load_digits(str(plain)))
    assert_same(splits, load_digits(f"file://{plain}"))
    (plain / IDX_FILES[0]).rename(plain / "train-images.idx3-ubyte")
    assert_same(splits, load_digits(plain))


def test_copies_and_contradictions_are_told_and_refused(tmp_path):
    """Training holds its first 20 images again under other labels, and 5 of the test images."""
    folder = write_digits(tmp_path / "idx", suffix="")
    images, labels = (read_idx(folder / name) for name in IDX_FILES[:2])
    tested, test_labels = (read_idx(folder / name) for name in IDX_FILES[2:])
    write_idx(folder / IDX_FILES[0], np.concatenate([images, images[:20], images[30:33], tested[:5]]))
    write_idx(folder / IDX_FILES[1], np.concatenate([labels, (labels[:20] + 1) % 10, labels[30:33], test_labels[:5]]))
    splits = load_digits(folder)
    assert splits.removed == Removed(268, copies=3, in_test=5, conflicting=40)
    found = validate(splits)
    write_data_report(tmp_path / "data.html", splits, found)
    page = (tmp_path / "data.html").read_text()
    assert "Of 268 images to divide" in page
    assert "3 copies, 5 that also stand in the published test set, 40 under labels" in page
    with pytest.raises(UnfitImages, match="40 of the 268 images"):
        found.require_fit()


def test_the_report_is_written_where_every_image_has_two_labels(tmp_path):
    images = np.random.default_rng(0).random((200, 1, 6, 6), dtype=np.float32)
    labels = np.arange(200) % 2
    whole = ImageSet(np.concatenate([images, images]), np.concatenate([labels, 1 - labels]), ("cat", "dog"))
    splits = divide(whole, sources={})
    write_data_report(tmp_path / "data.html", splits, validate(splits))
    assert "400 of the 400 images to divide stand there under two labels" in (tmp_path / "data.html").read_text()


def test_idx_files_from_s3(tmp_path, bucket):
    folder = write_digits(tmp_path / "packed")
    objects.publish(folder, f"s3://{bucket}/digits")
    assert_same(load_digits(f"s3://{bucket}/digits"), load_digits(folder))
    with pytest.raises(objects.NotFound):
        load_digits(f"s3://{bucket}/none")


@pytest.fixture
def web(tmp_path) -> Iterator[str]:
    """A web server over a folder `digits` with the four files."""
    write_digits(tmp_path / "www" / "digits")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/digits"
        server.shutdown()
        thread.join()


def checksum(folder: Path) -> str:
    return hashlib.sha256(b"".join((folder / f"{name}.gz").read_bytes() for name in IDX_FILES)).hexdigest()


def test_idx_files_from_the_web(tmp_path, web):
    folder = tmp_path / "www" / "digits"
    assert_same(load_digits(f"{web}#sha256={checksum(folder)}"), load_digits(folder))
    assert_same(load_digits(f"{web}/#sha256={checksum(folder).upper()}"), load_digits(folder))


def test_the_web_is_believed_by_checksum_alone(tmp_path, web):
    right = checksum(tmp_path / "www" / "digits")
    with pytest.raises(ChecksumMismatch) as caught:
        load_digits(f"{web}#sha256={'0' * 64}")
    assert caught.value.found == right
    for uri in (web, f"{web}#", f"{web}#sha256=", f"{web}#md5={'0' * 32}", f"{web}#sha256={right[:-1]}"):
        with pytest.raises(MissingChecksum):
            load_digits(uri)
    with pytest.raises(CredentialInUri):
        load_digits(f"https://user:secret@host/digits#sha256={right}")
    for uri in (f"https:///digits#sha256={right}", f"http://host/a?b=c#sha256={right}", f"http://h:0/#sha256={right}"):
        with pytest.raises(InvalidUri):
            load_digits(uri)
    with pytest.raises(objects.NotFound):
        load_digits(f"{web}/none#sha256={right}")


def test_what_the_web_sends_is_bounded_and_appears_whole(tmp_path, web):
    right = parse_web_uri(f"{web}#sha256={checksum(tmp_path / 'www' / 'digits')}")
    names = [f"{name}.gz" for name in IDX_FILES]
    with pytest.raises(objects.TooLarge):
        fetch_verified(right, names, tmp_path / "new", max_bytes=1000)
    with pytest.raises(ChecksumMismatch):
        fetch_verified(right, names[::-1], tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["www"]
    with pytest.raises(objects.StorageUnavailable):
        fetch_verified(parse_web_uri(f"http://127.0.0.1:9/#sha256={right.sha256}"), names, tmp_path / "new")


def write_pictures(folder: Path, count: int, seed: int) -> None:
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for index in range(count):
            (folder / label / f"{index}.png").write_bytes(
                encoded(picture(seed=1000 * seed + index + 500 * (label == "dog")))
            )


def test_a_folder_of_classes(tmp_path):
    write_pictures(tmp_path / "pets", 20, seed=1)
    splits = load_digits(tmp_path / "pets")
    assert [len(part) for part in splits.items().values()] == [28, 6, 6]
    assert splits.train.classes == ("cat", "dog")
    (tmp_path / "pets" / "cat" / "bad.png").write_bytes(b"none")
    with pytest.raises(InvalidFile, match=r"bad\.png"):
        load_digits(tmp_path / "pets")
    refused: list[InvalidFile] = []
    assert_same(load_digits(tmp_path / "pets", on_refused=refused.append), splits)
    assert len(refused) == 1


def test_a_folder_with_training_and_test_images(tmp_path):
    write_pictures(tmp_path / "pets" / "train", 24, seed=1)
    write_pictures(tmp_path / "pets" / "test", 5, seed=2)
    splits = load_digits(tmp_path / "pets")
    assert [len(part) for part in splits.items().values()] == [44, 4, 10]
    assert set(splits.sources) == {"train", "test"}


@pytest.mark.parametrize("linked", ["test", "test/cat", "train/dog"])
def test_linked_folders_are_refused(tmp_path, linked):
    write_pictures(tmp_path / "pets" / "train", 24, seed=1)
    write_pictures(tmp_path / "pets" / "test", 5, seed=2)
    (tmp_path / "pets" / linked).rename(tmp_path / "elsewhere")
    (tmp_path / "pets" / linked).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidFile, match="link"):
        load_digits(tmp_path / "pets")


def test_folders_that_hold_nothing_known_are_refused(tmp_path):
    with pytest.raises(UnknownLayout):
        load_digits(tmp_path)
    with pytest.raises(objects.NotFound):
        load_digits(tmp_path / "nothing")
    folder = write_digits(tmp_path / "idx")
    (folder / f"{IDX_FILES[3]}.gz").unlink()
    with pytest.raises(UnknownLayout):
        load_digits(folder)


def test_a_label_that_training_never_saw_is_refused(tmp_path):
    folder = write_digits(tmp_path / "idx")
    write_idx(folder / f"{IDX_FILES[3]}.gz", np.full(60, 10, np.uint8))
    with pytest.raises(ImagesError, match=r"a label is outside of 0\.\.9"):
        load_digits(folder)
    (folder / f"{IDX_FILES[3]}.gz").write_bytes(gzip.compress(b"\0\0\x08\x01\xff\xff\xff\xff"))
    with pytest.raises(ImagesError, match="promises"):
        load_digits(folder)


def test_mnist(public_data):
    splits = load_digits(public_data / "vision" / "mnist")
    assert [len(part) for part in splits.items().values()] == [54_999, 5_001, 10_000]
    assert validate(splits).problems == ()
