"""PNG and JPEG bytes to arrays, for images that anybody may send.

| sent | becomes |
|---|---|
| gray, RGB, palette, 1 to 8 bits | floats in [0, 1]: value / 255 |
| colour where the model takes gray | luma (ITU-R BT.601), as Pillow's `convert("L")` |
| gray where the model takes colour | three equal channels |
| alpha that is opaque everywhere | dropped |
| EXIF orientation, colour profile, gamma | ignored: pixels are taken as they are stored |
| 16 bits, CMYK, animation, visible transparency | refused: there is no one right conversion |
| another size than the model's | refused: resizing is the client's choice |
| JPEG of more than 100 scans | refused: each one goes over all pixels again |
| other formats, broken or truncated files, too many pixels | refused |

Size and structure are checked before memory is taken.

Source: Commander and Markham, Two Issues with the JPEG Standard (2016), on files of very many scans.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np

from secmlops.images.errors import InvalidImage
from secmlops.images.png import SIGNATURE as PNG_SIGNATURE
from secmlops.images.png import check_png

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SCANS: Final = 100
"""Scans of one JPEG file; encoders write about ten."""

_JPEG_SIGNATURE = b"\xff\xd8\xff"
_START_OF_SCAN = b"\xff\xda"
_MODES = {1: "L", 3: "RGB"}
_TAKEN = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Bounds on one encoded image.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width times height.
    """

    max_bytes: int = 16 * 1024**2
    max_pixels: int = 4096 * 4096


DEFAULT_LIMITS = DecodeLimits()


def decode_image(data: bytes, shape: Shape | None = None, *, limits: DecodeLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Decode a PNG or JPEG image.

    Args:
        data: the file's bytes.
        shape: channels (1 or 3), height and width that the image must have; None: those that it has.
        limits: bounds on the file.

    Returns:
        float32, (channels, height, width), in [0, 1].

    Raises:
        InvalidImage: it is none, or one that is not taken; see the table above.
    """
    if not data:
        raise InvalidImage("empty", "the image is empty")
    if len(data) > limits.max_bytes:
        raise InvalidImage("too_large", f"the image is larger than {limits.max_bytes:,} bytes")

    def check_size(width: int, height: int) -> None:
        _check_size(width, height, shape, limits)

    if data.startswith(PNG_SIGNATURE):
        check_png(data, check_size)
    elif data.startswith(_JPEG_SIGNATURE):
        _check_scans(data)
    else:
        raise InvalidImage("format", "the image is neither PNG nor JPEG")
    with _pillow_failing_clearly():
        image = _open(data, check_size)
        image.load()
        image = _opaque(image)
        channels = shape[0] if shape else (1 if image.mode in ("1", "L") else 3)
        pixels = np.asarray(image.convert(_MODES[channels]), dtype=np.float32) / np.float32(255)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _check_size(width: int, height: int, shape: Shape | None, limits: DecodeLimits) -> None:
    if width * height > limits.max_pixels:
        raise InvalidImage(
            "too_many_pixels", f"the image has {width} x {height} pixels: at most {limits.max_pixels:,} are taken"
        )
    if shape and (height, width) != shape[1:]:
        raise InvalidImage("wrong_shape", f"the image has {width} x {height} pixels: {shape[2]} x {shape[1]} are taken")


def _check_scans(data: bytes) -> None:
    """Count the marker wherever it stands: a decoder that reads the segments differently sees no more of them.

    Compressed pixels never hold it; metadata do by chance, once in 65,536 bytes at most.
    """
    if data.count(_START_OF_SCAN) > MAX_SCANS:
        raise InvalidImage(
            "too_many_scans", f"the JPEG file has more than {MAX_SCANS} scans: save it as a baseline JPEG"
        )


def _open(data: bytes, check_size: Callable[[int, int], None]) -> "Image":
    """Read the header of an image and check what can be told from it."""
    from PIL import Image

    image = Image.open(BytesIO(data), formats=("PNG", "JPEG"))
    check_size(*image.size)
    if getattr(image, "n_frames", 1) != 1:
        raise InvalidImage("animated", "the file holds several images: send one")
    if image.mode not in _TAKEN:
        raise InvalidImage("colour", f"{image.mode} colours are not taken: save the image as RGB or gray of 8 bits")
    return image


def _opaque(image: "Image") -> "Image":
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return image
    is_gray = image.mode in ("1", "L", "LA")
    with_alpha = image.convert("RGBA")
    if np.asarray(with_alpha.getchannel("A")).min() < 255:
        raise InvalidImage("transparent", "the image is transparent in places: put it on a background first")
    return with_alpha.convert("L" if is_gray else "RGB")


@contextmanager
def _pillow_failing_clearly() -> Iterator[None]:
    from PIL import Image

    try:
        yield
    except InvalidImage:
        raise
    except Image.DecompressionBombError:
        raise InvalidImage("too_many_pixels", "the image has too many pixels") from None
    except Exception as error:  # a decoder that meets hostile bytes raises whatever its parts raise
        is_cut = "truncated" in str(error).lower()
        reason = "truncated" if is_cut else "broken"
        raise InvalidImage(reason, f"the image is {'cut short' if is_cut else 'broken'}: send the whole file") from None
