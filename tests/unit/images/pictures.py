"""Pictures for tests, honest and hostile."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

SIZE = 28


def picture(mode: str = "L", seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    return Image.fromarray(values, "RGB").convert(mode)


def encoded(image: Image.Image, format: str = "PNG", **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int = SIZE, height: int = SIZE, *, depth: int = 8, color: int = 0, rows: bytes | None = None,
    extra: bytes = b"", interlace: int = 0,
) -> bytes:  # fmt: skip
    """A PNG file by hand, so that it can lie."""
    rows = bytes(height * (width + 1)) if rows is None else rows
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    parts = chunk(b"IHDR", head), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg_of_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again, so that it has this many."""
    whole = encoded(picture(), "JPEG", progressive=True)
    last, end = whole.rindex(b"\xff\xda"), len(whole) - 2
    return whole[:end] + whole[last:end] * (scans - whole.count(b"\xff\xda")) + whole[end:]


ZEROS = 100_000_000

HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "text": (b"not an image", "format"),
    "gif": (encoded(picture(), "GIF"), "format"),
    "bmp": (encoded(picture(), "BMP"), "format"),
    "tiff": (encoded(picture(), "TIFF"), "format"),
    "webp": (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "format"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "format"),
    "png signature alone": (b"\x89PNG\r\n\x1a\n", "truncated"),
    "png without its end": (encoded(picture())[:-12], "truncated"),
    "png cut in its rows": (encoded(picture())[:-100], "truncated"),
    "png with too few rows": (png(rows=bytes(29 * 5)), "truncated"),
    "png with too many rows": (png(rows=bytes(29 * 29)), "broken"),
    "png with a wrong checksum": (encoded(picture()).replace(b"IEND\xae", b"IEND\xaf"), "broken"),
    "png with data behind it": (encoded(picture()) + b"MZ", "broken"),
    "png without rows": (png(0, SIZE, rows=b""), "broken"),
    "png of an unknown colour type": (png(color=5), "broken"),
    "png whose chunk is longer than the file": (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"IHDR" + bytes(40), "truncated"
    ),
    "jpeg cut short": (encoded(picture(), "JPEG")[:-50], "truncated"),
    "jpeg signature alone": (b"\xff\xd8\xff", "broken"),
    "jpeg of noise": (b"\xff\xd8\xff" + bytes(range(256)) * 4, "broken"),
    "16-bit gray": (png(depth=16, rows=bytes(SIZE * (2 * SIZE + 1))), "sixteen_bit"),
    "16-bit colour": (png(depth=16, color=2, rows=bytes(SIZE * (6 * SIZE + 1))), "sixteen_bit"),
    "cmyk": (encoded(picture("CMYK"), "JPEG"), "colour"),
    "animated": (encoded(picture(), save_all=True, append_images=[picture(seed=1)]), "animated"),
    "several jpegs in one": (encoded(picture(), "MPO", save_all=True, append_images=[picture(seed=1)]), "animated"),
    "transparent": (encoded(Image.new("LA", (SIZE, SIZE), (7, 254))), "transparent"),
    "transparent by colour": (encoded(picture(), transparency=int(np.asarray(picture())[3, 3])), "transparent"),
    "bomb by its header": (png(60_000, 60_000, rows=b""), "too_many_pixels"),
    "bomb by its rows": (png(rows=bytes(ZEROS)), "broken"),
    "bomb by a comment": (png(extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(ZEROS)))), "broken"),
    "bomb by a colour profile": (png(extra=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(ZEROS)))), "broken"),
    "jpeg that says 65,000 x 65,000": (
        encoded(picture(), "JPEG").replace(struct.pack(">HH", SIZE, SIZE), struct.pack(">HH", 65_000, 65_000)),
        "too_many_pixels",
    ),
    "jpeg of very many scans": (jpeg_of_scans(101), "too_many_scans"),
    "png of very many parts": (png(extra=chunk(b"tEXt", b"a\0b") * 20_000), "broken"),
    "large and black, few bytes": (png(4000, 4000), "wrong_shape"),
    "other size": (encoded(picture().resize((29, 28))), "wrong_shape"),
}  # fmt: skip
"""Files that must be refused, each with the reason."""
