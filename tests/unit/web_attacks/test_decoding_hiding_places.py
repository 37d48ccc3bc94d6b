"""Places in a request where an attack was, or could be, hidden from the models: each must reach a part."""

import base64
import gzip
import json
import random
import zlib
from functools import reduce
from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.decoding import MAX_INFLATED_BYTES, MAX_MEMBERS, canonical, decode, parts, readings, take
from secmlops.web_attacks.request import HttpRequest

ATTACK = "<script>alert(1)</script>"
ENCODED = "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
NOISE = random.Random(7).randbytes(4000)


def _request(body: bytes, *headers: tuple[str, str]) -> HttpRequest:
    return HttpRequest("POST", "/", headers=headers, body=body)


def _form_data(body: bytes, kind: str = "multipart/form-data; boundary=XX") -> HttpRequest:
    return _request(body, ("Content-Type", kind))


def _section(disposition: str, content: bytes, boundary: bytes = b"XX") -> bytes:
    head = f"Content-Disposition: form-data; {disposition}\r\n\r\n".encode("latin-1")
    return b"--" + boundary + b"\r\n" + head + content + b"\r\n"


def _is_read(request: HttpRequest, attack: str = ATTACK) -> bool:
    return any(attack in reading for part in parts(request) for reading in readings(part.text))


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", f"/s?{ENCODED}=1"),
        HttpRequest("GET", f"/s?a=1&{ENCODED.replace('%', '%25')}=1"),
        _request(f"{ENCODED}=1&b=2".encode(), ("Content-Type", "application/x-www-form-urlencoded")),
        HttpRequest("GET", "/", headers=(("Cookie", f"a=1; {ENCODED}=1"),)),
        HttpRequest("GET", "/", headers=(("Cookie", f"a=1; {ENCODED}="),)),
        HttpRequest("GET", "/", headers=((ENCODED, "1"),)),
        _request(json.dumps({ENCODED: 1}).encode()),
        _request(json.dumps({"a": [{ENCODED: {"b": 1}}]}).encode()),
        _form_data(_section(f'name="{ENCODED}"', b"1") + b"--XX--\r\n"),
        _form_data(_section(f'name="{ENCODED}"; filename="a.png"', NOISE) + b"--XX--\r\n"),
        HttpRequest(ATTACK, "/"),
        HttpRequest("GET", f"http://{ATTACK[:-9]}/"),
    ],
    ids=range(12),
)
def test_names_methods_and_hosts_that_are_more_than_that_are_read(request_):
    assert _is_read(request_, ATTACK[:-9])


def test_plain_names_stay_names_also_when_encoded():
    found = parts(HttpRequest("GET", "/?user%5Bname%5D=joe&x.y-z=1"))
    assert [part.text for part in found] == ["/", "joe", "1"]
    assert [part.label for part in parts(HttpRequest("PROPFIND", "/"))] == ["path"]


@pytest.mark.parametrize("control", [b"\x01" * 40, b"\0" * 40, NOISE], ids=["control", "nul", "noise"])
@pytest.mark.parametrize("disposition", ['name="a"', 'name="a"; filename="a.png"'])
def test_control_bytes_do_not_hide_a_section(control, disposition):
    assert _is_read(_form_data(_section(disposition, control + ATTACK.encode() + control) + b"--XX--\r\n"))


def test_a_file_in_utf_16_is_read():
    content = f"<?xml version='1.0'?>{ATTACK}".encode("utf-16")
    assert _is_read(_form_data(_section('name="a"; filename="a.svg"', content) + b"--XX--\r\n"))


@pytest.mark.parametrize(
    "body",
    [
        b"--YY\r\nanything\r\n" + _section('name="a"', ATTACK.encode()) + b"--XX--\r\n",
        _section('name="a"', b"1") + b"--XX--\r\n" + ATTACK.encode(),
        ATTACK.encode() + b"\r\n" + _section('name="a"', b"1") + b"--XX--\r\n",
        _section('name="a"', ATTACK.encode(), b"YY") + b"--YY--\r\n",
        b"--XX\r\n" + ATTACK.encode(),
        b"--XX\r\nX-A: "
        + b"a" * 5000
        + b'\r\nContent-Disposition: form-data; name="'
        + ATTACK.encode()
        + b'"\r\n\r\n1',
        _section(f'name="a"; filename="{ATTACK}"; filename="a.png"', NOISE),
        _section(f'name="a"; name="{ATTACK}"', b"1"),
    ],
    ids=["preamble", "epilogue", "before", "other", "open", "long-head", "two-file-names", "two-names"],
)
def test_nothing_hides_around_the_sections_of_a_form(body):
    assert _is_read(_form_data(body))


def test_the_declared_boundary_decides_and_the_first_line_only_without_one():
    body = b"--YY\r\npreamble\r\n" + _section('name="a"', b"hello") + b"--XX--\r\n"
    for kind in ('multipart/form-data; charset=utf-8; boundary="XX"', "multipart/form-data; BOUNDARY=XX"):
        assert ("body:a", "hello") in [(part.label, part.text) for part in parts(_form_data(body, kind))]
    undeclared = parts(_form_data(_section('name="a"', b"hello") + b"--XX--\r\n", "multipart/form-data"))
    assert ("body:a", "hello") in [(part.label, part.text) for part in undeclared]


def test_binary_files_give_no_noise():
    found = parts(_form_data(_section('name="a"; filename="a.png"', NOISE) + b"--XX--\r\n"))
    assert sum(len(part.text) for part in found if part.name == "a") < 40


@pytest.mark.parametrize("padding", ["a", "<b>", "word ", "%20"])
def test_padding_on_both_sides_hides_nothing(padding):
    value = padding * 60_000 + ENCODED + padding * 60_000
    form = ("Content-Type", "application/x-www-form-urlencoded")
    assert _is_read(HttpRequest("GET", f"/{value}"))
    assert _is_read(HttpRequest("GET", f"/?q={value}"))
    assert _is_read(HttpRequest("GET", "/", headers=(("X-A", value),)))
    assert _is_read(HttpRequest("GET", "/", headers=(("Cookie", f"a={value}"),)))
    assert _is_read(_request(f"q={value}".encode(), form))
    assert _is_read(_request(json.dumps({"q": value}).encode()))
    assert _is_read(_request(value.encode(), ("Content-Type", "text/plain")))
    assert _is_read(_form_data(_section('name="a"', value.encode()) + b"--XX--\r\n"))


def test_a_body_of_megabytes_is_read_to_its_middle():
    padding = b"lorem ipsum " * 150_000
    assert _is_read(_request(padding + ATTACK.encode() + padding, ("Content-Type", "text/plain")))


def test_junk_parameters_hide_nothing():
    junk = "&".join(f"p{i}=word{i}" for i in range(60_000))
    assert _is_read(HttpRequest("GET", f"/?{junk}&q={ENCODED}&{junk}"))
    values = json.dumps([*map(str, range(100_000)), ATTACK, *map(str, range(100_000))])
    assert _is_read(_request(values.encode()))


@pytest.mark.parametrize(
    "body",
    [
        b'{"q": "%s", "q": "safe"}',
        b'{"q": "safe", "q": "%s"}',
        b'{"a": {"q": {"r": "%s"}, "q": "safe", "q": 1}}',
        b'{"$or": {"$or": "%s"}}',
    ],
)
def test_every_value_of_a_repeated_key_is_read(body):
    assert _is_read(_request(body % ATTACK.encode()))


@pytest.mark.parametrize(
    "inside", ["<scr<!-- -->ipt>alert(1)</script>", "<![CDATA[<scr]]><![CDATA[ipt>alert(1)</script>]]>"]
)
def test_the_seams_of_xml_text_hide_nothing(inside):
    assert _is_read(_request(f"<?xml version='1.0'?><a>{inside}</a>".encode(), ("Content-Type", "text/xml")))


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


FORM = f"q={ENCODED}".encode()
_PACKED = {
    "second-member": (gzip.compress(b"a=1&") + gzip.compress(FORM), "gzip"),
    "twice": (gzip.compress(gzip.compress(FORM)), "gzip, gzip"),
    "two-kinds": (zlib.compress(gzip.compress(FORM)), "gzip , Deflate"),
    "raw-deflate": (_raw_deflate(FORM), "deflate"),
    "zlib": (zlib.compress(FORM), "deflate"),
    "identity": (gzip.compress(FORM), "identity, x-gzip, identity"),
    "undeclared": (gzip.compress(FORM), ""),
    "cut": (gzip.compress(FORM)[:-6], "gzip"),
    "behind": (gzip.compress(b"a=1") + FORM, "gzip"),
    "not-packed": (FORM, "gzip"),
    "half-packed": (gzip.compress(FORM), "gzip, gzip"),
    "unknown": (FORM, "br"),
    "many": (FORM, ", ".join(["gzip"] * 9)),
}


@pytest.mark.parametrize(("body", "coding"), _PACKED.values(), ids=_PACKED)
def test_a_content_coding_hides_nothing(body, coding):
    request = _request(body, ("Content-Encoding", coding))
    assert _is_read(request)
    assert take(request).whole


def test_two_content_encoding_headers_are_undone_in_turn():
    body = zlib.compress(gzip.compress(FORM))
    assert _is_read(_request(body, ("Content-Encoding", "gzip"), ("Content-Encoding", "deflate")))


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(b"a" * (MAX_INFLATED_BYTES + 1)), "gzip"),
        (gzip.compress(gzip.compress(b"a" * 200 * MAX_INFLATED_BYTES)), "gzip, gzip"),
        (b"".join(repeat(gzip.compress(b"a"), MAX_MEMBERS + 1)), "gzip"),
        (b"\x8b\x01\x80" + NOISE, "br"),
        (reduce(lambda body, _: gzip.compress(body), range(9), FORM), ", ".join(["gzip"] * 9)),
    ],
    ids=["large", "bomb", "members", "brotli", "layers"],
)
def test_what_is_not_read_in_full_is_said(body, coding):
    taken = take(_request(body, ("Content-Encoding", coding)))
    assert not taken.whole


def test_the_largest_body_within_the_bounds_is_whole():
    body = gzip.compress(b"a" * (MAX_INFLATED_BYTES - len(ATTACK)) + ATTACK.encode())
    request = _request(body, ("Content-Encoding", "gzip"))
    assert take(request).whole
    assert _is_read(request)


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("char(" + "1" * 5000 + ",65)", "'A'"),
        ("char(" + "0" * 5000 + "65, 0x" + "0" * 5000 + "41)", "'AA'"),
        ("char(0x" + "f" * 5000 + ")", "''"),
    ],
)
def test_character_codes_of_any_length_are_spelled(text, simple):
    assert canonical(text) == simple


def test_character_references_of_any_length_are_undone():
    assert decode("&#" + "0" * 5000 + "39;") == "'"
    assert decode("&#x" + "0" * 5000 + "27;") == "'"
    assert decode("a&#" + "9" * 5000 + ";b") == "a\ufffdb"
    assert decode("&#60deadbeefdead") == "<deadbeefdead"


_PIECES = st.sampled_from(
    [*"0123456789%&#;x\\u{}()'\"/*,<> \0\xff\xc0", "char(", "0x", "&#", "&#x", "%u", "\\u", "(select ", "${", "<!--"]
)


@given(
    before=st.lists(_PIECES, max_size=6),
    again=st.lists(_PIECES, min_size=1, max_size=4),
    behind=st.lists(_PIECES, max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_long_hostile_texts_never_fail(before, again, behind):
    period = "".join(again)
    text = "".join(before) + period * (12_000 // len(period)) + "".join(behind)
    decode(text)
    canonical(text)
    readings(text)
    body = text.encode("latin-1")
    for kind in (
        "application/json",
        "multipart/form-data; boundary=0",
        "text/xml",
        "application/x-www-form-urlencoded",
    ):
        request = HttpRequest(text, text, headers=((text, text), ("Cookie", text), ("Content-Type", kind)), body=body)
        assert all(readings(part.text) for part in parts(request))


def test_base64_of_any_length_is_undone():
    padding = "lorem ipsum " * 10_000
    value = base64.b64encode((padding + ATTACK + padding).encode()).decode()
    assert _is_read(HttpRequest("GET", f"/?q={value}"))
