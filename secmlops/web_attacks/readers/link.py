"""From a captured frame to its TCP segment: link layers, IPv4, IPv6, fragments and plain IP-in-IP tunnels.

Fields are read in place, because building objects for each layer costs more than all the rest of reading a
capture; link types that are rare on disk go through dpkt.
"""

import struct
from collections import Counter, OrderedDict
from typing import Final, NamedTuple

_TCP: Final = struct.Struct(">HHIIBB")
_TAGS: Final = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
_IPV4, _IPV6 = 0x0800, 0x86DD
_PROTO_IPV4, _PROTO_TCP, _PROTO_IPV6 = 4, 6, 41
_HOP, _ROUTING, _FRAGMENT, _AUTH, _DESTINATION, _MOBILITY = 0, 43, 44, 51, 60, 135
_MAX_LAYERS: Final = 8
_MAX_DATAGRAMS: Final = 1_024
_MAX_PIECES: Final = 128
_MAX_DATAGRAM_BYTES: Final = 65_535
_MAX_FRAGMENT_BYTES: Final = 16 * 1024 * 1024
_KEPT_BYTES: Final = 2_048

# LINKTYPE values: https://www.tcpdump.org/linktypes.html
ETHERNET: Final = 1
_PREFIX_BYTES: Final = {0: 4, 108: 4, 109: 12, 12: 0, 14: 0, 101: 0, 228: 0, 229: 0}
_SLL, _SLL2 = 113, 276


class Segment(NamedTuple):
    """One TCP segment; addresses are address and port bytes together."""

    src: bytes
    dst: bytes
    seq: int
    ack: int
    flags: int
    payload: bytes


class Malformed(Exception):
    """A frame whose layers contradict its length."""


class Decoder:
    """Finds TCP segments in frames and counts the frames that carry none.

    Attributes:
        skipped: frames without TCP, by kind.
    """

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self._fragments: OrderedDict[bytes, _Datagram] = OrderedDict()
        self._fragment_bytes = 0
        self._abandoned: list[bytes] = []

    def segment(self, link: int, frame: bytes) -> Segment | None:
        """The TCP segment of a frame; None when it has none, or is a fragment that does not yet complete one.

        Raises:
            Malformed: the frame ends before its headers do.
        """
        if link == ETHERNET and frame[12:14] == b"\x08\x00":
            at = 14
        else:
            at, frame = self._ip_offset(link, frame)
            if at < 0:
                return None
        for _ in range(_MAX_LAYERS):
            if len(frame) < at + 20:
                raise Malformed("the frame ends inside the IP header")
            version = frame[at] >> 4
            if version == 4:
                found = self._ipv4(frame, at)
            elif version == 6:
                found = self._ipv6(frame, at)
            else:
                raise Malformed(f"IP version {version}")
            if found is None:
                return None
            protocol, src, dst, frame, at, end = found
            if protocol == _PROTO_TCP:
                return _tcp(src, dst, frame, at, end)
            if protocol not in (_PROTO_IPV4, _PROTO_IPV6):
                self.skipped["udp" if protocol == 17 else "icmp" if protocol in (1, 58) else "other IP"] += 1
                return None
        self.skipped["too many layers"] += 1
        return None

    def unfinished(self) -> list[bytes]:
        """The first bytes of each datagram that was never completed."""
        for datagram in self._fragments.values():
            self._abandon(datagram)
        self._fragments.clear()
        return self._abandoned

    def _ip_offset(self, link: int, frame: bytes) -> tuple[int, bytes]:
        if link == ETHERNET:
            return self._after_ethertype(frame, 12)
        if link in _PREFIX_BYTES:
            return _PREFIX_BYTES[link], frame
        if link == _SLL:
            return self._after_ethertype(frame, 14)
        if link == _SLL2:
            kind = int.from_bytes(frame[:2], "big")
            return (20, frame) if kind in (_IPV4, _IPV6) else self._none("not IP")
        return self._by_dpkt(link, frame)

    def _after_ethertype(self, frame: bytes, at: int) -> tuple[int, bytes]:
        """Skip VLAN tags, PPPoE and MPLS labels from the EtherType at `at`."""
        for _ in range(_MAX_LAYERS):
            kind = int.from_bytes(frame[at : at + 2], "big")
            at += 2
            if kind in (_IPV4, _IPV6):
                return at, frame
            if kind in _TAGS:
                at += 2
            elif kind == 0x8864:  # PPPoE session: 6 bytes, then the PPP protocol
                protocol = int.from_bytes(frame[at + 6 : at + 8], "big")
                return (at + 8, frame) if protocol in (0x21, 0x57) else self._none("not IP")
            elif kind == 0x8847:
                while at + 4 <= len(frame) and not frame[at + 2] & 1:
                    at += 4
                return at + 4, frame
            else:
                break
        return self._none("not IP")

    def _by_dpkt(self, link: int, frame: bytes) -> tuple[int, bytes]:
        import dpkt

        layers = {9: dpkt.ppp.PPP, 50: dpkt.ppp.PPP, 105: dpkt.ieee80211.IEEE80211, 127: dpkt.radiotap.Radiotap}
        if link not in layers:
            return self._none(f"link type {link}")
        try:
            layer = layers[link](frame)
            for _ in range(_MAX_LAYERS):
                if isinstance(layer, dpkt.ip.IP | dpkt.ip6.IP6):
                    return 0, bytes(layer)
                layer = layer.data
        except (dpkt.UnpackError, struct.error, IndexError, AttributeError, TypeError, ValueError, KeyError):
            raise Malformed(f"a frame of link type {link} that cannot be read") from None
        return self._none("not IP")

    def _none(self, kind: str) -> tuple[int, bytes]:
        self.skipped[kind] += 1
        return -1, b""

    def _ipv4(self, frame: bytes, at: int) -> tuple[int, bytes, bytes, bytes, int, int] | None:
        header = (frame[at] & 15) * 4
        total = frame[at + 2] << 8 | frame[at + 3]
        # A total length of 0 is what segmentation offload leaves behind.
        end = min(len(frame), at + total) if total else len(frame)
        if header < 20 or end < at + header:
            raise Malformed("an IPv4 header longer than its packet")
        src, dst = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
        protocol = frame[at + 9]
        placing = (frame[at + 6] & 0x3F) << 8 | frame[at + 7]
        if placing:
            key = frame[at + 12 : at + 20] + frame[at + 4 : at + 6] + bytes((protocol,))
            whole = self._collect(key, (placing & 0x1FFF) * 8, bool(placing & 0x2000), frame[at + header : end])
            return (protocol, src, dst, whole, 0, len(whole)) if whole is not None else None
        return protocol, src, dst, frame, at + header, end

    def _ipv6(self, frame: bytes, at: int) -> tuple[int, bytes, bytes, bytes, int, int] | None:
        if len(frame) < at + 40:
            raise Malformed("the frame ends inside the IPv6 header")
        length = frame[at + 4] << 8 | frame[at + 5]
        end = min(len(frame), at + 40 + length) if length else len(frame)
        src, dst = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
        protocol, at = frame[at + 6], at + 40
        for _ in range(_MAX_LAYERS):
            if protocol not in (_HOP, _ROUTING, _FRAGMENT, _AUTH, _DESTINATION, _MOBILITY):
                return protocol, src, dst, frame, at, end
            if end < at + 8:
                raise Malformed("the frame ends inside an IPv6 extension header")
            following = frame[at]
            if protocol == _FRAGMENT:
                placing = frame[at + 2] << 8 | frame[at + 3]
                key = src + dst + frame[at + 4 : at + 8]
                whole = self._collect(key, placing & 0xFFF8, bool(placing & 1), frame[at + 8 : end])
                if whole is None:
                    return None
                frame, at, end = whole, 0, len(whole)
            else:
                at += (frame[at + 1] + 2) * 4 if protocol == _AUTH else (frame[at + 1] + 1) * 8
            protocol = following
        raise Malformed("too many IPv6 extension headers")

    def _collect(self, key: bytes, offset: int, more: bool, piece: bytes) -> bytes | None:
        """Add a fragment; the datagram's payload once it is whole."""
        datagram = self._fragments.setdefault(key, _Datagram())
        datagram.add(offset, more, piece)
        self._fragment_bytes += len(piece)
        whole = datagram.whole()
        if whole is not None or datagram.hopeless:
            del self._fragments[key]
            self._fragment_bytes -= datagram.size
            if whole is None:
                self._abandon(datagram)
        while len(self._fragments) > _MAX_DATAGRAMS or self._fragment_bytes > _MAX_FRAGMENT_BYTES:
            oldest = self._fragments.popitem(last=False)[1]
            self._fragment_bytes -= oldest.size
            self._abandon(oldest)
        return whole

    def _abandon(self, datagram: "_Datagram") -> None:
        if len(self._abandoned) < _MAX_DATAGRAMS:
            self._abandoned.append(b"".join(piece[:_KEPT_BYTES] for _, piece in datagram.pieces)[:_KEPT_BYTES])
        else:
            self.skipped["abandoned fragments"] += len(datagram.pieces)


class _Datagram:
    """Fragments of one IP datagram (RFC 791 section 3.2), the first copy of a byte winning."""

    __slots__ = ("hopeless", "length", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.length: int | None = None
        self.size = 0
        self.hopeless = False

    def add(self, offset: int, more: bool, piece: bytes) -> None:
        self.size += len(piece)
        self.pieces.append((offset, piece))
        if not more and self.length is None:
            self.length = offset + len(piece)
        self.hopeless = (
            len(self.pieces) > _MAX_PIECES
            or self.size > 2 * _MAX_DATAGRAM_BYTES
            or offset + len(piece) > _MAX_DATAGRAM_BYTES
        )

    def whole(self) -> bytes | None:
        if self.length is None or self.hopeless:
            return None
        data = bytearray(self.length)
        missing = [(0, self.length)]
        for offset, piece in self.pieces:
            still: list[tuple[int, int]] = []
            for start, end in missing:
                low, high = max(start, offset), min(end, offset + len(piece))
                if low >= high:
                    still.append((start, end))
                    continue
                data[low:high] = piece[low - offset : high - offset]
                still += [gap for gap in ((start, low), (high, end)) if gap[0] < gap[1]]
            missing = still
        return None if missing else bytes(data)


def _tcp(src: bytes, dst: bytes, frame: bytes, at: int, end: int) -> Segment:
    if end < at + 20:
        raise Malformed("the frame ends inside the TCP header")
    _, _, seq, ack, data_offset, flags = _TCP.unpack_from(frame, at)
    start = at + (data_offset >> 4) * 4
    if start < at + 20 or start > end:
        raise Malformed("a TCP header longer than its packet")
    return Segment(src + frame[at : at + 2], dst + frame[at + 2 : at + 4], seq, ack, flags, frame[start:end])
