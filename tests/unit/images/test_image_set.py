"""Image sets: what they refuse, and that the file gives back what was written."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from secmlops.images.errors import InvalidFile, InvalidImageSet
from secmlops.images.image_set import ImageSet, read_images, write_images


def images(count: int = 5, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).random((count, 1, 4, 3)).astype(dtype)


def image_set(count: int = 5) -> ImageSet:
    return ImageSet(images(count), np.arange(count, dtype=np.int64) % 3, ("a", "b", "c"))


def with_pixel(value: float) -> np.ndarray:
    array = images()
    array[1, 0, 2, 2] = value
    return array


LABELS = np.zeros(5, np.int64)


@pytest.mark.parametrize(
    ("array", "labels", "classes", "told"),
    [
        pytest.param(images(dtype=np.float64), LABELS, ("a",), "float32", id="doubles"),
        pytest.param(images()[:, 0], LABELS, ("a",), "float32 of shape", id="no channels"),
        pytest.param(images()[:, :, :0], LABELS, ("a",), "float32 of shape", id="no rows"),
        pytest.param(images(), LABELS[:4], ("a",), "as many", id="too few labels"),
        pytest.param(images(), LABELS.astype(np.int32), ("a",), "int64", id="small labels"),
        pytest.param(with_pixel(np.nan), LABELS, ("a",), "NaN", id="nan"),
        pytest.param(with_pixel(np.inf), LABELS, ("a",), "outside of 0..1", id="inf"),
        pytest.param(with_pixel(1.0001), LABELS, ("a",), "outside of 0..1", id="too bright"),
        pytest.param(with_pixel(-1e-6), LABELS, ("a",), "outside of 0..1", id="negative"),
        pytest.param(images(), LABELS + 1, ("a",), "label", id="label without a class"),
        pytest.param(images(), LABELS - 1, ("a",), "label", id="negative label"),
        pytest.param(images(), LABELS, ("a", "a"), "same name", id="class twice"),
    ],
)
def test_invalid_arrays_are_refused(array, labels, classes, told):
    with pytest.raises(InvalidImageSet, match=told):
        ImageSet(array, labels, classes)


def test_take_by_index_mask_and_slice():
    whole = image_set()
    for chosen in ([4, 0], np.array([4, 0])):
        assert np.array_equal(whole.take(chosen).images, whole.images[[4, 0]])
    assert whole.take(whole.labels == 1).labels.tolist() == [1, 1]
    assert len(whole.take(slice(1, 3))) == 2
    assert len(whole.take([])) == 0
    assert whole.take([]).shape == (1, 4, 3)


def test_the_file_gives_back_every_bit(tmp_path):
    bytes_like = ImageSet(
        (np.arange(256, dtype=np.float32) / np.float32(255)).reshape(4, 1, 8, 8), LABELS[:4], ("zero",)
    )
    for name, whole in {"floats": image_set(), "bytes": bytes_like, "empty": image_set(0)}.items():
        write_images(tmp_path / name, whole)
        read = read_images(tmp_path / name)
        assert read.images.dtype == np.float32
        assert np.array_equal(read.images, whole.images)
        assert np.array_equal(read.labels, whole.labels)
        assert read.classes == whole.classes
    assert (tmp_path / "bytes").stat().st_size < 256 + 400


def test_a_set_that_was_turned_around_is_written_right(tmp_path):
    whole = image_set()
    turned = ImageSet(whole.images.transpose(0, 1, 3, 2), whole.labels[::-1], whole.classes)
    write_images(tmp_path / "turned", turned)
    assert np.array_equal(read_images(tmp_path / "turned").images, turned.images)
    assert np.array_equal(read_images(tmp_path / "turned").labels, turned.labels)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"no safetensors at all")
    with pytest.raises(InvalidFile, match="is no file of images"):
        read_images(path)
    for tensors, classes in [
        ({"images": images()}, '["a"]'),
        ({"images": images(), "labels": LABELS}, "not json"),
        ({"images": images(), "labels": LABELS}, "7"),
        ({"images": with_pixel(np.nan), "labels": LABELS}, '["a"]'),
        ({"images": images(), "labels": LABELS + 5}, '["a"]'),
    ]:
        save_file(tensors, path, metadata={"classes": classes})
        with pytest.raises(InvalidFile):
            read_images(path)
    save_file({"images": images(), "labels": LABELS}, path)
    with pytest.raises(InvalidFile):
        read_images(path)
    with pytest.raises(FileNotFoundError):
        read_images(tmp_path / "none")
