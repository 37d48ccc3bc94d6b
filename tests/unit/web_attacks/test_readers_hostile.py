"""Captures and files made to exhaust the reader: each ends within bounded memory and bounded work.

Memory is the peak that tracemalloc sees; work is the number of function calls, which must not outgrow the input.
"""

import gzip
import io
import itertools
import json
import random
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator

import pytest

from secmlops.web_attacks.readers import Limits, Quarantined, read
from secmlops.web_attacks.request import HttpRequest
from tests.unit.web_attacks.captures import (
    ACK,
    CLIENT,
    PSH,
    SERVER,
    SYN,
    Talk,
    block,
    ethernet,
    ipv4,
    pcap,
    pcapng,
    tcp,
)

MIB = 1024 * 1024
GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"


class Made(io.RawIOBase):
    """A stream whose bytes are made while they are read, so that the test itself holds none of them."""

    def __init__(self, pieces: Iterable[bytes]):
        self._pieces = iter(pieces)
        self._left = b""
        self.given = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self._left:
            try:
                self._left = next(self._pieces)
            except StopIteration:
                return 0
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        self.given += size
        return size


def capture(frames: Iterable[bytes]) -> Iterator[bytes]:
    yield pcap([])
    for number, frame in enumerate(frames):
        yield struct.pack("<IIII", 1_700_000_000 + number // 1000, number % 1000, len(frame), len(frame)) + frame


def from_client(payload: bytes, seq: int, sport: int = 4_000, flags: int = ACK | PSH, host: str = CLIENT) -> bytes:
    return ethernet(ipv4(host, SERVER, tcp(sport, 80, seq, 1, flags, payload)))


def peak_mib(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def calls(work: Callable[[], object]) -> int:
    count = 0

    def tally(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(tally)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def drain(data, **options) -> tuple[int, list[Quarantined]]:
    """(number of requests, first quarantined records)."""
    requests, kept = 0, []
    for item in read(data if isinstance(data, io.RawIOBase) else io.BytesIO(data), **options):
        if isinstance(item, HttpRequest):
            requests += 1
        elif len(kept) < 100:
            kept.append(item)
    return requests, kept


def test_an_endless_capture_stops_at_the_limit_of_packets():
    stream = Made(capture(from_client(b"A: b\r\n", 1 + 6 * number) for number in itertools.count()))
    requests, kept = drain(stream, limits=Limits(max_packets=5_000))
    assert requests == 0 and [item.reason for item in kept] == ["not_http", "too_many_packets"]
    assert stream.given < 5_000 * 100 + 2 * MIB


def test_a_header_of_a_hundred_megabytes():
    chunk = b"X: " + b"a" * 32_000 + b"\r\n"

    def frames():
        yield from_client(b"GET / HTTP/1.1\r\n", 1)
        for number in range(100 * MIB // len(chunk)):
            yield from_client(chunk, 17 + number * len(chunk))
        yield from_client(b"\r\nGET /next HTTP/1.1\r\n\r\n", 17 + 100 * MIB // len(chunk) * len(chunk))

    found = []
    assert peak_mib(lambda: found.extend(read(Made(capture(frames()))))) < 16
    assert [item.uri for item in found if isinstance(item, HttpRequest)] == ["/next"]
    (lost,) = [item for item in found if isinstance(item, Quarantined)]
    assert lost.reason == "header_too_large" and len(lost.data) == Limits().max_quarantine_bytes


def test_a_body_without_end():
    chunk = b"b" * 60_000

    def frames():
        yield from_client(b"POST / HTTP/1.1\r\nContent-Length: 9000000000000\r\n\r\n", 1)
        for number in range(1_000):
            yield from_client(chunk, 49 + number * len(chunk))

    limits = Limits(max_body_bytes=MIB)
    found = []
    assert peak_mib(lambda: found.extend(read(Made(capture(frames())), limits=limits))) < 16
    assert len(found[0].body) == MIB
    assert found[1].reason == "body_truncated"


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"1;" + b"e" * 5_000 + b"\r\na\r\n"], ids=["tiny", "long extensions"])
def test_chunks_without_end(chunk):
    piece = chunk * (60_000 // len(chunk))

    def frames():
        yield from_client(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 1)
        for number in range(8):
            yield from_client(piece, 48 + number * len(piece))

    limits = Limits(max_body_bytes=100_000)
    assert peak_mib(lambda: drain(Made(capture(frames())), limits=limits)) < 8


def bomb(size_mib: int, head: bytes = b"") -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block_of_frames = (struct.pack("<IIII", 1, 0, 65_520, 65_520) + bytes(65_520)) * 16
    return packer.compress(head) + b"".join(packer.compress(block_of_frames) for _ in range(size_mib)) + packer.flush()


def test_a_gzip_bomb_is_cut_off():
    data = bomb(200, pcap([*Talk().open().client(GET % 1).frames]))
    assert len(data) < MIB
    found = []
    assert peak_mib(lambda: found.extend(read(io.BytesIO(data)))) < 16
    assert [item.uri for item in found if isinstance(item, HttpRequest)] == ["/1"]
    assert found[-1].reason == "gzip_bomb" and found[-1].offset < 20 * MIB


def test_a_gzip_bomb_below_the_ratio_ends_at_the_limit_of_bytes():
    found = list(read(io.BytesIO(bomb(30, pcap([]))), limits=Limits(max_unpacked_bytes=5 * MIB, max_unpack_ratio=1e9)))
    assert found[-1].reason == "gzip_bomb"


def test_a_gzip_inside_a_gzip_is_not_unpacked_again():
    (lost,) = read(io.BytesIO(gzip.compress(bomb(1))))
    assert lost.reason == "unknown_format"


@pytest.mark.parametrize("keep", [12, 40, 60])
def test_damaged_gzip_keeps_what_came_before(keep):
    packed = gzip.compress(random.Random(1).randbytes(200) + pcap([]), mtime=0)
    found = list(read(io.BytesIO(packed[:keep])))
    assert found[-1].reason in ("bad_gzip", "unknown_format")
    flipped = bytearray(gzip.compress(pcap(Talk().open().client(GET % 1).frames), mtime=0))
    flipped[keep] ^= 0xFF
    assert all(isinstance(item, HttpRequest | Quarantined) for item in read(io.BytesIO(bytes(flipped))))


def test_a_capture_cut_anywhere_says_where():
    data = pcap(Talk().open().client(GET % 1).close().frames)
    for size in range(4, len(data)):
        requests, kept = drain(data[:size], format="pcap")
        whole = size in _ends_of_records(data)
        assert [item.reason for item in kept] == ([] if whole else ["truncated_record"])
        assert requests == (size >= _ends_of_records(data)[4])


def _ends_of_records(data: bytes) -> list[int]:
    ends = [24]
    while ends[-1] < len(data):
        ends.append(ends[-1] + 16 + struct.unpack_from("<I", data, ends[-1] + 8)[0])
    return ends


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 2 * MIB])
def test_an_absurd_packet_length_is_not_allocated(size):
    frames = Talk().open().client(GET % 1).frames
    data = pcap(frames) + struct.pack("<IIII", 1, 1, size, size) + b"rest"
    found = []
    assert peak_mib(lambda: found.extend(read(io.BytesIO(data)))) < 8
    assert [type(item) for item in found] == [HttpRequest, Quarantined]
    assert (found[1].reason, found[1].offset) == ("bad_packet_length", len(pcap(frames)))


def test_an_absurd_snap_length_means_nothing():
    data = bytearray(pcap(Talk().open().client(GET % 1).frames))
    for snaplen in (0, 0xFFFFFFFF):
        data[16:20] = struct.pack("<I", snaplen)
        assert drain(bytes(data)) == (1, [])


@pytest.mark.parametrize("size", [0, 4, 8, 11, 13, 30, 0xFFFFFFFC, 0xFFFFFFFF, 3 * MIB])
@pytest.mark.parametrize("kind", [1, 6, 0x0A0D0D0A, 0xBAD])
def test_pcapng_blocks_with_bad_lengths(kind, size):
    frames = Talk().open().client(GET % 1).frames
    data = pcapng(frames) + struct.pack("<II", kind, size) + struct.pack("<I", 0x1A2B3C4D) + b"x" * 50
    found = []
    assert peak_mib(lambda: found.extend(read(io.BytesIO(data)))) < 8
    assert [item.uri for item in found if isinstance(item, HttpRequest)] == ["/1"]
    assert found[-1].reason in ("bad_block_length", "truncated_record", "bad_block")


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<IIIII", 9, 0, 0, 4, 4) + b"abcd",  # an interface that was never declared
        struct.pack("<IIIII", 0, 0, 0, 400, 4) + b"abcd",  # more bytes than the block has
        b"abcd",  # shorter than its fields
    ],
)
def test_pcapng_packets_that_contradict_themselves(body):
    requests, kept = drain(pcapng(Talk().open().client(GET % 1).frames) + block(6, body))
    assert requests == 1 and [item.reason for item in kept] == ["bad_block"]


def test_pcapng_with_differing_lengths_or_without_byte_order_or_with_endless_interfaces():
    _, kept = drain(pcapng([])[:-4] + b"\0\0\0\1")
    assert [item.reason for item in kept] == ["bad_block_length"]
    _, kept = drain(block(0x0A0D0D0A, b"none" + bytes(12)))
    assert [item.reason for item in kept] == ["bad_block"]
    _, kept = drain(pcapng([]) + block(1, struct.pack("<HHI", 1, 0, 0)) * 65_536)
    assert [item.reason for item in kept] == ["bad_block"]


def tiny_streams(count: int) -> Iterator[bytes]:
    for number in range(count):
        host = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        yield from_client(b"", 0, flags=SYN, host=host)
        yield from_client(b"GET /" if number % 2 else b"\x16\x03", 1, host=host)


def test_tiny_streams_without_number_take_bounded_memory_and_constant_work_each():
    limits = Limits(max_streams=300)
    small = peak_mib(lambda: drain(Made(capture(tiny_streams(1_000))), limits=limits))
    large = peak_mib(lambda: drain(Made(capture(tiny_streams(3_000))), limits=limits))
    assert large < small + 1 and large < 12
    fewer = calls(lambda: drain(Made(capture(tiny_streams(1_000))), limits=limits))
    assert calls(lambda: drain(Made(capture(tiny_streams(2_000))), limits=limits)) < 2.4 * fewer


def test_tiny_streams_are_all_accounted_for():
    requests, quarantined = 0, 0
    for item in read(Made(capture(tiny_streams(4_000))), limits=Limits(max_streams=100)):
        requests += isinstance(item, HttpRequest)
        quarantined += isinstance(item, Quarantined)
    assert (requests, quarantined) == (0, 4_000) or (requests, quarantined) == (2_000, 2_000)


def test_a_flood_of_bare_syns_takes_bounded_memory():
    frames = (from_client(b"", 0, sport=n & 0xFFFF, flags=SYN, host=f"10.0.{n >> 16 & 255}.1") for n in range(10_000))
    assert peak_mib(lambda: drain(Made(capture(frames)), limits=Limits(max_streams=500))) < 8


def slow_loris(connections: int, rounds: int) -> Iterator[bytes]:
    head = b"GET /slow HTTP/1.1\r\n" + b"X-a: b\r\n" * rounds
    for at in range(rounds):
        for number in range(connections):
            yield from_client(head[at : at + 1], 1 + at, sport=1_000 + number)


def test_slow_loris_costs_bounded_memory_and_constant_work_a_packet():
    limits = Limits(max_buffered_bytes=20_000)
    assert peak_mib(lambda: drain(Made(capture(slow_loris(300, 30))), limits=limits)) < 16
    fewer = calls(lambda: drain(Made(capture(slow_loris(40, 40)))))
    assert calls(lambda: drain(Made(capture(slow_loris(40, 80))))) < 2.3 * fewer


def overlapping(count: int) -> Iterator[bytes]:
    rng = random.Random(5)
    yield from_client(b"", 0, flags=SYN)
    yield ethernet(ipv4(SERVER, CLIENT, tcp(80, 4_000, 0, 1, SYN | ACK)))
    for _ in range(count):
        yield from_client(b"o" * rng.randint(1, 1_400), 100 + rng.randrange(2 * MIB))
    yield from_client(GET % 7, 1)


def test_overlapping_segments_ahead_of_a_hole_take_bounded_memory_and_work():
    found = []
    assert peak_mib(lambda: found.extend(read(Made(capture(overlapping(2_000)))))) < 16
    assert [item.uri for item in found if isinstance(item, HttpRequest)] == ["/7"]
    fewer = calls(lambda: drain(Made(capture(overlapping(500)))))
    assert calls(lambda: drain(Made(capture(overlapping(2_000))))) < 6 * fewer


def resent(count: int) -> Iterator[bytes]:
    body = b"POST /once HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + b"r" * 50_000
    yield from_client(b"", 0, flags=SYN)
    for number in range(count):
        yield from_client(body, 1)
        yield from_client(body[number % 1_000 :], 1 + number % 1_000)


def test_endless_resends_of_the_same_bytes_are_one_request():
    found = []
    assert peak_mib(lambda: found.extend(read(Made(capture(resent(300)))))) < 8
    assert [item.uri for item in found] == ["/once"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("access_log", b'1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /' + b'\\"' * 400_000),
        ("access_log", b" [" * 500_000),
        ("access_log", b'1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "' + b'" ' * 200_000),
        ("http", b"GET " + b" " * 1_000_000 + b"x"),
        ("http", b"GET / HTTP/1.1\r\n" + b" x\r\n" * 60_000 + b"\r\n"),
        ("http", b"GET /" + b" HTTP/" * 40_000),
        ("zeek", b"#fields\t" + b"a\t" * 500_000 + b"\n" + b"b\t" * 500_000),
        ("csv", b"uri," * 200_000 + b"\n" + b'"' * 1_000_000),
        ("jsonl", b'{"uri": "' + b"\\u00e9" * 200_000 + b'"}'),
        ("har", b'{"log": {"entries": [' + b"[" * 900 + b"]" * 900 + b"]}}"),
    ],
)
def test_lines_made_to_make_patterns_backtrack_cost_few_calls_and_little_memory(name, line):
    assert peak_mib(lambda: drain(line, format=name)) < 200
    assert calls(lambda: drain(line, format=name)) < 1_500_000


def test_many_json_values_are_refused_before_they_take_memory():
    line = b'{"uri": "/", "headers": [' + b"[]," * 3_000_000 + b"[]]}"
    found = []
    assert peak_mib(lambda: found.extend(read(io.BytesIO(line), format="jsonl"))) < 100
    assert [item.reason for item in found] == ["too_large"]
    found.clear()
    assert peak_mib(lambda: found.extend(read(io.BytesIO(b'{"log": ' + line + b"}"), format="har"))) < 150
    assert [item.reason for item in found] == ["too_large"]


def test_json_lines_without_end_are_read_one_by_one():
    line = json.dumps({"uri": "/", "headers": {"a": "b" * 1_000}}).encode() + b"\n"
    stream = Made(itertools.repeat(line, 5_000))
    assert peak_mib(lambda: drain(stream, format="jsonl")) < 8
