"""Instances of the digits service: images as arrays of numbers, or as PNG or JPEG files."""

import base64
import binascii
from typing import Any

import numpy as np

from secmlops.images.decode import DecodeLimits, decode_image
from secmlops.images.errors import InvalidImage
from serving.limits import Limits
from serving.protocol import read_numbers
from serving.refusals import Reason, Refusal


def read_image(instance: Any, shape: tuple[int, int, int], limits: Limits) -> np.ndarray:
    """Read nested lists, an array, bytes (PNG, JPEG) or `{"image_base64": ...}` into float32 of that shape, in [0, 1].

    A gray image may leave out its channel.

    Raises:
        Refusal: it is no such image.
    """
    if isinstance(instance, bytes):
        return _decode(instance, shape, limits)
    if isinstance(instance, dict) and "image_base64" in instance:
        return _decode(_unbase64(instance["image_base64"]), shape, limits)
    if not isinstance(instance, list | np.ndarray):
        raise Refusal(Reason.UNREADABLE_REQUEST, 'an image is an array of numbers, or {"image_base64": ...}')
    return _checked(read_numbers(instance) if isinstance(instance, list) else instance, shape)


def _decode(data: bytes, shape: tuple[int, int, int], limits: Limits) -> np.ndarray:
    try:
        return decode_image(data, shape, limits=DecodeLimits(max_bytes=limits.max_body_bytes))
    except InvalidImage as error:
        raise Refusal(Reason.UNREADABLE_REQUEST, error.sentence) from None


def _checked(image: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    if shape[0] == 1 and image.shape == shape[1:]:
        image = image[None]
    if image.shape != shape:
        raise Refusal(Reason.WRONG_SHAPE, f"an image has the shape {list(shape)}")
    if not (image.min() >= 0 and image.max() <= 1):  # NaN fails both
        raise Refusal(Reason.OUT_OF_RANGE, "pixels are numbers from 0 to 1: divide 8-bit images by 255 first")
    return image


def _unbase64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise Refusal(Reason.UNREADABLE_REQUEST, "`image_base64` is not valid base64") from None
