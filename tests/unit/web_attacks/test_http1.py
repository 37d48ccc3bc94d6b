import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.http1 import (
    MessageLimits,
    Rejected,
    RequestParser,
    parse_headers,
    parse_request,
    split_request_line,
)
from secmlops.web_attacks.request import HttpRequest, InvalidRequest


def stream(data: bytes, step: int = 0, limits: MessageLimits | None = None, **options) -> list[HttpRequest | Rejected]:
    parser = RequestParser("c:1", "s:80", limits, **options)
    out: list[HttpRequest | Rejected] = []
    for at in range(0, len(data), step or max(1, len(data))):
        out += parser.feed(data[at : at + (step or len(data))], 7.0)
    return out + parser.finish()


def lines(data: bytes, **options) -> list[tuple[str, str, str]]:
    return [(item.method, item.uri, item.version) for item in stream(data, **options) if isinstance(item, HttpRequest)]


def rejections(data: bytes, **options) -> list[tuple[str, bytes]]:
    return [(item.reason, item.data) for item in stream(data, **options) if isinstance(item, Rejected)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET /a HTTP/1.1\r", ("GET", "/a", "1.1")),
        (b"GET\t/a\tHTTP/1.0", ("GET", "/a", "1.0")),
        (b"  GET /a HTTP/1.1", ("GET", "/a", "1.1")),
        (b"get /a http/1.1", ("get", "/a", "1.1")),
        (b"GET HTTP/1.1", ("GET", "", "1.1")),
        (b"GET /a b <c> HTTP/1.1", ("GET", "/a b <c>", "1.1")),
        (b"GET /?q= HTTP/1.0 x HTTP/1.1", ("GET", "/?q= HTTP/1.0 x", "1.1")),
        (b"GET /a HTTP/1.1 crud", ("GET", "/a", "1.1")),
        (b"GET /a HTTP/x", ("GET", "/a", "")),
        (b"GET /\xff\xfe HTTP/1.1", ("GET", "/\xff\xfe", "1.1")),
        (b"GET /\xdf HTTP/1.1", ("GET", "/\xdf", "1.1")),  # sharp s grows when upper-cased as text
        (b"QUERY /users HTTP/1.1", ("QUERY", "/users", "1.1")),
        (b"CONNECT a.example:25 / HTTP/1.0", ("CONNECT", "a.example:25 /", "1.0")),
        (b"GET /old", ("GET", "/old", "0.9")),
        (b"GET http://h/old", ("GET", "http://h/old", "0.9")),
    ],
)
def test_request_lines_that_servers_accept(line, expected):
    assert split_request_line(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET",
        b"GET ",
        b"T / HTTP",
        b"HELO there",
        b"MAIL FROM:<a@b.example>",
        b"USER anonymous",
        b"get key",
        b"\x16\x03\x01\x02",
        b"\xdd\x00\x00\x00 GET /txt HTTP/1.1",
        b"{GET / HTTP/1.1",
        b"SSH-2.0-OpenSSH_9.6",
    ],
)
def test_lines_that_are_no_request_lines(line):
    assert split_request_line(line) is None


def test_on_a_usual_http_port_the_first_line_may_be_any_two_words():
    assert lines(b"FETCH me\r\n", http_port=True) == [("FETCH", "me", "0.9")]
    assert lines(b"FETCH me\r\n") == []
    after_a_request = b"GET / HTTP/1.1\r\n\r\nhello world\r\n"
    assert lines(after_a_request, http_port=True) == [("GET", "/", "1.1")]


def test_headers_keep_order_case_folded_lines_and_lines_without_a_colon():
    block = b"Host: a\r\nX-Y :  b \r\n c\r\n\td\r\nMozilla 4.0 (compatible)\r\nHOST:z\r\nEmpty:\r\n"
    assert parse_headers(block) == (
        ("Host", "a"),
        ("X-Y", "b c d"),
        ("Mozilla 4.0 (compatible)", ""),
        ("HOST", "z"),
        ("Empty", ""),
    )


@pytest.mark.parametrize(
    ("head", "host"),
    [
        (b"GET / HTTP/1.1\r\nhOsT:  shop.example:8080 \r\nHost: second\r\n\r\n", "shop.example:8080"),
        (b"GET http://user@shop.example:81/x HTTP/1.1\r\n\r\n", "shop.example:81"),
        (b"GET http://other/x HTTP/1.1\r\nHost: named\r\n\r\n", "named"),
        (b"GET /?u=http://other/ HTTP/1.1\r\n\r\n", ""),
        (b"CONNECT a:25 HTTP/1.1\r\n\r\n", ""),
    ],
)
def test_host_is_the_first_host_header_or_the_authority(head, host):
    assert parse_request(head).host == host


def test_parse_request_keeps_the_exact_bytes():
    raw = b"\r\nPOST /x HTTP/1.1\nHost: a\n\nid=1\x00\xff"
    request = parse_request(raw)
    assert (request.method, request.uri, request.host, request.body) == ("POST", "/x", "a", b"id=1\x00\xff")
    assert request.raw == raw == request.to_wire()


def test_parse_request_takes_everything_after_the_headers_as_body():
    raw = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /smuggled HTTP/1.1\r\n\r\n"
    assert parse_request(raw).body == b"abcGET /smuggled HTTP/1.1\r\n\r\n"


def test_parse_request_decodes_chunks_and_keeps_what_follows_them():
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert parse_request(head + b"3;x=y\r\nabc\r\n2\nde\n0\r\n\r\n").body == b"abcde"
    assert parse_request(head + b"3\r\nabc\r\nzz\r\nrest").body == b"abczz\r\nrest"
    assert parse_request(head + b"3\r\nabc\r\n0\r\n\r\nGET /hidden").body == b"abcGET /hidden"
    assert parse_request(head + b"ffffffffffffffff\r\nabc").body == b"abc"


def test_parse_request_salvages_what_a_stream_would_refuse():
    request = parse_request(b"\xdd\x00\x00\x00 GET /txt HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (request.method, request.uri, request.version, request.host) == ("\xdd\0\0\0", "GET /txt", "1.1", "h")
    assert parse_request(b"hello world").uri == "world"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(b"", "empty"), (b"\r\n \r\n", "empty"), (b"word", "no_request_line"), (b'{"a": 1}', "no_request_line")],
)
def test_parse_request_refuses_only_what_holds_nothing_usable(raw, reason):
    with pytest.raises(InvalidRequest) as caught:
        parse_request(raw)
    assert caught.value.reason == reason


def test_pipelined_requests_with_bodies_and_blank_lines_between():
    data = (
        b"POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\n\r\n"
        b"GET /2 HTTP/1.1\nHost: h\n\n"
        b"POST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTrailer: x\r\n\r\n"
        b"GET /4\r\n"
        b"GET /5 HTTP/1.1\r\nHost: cut"
    )
    found = stream(data)
    assert [(r.uri, r.body) for r in found] == [("/1", b"abc"), ("/2", b""), ("/3", b"hi"), ("/4", b""), ("/5", b"")]
    assert b"".join(r.raw for r in found) == data.replace(b"abc\r\n\r\n", b"abc")
    assert found[0].time == 7.0 and (found[0].src, found[0].dst) == ("c:1", "s:80")


@pytest.mark.parametrize(
    ("headers", "uris"),
    [
        # An unreadable length is no body, so what follows is looked at as a request.
        (b"Content-Length: 18446744073709551615\r\n", ["/", "/smuggled"]),
        (b"Content-Length: -5\r\n", ["/", "/smuggled"]),
        (b"Content-Length: +5\r\n", ["/", "/smuggled"]),
        (b"Content-Length: 0x10\r\n", ["/", "/smuggled"]),
        (b"Content-Length: \xb2\r\n", ["/", "/smuggled"]),
        # Of several lengths the smallest counts.
        (b"Content-Length: 30\r\nContent-Length: 0\r\n", ["/", "/smuggled"]),
        (b"Content-Length: 30, 0\r\n", ["/", "/smuggled"]),
        # A plain length covers what it says.
        (b"Content-Length: 0000030\r\n", ["/"]),
        (b"Content-Length : 30\r\n", ["/"]),
    ],
)
def test_ambiguous_content_lengths_show_the_smuggled_request(headers, uris):
    smuggled = b"GET /smuggled HTTP/1.1\r\nA: b\r\n\r\n"
    assert [uri for _, uri, _ in lines(b"POST / HTTP/1.1\r\n" + headers + b"\r\n" + smuggled)] == uris


@pytest.mark.parametrize(
    "coding", [b"chunked", b"CHUNKED", b"chunked, identity", b"identity, chunked", b"\r\n chunked", b"gzip ,chunked "]
)
def test_chunked_anywhere_in_transfer_encoding_wins_over_a_length(coding):
    data = b"POST / HTTP/1.1\r\nContent-Length: 50\r\nTransfer-Encoding: " + coding + b"\r\n\r\n1\r\na\r\n0\r\n\r\n"
    found = stream(data + b"GET /smuggled HTTP/1.1\r\n\r\n")
    assert [(r.uri, r.body) for r in found] == [("/", b"a"), ("/smuggled", b"")]


@pytest.mark.parametrize("size", [b"zz", b"-1", b"ffffffffffffffff", b"10000000000000000", b"1 2", b""])
def test_a_bad_chunk_size_ends_the_message_and_the_next_plain_request_is_found(size):
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\njunk\r\nGET /next HTTP/1.1\r\n\r\n"
    assert [uri for _, uri, _ in lines(data)] == ["/", "/next"]
    assert rejections(data) == [("bad_chunk", size + b"\r\njunk\r\n")]


def test_a_request_line_in_place_of_a_chunk_size_is_a_request():
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nGET /next HTTP/1.1\r\n\r\n"
    assert [uri for _, uri, _ in lines(data)] == ["/", "/next"]


def test_junk_between_requests_is_reported_with_its_bytes():
    data = b"GET /1 HTTP/1.1\r\n\r\nT / HTTP\n\nmore junk\nGET /2 HTTP/1.1\r\n\r\n"
    assert [uri for _, uri, _ in lines(data)] == ["/1", "/2"]
    assert rejections(data) == [("bad_request_line", b"T / HTTP\n\nmore junk\n")]


def test_a_stream_of_another_protocol_is_reported_once():
    assert rejections(b"\x16\x03\x01\x02\x00" + bytes(5_000)) == [("not_http", b"\x16\x03\x01\x02\x00" + bytes(1_019))]
    assert rejections(b"EHLO me\r\nMAIL FROM:<a>\r\n") == [("not_http", b"EHLO me\r\nMAIL FROM:<a>\r\n")]


@pytest.mark.parametrize(
    "opening",
    [
        b"CONNECT mail:25 HTTP/1.1\r\n\r\n",
        b"GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ],
)
def test_what_follows_a_tunnel_is_named_so_but_http_inside_it_is_still_read(opening):
    assert rejections(opening + b"\x82\x91secret") == [("tunnel", b"\x82\x91secret")]
    assert len(lines(opening + b"GET /inside HTTP/1.1\r\n\r\n")) == 2


def test_a_gap_inside_a_body_is_passed_over():
    parser = RequestParser()
    out = parser.feed(b"POST /1 HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", 1.0)
    out += parser.gap(4)
    out += parser.feed(b"xyzGET /2 HTTP/1.1\r\n\r\n", 2.0)
    assert [item.uri for item in out if isinstance(item, HttpRequest)] == ["/1", "/2"]
    assert out[0].body == b"abcxyz"
    assert [item.reason for item in out if isinstance(item, Rejected)] == ["body_truncated"]


def test_a_gap_that_ends_a_body_exactly_completes_it():
    parser = RequestParser()
    out = parser.feed(b"POST /1 HTTP/1.1\r\nContent-Length: 7\r\n\r\nabc") + parser.gap(4)
    assert out[0].uri == "/1"


def test_a_gap_elsewhere_completes_what_was_seen_and_waits_for_a_plain_request_line():
    parser = RequestParser()
    out = parser.feed(b"GET /cut HTTP/1.1\r\nHost: a\r\nCoo")
    out += parser.gap(100)
    out += parser.feed(b"rest of a header\r\n\r\nGET /next HTTP/1.1\r\n\r\n")
    assert [item.uri for item in out if isinstance(item, HttpRequest)] == ["/cut", "/next"]
    (lost,) = [item for item in out if isinstance(item, Rejected)]
    assert lost.reason == "gap" and "100 bytes are missing" in lost.detail


def test_a_long_body_is_cut_and_the_rest_counted():
    limits = MessageLimits(max_body_bytes=10)
    data = b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + b"a" * 1000 + b"GET /next HTTP/1.1\r\n\r\n"
    first, notice, second = stream(data, limits=limits)
    assert (first.body, second.uri) == (b"a" * 10, "/next")
    assert notice.reason == "body_truncated" and "990 bytes" in notice.detail


def test_a_header_beyond_the_limit_is_quarantined_and_the_next_request_found():
    limits = MessageLimits(max_header_bytes=1_000, max_quarantine_bytes=100)
    data = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1_000 + b"\r\nGET /next HTTP/1.1\r\n\r\n"
    for step in (0, 1, 700):
        assert [uri for _, uri, _ in lines(data, limits=limits, step=step)] == ["/next"]
        ((reason, kept),) = rejections(data, limits=limits, step=step)
        assert reason == "header_too_large" and len(kept) == 100 and data.startswith(kept)


def test_an_endless_line_is_held_only_up_to_the_limit():
    parser = RequestParser(limits=MessageLimits(max_header_bytes=10_000))
    parser.feed(b"GET /")
    for _ in range(1_000):
        parser.feed(b"a" * 1_000)
        assert parser.buffered < 100_000
    (lost,) = parser.finish()
    assert lost.reason == "header_too_large" and "1000005 bytes" in lost.detail


PIECES = st.sampled_from(
    [
        *(b"GET / HTTP/1.1\r\n", b"POST /a?b=c HTTP/1.0\n", b"GET /old\r\n", b"CONNECT x:1 HTTP/1.1\n", b" HTTP/1.1"),
        *(b"Host: h\r\n", b"Content-Length: 5\r\n", b"Content-Length: 99\n", b"Transfer-Encoding: chunked\r\n"),
        *(b"\r\n", b"\n", b"\r", b" folded\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"zz\r\n"),
        *(b"junk junk\n", b"\x00\xff\x16", b"HTTP/1.1 200 OK\r\n", b"a" * 300),
    ]
)
TRAFFIC = st.one_of(st.binary(max_size=400), st.lists(PIECES, max_size=20).map(b"".join))


@given(TRAFFIC, st.integers(1, 9))
@settings(max_examples=300, deadline=None)
def test_how_bytes_are_cut_into_segments_never_changes_the_requests(data, step):
    limits = MessageLimits(max_header_bytes=400, max_body_bytes=200)
    whole = stream(data, limits=limits)
    if all(isinstance(item, HttpRequest) for item in whole):
        assert stream(data, step, limits=limits) == whole
    else:  # After a message that makes no sense, the start of a segment may be where the next request is found.
        assert any(isinstance(item, Rejected) for item in stream(data, step, limits=limits))


@given(st.lists(st.one_of(TRAFFIC, st.integers(1, 500)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_bytes_and_gaps_give_requests_or_rejections_within_bounds(moves):
    limits = MessageLimits(max_header_bytes=300, max_body_bytes=100, max_quarantine_bytes=50)
    parser = RequestParser(limits=limits)
    out = []
    for move in moves:
        out += parser.gap(move) if isinstance(move, int) else parser.feed(move)
        assert parser.buffered <= 300 + 400 + 2 * 100 + 50 + 300
    out += parser.finish()
    assert parser.buffered == 0
    for item in out:
        assert isinstance(item, HttpRequest | Rejected)
        if isinstance(item, Rejected):
            assert len(item.data) <= 50
        else:
            assert len(item.body) <= 100 and item.method


@given(TRAFFIC)
@settings(max_examples=200, deadline=None)
def test_parse_request_never_fails_otherwise(data):
    try:
        request = parse_request(data)
    except InvalidRequest as error:
        assert error.reason in ("empty", "no_request_line")
    else:
        assert request.raw == data


def calls_made(work) -> int:
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


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2_000,
        b"GET /" + b"a" * 12_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 2_000,
        b"\r\n" * 6_000,
        b"junk " * 2_400,
        b"x HTTP/ \n" * 1_300,
    ],
    ids=["slow headers", "slow line", "slow chunks", "blank lines", "junk", "nearly requests"],
)
def test_one_byte_at_a_time_costs_a_bounded_number_of_calls_per_byte(data):
    parser = RequestParser()
    calls = calls_made(lambda: [parser.feed(data[at : at + 1]) for at in range(len(data))])
    assert calls <= 40 * len(data)
