import base64
import gzip
import io
import json
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.jsonl import to_json
from secmlops.web_attacks.readers import FORMATS, Limits, Quarantined, UnknownFormat, read
from secmlops.web_attacks.request import HttpRequest
from tests.unit.web_attacks.captures import Talk, block, pcap, pcapng

GET = b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
FRAMES = Talk().open().client(GET).close().frames


def items(data: bytes, **options):
    return list(read(io.BytesIO(data), **options))


def requests(data: bytes, **options) -> list[HttpRequest]:
    return [item for item in items(data, **options) if isinstance(item, HttpRequest)]


def quarantined(data: bytes, **options) -> list[Quarantined]:
    return [item for item in items(data, **options) if isinstance(item, Quarantined)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_pcap_of_either_byte_order_and_resolution(order, nano):
    (request,) = items(pcap(FRAMES, order=order, nano=nano))
    assert request.uri == "/1" and request.time == pytest.approx(1_700_000_000.003)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_either_byte_order(order):
    (request,) = items(pcapng(FRAMES, order=order))
    assert request.uri == "/1" and request.time == pytest.approx(1_700_000_000.000003, abs=1e-6)


def test_pcapng_time_resolution_and_offset():
    options = struct.pack("<HHB3x", 9, 1, 9) + struct.pack("<HHq", 14, 8, 1_000) + struct.pack("<HH", 0, 0)
    (request,) = items(pcapng(FRAMES, options=options))
    assert request.time == pytest.approx(1_700_000_000_000_003 * 1e-9 + 1_000)
    (request,) = items(pcapng(FRAMES, options=struct.pack("<HHB3x", 9, 1, 0x80 | 10)))
    assert request.time == pytest.approx(1_700_000_000_000_003 / 1024)


def test_pcapng_simple_packets_and_several_sections():
    assert [item.uri for item in items(pcapng(FRAMES, simple=True))] == ["/1"]
    other = Talk(sport=5).open().client(GET.replace(b"/1", b"/2")).close().frames
    assert [item.uri for item in items(pcapng(FRAMES) + pcapng(other, order=">"))] == ["/1", "/2"]


def test_pcapng_blocks_of_unknown_kind_are_passed_over():
    assert [item.uri for item in items(pcapng(FRAMES[:2]) + block(0xBAD, bytes(5_000)) + pcapng(FRAMES)[28:])] == ["/1"]


@pytest.mark.parametrize("data", [pcap(FRAMES), pcapng(FRAMES), GET], ids=["pcap", "pcapng", "raw"])
def test_gzip_around_anything(data):
    assert [item.uri for item in items(gzip.compress(data))] == ["/1"]
    half = len(data) // 2
    assert [item.uri for item in items(gzip.compress(data[:half]) + gzip.compress(data[half:]) + bytes(8))] == ["/1"]


def test_paths_streams_and_standard_input(tmp_path, monkeypatch):
    path = tmp_path / "traffic.pcap"
    path.write_bytes(pcap(FRAMES))
    for source in (path, str(path)):
        assert [item.uri for item in read(source)] == ["/1"]
    with path.open("rb") as stream:
        assert [item.uri for item in read(stream)] == ["/1"]
        assert not stream.closed
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcap(FRAMES))))
    assert [item.uri for item in read("-")] == ["/1"]


def test_a_stream_that_gives_a_byte_at_a_time():
    class Slow(io.RawIOBase):
        def __init__(self, data):
            self.rest = data

        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[:1], self.rest = self.rest[:1], self.rest[1:]
            return len(self.rest) and 1

    assert [item.uri for item in read(Slow(pcap(FRAMES) + b"\0"))][:1] == ["/1"]


def test_unknown_names_and_missing_files_are_errors(tmp_path):
    with pytest.raises(UnknownFormat) as caught:
        read(tmp_path, format="docx")
    assert caught.value.format == "docx" and "pcap" in str(caught.value)
    with pytest.raises(OSError):
        list(read(tmp_path / "absent"))


def test_an_empty_source_holds_nothing_and_an_unknown_one_is_quarantined():
    assert items(b"") == items(b"\r\n ") == []
    (lost,) = items(b"dear diary")
    assert (lost.reason, lost.data) == ("unknown_format", b"dear diary")


def test_a_given_format_is_not_second_guessed():
    (lost,) = items(b"GET / HTTP/1.1\r\n\r\n", format="pcap")
    assert lost.reason == "not_a_capture"


# Access logs


def log_line(request: str, rest: str = ' "http://shop/ref" "Mozilla \\"5\\""', front: str = "") -> bytes:
    return f'{front}192.0.2.1 - frank [10/Oct/2000:13:55:36 -0700] "{request}" 200 2326{rest}\n'.encode("latin-1")


def test_combined_log():
    (request,) = items(log_line("GET /a?b=c HTTP/1.0"))
    assert (request.method, request.uri, request.version) == ("GET", "/a?b=c", "1.0")
    assert request.headers == (("Referer", "http://shop/ref"), ("User-Agent", 'Mozilla "5"'))
    assert (request.time, request.src) == (971_211_336.0, "192.0.2.1")


def test_common_and_virtual_host_logs():
    (request,) = items(log_line("GET / HTTP/1.1", rest="", front="shop.example:443 "))
    assert (request.host, request.src, request.headers) == (
        "shop.example:443",
        "192.0.2.1",
        (("Host", "shop.example:443"),),
    )


@pytest.mark.parametrize(
    ("logged", "uri"),
    [
        (r"GET /\x22\xFF\\ HTTP/1.1", '/"\xff\\'),  # nginx and Apache escapes
        (r"GET /\"a\" HTTP/1.1", '/"a"'),
        ('GET /"a" b\' HTTP/1.1', '/"a" b\''),  # a format that escapes nothing
        ("GET /%00%27 HTTP/1.1", "/%00%27"),
    ],
)
def test_escapes_in_logs(logged, uri):
    assert items(log_line("GET /first HTTP/1.1") + log_line(logged))[1].uri == uri


@pytest.mark.parametrize("logged", ["-", "", r"\x16\x03\x01", "quit"])
def test_log_lines_without_a_request_are_quarantined(logged):
    found = items(log_line("GET / HTTP/1.1") + log_line(logged) + b"# rotated\n")
    assert [(item.reason, item.offset) for item in found[1:]] == [
        ("bad_request_line", len(log_line("GET / HTTP/1.1"))),
        ("bad_log_line", len(log_line("GET / HTTP/1.1") + log_line(logged))),
    ]
    assert found[1].data == log_line(logged).rstrip()


# Zeek

ZEEK = (
    b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\thttp\n"
    b"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p"
    b"\ttrans_depth\tmethod\thost\turi\tversion\tuser_agent\n"
    b"1700000000.5\tC1\t192.0.2.1\t4000\t2001:db8::1\t80\t1\tGET\tshop\t/a\\x09b\xc3\xa9\\xff\t1.1\tcurl\n"
    b"1700000001.5\tC2\t192.0.2.1\t4001\t192.0.2.9\t80\t1\tGET\t-\t(empty)\t-\t-\n"
    b"1700000002.5\tC3\t192.0.2.1\t4002\t192.0.2.9\t80\t1\t-\t-\t-\t1.1\t-\n"
    b"short\tline\n#close\t2024\n"
)


def test_zeek_tsv():
    first, second, reply_only, short = items(ZEEK)
    assert (first.method, first.host, first.uri, first.version) == ("GET", "shop", "/a\tb\xc3\xa9\xff", "1.1")
    assert (first.time, first.src, first.dst) == (1_700_000_000.5, "192.0.2.1:4000", "[2001:db8::1]:80")
    assert first.headers == (("Host", "shop"), ("User-Agent", "curl"))
    assert (second.host, second.uri, second.version) == ("", "", "")
    assert (reply_only.reason, short.reason) == ("no_request", "bad_record")


def test_zeek_json():
    record = {
        "ts": "2024-01-01T00:00:00.5Z", "uid": "C", "id.orig_h": "192.0.2.1", "id.orig_p": 4000,
        "id.resp_h": "192.0.2.9", "id.resp_p": 80, "trans_depth": 1, "method": "POST",
        "host": "shop", "uri": "/é", "referrer": "r",
    }  # fmt: skip
    data = json.dumps(record).encode() + b"\n" + json.dumps({**record, "method": None}).encode()
    request, reply_only = items(data)
    assert (request.method, request.uri, request.time) == ("POST", "/\xc3\xa9", 1_704_067_200.5)
    assert request.header("referer") == "r" and request.version == ""
    assert reply_only.reason == "no_request"


# Suricata


def test_suricata_eve():
    event = {
        "timestamp": "2024-01-01T00:00:00.000000+0000",
        "event_type": "http",
        "src_ip": "192.0.2.1",
        "src_port": 4000,
        "dest_ip": "2001:db8::1",
        "dest_port": 80,
        "http": {"hostname": "shop", "url": "/a", "http_method": "GET", "protocol": "HTTP/1.1", "http_user_agent": "c"},
    }
    dumped = {
        **event["http"],
        "request_headers": [{"name": "X", "value": "y"}],
        "http_request_body": base64.b64encode(b"\xff").decode(),
    }
    lines = [event, {"event_type": "dns"}, {"event_type": "http"}, {**event, "http": dumped}]
    found = items("\n".join(map(json.dumps, lines)).encode())
    assert (found[0].uri, found[0].host, found[0].version) == ("/a", "shop", "1.1")
    assert (found[0].src, found[0].dst, found[0].time) == ("192.0.2.1:4000", "[2001:db8::1]:80", 1_704_067_200.0)
    assert found[0].headers == (("Host", "shop"), ("User-Agent", "c"))
    assert found[1].reason == "bad_field"
    assert (found[2].headers, found[2].body) == ((("X", "y"),), b"\xff")
    assert (found[3].reason, found[3].detail[:8]) == ("other_records", "1 record")


# HAR


def har(*entries) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": entries}}, indent=1).encode()


def entry(**request):
    return {"startedDateTime": "2024-01-01T00:00:00.000Z", "serverIPAddress": "192.0.2.9", "request": request}


def test_har():
    found = items(
        har(
            entry(
                method="POST",
                url="https://shop.example/cart?x=1",
                httpVersion="HTTP/2.0",
                headers=[{"name": ":authority", "value": "shop.example"}, {"name": "A", "value": "b"}],
                postData={"mimeType": "text/plain", "text": "é"},
            ),
            entry(
                method="POST",
                url="http://h/",
                httpVersion="http/1.1",
                postData={"params": [{"name": "a b", "value": "c&"}]},
            ),
            entry(method="POST", url="http://h/", postData={"text": "/w==", "encoding": "base64"}),
            {"request": 5},
            entry(method="GET", url="/", headers=[5]),
        )
    )
    assert [(r.method, r.uri, r.host, r.version, r.body) for r in found[:3]] == [
        ("POST", "/cart?x=1", "shop.example", "2", b"\xc3\xa9"),
        ("POST", "/", "h", "1.1", b"a+b=c%26"),
        ("POST", "/", "h", "", b"\xff"),
    ]
    assert found[0].headers == (("A", "b"),) and found[0].dst == "192.0.2.9"
    assert [(item.reason, item.detail[:7]) for item in found[3:]] == [
        ("bad_field", "entry 3"),
        ("bad_field", "entry 4"),
    ]
    assert found[3].data == b'{"request": 5}'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"log": {"entries": [', "bad_json"),  # breaks off
        (b'{"log": {"entries": 5}}', "not_a_har"),
        (b'{"log": []}', "not_a_har"),
        (b'{"log": ' + b"[" * 200_000, "bad_json"),  # nested without end
        (b'{"log": ' + b"[" * 300, "document_too_large"),
    ],
)
def test_documents_that_are_no_har(data, reason):
    (lost,) = items(data, limits=Limits(max_document_bytes=200 if reason == "document_too_large" else 10**7))
    assert lost.reason == reason


# Raw requests, tables, JSON lines


def test_raw_requests_one_after_the_other():
    found = items(GET + b"POST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nab" + GET)
    assert [item.uri for item in found] == ["/1", "/2", "/1"]


def test_a_raw_request_whose_body_has_no_length_keeps_its_body():
    (request,) = items(b"POST /1 HTTP/1.1\nHost: h\n\nid=1' or 1=1 --")
    assert request.body == b"id=1' or 1=1 --"


def test_csv_with_our_columns():
    table = (
        b"label,method,url,body,headers,time,src\r\n"
        b'x,POST,http://shop/a,"l1\r\n\r\nl2\xff","Host: other\r\nX: y",1700000000.5,192.0.2.1\r\n'
        b'x,GET,/b,,"{""A"": ""b""}",2024-01-01T00:00:00Z,\r\n'
        b"x,GET,,,,,\r\n"
        b'x,GET,/c,,"{",,\r\n'
        b"x,GET,/d\r\n"
    )
    found = items(table)
    assert (found[0].uri, found[0].host, found[0].body) == ("/a", "other", b"l1\r\n\r\nl2\xff")
    assert (found[0].headers, found[0].time, found[0].src) == (
        (("Host", "other"), ("X", "y")),
        1_700_000_000.5,
        "192.0.2.1",
    )
    assert (found[1].headers, found[1].time) == ((("A", "b"),), 1_704_067_200.0)
    assert [item.reason for item in found[2:4]] == ["missing_uri", "bad_field"]
    assert found[2].data == b"x,GET,,,,,\r\n" and table[found[2].offset :].startswith(found[2].data)
    assert found[4].uri == "/d"


def test_csv_with_raw_requests_and_other_delimiters():
    (request,) = items(b'id;raw\r\n1;"POST /x HTTP/1.1\r\nHost: h\r\n\r\nbody"\r\n')
    assert (request.uri, request.host, request.body) == ("/x", "h", b"body")
    (request,) = items(
        b"frame.time_epoch\tip.src\thttp.request.method\thttp.host\thttp.request.uri\thttp.user_agent\n"
        b"1.5\ta\tGET\th\t/x\tc\n"
    )
    assert (request.time, request.src, request.host, request.header("User-Agent")) == (1.5, "a", "h", "c")


def test_csv_without_a_target_column_or_with_huge_cells():
    (lost,) = items(b"a,b\n1,2\n", format="csv")
    assert lost.reason == "unknown_columns"
    found = items(b'method,uri\nGET,"' + b"a" * 200_000 + b'"\nGET,/after\n')
    assert [item.reason for item in found if isinstance(item, Quarantined)] == ["bad_csv"]
    assert [item.uri for item in found if isinstance(item, HttpRequest)] == ["/after"]


def test_json_lines():
    data = b'\xef\xbb\xbf{"method": "GET", "uri": "/1"}\n\n[]\nnonsense\n{"raw": "GET /2 HTTP/1.1\\r\\n\\r\\n"}'
    found = items(data.removeprefix(b"\xef\xbb\xbf"))
    assert [item.uri for item in found if isinstance(item, HttpRequest)] == ["/1", "/2"]
    assert [item.reason for item in found if isinstance(item, Quarantined)] == ["not_an_object", "bad_json"]


def test_what_read_yields_can_be_written_and_read_again():
    lines = "\n".join(json.dumps(to_json(request)) for request in requests(pcap(FRAMES)))
    (again,) = items(lines.encode())
    assert (again.uri, again.host, again.src) == ("/1", "h", "10.0.0.1:40000")


def test_lines_over_the_bound_are_quarantined_and_the_next_is_read():
    data = b'{"uri": "/1"}\n{"uri": "' + b"a" * 5_000 + b'"}\n{"uri": "/2"}\n'
    first, lost, second = items(data, limits=Limits(max_line_bytes=1_000, max_quarantine_bytes=50))
    assert (first.uri, lost.reason, second.uri) == ("/1", "line_too_long", "/2")
    assert len(lost.data) == 50 and lost.offset == 14 and "5012 bytes" in lost.detail


SEEDS = [
    pcap(FRAMES), pcapng(FRAMES), gzip.compress(GET, mtime=0), log_line("GET / HTTP/1.1"), ZEEK,
    har(entry(method="GET", url="/")),
    b'{"event_type": "http", "http": {"url": "/"}}\n', b'{"uri": "/"}\n', b'method,uri\nGET,"/a"\n', GET,
]  # fmt: skip


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 5_000), st.binary(min_size=1, max_size=6)), max_size=8),
    st.sampled_from([None, *FORMATS]),
)
@settings(max_examples=500, deadline=None)
def test_damaged_files_of_any_format_read_as_any_format_never_crash(seed, changes, name):
    data = bytearray(seed)
    for at, piece in changes:
        at %= len(data)
        data[at : at + len(piece)] = piece
    for item in items(bytes(data), format=name):
        assert isinstance(item, HttpRequest | Quarantined)
        if isinstance(item, HttpRequest):
            json.dumps(to_json(item))


def test_importing_the_readers_loads_no_reader():
    import subprocess

    heavy = ("dpkt", "pyarrow", "secmlops.web_attacks.readers.pcap")
    code = f"import sys, secmlops.web_attacks.readers; print([m for m in {heavy} if m in sys.modules])"
    root = Path(__file__).resolve().parents[3]
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert answer.stdout.strip() == "[]"
