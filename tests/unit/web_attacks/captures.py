"""Builds small captures byte by byte, so that a test says exactly what is on the wire."""

import struct
from dataclasses import dataclass, field

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
CLIENT, SERVER = "10.0.0.1", "10.0.0.2"


def address(text: str) -> bytes:
    return bytes(int(part) for part in text.split("."))


def tcp(sport: int, dport: int, seq: int, ack: int, flags: int, payload: bytes = b"") -> bytes:
    return (
        struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 5 << 4, flags, 65535, 0, 0)
        + payload
    )


def ipv4(src: str, dst: str, payload: bytes, protocol: int = 6, identity: int = 1, placing: int = 0) -> bytes:
    return (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), identity, placing, 64, protocol, 0)
        + address(src)
        + address(dst)
        + payload
    )


def ipv6(payload: bytes, protocol: int = 6) -> bytes:
    src, dst = b"\xfe\x80" + bytes(13) + b"\x01", b"\xfe\x80" + bytes(13) + b"\x02"
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + src + dst + payload


def ethernet(packet: bytes, kind: int = 0x0800) -> bytes:
    return b"\x02" * 6 + b"\x04" * 6 + struct.pack(">H", kind) + packet


def pcap(
    frames: list[bytes], link: int = 1, *, order: str = "<", nano: bool = False, start: float = 1_700_000_000
) -> bytes:
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262_144, link)]
    for number, frame in enumerate(frames):
        fraction = (number % 1000) * (1_000_000 if nano else 1000)
        out.append(struct.pack(order + "IIII", int(start) + number // 1000, fraction, len(frame), len(frame)) + frame)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def pcapng(
    frames: list[bytes], link: int = 1, *, order: str = "<", options: bytes = b"", simple: bool = False
) -> bytes:
    out = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)]
    out.append(block(1, struct.pack(order + "HHI", link, 0, 0) + options, order))
    out.append(block(5, b"statistics, passed over", order))
    for number, frame in enumerate(frames):
        if simple:
            out.append(block(3, struct.pack(order + "I", len(frame)) + frame, order))
            continue
        ticks = 1_700_000_000_000_000 + number
        head = struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
        out.append(block(6, head + frame, order))
    return b"".join(out)


@dataclass
class Talk:
    """One TCP connection as a list of frames; `frames` may be cut, reordered and doubled before writing."""

    sport: int = 40_000
    dport: int = 80
    client_seq: int = 1_000
    server_seq: int = 9_000
    frames: list[bytes] = field(default_factory=list)

    def client(self, payload: bytes = b"", flags: int = ACK | PSH, at: int | None = None) -> "Talk":
        seq = self.client_seq if at is None else at
        self.frames.append(
            ethernet(ipv4(CLIENT, SERVER, tcp(self.sport, self.dport, seq, self.server_seq, flags, payload)))
        )
        if at is None:
            self.client_seq += len(payload) + bool(flags & (SYN | FIN))
        return self

    def server(self, payload: bytes = b"", flags: int = ACK | PSH, ack: int | None = None) -> "Talk":
        acked = self.client_seq if ack is None else ack
        self.frames.append(
            ethernet(ipv4(SERVER, CLIENT, tcp(self.dport, self.sport, self.server_seq, acked, flags, payload)))
        )
        self.server_seq += len(payload) + bool(flags & (SYN | FIN))
        return self

    def open(self) -> "Talk":
        self.client(flags=SYN)
        self.server(flags=SYN | ACK)
        return self.client(flags=ACK)

    def close(self) -> "Talk":
        self.client(flags=FIN | ACK)
        self.server(flags=FIN | ACK)
        return self.client(flags=ACK)
