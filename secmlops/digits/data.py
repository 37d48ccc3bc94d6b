"""The images of this use case, from wherever they lie.

| given | read |
|---|---|
| nothing | scikit-learn's bundled digits: 1,797 images of 8 x 8 |
| a folder with MNIST's four IDX files, gzipped or not (Fashion-MNIST and EMNIST have the same) | those |
| a folder with the sub-folders `train` and `test`, each with a sub-folder per class | PNG and JPEG files |
| a folder with a sub-folder per class | the same, divided at random |

Folders are named by path, `file://` or `s3://`. In folders of images, links are refused. The four IDX files can also
lie on the web, then gzipped and under their usual names: `https://host/folder#sha256=...`, where the checksum is what
this prints:

    cat train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz |
        sha256sum
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from secmlops.bundle import bytes_digest, file_digest
from secmlops.images.errors import ImagesError, InvalidFile
from secmlops.images.folder import read_folder, subfolders
from secmlops.images.idx import read_idx_images
from secmlops.images.image_set import ImageSet
from secmlops.images.splits import Splits, divide, divide_published
from secmlops.storage import objects
from secmlops.storage.uri import PathUri, parse_uri
from secmlops.storage.web import fetch_verified, is_web, parse_web_uri

EMBEDDED: Final = ""
"""The URI of scikit-learn's bundled digits."""

IDX_FILES: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""Training images and labels, test images and labels, as MNIST names them."""

LIMITS: Final = objects.Limits(max_files=500_000, max_file_bytes=1024**3, max_total_bytes=4 * 1024**3)


class UnknownLayout(ImagesError):
    """A folder that holds images in no form that is known here."""

    def __init__(self, uri: str):
        super().__init__(
            f"{uri}: holds neither {IDX_FILES[0]}[.gz] and its three companions, "
            "nor a sub-folder per class, nor the sub-folders train and test with those"
        )


def _refuse(error: InvalidFile) -> None:
    raise error


def load_digits(
    uri: str | Path = EMBEDDED, *, seed: int = 0, on_refused: Callable[[InvalidFile], None] = _refuse
) -> Splits:
    """Read labelled images and divide them: stratified, no image in two sets, provenance in `sources`.

    A published test set stays whole. Validation is held out of the training images.

    Args:
        uri: a form of the table above.
        seed: of the division.
        on_refused: called for each file of a folder that is no usable image, which is left out; by default raised.

    Raises:
        UnknownLayout: the folder holds nothing of the kind.
        ImagesError: files that are broken or contradict each other.
        StorageError: they cannot be fetched.
        InvalidUri: no URI, or a web address without a checksum.
    """
    text = str(uri)
    if not text:
        return _bundled(seed)
    if not is_web(text):
        source = parse_uri(uri)
        if isinstance(source, PathUri):
            return _read(source.path, text, seed, on_refused)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        if is_web(text):
            fetch_verified(parse_web_uri(text), [f"{name}.gz" for name in IDX_FILES], folder)
        else:
            objects.fetch(uri, folder, limits=LIMITS)
        return _read(folder, text, seed, on_refused)


def _bundled(seed: int) -> Splits:
    from sklearn.datasets import load_digits as load

    bunch = load()
    images = (bunch.images / 16).astype(np.float32)[:, None]
    labels = bunch.target.astype(np.int64)
    sources = {"sklearn-digits": bytes_digest(images.tobytes() + labels.tobytes())}
    return divide(ImageSet(images, labels, tuple(map(str, range(10)))), seed=seed, sources=sources)


def _read(folder: Path, uri: str, seed: int, on_refused: Callable[[InvalidFile], None]) -> Splits:
    if not folder.is_dir():
        raise objects.NotFound(uri)
    files = [_idx_file(folder, name) for name in IDX_FILES]
    if all(files):
        return _published_idx([file for file in files if file], seed)
    found = subfolders(folder)
    if {"train", "test"} <= set(found):
        train = read_folder(folder / "train", on_refused=on_refused)
        shape, classes = train.image_set.shape, train.image_set.classes
        test = read_folder(folder / "test", shape=shape, classes=classes, on_refused=on_refused)
        sources = {"train": train.digest, "test": test.digest}
        return divide_published(train.image_set, test.image_set, seed=seed, sources=sources)
    if len(found) < 2:
        raise UnknownLayout(uri)
    whole = read_folder(folder, on_refused=on_refused)
    return divide(whole.image_set, seed=seed, sources={"images": whole.digest})


def _idx_file(folder: Path, name: str) -> Path | None:
    """The file of that name, gzipped or not; older copies write a dot before `idx`."""
    for candidate in (name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def _published_idx(files: list[Path], seed: int) -> Splits:
    train = read_idx_images(files[0], files[1])
    test = read_idx_images(files[2], files[3], classes=train.classes)
    sources = {file.name: file_digest(file) for file in files}
    return divide_published(train, test, seed=seed, sources=sources)
