"""TCP connections out of packets in capture order, and the HTTP requests in them.

Reassembly follows RFC 9293 section 3.4 with the choices of a detector that sees only a copy of the traffic: the first
copy of a byte wins (later overlaps are trimmed), a hole counts as lost only once the receiver has acknowledged bytes
after it or the connection is over, and neither a stray SYN, RST or FIN nor a missing handshake makes it blind: bytes
that fit no connection known start a new one. Checksums and TTLs are not looked at. Everything is bounded by `Limits`.
"""

import socket
from bisect import bisect_right
from typing import Final

from secmlops.web_attacks.http1 import BAD_REQUEST_LINE, NOT_HTTP, Rejected, RequestParser, split_request_line
from secmlops.web_attacks.readers.limits import Limits
from secmlops.web_attacks.readers.quarantine import Quarantined
from secmlops.web_attacks.request import HttpRequest

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10

_MASK: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000
_WINDOW: Final = 16 * 1024 * 1024
_ACKS_BEFORE_GAP: Final = 4
# Where Zeek, Suricata and common servers expect HTTP without looking.
_HTTP_PORTS: Final = frozenset({80, 81, 591, 631, 1080, 3128, 8000, 8008, 8080, 8081, 8888})

Item = HttpRequest | Quarantined


class _Flow:
    """One direction of a connection. Positions are sequence numbers continued over the wrap-around at 2**32."""

    __slots__ = (
        "acks_past_gap",
        "base",
        "candidate",
        "closed",
        "fin_at",
        "held",
        "ignored",
        "initiator",
        "isn",
        "key",
        "last",
        "next",
        "offset",
        "parser",
        "pending",
        "reverse",
        "seen",
        "server_replied",
        "starts",
    )
    reverse: "_Flow"
    parser: RequestParser | None
    pending: list[bytes]
    starts: list[int]

    def __init__(self, key: bytes, offset: int):
        self.key = key
        self.offset = offset
        self.seen = False
        self.initiator: bool | None = None
        self.isn: int | None = None
        self.candidate: int | None = None
        self.base = 0
        self.next: int | None = None
        self.fin_at: int | None = None
        self.closed = False
        self.ignored = False
        self.server_replied = False
        self.parser = None
        self.pending = _NONE
        self.starts = _NO_STARTS
        self.acks_past_gap = 0
        self.held = 0
        self.last = 0


_NONE: list[bytes] = []
_NO_STARTS: list[int] = []


class Reassembler:
    """Follows all connections of one capture.

    Args:
        source: name of the capture, for quarantined records.
        limits: bounds on streams, bytes and messages.

    Attributes:
        held: bytes buffered now, over all connections.
    """

    def __init__(self, source: str, limits: Limits):
        self.held = 0
        self._source = source
        self._limits = limits
        self._flows: dict[bytes, _Flow] = {}
        self._clock = 0
        self._time: float | None = None

    @property
    def connections(self) -> int:
        """Connections in the table now."""
        return len(self._flows) // 2

    def segment(
        self, time: float, offset: int, src: bytes, dst: bytes, seq: int, ack: int, flags: int, payload: bytes
    ) -> list[Item]:
        """Take one TCP segment.

        Args:
            time: capture time, seconds since the Unix epoch.
            offset: where the packet's record starts in the capture.
            src: address (4 or 16 bytes) and port (2 bytes) of the sender.
            dst: likewise of the receiver.
            seq: sequence number.
            ack: acknowledgement number.
            flags: TCP flags.
            payload: the bytes captured.

        Returns:
            What this segment completed.
        """
        out: list[Item] = []
        flow = self._flows.get(src + dst)
        if flow is None:
            if not payload and not flags & SYN:
                return out
            flow = self._open(src, dst, offset, out)
        self._time = time
        self._clock += 1
        if flags & SYN:
            flow = self._syn(flow, seq, ack, flags, offset, out)
            seq = (seq + 1) & _MASK
        elif flow.candidate is not None and not flow.reverse.seen and seq == (flow.candidate + 1) & _MASK:
            flow = self._restart(flow, flow.candidate, offset, out)
        flow.last = flow.reverse.last = self._clock
        flow.seen = True
        if payload:
            if flow.ignored:
                flow.next = seq + len(payload)
            else:
                self._data(flow, seq, payload, offset, out)
        if flags & ACK and flow.reverse.starts:
            self._acknowledged(flow.reverse, ack, out)
        if flags & (FIN | RST):
            self._closing(flow, seq + len(payload), flags, out)
        if self.held > self._limits.max_buffered_bytes:
            self._relieve(out)
        return out

    def finish(self) -> list[Item]:
        """The capture is over: flush every connection, in the order of their first bytes."""
        out: list[Item] = []
        for flow in sorted(self._flows.values(), key=lambda flow: flow.offset):
            self._flush(flow, out)
        self._flows.clear()
        return out

    def _open(self, src: bytes, dst: bytes, offset: int, out: list[Item]) -> _Flow:
        if len(self._flows) >= 2 * self._limits.max_streams:
            self._evict_idle(out)
        flow, reverse = _Flow(src + dst, offset), _Flow(dst + src, offset)
        flow.reverse, reverse.reverse = reverse, flow
        self._flows[flow.key] = flow
        self._flows[reverse.key] = reverse
        return flow

    def _syn(self, flow: _Flow, seq: int, ack: int, flags: int, offset: int, out: list[Item]) -> _Flow:
        if flow.isn == seq:
            return flow
        if flags & ACK:
            client = flow.reverse
            if client.candidate is not None and ack == (client.candidate + 1) & _MASK:
                flow = self._restart(client, client.candidate, offset, out).reverse
            if flow.next is None:
                self._number(flow, seq)
            flow.initiator, flow.reverse.initiator = False, True
            return flow
        if flow.next is None:
            self._number(flow, seq)
        elif flow.closed or flow.reverse.closed:
            flow = self._restart(flow, seq, offset, out)
        elif flow.isn is None and flow.base & _MASK == (seq + 1) & _MASK:
            flow.isn = seq
        else:
            flow.candidate = seq
            return flow
        flow.initiator = True
        return flow

    def _number(self, flow: _Flow, isn: int) -> None:
        flow.isn = isn
        flow.base = flow.next = isn + 1 + _MASK + 1

    def _restart(self, flow: _Flow, isn: int, offset: int, out: list[Item]) -> _Flow:
        """The same addresses and ports are used again: finish the old connection and begin a new one."""
        self._forget(flow, out)
        cut = len(flow.key) // 2
        fresh = self._open(flow.key[:cut], flow.key[cut:], offset, out)
        self._number(fresh, isn)
        fresh.initiator = True
        return fresh

    def _data(self, flow: _Flow, seq: int, payload: bytes, offset: int, out: list[Item]) -> None:
        if flow.next is None:
            flow.base = flow.next = seq + _MASK + 1
        at = flow.next + ((seq - flow.next + _HALF) & _MASK) - _HALF
        if at == flow.next:
            self._deliver(flow, payload, offset, out)
        elif at > flow.next:
            self._hold(flow, at, payload, offset, out)
            return
        else:
            fresh = at + len(payload) - flow.next
            if fresh > 0:
                self._deliver(flow, payload[-fresh:], offset, out)
            elif at < flow.base - 1:
                self._stray(flow, payload, offset, out)
        if flow.starts:
            self._drain(flow, out)

    def _deliver(self, flow: _Flow, payload: bytes, offset: int, out: list[Item]) -> None:
        flow.next += len(payload)  # type: ignore[operator]
        parser = flow.parser
        if parser is None:
            if flow.ignored or self._speaks_as_server(flow, payload):
                return
            flow.offset = offset
            parser = flow.parser = self._parser(flow)
            if flow.initiator is None and split_request_line(payload.partition(b"\n")[0]) is None:
                parser.join_midway()
        items = parser.feed(payload, self._time)
        self._account(flow)
        if items:
            self._collect(flow, items, out)

    def _parser(self, flow: _Flow) -> RequestParser:
        http_port = int.from_bytes(flow.key[-2:], "big") in _HTTP_PORTS
        return RequestParser(_text(flow.key, 0), _text(flow.key, 1), self._limits, http_port=http_port)

    def _stray(self, flow: _Flow, payload: bytes, offset: int, out: list[Item]) -> None:
        """Bytes from before the start of their connection (its handshake was forged, or seen late): read alone."""
        parser = self._parser(flow)
        found = [item for item in parser.feed(payload, self._time) + parser.finish() if isinstance(item, HttpRequest)]
        out += found
        if not found:
            detail = f"{len(payload)} bytes before the start of their connection"
            out.append(self._quarantined(offset, "out_of_window", detail, payload))

    def _speaks_as_server(self, flow: _Flow, payload: bytes) -> bool:
        """Whether this first payload is a reply; replies are passed over."""
        reply = payload.startswith(b"HTTP/")
        if reply:
            flow.reverse.server_replied = True
        if flow.initiator is None:
            client = flow.reverse.parser
            flow.ignored = reply or (client is not None and client.requests > 0)
        elif not flow.initiator:
            flow.ignored = split_request_line(payload.partition(b"\n")[0]) is None
        return flow.ignored

    def _hold(self, flow: _Flow, at: int, payload: bytes, offset: int, out: list[Item]) -> None:
        """Keep an out-of-order segment; of bytes already held, the first copy stays."""
        if flow.starts is _NO_STARTS:
            flow.starts, flow.pending = [], []
        starts, pending = flow.starts, flow.pending
        if not starts:
            flow.acks_past_gap = 0
        end = at + len(payload)
        i = bisect_right(starts, at)
        if i:
            at = max(at, starts[i - 1] + len(pending[i - 1]))
        while at < end:
            piece_end = min(end, starts[i]) if i < len(starts) else end
            if piece_end > at:
                starts.insert(i, at)
                pending.insert(i, payload[len(payload) - (end - at) : len(payload) - (end - piece_end)])
                self._grow(flow, piece_end - at)
                i += 1
            at = max(piece_end, starts[i] + len(pending[i])) if i < len(starts) else end
            i += 1
        self._shed(flow, offset, out)

    def _shed(self, flow: _Flow, offset: int, out: list[Item]) -> None:
        """Over the bound: in a one-sided capture skip the hole, otherwise give up the bytes farthest ahead."""
        limits = self._limits
        while flow.starts and (
            len(flow.starts) > limits.max_pending_segments or self._pending_bytes(flow) > limits.max_pending_bytes
        ):
            if not flow.reverse.seen:
                self._skip_hole(flow, out)
                continue
            flow.starts.pop()
            data = flow.pending.pop()
            self._grow(flow, -len(data))
            detail = f"{len(data)} bytes out of order beyond the bound on held bytes"
            out.append(self._quarantined(offset, "too_far_ahead", detail, data))

    def _pending_bytes(self, flow: _Flow) -> int:
        return flow.held - (flow.parser.buffered if flow.parser else 0)

    def _drain(self, flow: _Flow, out: list[Item]) -> None:
        while flow.starts and flow.starts[0] <= flow.next:  # type: ignore[operator]
            start, data = flow.starts.pop(0), flow.pending.pop(0)
            self._grow(flow, -len(data))
            old = flow.next - start  # type: ignore[operator]
            if old < len(data):
                self._deliver(flow, data[old:] if old else data, flow.offset, out)

    def _skip_hole(self, flow: _Flow, out: list[Item]) -> None:
        size = flow.starts[0] - flow.next  # type: ignore[operator]
        flow.next = flow.starts[0]
        flow.acks_past_gap = 0
        if not flow.ignored:
            if flow.parser is None:
                flow.parser = self._parser(flow)
            items = flow.parser.gap(size, self._time)
            self._account(flow)
            self._collect(flow, items, out)
        self._drain(flow, out)

    def _acknowledged(self, flow: _Flow, ack: int, out: list[Item]) -> None:
        """The receiver acknowledged up to `ack`: bytes before it that never came are missing from the capture."""
        reached = flow.next + ((ack - flow.next + _HALF) & _MASK) - _HALF  # type: ignore[operator]
        if reached > flow.starts[0]:
            flow.acks_past_gap += 1
            if flow.acks_past_gap >= _ACKS_BEFORE_GAP:
                self._skip_hole(flow, out)

    def _closing(self, flow: _Flow, end: int, flags: int, out: list[Item]) -> None:
        if flow.next is not None:
            at = flow.next + ((end - flow.next + _HALF) & _MASK) - _HALF
            if abs(at - flow.next) > (_WINDOW if flags & FIN else 0xFFFF):
                return
            if flags & FIN:
                flow.fin_at = at
        if flags & RST:
            self._flush(flow, out)
            self._flush(flow.reverse, out)
        elif flow.fin_at is None or flow.next >= flow.fin_at:  # type: ignore[operator]
            self._flush(flow, out)

    def _flush(self, flow: _Flow, out: list[Item]) -> None:
        """End of this direction: holes are lost, the message under way is complete."""
        while flow.starts:
            self._skip_hole(flow, out)
        if flow.parser is not None:
            parser, flow.parser = flow.parser, None
            items = parser.finish()
            self.held -= flow.held
            flow.held = 0
            self._collect(flow, items, out)
        flow.closed = True

    def _collect(self, flow: _Flow, items: list[HttpRequest | Rejected], out: list[Item]) -> None:
        for item in items:
            if isinstance(item, HttpRequest):
                out.append(item)
                self._settle_roles(flow)
            else:
                reason = item.reason
                if reason == NOT_HTTP and flow.server_replied:
                    reason = BAD_REQUEST_LINE
                detail = f"{_text(flow.key, 0)} -> {_text(flow.key, 1)}: {item.detail}"
                out.append(self._quarantined(flow.offset, reason, detail, item.data))

    def _settle_roles(self, flow: _Flow) -> None:
        """Without a handshake, the side that sent a request is the client."""
        other = flow.reverse
        if other.parser is not None and other.parser.requests == 0 and other.initiator is not True:
            other.parser = None
            other.ignored = True
            self.held -= other.held
            other.held = 0
            other.starts, other.pending = _NO_STARTS, _NONE

    def _account(self, flow: _Flow) -> None:
        """Bring the count of held bytes up to date after the parser moved."""
        held = flow.parser.buffered if flow.parser else 0
        if flow.starts:
            held += sum(map(len, flow.pending))
        self.held += held - flow.held
        flow.held = held

    def _grow(self, flow: _Flow, size: int) -> None:
        flow.held += size
        self.held += size

    def _evict_idle(self, out: list[Item]) -> None:
        """Finish and forget the eighth of the connections that are closed or idle longest."""
        flows = sorted(self._flows.values(), key=_age)
        for flow in flows[: max(2, len(flows) // 8)]:
            if flow.key in self._flows:
                self._forget(flow, out)

    def _forget(self, flow: _Flow, out: list[Item]) -> None:
        """Finish a connection and take it out of the table, leaving no cycle for the garbage collector."""
        reverse = flow.reverse
        self._flush(flow, out)
        self._flush(reverse, out)
        del self._flows[flow.key], self._flows[reverse.key]
        del flow.reverse, reverse.reverse

    def _relieve(self, out: list[Item]) -> None:
        """Too many bytes held: finish the messages of the connections idle longest until half is free."""
        for flow in sorted(self._flows.values(), key=_age):
            if self.held <= self._limits.max_buffered_bytes // 2:
                return
            if flow.held:
                self._flush(flow, out)

    def _quarantined(self, offset: int, reason: str, detail: str, data: bytes) -> Quarantined:
        return Quarantined(self._source, offset, reason, detail, data[: self._limits.max_quarantine_bytes])


def _age(flow: _Flow) -> int:
    """Closed connections come first, then those idle longest."""
    return flow.last - (1 << 62 if flow.closed and flow.reverse.closed else 0)


def _text(key: bytes, end: int) -> str:
    half = len(key) // 2
    address, port = key[end * half : end * half + half - 2], key[end * half + half - 2 : end * half + half]
    if len(address) == 16:
        return f"[{socket.inet_ntop(socket.AF_INET6, address)}]:{int.from_bytes(port, 'big')}"
    return f"{socket.inet_ntoa(address)}:{int.from_bytes(port, 'big')}"
