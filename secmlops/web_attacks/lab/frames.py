"""TCP connections as captured frames: Ethernet, IPv4 or IPv6, TCP with handshake, acknowledgements and FIN.

The lab records what its programs say over loopback as if it had crossed a network: segments of at most the MSS,
now and then a retransmission, an overlap or a swap of neighbours, correct lengths and checksums (RFC 791, 1071,
8200, 9293). Nothing here needs raw sockets or privileges. The pcap format is that of draft-ietf-opsawg-pcap.
"""

import ipaddress
import struct
from dataclasses import dataclass
from random import Random
from typing import BinaryIO, Final, TypeAlias

Frame: TypeAlias = tuple[float, bytes]

_FIN, _SYN, _PSH, _ACK = 0x01, 0x02, 0x08, 0x10
_ETHERNET_IPV4, _ETHERNET_IPV6 = b"\x08\x00", b"\x86\xdd"
_LINKTYPE_ETHERNET: Final = 1
_SNAPLEN: Final = 262144
_SYN_OPTIONS: Final = b"\x04\x02\x01\x03\x03\x07\x01\x01"
_RETRANSMITTED, _OVERLAPPED, _SWAPPED = 0.006, 0.002, 0.006
_NEAR_WRAP: Final = 0.03


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and port in recorded frames."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(slots=True)
class _Half:
    """One direction of a connection: fixed header pieces and the next sequence number."""

    link: bytes
    address: bytes
    port: int
    sequence: int
    time_to_live: int
    window: int
    identification: int = 0


class Connection:
    """One recorded TCP connection; frames collect in `frames` in order of time as far as the network kept it."""

    def __init__(self, client: Endpoint, server: Endpoint, rng: Random):
        """Start with no frames; call `open` first.

        Args:
            client: who connects.
            server: who listens; of the same address family.
            rng: draws sequence numbers, delays and disturbances.
        """
        self.frames: list[Frame] = []
        self._rng = rng
        self._v6 = ":" in server.address
        self._mss = 1440 if self._v6 else 1460
        self.round_trip_s = rng.uniform(0.008, 0.12)
        self._client = self._half(client, rng.choice([64, 128]) - rng.randint(3, 18))
        self._server = self._half(server, 64)

    def open(self, time_s: float) -> float:
        """Three-way handshake; returns when it is over."""
        options = struct.pack("!BBH", 2, 4, self._mss) + _SYN_OPTIONS
        self._emit(time_s, self._client, self._server, _SYN, options=options)
        self._client.sequence += 1
        self._emit(time_s + 0.0001, self._server, self._client, _SYN | _ACK, options=options)
        self._server.sequence += 1
        done = time_s + self.round_trip_s
        self._emit(done, self._client, self._server, _ACK)
        return done

    def send(self, time_s: float, data: bytes, *, from_client: bool) -> float:
        """Carry data one way, acknowledged by the other side; returns when the last byte was seen."""
        sender, receiver = (self._client, self._server) if from_client else (self._server, self._client)
        first = len(self.frames)
        now, before = time_s, 0
        for start in range(0, len(data), self._mss):
            piece = data[start : start + self._mss]
            last = start + self._mss >= len(data)
            self._emit(now, sender, receiver, _ACK | _PSH if last else _ACK, piece)
            self._disturb(now, sender, receiver, piece, before)
            sender.sequence += len(piece)
            before = len(piece)
            now += 0.0002
        if self._rng.random() < _SWAPPED * (len(self.frames) - first - 1):
            self._swap(first)
        self._emit(now, receiver, sender, _ACK)
        return now

    def close(self, time_s: float, *, by_client: bool) -> float:
        """FIN from one side, then the other; returns when the connection is gone."""
        leaver, other = (self._client, self._server) if by_client else (self._server, self._client)
        self._emit(time_s, leaver, other, _FIN | _ACK)
        leaver.sequence += 1
        self._emit(time_s + self.round_trip_s / 2, other, leaver, _FIN | _ACK)
        other.sequence += 1
        self._emit(time_s + self.round_trip_s, leaver, other, _ACK)
        return time_s + self.round_trip_s

    def _half(self, end: Endpoint, time_to_live: int) -> _Half:
        packed = ipaddress.ip_address(end.address).packed
        start = 2**32 - self._rng.randint(1, 3000) if self._rng.random() < _NEAR_WRAP else self._rng.getrandbits(32)
        return _Half(
            b"\x02" + packed[-5:].rjust(5, b"\0"),
            packed,
            end.port,
            start,
            time_to_live,
            self._rng.randint(400, 65535),
            self._rng.getrandbits(16),
        )

    def _disturb(self, now: float, sender: _Half, receiver: _Half, piece: bytes, before: int) -> None:
        """Sometimes send the piece again, whole or (with the end of it only) at another boundary."""
        chance = self._rng.random()
        if chance < _RETRANSMITTED:
            self._emit(now + 0.00015, sender, receiver, _ACK, piece)
        elif chance < _RETRANSMITTED + _OVERLAPPED and before and len(piece) > 8:
            self._emit(now + 0.00015, sender, receiver, _ACK, piece[len(piece) // 2 :], offset=len(piece) // 2)

    def _swap(self, first: int) -> None:
        at = self._rng.randrange(first, len(self.frames) - 1)
        (early, one), (late, two) = self.frames[at], self.frames[at + 1]
        self.frames[at], self.frames[at + 1] = (early, two), (late, one)

    def _emit(
        self,
        time_s: float,
        sender: _Half,
        receiver: _Half,
        flags: int,
        data: bytes = b"",
        options: bytes = b"",
        offset: int = 0,
    ) -> None:
        acknowledged = receiver.sequence & 0xFFFFFFFF if flags & _ACK else 0
        length = 20 + len(options) + len(data)
        head = struct.pack(
            "!HHIIBBH",
            sender.port,
            receiver.port,
            (sender.sequence + offset) & 0xFFFFFFFF,
            acknowledged,
            (20 + len(options)) << 2,
            flags,
            sender.window,
        )
        sum_ = _checksum(
            sender.address + receiver.address + struct.pack("!HH", 6, length) + head + b"\0\0" + options + data
        )
        segment = head + struct.pack("!HH", sum_, 0) + options + data
        if self._v6:
            network = (
                struct.pack("!IHBB", 0x60000000, length, 6, sender.time_to_live) + sender.address + receiver.address
            )
            kind = _ETHERNET_IPV6
        else:
            sender.identification = (sender.identification + 1) & 0xFFFF
            front = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, sender.identification, 0x4000, sender.time_to_live, 6)
            network = (
                front
                + struct.pack("!H", _checksum(front + sender.address + receiver.address))
                + sender.address
                + receiver.address
            )
            kind = _ETHERNET_IPV4
        self.frames.append((time_s, receiver.link + sender.link + kind + network + segment))


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): summing 16-bit words with end-around carry is arithmetic modulo 65535."""
    if len(data) % 2:
        data += b"\0"
    return 65535 - (int.from_bytes(data, "big") % 65535 or 65535)


def write_pcap_header(file: BinaryIO) -> None:
    """The file header: microsecond timestamps, Ethernet."""
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE_ETHERNET))


def write_frame(file: BinaryIO, frame: Frame) -> None:
    """One captured frame."""
    microseconds = round(frame[0] * 1_000_000)
    size = len(frame[1])
    file.write(struct.pack("<IIII", microseconds // 1_000_000, microseconds % 1_000_000, size, size) + frame[1])
