"""The structure of a PNG file, checked before a decoder sees it.

Decoders are lenient: a file that was cut short becomes a picture with black rows, and 16-bit colour quietly loses half
of its bits. Here every chunk must be whole and its checksum right, and the compressed rows must be exactly as many as
the header says.

Source: W3C, Portable Network Graphics (PNG) Specification, Third Edition (2025).
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from secmlops.images.errors import InvalidImage

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS: Final = 10_000

_CHUNK_HEAD = struct.Struct(">I4s")
_CHECKSUM = struct.Struct(">I")
_HEADER = struct.Struct(">IIBBBBB")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_INTERLACED_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: first column, first row, step of columns, step of rows of each pass."""


@dataclass(frozen=True, slots=True)
class PngHeader:
    """What the header of a PNG file says.

    Attributes:
        width: columns.
        height: rows.
        bit_depth: bits per channel.
        color_type: 0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGB with alpha.
        interlaced: whether rows come in the seven passes of Adam7.
    """

    width: int
    height: int
    bit_depth: int
    color_type: int
    interlaced: bool

    @property
    def data_bytes(self) -> int:
        """Length of the rows when they are unpacked, each with its filter byte."""
        passes = _INTERLACED_PASSES if self.interlaced else ((0, 0, 1, 1),)
        return sum(self._pass_bytes(*each) for each in passes)

    def _pass_bytes(self, column: int, row: int, column_step: int, row_step: int) -> int:
        columns = -(-max(self.width - column, 0) // column_step)
        rows = -(-max(self.height - row, 0) // row_step)
        bits = columns * _CHANNELS[self.color_type] * self.bit_depth
        return rows * (1 + -(-bits // 8)) if columns else 0


def check_png(data: bytes, check_size: Callable[[int, int], None]) -> PngHeader:
    """Check a PNG file from its first byte to its last, within a bounded amount of memory.

    Args:
        data: the file's bytes.
        check_size: called with width and height before rows are unpacked; raises where they are not taken.

    Raises:
        InvalidImage: broken, cut short, followed by other data, of 16 bits, or animated.
    """
    chunks = list(_chunks(data))
    header = _header(chunks)
    check_size(header.width, header.height)
    if header.bit_depth == 16:
        raise InvalidImage("sixteen_bit", "the image has 16 bits per channel: save it with 8")
    if any(kind == b"acTL" for kind, _ in chunks):
        raise InvalidImage("animated", "the image is animated: send one frame")
    _check_rows(b"".join(content for kind, content in chunks if kind == b"IDAT"), header.data_bytes)
    return header


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, position, kind = memoryview(data), len(SIGNATURE), b""
    for _ in range(MAX_CHUNKS):
        if kind == b"IEND":
            break
        start = position + _CHUNK_HEAD.size
        if start > len(data):
            raise _truncated()
        length, kind = _CHUNK_HEAD.unpack_from(data, position)
        end = start + length
        if end + _CHECKSUM.size > len(data):
            raise _truncated()
        if zlib.crc32(view[position + 4 : end]) != _CHECKSUM.unpack_from(data, end)[0]:
            raise InvalidImage("broken", "a checksum in the PNG file is wrong: send the file again")
        yield kind, view[start:end]
        position = end + _CHECKSUM.size
    if kind != b"IEND":
        raise InvalidImage("broken", f"the PNG file has more than {MAX_CHUNKS:,} parts")
    if position != len(data):
        raise InvalidImage("broken", "data follow the end of the PNG file: send the image alone")


def _header(chunks: list[tuple[bytes, memoryview]]) -> PngHeader:
    kind, content = chunks[0]
    if kind != b"IHDR" or len(content) != _HEADER.size:
        raise _invalid_header()
    width, height, bit_depth, color_type, _, _, interlace = _HEADER.unpack(content)
    if not (width and height and bit_depth in (1, 2, 4, 8, 16) and color_type in _CHANNELS and interlace in (0, 1)):
        raise _invalid_header()
    return PngHeader(width, height, bit_depth, color_type, bool(interlace))


def _check_rows(packed: bytes, expected: int) -> None:
    unpacker = zlib.decompressobj()
    try:
        found = len(unpacker.decompress(packed, expected + 1))
    except zlib.error:
        raise InvalidImage("broken", "the rows of the PNG file cannot be unpacked: send the file again") from None
    if found < expected:
        raise _truncated()
    if found > expected:
        raise InvalidImage("broken", "the PNG file holds more rows than its header says")


def _truncated() -> InvalidImage:
    return InvalidImage("truncated", "the image is cut short: send the whole file")


def _invalid_header() -> InvalidImage:
    return InvalidImage("broken", "the header of the PNG file is invalid")
