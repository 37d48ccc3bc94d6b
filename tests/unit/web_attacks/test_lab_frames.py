"""Recorded frames are what dpkt and the RFCs call TCP: lengths, checksums, sequence numbers, handshake and FIN."""

import io
import struct
from random import Random

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.lab.frames import Connection, Endpoint, write_frame, write_pcap_header

V4 = (Endpoint("100.64.1.2", 40000), Endpoint("192.0.2.10", 80))
V6 = (Endpoint("2001:db8:1000::7", 40001), Endpoint("2001:db8:10::10", 8080))


def ones_complement_sum(data: bytes) -> int:
    """RFC 1071, section 1, word by word."""
    total = 0
    for (word,) in struct.iter_unpack("!H", data + b"\0" * (len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def decoded(connection: Connection) -> list[tuple[float, dpkt.ethernet.Ethernet]]:
    return [(time_s, dpkt.ethernet.Ethernet(data)) for time_s, data in sorted(connection.frames, key=lambda f: f[0])]


def assert_checksums(frame: dpkt.ethernet.Ethernet) -> None:
    network = frame.data
    segment = bytes(network.data)
    if isinstance(network, dpkt.ip.IP):
        assert ones_complement_sum(bytes(network)[:20]) == 0xFFFF
        assert network.len == 20 + len(segment)
    else:
        assert network.plen == len(segment)
    pseudo = network.src + network.dst + struct.pack("!HH", 6, len(segment))
    assert ones_complement_sum(pseudo + segment) == 0xFFFF


def carried(frames, port: int) -> bytes:
    """The stream sent from a port, put together by sequence number; the first copy of a byte wins."""
    segments = [f.data.data for _, f in frames if f.data.data.sport == port]
    start = next(s.seq for s in segments if s.flags & dpkt.tcp.TH_SYN) + 1
    stream: dict[int, int] = {}
    for segment in segments:
        at = (segment.seq - start) & 0xFFFFFFFF
        for i, byte in enumerate(segment.data):
            assert stream.setdefault(at + i, byte) == byte
    assert sorted(stream) == list(range(len(stream)))
    return bytes(stream[i] for i in range(len(stream)))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    ends=st.sampled_from([V4, V6]),
    messages=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=6000)), max_size=5),
    by_client=st.booleans(),
)
def test_any_conversation_is_carried_whole_with_valid_checksums(seed, ends, messages, by_client):
    connection = Connection(*ends, Random(seed))
    now = connection.open(1000.0)
    for from_client, data in messages:
        now = connection.send(now + 0.01, data, from_client=from_client)
    connection.close(now + 0.01, by_client=by_client)
    frames = decoded(connection)
    for _, frame in frames:
        assert_checksums(frame)
        assert len(frame.data.data.data) <= (1460 if ends is V4 else 1440)
    assert carried(frames, ends[0].port) == b"".join(data for mine, data in messages if mine)
    assert carried(frames, ends[1].port) == b"".join(data for mine, data in messages if not mine)


@pytest.mark.parametrize("ends", [V4, V6], ids=["ipv4", "ipv6"])
def test_handshake_and_farewell(ends):
    connection = Connection(*ends, Random(3))
    connection.close(connection.open(50.0) + 1, by_client=True)
    segments = [frame.data.data for _, frame in decoded(connection)]
    assert [s.flags for s in segments] == [0x02, 0x12, 0x10, 0x11, 0x11, 0x10]
    assert [s.sport for s in segments] == [ends[i].port for i in (0, 1, 0, 0, 1, 0)]
    options = dict(dpkt.tcp.parse_opts(segments[0].opts))
    assert struct.unpack("!H", options[dpkt.tcp.TCP_OPT_MSS])[0] == (1460 if ends is V4 else 1440)
    assert segments[1].ack == (segments[0].seq + 1) & 0xFFFFFFFF
    assert segments[-1].ack == (segments[-2].seq + 1) & 0xFFFFFFFF


def test_the_network_disturbs_a_few_segments_and_sequence_numbers_wrap():
    seen = {"repeated": 0, "swapped": 0, "wrapped": 0}
    for seed in range(300):
        connection = Connection(*V4, Random(seed))
        now = connection.open(0.0)
        for _ in range(4):
            now = connection.send(now + 1, b"x" * 7000, from_client=True)
        numbers = [f.data.data.seq for _, f in decoded(connection) if f.data.data.sport == 40000 and f.data.data.data]
        seen["repeated"] += len(numbers) != len(set(numbers))
        seen["swapped"] += numbers != sorted(numbers) and max(numbers) - min(numbers) < 2**31
        seen["wrapped"] += max(numbers) - min(numbers) > 2**31
    assert all(count > 0 for count in seen.values()), seen


def test_a_pcap_reads_back_with_its_times():
    file = io.BytesIO()
    write_pcap_header(file)
    connection = Connection(*V6, Random(1))
    connection.open(1772409600.25)
    for frame in connection.frames:
        write_frame(file, frame)
    file.seek(0)
    reader = dpkt.pcap.Reader(file)
    assert reader.datalink() == dpkt.pcap.DLT_EN10MB
    read = list(reader)
    assert [bytes(data) for _, data in read] == [data for _, data in connection.frames]
    assert read[0][0] == pytest.approx(1772409600.25, abs=1e-6)


def test_endpoints_write_ipv6_addresses_in_brackets():
    assert str(V4[0]) == "100.64.1.2:40000"
    assert str(V6[1]) == "[2001:db8:10::10]:8080"
