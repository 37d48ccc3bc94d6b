import io
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.readers import Limits, Quarantined, read
from secmlops.web_attacks.readers.reassembly import Reassembler
from secmlops.web_attacks.request import HttpRequest
from tests.unit.web_attacks.captures import (
    ACK,
    CLIENT,
    FIN,
    RST,
    SERVER,
    SYN,
    Talk,
    address,
    ethernet,
    ipv4,
    ipv6,
    pcap,
    tcp,
)

GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def items(frames, link=1, **limits):
    return list(read(io.BytesIO(pcap(frames, link)), limits=Limits(**limits)))


def uris(frames, **limits):
    return [item.uri for item in items(frames, **limits) if isinstance(item, HttpRequest)]


def reasons(frames, **limits):
    return [item.reason for item in items(frames, **limits) if isinstance(item, Quarantined)]


def test_a_plain_connection():
    talk = Talk().open().client(GET % 1).server(OK).client(GET % 2).server(OK).close()
    first, second = items(talk.frames)
    assert (first.uri, second.uri) == ("/1", "/2")
    assert (first.src, first.dst, first.host) == ("10.0.0.1:40000", "10.0.0.2:80", "h")
    assert first.time == pytest.approx(1_700_000_000.003)
    assert first.raw == GET % 1


def test_any_port_is_read():
    assert uris(Talk(dport=4711).open().client(GET % 1).server(OK).close().frames) == ["/1"]


def test_without_a_handshake_or_an_end():
    assert uris(Talk().client(GET % 1).server(OK).frames) == ["/1"]
    assert uris(Talk().server(OK).client(GET % 1).server(OK).frames) == ["/1"]


def test_a_one_sided_capture():
    talk = Talk()
    for number in range(3):
        talk.client(GET % number)
    assert uris(talk.frames) == ["/0", "/1", "/2"]


def test_the_middle_of_a_message_is_quarantined_and_the_next_request_read():
    frames = Talk().client(b"tail of a body").server(OK).client(GET % 1).server(OK).frames
    assert uris(frames) == ["/1"]
    assert reasons(frames) == ["bad_request_line"]


def test_replies_are_no_requests_even_when_they_quote_some():
    page = b"HTTP/1.1 200 OK\r\n\r\nGET /quoted HTTP/1.1\r\n\r\n"
    assert uris(Talk().open().client(GET % 1).server(page).close().frames) == ["/1"]


def test_sequence_numbers_wrap_around():
    talk = Talk(client_seq=2**32 - 10).open()
    for number in range(5):
        talk.client(GET % number).server(OK)
    assert uris(talk.close().frames) == ["/0", "/1", "/2", "/3", "/4"]


def segments(payload, size, talk=None):
    talk = talk or Talk().open()
    start = len(talk.frames)
    for at in range(0, len(payload), size):
        talk.client(payload[at : at + size])
    return talk, start


@given(st.integers(1, 30), st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_order_and_repetition_of_segments_do_not_matter(size, rng, first):
    wire = GET % 1 + POST + GET % 2
    talk, start = segments(wire, size, Talk(client_seq=first).open())
    data = talk.frames[start:]
    shuffled = data + rng.sample(data, k=len(data) // 2)
    rng.shuffle(shuffled)
    found = items(talk.frames[:start] + shuffled)
    assert [(r.uri, r.body) for r in found] == [("/1", b""), ("/p", POST[-26:]), ("/2", b"")]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_overlapping_resends_with_other_bytes_never_replace_the_first_copy(overlaps, rng):
    wire = GET % 1 + POST
    talk, start = segments(wire, 7)
    base = talk.client_seq - len(wire)
    frames = list(talk.frames)
    data = talk.frames[start:]
    for at, size in overlaps:
        # A forged copy follows the true one: a server that has the true bytes ignores it.
        size = min(size, len(wire) - at)
        talk.client(b"Z" * size, at=base + at)
        true = frames.index(data[(at + size - 1) // 7])
        frames.insert(rng.randint(true + 1, len(frames)), talk.frames[-1])
    assert [(r.uri, r.raw) for r in items(frames)] == [("/1", GET % 1), ("/p", POST)]


def test_of_overlapping_segments_ahead_of_a_hole_the_first_copy_wins():
    head, body = POST[:-26], POST[-26:]
    talk = Talk().open().client(head)
    base = talk.client_seq
    talk.client(body[10:15], at=base + 10)
    talk.client(b"X" * 15, at=base + 5)  # around the bytes held already
    talk.client(b"Y" * 24, at=base + 2)
    talk.client(body[:2], at=base)
    (request,) = items(talk.frames)
    assert request.body == b"abYYYXXXXXklmnoXXXXXYYYYYY"


def test_a_hole_that_the_server_acknowledged_is_a_gap():
    wire = POST + GET % 1
    talk, start = segments(wire, 10)
    hole = start + 5  # inside the body of the POST
    talk.server(OK).server(OK).server(OK).server(OK).client(GET % 2)
    frames = talk.frames[:hole] + talk.frames[hole + 1 :]
    found = items(frames)
    assert [item.uri for item in found if isinstance(item, HttpRequest)] == ["/p", "/1", "/2"]
    assert [item.reason for item in found if isinstance(item, Quarantined)] == ["body_truncated"]


def test_a_hole_in_a_header_ends_that_request_and_the_next_is_found():
    talk, start = segments(GET % 1, 10)
    frames = talk.frames[: start + 1] + talk.frames[start + 2 :]
    talk.frames = frames
    talk.client(GET % 2).server(OK).close()
    assert uris(talk.frames) == ["/1 HTT", "/2"]
    assert reasons(talk.frames) == ["gap"]


def test_bytes_sent_far_ahead_do_not_make_the_reader_skip_the_true_ones():
    # Flooding beyond the window would push the reader past the hole if it gave up the hole instead of the flood.
    talk = Talk().open()
    base = talk.client_seq
    for number in range(40):
        talk.client(b"flood" * 200, at=base + 5_000 + number * 1_000)
    talk.client_seq = base
    talk.client(GET % 1).server(OK)
    assert uris(talk.frames, max_pending_bytes=20_000) == ["/1"]
    assert reasons(talk.frames, max_pending_bytes=20_000).count("too_far_ahead") >= 20


def test_a_forged_reset_far_outside_the_window_changes_nothing():
    talk = Talk().open().client((GET % 1)[:9])
    talk.client(flags=RST, at=talk.client_seq + 2**30)
    talk.client((GET % 1)[9:]).server(OK)
    assert uris(talk.frames) == ["/1"]


def test_data_after_a_reset_is_still_read():
    talk = Talk().open().client(GET % 1).client(flags=RST).client(GET % 2)
    assert uris(talk.frames) == ["/1", "/2"]


def test_a_resent_request_after_the_end_is_not_counted_twice():
    talk = Talk().open().client(GET % 1).server(OK).close()
    assert uris([*talk.frames, talk.frames[3], talk.frames[3]]) == ["/1"]


def test_half_closed_connections_are_complete_at_the_fin():
    talk = Talk().open().client(b"GET /1 HTTP/1.1\r\nHost: h").client(flags=FIN | ACK)
    reassembler = Reassembler("t", Limits())
    # No end of capture: the FIN alone must do.
    assert [item.uri for item in _feed(reassembler, talk.frames)] == ["/1"]


def _feed(reassembler, frames):
    out = []
    for number, frame in enumerate(frames):
        segment, ip = frame[34:], frame[14:34]
        sport, dport, seq, ack, _, flags = struct.unpack(">HHIIBB", segment[:14])
        ports = struct.pack(">H", sport), struct.pack(">H", dport)
        out += reassembler.segment(
            float(number), number, ip[12:16] + ports[0], ip[16:20] + ports[1], seq, ack, flags, segment[20:]
        )
    return out


def test_ports_used_again_after_the_end():
    first = Talk().open().client(GET % 1).server(OK).close()
    second = Talk(client_seq=5_000_000, server_seq=77).open().client(GET % 2).server(OK).close()
    assert uris(first.frames + second.frames) == ["/1", "/2"]


def test_ports_used_again_without_an_end():
    first = Talk(client_seq=3_000_000_000).open().client(GET % 1).client(b"GET /cut HTTP/1.1\r\nHost")
    second = Talk(client_seq=5_000_000, server_seq=77).open().client(GET % 2).server(OK).close()
    assert uris(first.frames + second.frames) == ["/1", "/cut", "/2"]
    one_sided = [frame for frame in first.frames + second.frames if frame[26:30] == address(CLIENT)]
    assert uris(one_sided) == ["/1", "/cut", "/2"]


def test_a_forged_syn_does_not_end_a_connection():
    talk = Talk(client_seq=3_000_000_000).open().client((GET % 1)[:9])
    forged = ethernet(ipv4(CLIENT, SERVER, tcp(40_000, 80, 17, 0, SYN)))
    talk.frames.append(forged)
    talk.client((GET % 1)[9:]).server(OK)
    assert uris(talk.frames) == ["/1"]


def test_bytes_from_before_the_handshake_seen_are_read_by_themselves():
    talk = Talk(client_seq=3_000_000_000).open()
    talk.client(GET % 9, at=2_999_000_000)
    talk.client(b"\x00\x01\x02", at=2_999_500_000)
    talk.client(GET % 1)
    assert uris(talk.frames) == ["/9", "/1"]
    assert reasons(talk.frames) == ["out_of_window"]


def test_keep_alive_probes_are_nothing():
    talk = Talk().open().client(GET % 1).server(OK)
    talk.client(b"\0", at=talk.client_seq - 1).client(GET % 2)
    assert uris(talk.frames) == ["/1", "/2"] and reasons(talk.frames) == []


def test_syn_with_data():
    talk = Talk()
    frame = ethernet(ipv4(CLIENT, SERVER, tcp(40_000, 80, 999, 0, SYN, GET % 1)))
    assert uris([frame, *talk.frames]) == ["/1"]


def test_the_reply_tells_a_malformed_request_from_another_protocol():
    assert reasons(Talk().open().client(b"\xdd\0\0\0 GET /txt HTTP/1.1\r\n\r\n").server(OK).close().frames) == [
        "bad_request_line"
    ]
    assert reasons(Talk().open().client(b"\x16\x03\x01\x00").server(b"\x16\x03\x03").close().frames) == ["not_http"]


def test_more_connections_than_the_limit_are_finished_early_and_still_read():
    talks = [Talk(sport=1_000 + number).open().client(b"GET /%d HTTP/1.1\r\nHost: h" % number) for number in range(300)]
    frames = [frame for talk in talks for frame in talk.frames]
    assert sorted(uris(frames, max_streams=10)) == sorted(f"/{number}" for number in range(300))


def test_the_table_of_connections_stays_bounded():
    reassembler = Reassembler("t", Limits(max_streams=10))
    for number in range(200):
        _feed(reassembler, Talk(sport=1_000 + number).open().client(b"GET").frames)
        assert reassembler.connections <= 10


def test_bytes_held_for_all_connections_stay_bounded():
    limits = Limits(max_buffered_bytes=100_000)
    reassembler = Reassembler("t", limits)
    out = []
    for number in range(100):
        talk = Talk(sport=1_000 + number).open()
        talk.client(b"POST /%d HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" % number + b"a" * 5_000)
        talk.client(b"ahead", at=talk.client_seq + 100)
        out += _feed(reassembler, talk.frames)
        assert reassembler.held <= limits.max_buffered_bytes
    out += reassembler.finish()
    assert len([item for item in out if isinstance(item, HttpRequest)]) == 100
    assert reassembler.held == 0


@given(st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_held_bytes_are_counted_exactly_whatever_happens(rng: random.Random):
    reassembler = Reassembler("t", Limits(max_streams=3, max_buffered_bytes=3_000, max_pending_bytes=500))
    for number in range(150):
        client = rng.random() < 0.7
        ends = (address(CLIENT) + bytes((0, rng.randrange(5))), address(SERVER) + b"\0P")
        src, dst = ends if client else ends[::-1]
        flags = rng.choice((ACK, ACK, ACK, ACK, SYN, SYN | ACK, FIN | ACK, RST))
        payload = rng.choice((b"", GET % 1, POST[:60], b"junk", OK, b"A: b\r\n" * 20))
        reassembler.segment(0.0, number, src, dst, rng.randrange(400), rng.randrange(400), flags, payload)
        flows = reassembler._flows.values()
        buffered = sum((flow.parser.buffered if flow.parser else 0) + sum(map(len, flow.pending)) for flow in flows)
        assert reassembler.held == sum(flow.held for flow in flows) == buffered
    reassembler.finish()
    assert reassembler.held == 0


def vlan(packet, *tags):
    head = b"".join(struct.pack(">HH", kind, 7) for kind in tags)
    return b"\x02" * 12 + head + b"\x08\x00" + packet


PACKET = ipv4(CLIENT, SERVER, tcp(40_000, 80, 1, 1, ACK, GET % 1))
LAYERS = {
    "vlan": (1, vlan(PACKET, 0x8100)),
    "qinq": (1, vlan(PACKET, 0x88A8, 0x8100)),
    "mpls": (1, ethernet(b"\x00\x01\x00\x40" + b"\x00\x02\x01\x40" + PACKET, 0x8847)),
    "pppoe": (1, ethernet(b"\x11\x00\x00\x01\x00\x00\x00\x21" + PACKET, 0x8864)),
    "sll": (113, struct.pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800) + PACKET),
    "sll2": (276, struct.pack(">HHIHBB8s", 0x0800, 0, 1, 1, 0, 6, bytes(8)) + PACKET),
    "null": (0, b"\x02\x00\x00\x00" + PACKET),
    "loop": (108, b"\x00\x00\x00\x02" + PACKET),
    "raw": (101, PACKET),
    "raw of OpenBSD": (12, PACKET),
    "ipv4": (228, PACKET),
    "ipv6": (229, ipv6(tcp(40_000, 80, 1, 1, ACK, GET % 1))),
    "ipv6 options": (229, ipv6(b"\x3c\0" + bytes(6) + b"\x06\0" + bytes(6) + tcp(4, 80, 1, 1, ACK, GET % 1), 0)),
    "ethernet ipv6": (1, ethernet(ipv6(tcp(40_000, 80, 1, 1, ACK, GET % 1)), 0x86DD)),
    "ip in ip": (101, ipv4(CLIENT, SERVER, PACKET, 4)),
    "ipv6 in ipv4": (101, ipv4(CLIENT, SERVER, ipv6(tcp(4, 80, 1, 1, ACK, GET % 1)), 41)),
    "ppp": (9, b"\xff\x03\x00\x21" + PACKET),
    "padding after the packet": (1, ethernet(PACKET) + b"GET /padding HTTP/1.1\r\n\r\n"),
    "total length 0": (1, ethernet(PACKET[:2] + b"\0\0" + PACKET[4:])),
}


@pytest.mark.parametrize("name", LAYERS)
def test_link_layers(name):
    link, frame = LAYERS[name]
    assert [item.uri for item in items([frame], link)] == ["/1"]


def test_ipv6_addresses_are_bracketed():
    (request,) = items([LAYERS["ipv6"][1]], 229)
    assert (request.src, request.dst) == ("[fe80::1]:40000", "[fe80::2]:80")


def fragments(payload, size, identity=7):
    pieces = [(at, payload[at : at + size]) for at in range(0, len(payload), size)]
    last = len(pieces) - 1
    return [
        ethernet(ipv4(CLIENT, SERVER, piece, 6, identity, at // 8 | (0x2000 if number < last else 0)))
        for number, (at, piece) in enumerate(pieces)
    ]


def test_ip_fragments_are_put_together_in_any_order():
    frames = fragments(tcp(40_000, 80, 1, 1, ACK, POST), 16)
    random.Random(3).shuffle(frames)
    (request,) = items(frames)
    assert request.raw == POST


def test_fragments_that_never_complete_are_quarantined():
    frames = fragments(tcp(40_000, 80, 1, 1, ACK, POST), 16)
    (lost,) = items(frames[:-2])
    assert lost.reason == "ip_fragment" and b"POST /p" in lost.data


def test_ipv6_fragments():
    payload = tcp(40_000, 80, 1, 1, ACK, POST)
    head = lambda at, more: bytes((6, 0)) + struct.pack(">HI", at | more, 99)  # noqa: E731
    frames = [ipv6(head(32, 0) + payload[32:], 44), ipv6(head(0, 1) + payload[:32], 44)]
    assert items(frames, 229)[0].raw == POST


def test_a_flood_of_fragments_stays_bounded_and_visible():
    frames = [fragments(bytes(64), 32, identity)[0] for identity in range(5_000)]
    found = items(frames)
    assert len([item for item in found if item.reason == "ip_fragment"]) == 1_024
    assert "abandoned fragments" in found[-1].detail


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (ethernet(PACKET)[:20], "bad_packet"),  # ends inside the IP header
        (ethernet(PACKET)[:40], "bad_packet"),  # ends inside the TCP header
        (ethernet(b"\x4f" + PACKET[1:30]), "bad_packet"),  # options longer than the packet
        (ethernet(b"\x95" + PACKET[1:]), "bad_packet"),  # version 9
        (ethernet(PACKET[:32] + b"\xf0" + PACKET[33:44]), "bad_packet"),  # TCP options longer than the packet
        (ethernet(ipv6(b"\0" * 4, 0), 0x86DD), "bad_packet"),  # ends inside an extension header
        (ethernet(b"\0" * 28, 0x0806), "no_tcp"),  # ARP
        (ethernet(ipv4(CLIENT, SERVER, bytes(8), 17)), "no_tcp"),  # UDP
        (b"", "no_tcp"),
    ],
)
def test_frames_without_a_tcp_segment_are_told(frame, reason):
    (item,) = items([frame])
    assert item.reason == reason
