"""Payloads found in their place in a request, rewritten, encoded, and put back."""

import json
import random
import re
from urllib.parse import parse_qsl, unquote, unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.mutations import (
    MUTATIONS,
    Injection,
    UnknownMutation,
    engines_of,
    for_class,
    mutate,
    mutate_request,
)
from secmlops.web_attacks.mutations.carrier import UnfitPayload, locate
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES

SQLI = "1' or 1=1 -- "
LATIN1 = st.text(st.characters(max_codepoint=255), max_size=40)


def get(uri, *headers):
    return HttpRequest("GET", uri, headers=headers, raw=b"GET as it was")


def post(body, content_type):
    headers = (("Content-Type", content_type), ("Content-Length", str(len(body))))
    return HttpRequest("POST", "/form", headers=headers, body=body)


REQUESTS = {
    "query:q": get("/s?page=2&q=1%27+or%201%3D1+--+&lang=en"),
    "path": get("/item/1'%20or%201=1%20--%20/view?x=1"),
    "header:User-Agent": get("/", ("Host", "shop"), ("User-Agent", SQLI)),
    "cookie:id": get("/", ("Cookie", "theme=dark; id=1%27%20or%201%3D1%20--%20")),
    "body:q": post(b"page=2&q=1%27+or+1%3D1+--+", "application/x-www-form-urlencoded"),
    "body:name": post(b'{"page": 2, "user": {"name": "1\' or 1=1 -- "}}', "application/json"),
    "body:note": post(
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n1\' or 1=1 -- \r\n--b--\r\n',
        "multipart/form-data; boundary=b",
    ),
    "body": post(SQLI.encode(), "text/plain"),
}


@pytest.mark.parametrize("part", REQUESTS)
def test_the_payload_is_found_and_its_place_guessed(part):
    guessed = locate(REQUESTS[part], "sqli")
    assert (guessed.part, guessed.payload) == (part, SQLI)
    assert locate(REQUESTS[part], "sqli", part) == guessed


@pytest.mark.parametrize("part", REQUESTS)
def test_another_payload_takes_its_place_and_nothing_else_changes(part):
    request = REQUESTS[part]
    slot = locate(request, "sqli")
    changed = slot.fill(request, slot.encode("2' or 'a b'='a b"))
    assert locate(changed, "sqli", part).payload == "2' or 'a b'='a b"
    assert changed.raw == b""
    assert slot.fill(changed, slot.encode(SQLI)).method == request.method
    if changed.body:
        assert changed.header("content-length") == str(len(changed.body))
    assert [name for name, _ in changed.headers] == [name for name, _ in request.headers]


def test_a_named_part_wins_over_a_more_suspicious_one():
    request = get("/s?a=%27%27%27--%3Cscript%3E&b=plain")
    assert locate(request, "xss").part == "query:a"
    assert locate(request, "xss", "query:b").payload == "plain"
    assert locate(request, "xss", "query:absent").part == "query:a"


def test_a_json_path_names_its_last_key():
    request = post(b'{"user": {"tags": ["x", "1\' or 1=1"]}, "note": "hi"}', "application/json")
    assert locate(request, "sqli", "body:user.tags[1]").payload == "1' or 1=1"


def test_encoded_layers_are_kept():
    request = get("/s?q=1%2527%2520or%25201%253D1")
    slot = locate(request, "sqli")
    assert (slot.payload, slot.layers) == ("1' or 1=1", 2)
    assert slot.fill(request, slot.encode(slot.payload)).uri == request.uri


def test_like_patterns_are_not_taken_for_a_second_layer():
    assert locate(get("/s?q=name+like+%27%25ab%25%27"), "sqli").payload == "name like '%ab%'"


def test_a_request_without_values_has_no_place():
    assert locate(get("/"), "sqli") is None
    assert mutate_request(get("/"), "sqli", random.Random(1), rounds=3) == get("/")


def test_a_header_cannot_carry_a_line_end():
    slot = locate(REQUESTS["header:User-Agent"], "sqli")
    with pytest.raises(UnfitPayload):
        slot.encode("a\r\nSet-Cookie: x=1")
    for seed in range(60):
        changed = mutate_request(REQUESTS["header:User-Agent"], "sqli", random.Random(seed), rounds=4)
        assert not any("\n" in value or "\r" in value for _, value in changed.headers)


def test_compressed_bodies_are_left_alone():
    request = HttpRequest("POST", "/", headers=(("Content-Encoding", "gzip"),), body=b"\x1f\x8b union select")
    assert locate(request, "sqli") is None


@given(payload=LATIN1)
def test_url_encodings_decode_to_the_payload(payload):
    rng = random.Random(len(payload))
    assert unquote(MUTATIONS["url_encode_all"].apply(payload, rng), "latin-1") == payload
    assert unquote(MUTATIONS["url_encode_some"].apply(payload, rng), "latin-1") == payload
    assert unquote_plus(MUTATIONS["url_plus_blank"].apply(payload, rng), "latin-1") == payload
    assert unquote(unquote(MUTATIONS["url_double"].apply(payload, rng), "latin-1"), "latin-1") == payload


@given(payload=LATIN1)
def test_lenient_encodings_decode_to_the_payload(payload):
    rng = random.Random(len(payload))
    # What IIS does (%uXXXX beside %XX), and what servers do that accept overlong UTF-8.
    sent = MUTATIONS["url_percent_u"].apply(payload, rng)
    decoded = re.sub(r"%u([0-9a-f]{4})|%([0-9A-F]{2})", lambda match: chr(int(match[1] or match[2], 16)), sent)
    assert decoded == payload
    raw = unquote(MUTATIONS["url_overlong"].apply(payload, rng), "latin-1")
    for char in "./\\'\"<>":
        raw = raw.replace(f"{chr(0xC0 | ord(char) >> 6)}{chr(0x80 | ord(char) & 0x3F)}", char)
    assert raw == payload or "\xc0" in payload


@given(text=st.text(max_size=40))
def test_json_escapes_decode_to_the_payload(text):
    payload = text.encode("utf-8", "replace").decode("latin-1")
    escaped = MUTATIONS["json_unicode"].apply(payload, random.Random(len(text)))
    assert json.loads(f'"{escaped}"').encode().decode("latin-1") == payload


@given(payload=LATIN1.filter(bool))
def test_the_plain_encoding_of_a_query_decodes_to_the_payload(payload):
    request = get("/s?q=x&y=1")
    slot = locate(request, "sqli", "query:q")
    pairs = dict(parse_qsl(slot.fill(request, slot.encode(payload)).uri[3:], encoding="latin-1"))
    assert pairs == {"q": payload, "y": "1"}


def test_parameters_are_only_added():
    for seed in range(40):
        changed = mutate_request(REQUESTS["query:q"], "sqli", random.Random(seed), names=["junk_parameters"])
        before = parse_qsl(REQUESTS["query:q"].uri.partition("?")[2])
        after = parse_qsl(changed.uri.partition("?")[2])
        assert len(after) > len(before)
        assert [pair for pair in after if pair in before] == before


def test_pollution_leaves_the_payload_last():
    changed = mutate_request(REQUESTS["body:q"], "sqli", random.Random(3), names=["parameter_pollution"])
    pairs = parse_qsl(changed.body.decode())
    assert [name for name, _ in pairs] == ["page", "q", "q"]
    assert pairs[-1] == ("q", SQLI)


def test_slashes_of_a_path_stay_slashes():
    request = get("/files/../../../etc/passwd")
    for seed in range(30):
        changed = mutate_request(request, "path_traversal", random.Random(seed), names=["url_encode_all"])
        assert changed.uri.count("/") == request.uri.count("/")
        assert unquote(changed.uri) == request.uri


def test_the_same_seed_gives_the_same_mutant():
    one = mutate_request(REQUESTS["query:q"], "sqli", random.Random(7), rounds=5)
    assert one == mutate_request(REQUESTS["query:q"], "sqli", random.Random(7), rounds=5)
    assert one != mutate_request(REQUESTS["query:q"], "sqli", random.Random(8), rounds=5)


def test_rendering_is_repeatable():
    injection = Injection.find(REQUESTS["query:q"], "sqli")
    changed = injection.apply(MUTATIONS["url_encode_some"], random.Random(5))
    assert changed.render() == changed.render()


def test_an_unknown_mutation_is_named():
    with pytest.raises(UnknownMutation) as caught:
        mutate("x", "sqli", random.Random(1), names=["no_such"])
    assert caught.value.name == "no_such"


@pytest.mark.parametrize("attack_class", ATTACK_CLASSES)
def test_every_class_has_mutations_and_every_mutation_says_what_it_preserves(attack_class):
    mutations = for_class(attack_class)
    assert mutations
    for one in mutations:
        assert one.preserves.endswith(".")
        assert one.engines


@pytest.mark.parametrize(
    ("payload", "attack_class", "engines"),
    [
        ("1 or sleep(5)", "sqli", {"mysql"}),
        ("1; select pg_sleep(5)", "sqli", {"postgresql"}),
        ("1; waitfor delay '0:0:5'", "sqli", {"mssql"}),
        ("1 union select 1 from dual", "sqli", {"oracle"}),
        ("| ipconfig", "cmd_injection", {"cmd"}),
        ("| id", "cmd_injection", {"sh"}),
        ("..\\..\\boot.ini", "path_traversal", {"windows"}),
    ],
)
def test_engines_are_read_from_the_payload(payload, attack_class, engines):
    assert engines_of(payload, attack_class) == engines


@settings(max_examples=150, deadline=None)
@given(
    uri=LATIN1,
    body=st.binary(max_size=60),
    header=LATIN1.filter(lambda text: not set(text) & set("\r\n\0")),
    content_type=st.sampled_from(["", "application/json", "application/x-www-form-urlencoded", "multipart/form-data"]),
    attack_class=st.sampled_from(ATTACK_CLASSES),
    seed=st.integers(0, 1000),
)
def test_any_request_can_be_mutated(uri, body, header, content_type, attack_class, seed):
    request = HttpRequest("POST", uri, headers=(("Content-Type", content_type), ("X-A", header)), body=body)
    changed = mutate_request(request, attack_class, random.Random(seed), rounds=3)
    changed.to_wire()
    assert len(changed.headers) == len(request.headers)


@pytest.mark.parametrize("attack_class", ATTACK_CLASSES)
def test_mutated_payloads_stay_bytes(attack_class):
    # The upper case of these three is not latin-1.
    payload = "\xb5ab\xdfcd\xff dir c:\\windows \xff.ini <b\xff title=\xb5>"
    for seed in range(30):
        mutate(payload, attack_class, random.Random(seed), rounds=3).encode("latin-1")
