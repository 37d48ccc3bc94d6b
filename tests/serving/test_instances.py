"""Every instance is read or refused; nothing a client sends becomes another exception."""

import base64
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secmlops.web_attacks.request import HttpRequest
from serving.limits import Limits
from serving.refusals import Reason, Refusal
from serving.web_attacks import WebAttacks

MODEL = WebAttacks("web-attacks", Path("no-bundle"), Path("no.pub"), Limits())

texts = st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("method", "uri", "url", "host", "version", "headers", "body", "data", "time", "src", "raw", "raw_base64")
objects = st.dictionaries(st.sampled_from(FIELDS) | texts, values | st.just({"base64": "AA=="}), max_size=6)
pieces = st.sampled_from([b"GET", b" ", b"/a", b"HTTP/1.1", b"\r\n", b"\n", b"a: b", b"\0", b"\xff"])
raw_requests = st.lists(pieces | st.binary(max_size=8)).map(b"".join)


@given(values | objects | raw_requests | objects.map(orjson.dumps) | st.binary(max_size=60))
def test_any_instance_is_read_or_refused(instance):
    try:
        request = MODEL.read(instance)
    except Refusal as refusal:
        assert refusal.status.http == 400
        assert refusal.reason in (Reason.UNREADABLE_REQUEST, Reason.NOT_JSON, Reason.TOO_DEEP)
        assert "secmlops" not in refusal.sentence
    else:
        assert isinstance(request, HttpRequest)
        request.to_wire()


@given(raw_requests)
def test_raw_bytes_are_the_same_in_all_their_forms(raw):
    def read(instance: object) -> HttpRequest | Reason:
        try:
            return MODEL.read(instance)
        except Refusal as refusal:
            return refusal.reason

    expected = read({"raw_base64": base64.b64encode(raw).decode()})
    assert read(orjson.dumps({"raw_base64": base64.b64encode(raw).decode()})) == expected
    if raw:
        assert read({"raw": raw.decode("latin-1")}) == expected
    if not raw.lstrip().startswith(b"{"):
        assert read(raw) == expected


@pytest.mark.parametrize("field", ["method", "uri", "host", "version", "body", "src"])
def test_nul_in_a_structured_text_field_is_refused(field):
    with pytest.raises(Refusal, match="NUL") as caught:
        MODEL.read({"method": "GET", "uri": "/"} | {field: "a\0b"})
    assert caught.value.reason is Reason.UNREADABLE_REQUEST


def test_bytes_may_hold_nul():
    assert MODEL.read({"uri": "/", "body": {"base64": "AA=="}}).body == b"\0"
    assert MODEL.read(b"GET /\0 HTTP/1.1\r\n\r\n").uri == "/\0"
