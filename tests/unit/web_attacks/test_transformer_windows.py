import gzip
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.web_attacks.decoding import MAX_INFLATED_BYTES
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.transformer import byte_tokenizer
from secmlops.web_attacks.transformer.windows import FRAME, MAX_CHARS, MAX_WINDOWS, Windower
from tests.unit.web_attacks import small_traffic

ROOM = 24
ANY_TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=0xFF), max_size=200)


@cache
def windower() -> Windower:
    texts = [record.request.uri for record in small_traffic.records(60, seed=1)]
    return Windower(byte_tokenizer.train(texts, 330), max_tokens=ROOM + FRAME)


@given(uri=ANY_TEXT, header=ANY_TEXT, body=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_request_has_bounded_framed_windows(uri, header, body):
    request = HttpRequest("POST", uri, headers=(("X-Any", header),), body=body)
    windows = windower().windows(request)
    start, end = (windower().tokenizer.token_to_id(name) for name in (byte_tokenizer.START, byte_tokenizer.END))
    assert 1 <= len(windows) <= MAX_WINDOWS
    assert len({window.ids for window in windows}) == len(windows)
    for window in windows:
        assert FRAME <= len(window.ids) <= ROOM + FRAME
        assert window.ids[0] == start and window.ids[-1] == end
        assert len(windower().spans(window)) == len(window.ids)


@given(before=st.integers(0, 200), behind=st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_a_short_attack_stands_whole_in_one_window_wherever_it_is(before, behind):
    attack = "(1)!=2"  # fewer tokens than windows overlap by
    assert len(windower().tokenizer.encode(attack).ids) <= ROOM // 4
    value = "." * before + attack + "." * behind
    windows = windower().windows(HttpRequest("GET", "/", body=value.encode()))
    assert any(attack in window.text for window in windows)


def test_windows_of_a_long_text_read_all_of_it():
    words = [f"w{i}" for i in range(120)]
    windows = windower().windows(HttpRequest("GET", "/", body=" ".join(words).encode()))
    read = " ".join(window.text for window in windows)
    assert all(word in read for word in words)


def test_repeated_padding_costs_no_more_than_one_period():
    short = windower().windows(HttpRequest("GET", "/", body=b"A" * 2_000))
    long = windower().windows(HttpRequest("GET", "/", body=b"A" * 60_000))
    assert len(long) <= len(short) + 2


def test_of_too_many_windows_the_most_punctuated_are_kept():
    junk = " ".join(f"word{i}x{i * 7919}" for i in range(20_000))
    attack = "';!--\"<xss>=&{()}';!--\"<>"
    body = f"{junk[:40_000]} {attack} {junk[40_000:]}".encode()
    taken = windower().take(HttpRequest("GET", "/", body=body))
    assert len(taken.windows) == MAX_WINDOWS
    assert any("<xss>" in window.text for window in taken.windows)
    assert not taken.whole


def test_a_request_is_whole_when_all_of_it_was_read():
    assert windower().take(HttpRequest("GET", "/?q=1")).whole
    assert not windower().take(HttpRequest("POST", "/", body=b"a" * (MAX_CHARS + 1))).whole
    bomb = gzip.compress(b"a" * (MAX_INFLATED_BYTES + 1))
    assert not windower().take(HttpRequest("POST", "/", headers=(("Content-Encoding", "gzip"),), body=bomb)).whole


def test_equal_values_in_one_place_are_one_window_and_in_two_places_two():
    query = windower().windows(HttpRequest("GET", "/?a=same&b=same"))
    assert [window.label for window in query if window.text == "same"] == ["query:a"]
    both = windower().windows(HttpRequest("GET", "/?a=same", headers=(("Cookie", "c=same"),)))
    assert [window.label for window in both if window.text == "same"] == ["query:a", "cookie:c"]


def test_host_header_order_and_time_do_not_reach_the_windows():
    one = HttpRequest("GET", "/?q=1", headers=(("Host", "a.test"), ("Accept", "*/*"), ("X-A", "b")), host="a.test")
    other = HttpRequest(
        "GET", "/?q=1", headers=(("X-A", "b"), ("Accept", "*/*"), ("Host", "b.test")), host="b.test", time=7.0
    )
    assert {w.ids for w in windower().windows(one)} == {w.ids for w in windower().windows(other)}


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_every_text_has_tokens_and_comes_back_in_lower_case(text):
    tokenizer = windower().tokenizer
    plain = byte_tokenizer.encodable(text)
    decoded = b"".join(_bytes_of(token) for token in tokenizer.encode(plain, add_special_tokens=False).tokens)
    assert decoded.decode("utf-8") == tokenizer.normalizer.normalize_str(plain)


def test_lone_surrogates_become_encodable():
    assert byte_tokenizer.encodable("a\ud800b") == "a?b"


def test_a_vocabulary_without_a_marker_is_refused():
    with pytest.raises(byte_tokenizer.UnusableTokenizer, match="NOWHERE"):
        byte_tokenizer.require(windower().tokenizer, ["[NOWHERE]"])


def _bytes_of(token: str) -> bytes:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    table |= {chr(256 + place): byte for place, byte in enumerate(others)}
    return bytes(table[char] for char in token)
