"""Folders of labelled images."""

import os

import numpy as np
import pytest

from secmlops.images.decode import DecodeLimits
from secmlops.images.errors import InvalidFile, TooManyImages
from secmlops.images.folder import FolderLimits, read_folder
from tests.unit.images.pictures import SIZE, encoded, picture


@pytest.fixture
def folder(tmp_path):
    for name in ("10", "9", "2"):
        (tmp_path / name).mkdir()
        for index in range(3):
            (tmp_path / name / f"{index}.png").write_bytes(encoded(picture(seed=index + int(name))))
    return tmp_path


def test_folders_become_classes_in_order(folder):
    (folder / "9" / ".DS_Store").write_bytes(b"hidden")
    read = read_folder(folder).image_set
    assert read.classes == ("2", "9", "10")
    assert read.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert read.shape == (1, SIZE, SIZE)
    assert np.array_equal(read.images[3, 0], np.asarray(picture(seed=9), np.float32) / np.float32(255))


def test_the_digest_names_the_content(folder):
    before = read_folder(folder).digest
    assert read_folder(folder).digest == before
    os.rename(folder / "9" / "0.png", folder / "9" / "a.png")
    renamed = read_folder(folder).digest
    (folder / "9" / "1.png").write_bytes(encoded(picture(seed=99)))
    assert len({before, renamed, read_folder(folder).digest}) == 3


def test_known_classes_fix_the_labels(folder):
    read = read_folder(folder, classes=("9", "2", "10", "none")).image_set
    assert read.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    with pytest.raises(InvalidFile, match="is no class"):
        read_folder(folder, classes=("9", "2"))


def test_an_unusable_image_is_named_or_left_out(folder):
    (folder / "2" / "bad.png").write_bytes(b"nothing")
    (folder / "2" / "large.png").write_bytes(encoded(picture().resize((29, 29))))
    with pytest.raises(InvalidFile, match=r"bad.png: the image is neither PNG nor JPEG"):
        read_folder(folder)
    refused: list[InvalidFile] = []
    assert len(read_folder(folder, on_refused=refused.append).image_set) == 9
    assert [error.path.name for error in refused] == ["bad.png", "large.png"]
    with pytest.raises(InvalidFile, match="no usable image"):
        read_folder(folder, shape=(1, 5, 5), on_refused=refused.append)


@pytest.mark.parametrize("classes", [(), ("2", "9", "10"), ("2", "9", "10", "11")])
@pytest.mark.parametrize("link", ["2/link.png", "2/to a folder", "2/broken", "11", "readme"])
def test_links_are_refused(tmp_path_factory, folder, link, classes):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "0.png").write_bytes(encoded(picture()))
    targets = {"2/link.png": elsewhere / "0.png", "2/broken": elsewhere / "none", "readme": elsewhere / "0.png"}
    (folder / link).symlink_to(targets.get(link, elsewhere))
    with pytest.raises(InvalidFile, match="link"):
        read_folder(folder, classes=classes)


def test_classes_lie_in_the_folder(tmp_path_factory, folder):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "0.png").write_bytes(encoded(picture()))
    assert len(read_folder(folder, classes=("2", "9", "10", str(elsewhere))).image_set) == 9


def test_folders_that_hold_no_classes_are_refused(tmp_path, folder):
    with pytest.raises(InvalidFile, match="no classes"):
        read_folder(folder / "2")
    with pytest.raises(InvalidFile, match="is no folder"):
        read_folder(tmp_path / "nothing")


@pytest.mark.parametrize(
    "limits",
    [
        FolderLimits(max_images=8),
        FolderLimits(max_values=9 * SIZE * SIZE - 1),
        FolderLimits(max_classes=2),
    ],
)
def test_limits_hold(folder, limits):
    with pytest.raises(TooManyImages):
        read_folder(folder, limits=limits)


def test_a_file_larger_than_its_limit_is_refused(folder):
    with pytest.raises(InvalidFile, match="larger than 10 bytes"):
        read_folder(folder, limits=FolderLimits(image=DecodeLimits(max_bytes=10)))
