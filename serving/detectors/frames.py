"""Events on their way from the process that acknowledges to the process that judges: length-prefixed, no pickle."""

import struct
from collections.abc import Iterator
from typing import Final

import orjson

from serving.detectors.events import Event, Half, Head

_LENGTHS: Final = struct.Struct("<II")


def pack(event: Event) -> bytes:
    """An event as bytes."""
    head = orjson.dumps([event.head.half, event.head.id, event.head.namespace, event.head.service])
    return b"".join((_LENGTHS.pack(len(head), len(event.body)), head, event.body))


class Unpacker:
    """Events out of bytes as they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take bytes; gives every event that is complete now."""
        self._buffer += data
        offset = 0
        while len(self._buffer) - offset >= _LENGTHS.size:
            head_bytes, body_bytes = _LENGTHS.unpack_from(self._buffer, offset)
            begin = offset + _LENGTHS.size
            end = begin + head_bytes + body_bytes
            if len(self._buffer) < end:
                break
            half, *names = orjson.loads(self._buffer[begin : begin + head_bytes])
            yield Event(Head(Half(half), *names), bytes(self._buffer[begin + head_bytes : end]))
            offset = end
        del self._buffer[:offset]
