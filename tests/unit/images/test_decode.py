"""Encoded images: what is converted, and that everything else is refused without much memory."""

import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from secmlops.images.decode import DecodeLimits, decode_image
from secmlops.images.errors import InvalidImage
from tests.unit.images.pictures import HOSTILE, SIZE, encoded, jpeg_of_scans, picture, png

GRAY = (1, SIZE, SIZE)
COLOUR = (3, SIZE, SIZE)


def floats(image: Image.Image) -> np.ndarray:
    values = np.asarray(image, dtype=np.float32) / np.float32(255)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


@pytest.mark.parametrize("shape", [GRAY, None])
def test_gray_png_is_exact(shape):
    decoded = decode_image(encoded(picture()), shape)
    assert decoded.dtype == np.float32
    assert np.array_equal(decoded, floats(picture()))


@pytest.mark.parametrize("shape", [COLOUR, None])
def test_colour_png_is_exact(shape):
    assert np.array_equal(decode_image(encoded(picture("RGB")), shape), floats(picture("RGB")))


def test_jpeg_is_close():
    smooth = Image.radial_gradient("L").resize((SIZE, SIZE))
    assert np.abs(decode_image(encoded(smooth, "JPEG", quality=95), GRAY) - floats(smooth)).max() < 0.05


def test_progressive_jpeg_is_taken_up_to_its_limit_of_scans():
    whole = encoded(picture(), "JPEG", progressive=True)
    decoded = decode_image(whole, GRAY)
    assert np.array_equal(decoded, floats(Image.open(io.BytesIO(whole))))
    assert decode_image(jpeg_of_scans(100), GRAY).shape == GRAY


def test_documented_conversions():
    gray, colour = picture(), picture("RGB")
    opaque = colour.copy()
    opaque.putalpha(255)
    palette = colour.convert("P")
    assert np.array_equal(decode_image(encoded(colour), GRAY), floats(colour.convert("L")))
    assert np.array_equal(decode_image(encoded(gray), COLOUR), np.repeat(floats(gray), 3, axis=0))
    assert np.array_equal(decode_image(encoded(opaque)), floats(colour))
    assert np.array_equal(decode_image(encoded(gray.convert("LA"))), floats(gray))
    assert np.array_equal(decode_image(encoded(palette)), floats(palette.convert("RGB")))
    assert np.array_equal(decode_image(encoded(gray.convert("1"))), floats(gray.convert("1").convert("L")))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 28])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_png_rows_are_counted_right_interlaced_or_not(size, mode):
    image = picture("RGB").resize((size, 28)).convert(mode)
    assert decode_image(encoded(image)).shape[1:] == (28, size)
    lines, columns = 28, size
    passes = [(8, 8, 0, 0), (8, 8, 0, 4), (8, 4, 4, 0), (4, 4, 0, 2), (4, 2, 2, 0), (2, 2, 0, 1), (2, 1, 1, 0)]
    # Rows and columns of each Adam7 pass, counted one by one.
    rows = b"".join(
        b"\0" + bytes(len(range(first_column, columns, column_step)))
        for row_step, column_step, first_row, first_column in passes
        for _ in range(first_row, lines, row_step)
        if range(first_column, columns, column_step)
    )
    assert np.array_equal(decode_image(png(size, 28, rows=rows, interlace=1)), np.zeros((1, 28, size), np.float32))


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_images_are_refused_within_little_memory(case):
    data, reason = HOSTILE[case]
    tracemalloc.start()
    try:
        with pytest.raises(InvalidImage) as caught:
            decode_image(data, GRAY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.reason == reason
    assert peak < 4 * 1024**2 + 2 * len(data)


def test_limits_hold():
    data = encoded(picture())
    with pytest.raises(InvalidImage) as caught:
        decode_image(data, limits=DecodeLimits(max_bytes=len(data) - 1))
    assert caught.value.reason == "too_large"
    for format in ("PNG", "JPEG"):
        with pytest.raises(InvalidImage) as caught:
            decode_image(encoded(picture(), format), limits=DecodeLimits(max_pixels=SIZE * SIZE - 1))
        assert caught.value.reason == "too_many_pixels"


@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from(["PNG", "JPEG"]))
def test_a_changed_byte_gives_an_image_or_a_refusal(position, value, format):
    data = bytearray(encoded(picture(), format))
    data[position % len(data)] = value
    try:
        decoded = decode_image(bytes(data), GRAY)
    except InvalidImage as error:
        assert error.sentence
    else:
        assert decoded.shape == GRAY
        assert 0 <= decoded.min() <= decoded.max() <= 1


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]))
def test_noise_is_refused(noise, signature):
    with pytest.raises(InvalidImage):
        decode_image(signature + noise)


def test_every_prefix_of_a_png_is_refused():
    data = encoded(picture())
    for length in range(len(data)):
        with pytest.raises(InvalidImage):
            decode_image(data[:length], GRAY)
    assert decode_image(data, GRAY) is not None
