"""Streams under a bound: gzip that cannot explode, and a stream whose first bytes were already looked at."""

import io
import zlib
from typing import BinaryIO, Final

from secmlops.web_attacks.readers.limits import Limits

GZIP_MAGIC: Final = b"\x1f\x8b"
_CHUNK: Final = 256 * 1024
_RATIO_FROM: Final = 16 * 1024 * 1024


class UnpackError(Exception):
    """A packed source that cannot or must not be unpacked further.

    Attributes:
        reason: `gzip_bomb` or `bad_gzip`.
        offset: bytes unpacked before.
    """

    def __init__(self, reason: str, offset: int, detail: str):
        self.reason = reason
        self.offset = offset
        super().__init__(detail)


class Rewound(io.RawIOBase):
    """A stream put back to its start after `head` was read from it; closing it leaves the inner stream open."""

    def __init__(self, head: bytes, rest: BinaryIO):
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer) -> int:
        """Fill `buffer`; 0 at the end."""
        data = self._head[: len(buffer)] if self._head else self._rest.read(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)


class BoundedGunzip(io.RawIOBase):
    """The unpacked bytes of a gzip stream of one or more members (RFC 1952).

    Reading raises `UnpackError` past `max_unpacked_bytes` or, from 16 MiB on, `max_unpack_ratio`; memory stays at a
    few megabytes.
    """

    def __init__(self, packed: BinaryIO, limits: Limits):
        self._packed = packed
        self._limits = limits
        self._member = zlib.decompressobj(wbits=31)
        self._input = b""
        self._read = 0
        self._unpacked = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer) -> int:
        """Fill `buffer`; 0 at the end."""
        data = b""
        while not data:
            if self._member.eof:
                self._input = self._member.unused_data.lstrip(b"\0")
                if not self._input:
                    self._input = self._more().lstrip(b"\0")
                if not self._input:
                    return 0
                self._member = zlib.decompressobj(wbits=31)
            elif not self._input:
                self._input = self._more()
                if not self._input:
                    raise UnpackError("bad_gzip", self._unpacked, "the gzip data breaks off")
            try:
                data = self._member.decompress(self._input, len(buffer))
            except zlib.error:
                raise UnpackError("bad_gzip", self._unpacked, "the gzip data cannot be unpacked further") from None
            self._input = self._member.unconsumed_tail
        self._unpacked += len(data)
        self._check()
        buffer[: len(data)] = data
        return len(data)

    def _more(self) -> bytes:
        data = self._packed.read(_CHUNK)
        self._read += len(data)
        return data

    def _check(self) -> None:
        ratio = self._unpacked / max(1, self._read - len(self._input))
        if self._unpacked > self._limits.max_unpacked_bytes or (
            self._unpacked > _RATIO_FROM and ratio > self._limits.max_unpack_ratio
        ):
            detail = (
                f"gzip data that unpacks to {ratio:.0f} times its size; reading stopped after {self._unpacked} bytes"
            )
            raise UnpackError("gzip_bomb", self._unpacked, detail)
