"""A folder of labelled images: each sub-folder is a class, named like it, and holds PNG or JPEG files."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secmlops.images.decode import DEFAULT_LIMITS as DEFAULT_DECODE_LIMITS
from secmlops.images.decode import DecodeLimits, Shape, decode_image
from secmlops.images.errors import InvalidFile, InvalidImage, TooManyImages
from secmlops.images.image_set import ImageSet


@dataclass(frozen=True, slots=True)
class FolderLimits:
    """Bounds on a folder of images.

    Attributes:
        max_images: number of files.
        max_values: values of all images together, unpacked.
        max_classes: number of sub-folders.
        image: bounds on each file.
    """

    max_images: int = 500_000
    max_values: int = 512 * 1024**2
    max_classes: int = 1000
    image: DecodeLimits = DEFAULT_DECODE_LIMITS


DEFAULT_LIMITS = FolderLimits()


@dataclass(frozen=True, slots=True)
class FolderImages:
    """What was read from a folder.

    Attributes:
        image_set: the images, sorted by class and file name.
        digest: `sha256:...` over the names and bytes of all files that were looked at.
    """

    image_set: ImageSet
    digest: str


def _refuse(error: InvalidFile) -> None:
    raise error


def read_folder(
    folder: str | Path,
    *,
    shape: Shape | None = None,
    classes: tuple[str, ...] = (),
    limits: FolderLimits = DEFAULT_LIMITS,
    on_refused: Callable[[InvalidFile], None] = _refuse,
) -> FolderImages:
    """Read a folder of labelled images, all of one shape; hidden files are skipped, links are refused.

    Args:
        folder: the folder.
        shape: channels, height and width of every image; None: those of the first.
        classes: the classes, in the order of their labels; empty: the sub-folders, sorted (numbers by value).
        limits: bounds on the folder.
        on_refused: called for each file that is no usable image, which is then left out; by default it is raised.

    Raises:
        InvalidFile: no folder of sub-folders, a link, a class that is not among `classes`, or no usable image.
        TooManyImages: more than the limits allow.
    """
    root = Path(folder)
    found = subfolders(root)
    names = classes or _classes(root, found, limits)
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise InvalidFile(root, f"has the sub-folder {unknown[0]!r}, which is no class: the classes are {names}")
    images: list[np.ndarray] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    for label, path in _files(root, names, found, limits):
        data = _read(path, limits.image.max_bytes)
        digest.update(f"{names[label]}/{path.name}\0{hashlib.sha256(data).hexdigest()}\n".encode("utf-8", "replace"))
        try:
            image = decode_image(data, shape, limits=limits.image)
        except InvalidImage as error:
            on_refused(InvalidFile(path, error.sentence))
            continue
        shape = shape or (image.shape[0], image.shape[1], image.shape[2])
        images.append(image)
        labels.append(label)
        if len(images) * image.size > limits.max_values:
            raise TooManyImages(root, f"holds more than {limits.max_values:,} pixel values")
    if not images:
        raise InvalidFile(root, "holds no usable image: each class is a sub-folder of PNG or JPEG files")
    return FolderImages(ImageSet(np.stack(images), np.array(labels, np.int64), names), f"sha256:{digest.hexdigest()}")


def subfolders(root: str | Path) -> list[str]:
    """Names of the sub-folders that are not hidden.

    Raises:
        InvalidFile: no folder, or a link stands in it.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise InvalidFile(folder, "is no folder")
    with os.scandir(folder) as entries:
        seen = [entry for entry in entries if entry.name[0] != "."]
    for entry in seen:
        if entry.is_symlink():
            raise InvalidFile(entry.path, "is a link: copy what it points to in its place")
    return [entry.name for entry in seen if entry.is_dir(follow_symlinks=False)]


def _classes(root: Path, names: list[str], limits: FolderLimits) -> tuple[str, ...]:
    if len(names) < 2:
        raise InvalidFile(root, "holds no classes: each class is a sub-folder, and there are at least two")
    if len(names) > limits.max_classes:
        raise TooManyImages(root, f"holds more than {limits.max_classes:,} sub-folders")
    are_numbers = all(name.isascii() and name.isdigit() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name), name) if are_numbers else (0, name)))


def _files(root: Path, names: tuple[str, ...], found: list[str], limits: FolderLimits) -> Iterator[tuple[int, Path]]:
    """Label and path of every file in the sub-folders that were found, sorted by label and name."""
    count = 0
    for label, name in enumerate(names):
        subfolder = root / name
        for file in sorted(os.listdir(subfolder)) if name in found else ():
            if file.startswith("."):
                continue
            path = subfolder / file
            if path.is_symlink() or not path.is_file():
                raise InvalidFile(path, "is a link, a folder or a device: classes hold plain files only")
            count += 1
            if count > limits.max_images:
                raise TooManyImages(root, f"holds more than {limits.max_images:,} files")
            yield label, path


def _read(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(max_bytes + 1)  # one more than is taken, so that a longer file is seen to be longer
