"""What reading one source may cost, so that a hostile file ends in bounded time and memory."""

from dataclasses import dataclass

from secmlops.web_attacks.http1 import MessageLimits


@dataclass(frozen=True, slots=True)
class Limits(MessageLimits):
    """Bounds for a reader; beyond one of them the surplus is quarantined with the reason.

    Attributes:
        max_packets: packets read from one capture.
        max_packet_bytes: longest packet record; a longer one means that the capture is broken.
        max_streams: TCP connections followed at once; beyond it those idle longest are finished early.
        max_buffered_bytes: bytes held for all connections together.
        max_pending_bytes: out-of-order bytes held for one direction of a connection.
        max_pending_segments: out-of-order segments held likewise.
        max_line_bytes: longest line of a line-based format.
        max_document_bytes: largest document that has to be read whole (HAR, a single raw request).
        max_unpacked_bytes: bytes that a gzip source may unpack to.
        max_unpack_ratio: unpacked over packed bytes, looked at from 16 MiB on.
    """

    max_packets: int = 200_000_000
    max_packet_bytes: int = 1024 * 1024
    max_streams: int = 65_536
    max_buffered_bytes: int = 256 * 1024 * 1024
    max_pending_bytes: int = 1024 * 1024
    max_pending_segments: int = 1_024
    max_line_bytes: int = 32 * 1024 * 1024
    max_document_bytes: int = 64 * 1024 * 1024
    max_unpacked_bytes: int = 64 * 1024 * 1024 * 1024
    max_unpack_ratio: float = 250.0
