"""Requests out of pcap and pcapng captures.

The record headers are read here and not by dpkt's readers, because those take the length field of a record at its word.
Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.link import Decoder, Malformed
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.readers.reassembly import Reassembler
from secmlops.web_attacks.readers.unpack import UnpackError
from secmlops.web_attacks.request import HttpRequest

_PCAP_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
PCAPNG_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
MAGICS: Final = (*_PCAP_MAGICS, PCAPNG_MAGIC)

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_MAX_INTERFACES: Final = 65_536
_READ: Final = 1024 * 1024


class Frame(NamedTuple):
    """One captured frame; `offset` is where its record starts in the capture."""

    time: float
    offset: int
    link: int
    data: bytes


class _Broken(Exception):
    """The capture cannot be read on."""

    def __init__(self, offset: int, reason: str, detail: str, data: bytes = b""):
        self.offset = offset
        self.reason = reason
        self.data = data
        super().__init__(detail)


def read_capture(stream: BinaryIO, source: str, limits: Limits) -> Iterator[HttpRequest | Quarantined]:
    """Read a pcap or pcapng capture from its first byte.

    A capture that breaks off or breaks down yields what was read up to there, then one quarantined record that says
    where.
    """
    decoder = Decoder()
    reassembler = Reassembler(source, limits)
    try:
        for number, (time, offset, link, data) in enumerate(read_frames(stream, limits)):
            if number >= limits.max_packets:
                raise _Broken(offset, "too_many_packets", f"only the first {number} packets were read")
            try:
                segment = decoder.segment(link, data)
            except Malformed as error:
                yield Quarantined(source, offset, "bad_packet", str(error), data[: limits.max_quarantine_bytes])
                continue
            if segment is not None and (found := reassembler.segment(time, offset, *segment)):
                yield from found
    except _Broken as error:
        yield from reassembler.finish()
        yield Quarantined(source, error.offset, error.reason, str(error), error.data[: limits.max_quarantine_bytes])
    except UnpackError:
        yield from reassembler.finish()
        raise
    else:
        yield from reassembler.finish()
    for data in decoder.unfinished():
        detail = "fragments of an IP datagram whose other fragments are missing"
        yield Quarantined(source, 0, "ip_fragment", detail, data[: limits.max_quarantine_bytes])
    if decoder.skipped:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(decoder.skipped.items()))
        yield Quarantined(source, 0, "no_tcp", f"{decoder.skipped.total()} packets carry no TCP segment: {kinds}")


def read_frames(stream: BinaryIO, limits: Limits) -> Iterator[Frame]:
    """The frames of a capture in file order; raises an internal error where the file cannot be read on."""
    magic = stream.read(4)
    if magic in _PCAP_MAGICS:
        yield from _pcap_frames(stream, *_PCAP_MAGICS[magic], limits)
    elif magic == PCAPNG_MAGIC:
        yield from _pcapng_frames(stream, limits)
    else:
        raise _Broken(0, "not_a_capture", "the file does not start like a pcap or pcapng capture", magic)


def _pcap_frames(stream: BinaryIO, order: str, tick: float, limits: Limits) -> Iterator[Frame]:
    head = stream.read(20)
    if len(head) < 20:
        raise _Broken(0, "truncated_record", "the capture ends inside its file header", head)
    link = struct.unpack(order + "HHiIII", head)[5] & 0x0FFFFFFF
    record = struct.Struct(order + "IIII")
    unpack, read, longest = record.unpack, stream.read, limits.max_packet_bytes
    offset = 24
    while head := read(16):
        if len(head) < 16:
            raise _Broken(offset, "truncated_record", "the capture ends inside a packet header", head)
        seconds, fraction, size, _ = unpack(head)
        if size > longest:
            raise _Broken(offset, "bad_packet_length", f"a packet of {size} bytes; the rest cannot be read", head)
        data = read(size)
        if len(data) < size:
            raise _Broken(offset, "truncated_record", f"the capture ends {size - len(data)} bytes early", data)
        yield Frame(seconds + fraction * tick, offset, link, data)
        offset += 16 + size


def _pcapng_frames(stream: BinaryIO, limits: Limits) -> Iterator[Frame]:
    order = "<"
    interfaces: list[tuple[int, float, int]] = []
    offset = 0
    head = PCAPNG_MAGIC + stream.read(4)
    while head:
        if len(head) < 8:
            raise _Broken(offset, "truncated_record", "the capture ends inside a block header", head)
        kind = struct.unpack(order + "I", head[:4])[0]
        body = b""
        if kind == _SECTION:
            body = stream.read(4)
            order = _section_order(body, offset)
            interfaces = []
        size = struct.unpack(order + "I", head[4:])[0]
        if size < (28 if kind == _SECTION else 12) or size % 4:
            raise _Broken(offset, "bad_block_length", f"a block of {size} bytes; the rest cannot be read", head)
        if kind in (_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET):
            if size > limits.max_packet_bytes + 65_536:
                raise _Broken(offset, "bad_block_length", f"a block of {size} bytes; the rest cannot be read", head)
            body = _exactly(stream, size - 12, offset)
            if kind == _INTERFACE:
                if len(interfaces) >= _MAX_INTERFACES:
                    raise _Broken(offset, "bad_block", f"more than {_MAX_INTERFACES} interfaces", body)
                interfaces.append(_interface(body, order, offset))
            else:
                yield _packet_block(kind, body, order, interfaces, offset)
        else:
            _pass_over(stream, size - 12 - len(body), offset)
        if _exactly(stream, 4, offset) != struct.pack(order + "I", size):
            raise _Broken(
                offset, "bad_block_length", "the two lengths of a block differ; the rest cannot be read", head
            )
        offset += size
        head = stream.read(8)


def _section_order(mark: bytes, offset: int) -> str:
    if mark == b"\x4d\x3c\x2b\x1a":
        return "<"
    if mark == b"\x1a\x2b\x3c\x4d":
        return ">"
    raise _Broken(offset, "bad_block", "a section header without its byte-order mark", mark)


def _interface(body: bytes, order: str, offset: int) -> tuple[int, float, int]:
    """(link type, seconds per tick, offset in seconds)."""
    if len(body) < 8:
        raise _Broken(offset, "bad_block", "an interface block that is too short", body)
    link = struct.unpack_from(order + "H", body)[0]
    tick, shift, at = 1e-6, 0, 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + length]
        if code == 0:
            break
        if code == 9 and len(value) == 1:
            tick = 2.0 ** -(value[0] & 0x7F) if value[0] & 0x80 else 10.0 ** -value[0]
        elif code == 14 and len(value) == 8:
            shift = struct.unpack(order + "q", value)[0]
        at += 4 + (length + 3) // 4 * 4
    return link, tick, shift


def _packet_block(kind: int, body: bytes, order: str, interfaces: list[tuple[int, float, int]], offset: int) -> Frame:
    number, high, low, size, start = 0, 0, 0, 0, 0
    if kind == _SIMPLE_PACKET and len(body) >= 4:
        size, start = min(struct.unpack_from(order + "I", body)[0], len(body) - 4), 4
    elif kind == _ENHANCED_PACKET and len(body) >= 20:
        number, high, low, size = struct.unpack_from(order + "IIII", body)
        start = 20
    elif kind == _OLD_PACKET and len(body) >= 20:
        number, _, high, low, size = struct.unpack_from(order + "HHIII", body)
        start = 20
    if start == 0 or number >= len(interfaces) or size > len(body) - start:
        raise _Broken(offset, "bad_block", "a packet block that contradicts itself; the rest cannot be read", body)
    link, tick, shift = interfaces[number]
    return Frame(shift + (high << 32 | low) * tick, offset, link, body[start : start + size])


def _exactly(stream: BinaryIO, size: int, offset: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise _Broken(offset, "truncated_record", f"the capture ends {size - len(data)} bytes early", data)
    return data


def _pass_over(stream: BinaryIO, size: int, offset: int) -> None:
    while size > 0:
        size -= len(_exactly(stream, min(size, _READ), offset))
