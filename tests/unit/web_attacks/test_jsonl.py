import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.errors import SecmlopsError
from secmlops.web_attacks import jsonl
from secmlops.web_attacks.jsonl import from_json, labelled_from_json, parse_line, read_labelled, to_json
from secmlops.web_attacks.request import HttpRequest, InvalidRequest
from secmlops.web_attacks.taxonomy import UnknownLabel

WIRE = st.text(st.characters(max_codepoint=255), max_size=20)
REQUESTS = st.builds(
    HttpRequest,
    method=WIRE,
    uri=WIRE,
    version=st.sampled_from(["", "0.9", "1.0", "1.1", "2"]),
    headers=st.lists(st.tuples(WIRE.filter(lambda name: name.lower() != "host"), WIRE), max_size=4).map(tuple),
    body=st.binary(max_size=40),
    host=WIRE.filter(bool),
    time=st.one_of(st.none(), st.floats(0, 2e9)),
    src=st.sampled_from(["", "10.0.0.1:4000", "[::1]:80"]),
)


@given(REQUESTS)
@settings(max_examples=300, deadline=None)
def test_every_request_survives_the_round_trip_through_json_text(request):
    assert from_json(json.loads(json.dumps(to_json(request)))) == request


def test_the_shape_of_a_line():
    request = HttpRequest(
        "GET", "/caf\xc3\xa9", headers=(("Host", "h"), ("X", "\xff")), body=b"\xfe", host="h", time=1.5
    )
    assert to_json(request) == {
        "time": 1.5,
        "src": "",
        "dst": "",
        "method": "GET",
        "host": "h",
        "uri": "/café",
        "version": "1.1",
        "headers": [["Host", "h"], ["X", {"base64": "/w=="}]],
        "body": {"base64": "/g=="},
    }


@pytest.mark.parametrize(
    ("obj", "uri", "host"),
    [
        ({"uri": "/a"}, "/a", ""),
        ({"url": "/a?b=http://c/"}, "/a?b=http://c/", ""),
        ({"url": "https://user@shop.example:8443/a?b#c"}, "/a?b#c", "shop.example:8443"),
        ({"url": "http://shop.example"}, "/", "shop.example"),
        ({"url": "http://shop.example?x"}, "/?x", "shop.example"),
        ({"url": "http://shop.example/", "headers": {"Host": "named"}}, "/", "named"),
        ({"uri": "/", "host": "given", "headers": [["Host", "other"]]}, "/", "given"),
        ({"uri": "http://proxied/x"}, "http://proxied/x", "proxied"),
        ({"url": "ftp://x/y"}, "ftp://x/y", "x"),
    ],
)
def test_targets_and_hosts(obj, uri, host):
    request = from_json(obj)
    assert (request.uri, request.host) == (uri, host)


def test_headers_as_object_list_and_numbers():
    assert from_json({"uri": "/", "headers": {"A": "b", "C": ["d", "e"], "Content-Length": 5}}).headers == (
        ("A", "b"),
        ("C", "d"),
        ("C", "e"),
        ("Content-Length", "5"),
    )


def test_unicode_text_becomes_its_utf8_bytes():
    request = from_json({"uri": "/é☃", "data": "☃"})
    assert request.uri.encode("latin-1") == "/é☃".encode()
    assert request.body == "☃".encode()


def test_raw_is_latin1_text_or_utf8_or_base64():
    assert from_json({"raw": "GET /\xff HTTP/1.1\r\nHost: a\r\n\r\nx"}).uri == "/\xff"
    assert from_json({"raw": "GET /☃ HTTP/1.1\r\n\r\n"}).uri.encode("latin-1") == "/☃".encode()
    request = from_json({"raw": {"base64": "R0VUIC/+IEhUVFAvMS4x"}, "time": "2024-01-01T00:00:00Z", "src": "1.2.3.4:5"})
    assert (request.uri, request.time, request.src) == ("/\xfe", 1_704_067_200.0, "1.2.3.4:5")


@pytest.mark.parametrize(
    ("obj", "reason"),
    [
        ([], "not_an_object"),  # wrong shape
        (None, "not_an_object"),
        ({}, "missing_uri"),  # nothing to send
        ({"uri": 3}, "bad_field"),
        ({"uri": "/", "method": ["GET"]}, "bad_field"),
        ({"uri": "/", "body": {"base64": "***"}}, "bad_field"),
        ({"uri": "/", "body": {"base64": "", "x": 1}}, "bad_field"),
        ({"uri": "/", "headers": "A: b"}, "bad_field"),
        ({"uri": "/", "headers": [["a"]]}, "bad_field"),
        ({"uri": "/", "headers": [["a", {"b": 1}]]}, "bad_field"),
        ({"uri": "/", "time": True}, "bad_field"),
        ({"uri": "/", "time": float("nan")}, "bad_field"),
        ({"uri": "/", "time": 10**400}, "bad_field"),
        ({"uri": "/", "time": "yesterday"}, "bad_field"),
        ({"uri": "/\ud800"}, "lone_surrogate"),  # no bytes stand for half a pair
        ({"raw": "GET /\ud800 HTTP/1.1"}, "lone_surrogate"),
        ({"raw": {"base64": 5}}, "bad_field"),
        ({"raw": "word"}, "no_request_line"),
        ({"uri": "/", "headers": [["a", "b"]] * (jsonl.MAX_HEADERS + 1)}, "too_large"),  # bounded work
        ({"uri": "a" * (jsonl.MAX_FIELD_BYTES + 1)}, "too_large"),
    ],
)
def test_wrong_shapes_are_refused_with_a_reason(obj, reason):
    with pytest.raises(InvalidRequest) as caught:
        from_json(obj)
    assert caught.value.reason == reason


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)
FIELDS = ["time", "src", "dst", "method", "host", "uri", "url", "version", "headers", "body", "data", "raw", "label"]


@given(st.one_of(JSON, st.dictionaries(st.sampled_from(FIELDS), JSON)))
@settings(max_examples=400, deadline=None)
def test_any_json_is_a_request_or_a_named_error(obj):
    for read in (from_json, labelled_from_json):
        try:
            read(obj)
        except SecmlopsError as error:
            assert str(error)


@pytest.mark.parametrize("line", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 10_000])
def test_lines_that_are_no_json(line):
    with pytest.raises(InvalidRequest, match="JSON"):
        parse_line(line)


def test_a_line_of_millions_of_tiny_values_is_refused_before_it_is_decoded():
    with pytest.raises(InvalidRequest) as caught:
        parse_line(b"[" + b"[]," * (jsonl.MAX_VALUES // 2 + 1) + b"[]]")
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    ("obj", "label", "attack_class", "site"),
    [
        ({"label": "malicious", "source": "sqli", "uri": "/", "host": "H:80"}, "attack", "sqli", "h"),
        ({"label": "attack", "attack_type": "cmdi", "source": "x", "uri": "/"}, "attack", "cmd_injection", ""),
        ({"label": "attack", "attack_class": "xss", "site": "shop", "uri": "/"}, "attack", "xss", "shop"),
        ({"label": "attack", "uri": "/"}, "attack", "other", ""),
        ({"label": "legitimate", "source": "browsing", "uri": "/"}, "normal", "", "browsing"),
        ({"label": "normal", "uri": "/", "host": "a.example"}, "normal", "", "a.example"),
    ],
)
def test_labels_classes_and_sites(obj, label, attack_class, site):
    record = labelled_from_json(obj)
    assert (record.label, record.attack_class, record.site, record.reviewed) == (label, attack_class, site, True)


def test_tags_review_and_identity_travel_along():
    record = labelled_from_json({"label": "normal", "uri": "/", "tags": ["t"], "reviewed": False, "packet_id": "p"})
    assert (record.tags, record.reviewed, record.packet_id) == (("t",), False, "p")


def test_an_unknown_label_is_an_error():
    with pytest.raises(UnknownLabel):
        labelled_from_json({"label": "maybe", "uri": "/"})


LINES = b'{"label": "normal", "uri": "/1"}\n\nnot json\n{"label": "?", "uri": "/2"}\n{"label": "attack", "uri": "/3"}'


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_labelled_from_a_path_reports_each_bad_line(tmp_path, pack):
    path = tmp_path / "labelled.jsonl"
    path.write_bytes(pack(LINES))
    errors = []
    records = list(read_labelled(path, on_error=lambda number, line, error: errors.append((number, line, type(error)))))
    assert [record.request.uri for record in records] == ["/1", "/3"]
    assert errors == [(3, b"not json\n", InvalidRequest), (4, b'{"label": "?", "uri": "/2"}\n', UnknownLabel)]


def test_read_labelled_raises_without_a_handler():
    records = read_labelled(io.BytesIO(LINES))
    assert next(records).request.uri == "/1"
    with pytest.raises(InvalidRequest):
        next(records)


def test_the_public_full_requests_can_all_be_read(public_data):
    path = public_data / "http" / "openappsec.jsonl.gz"
    with gzip.open(path, "rb") as lines:
        sample = [line for number, line in enumerate(lines) if number % 50 == 0]
    records = list(read_labelled(sample))
    assert len(records) == len(sample) > 1_000
    assert {record.label for record in records} == {"normal", "attack"}
