"""The ground truth file: round trips, finds requests by bytes or by place, and names what is wrong with it."""

from dataclasses import replace

import pytest

from secmlops.web_attacks.http1 import parse_request
from secmlops.web_attacks.lab.labels import BadLabels, LabLabel, lab_labels, labelled, match, wire_digest
from secmlops.web_attacks.request import HttpRequest

SEARCH = b"GET /a?q=1 HTTP/1.1\r\nHost: s.example\r\n\r\n"
ATTACK = b"GET /a?q=' HTTP/1.1\r\nHost: s.example\r\n\r\n"


def label(wire: bytes, index: int, **changes) -> LabLabel:
    made = LabLabel("100.64.0.1:5000", index, wire_digest(wire), "normal", "", (), "s.example", "", "", 1.5)
    return replace(made, **changes)


def request(wire: bytes, src: str = "100.64.0.1:5000", *, keep: bool = True) -> HttpRequest:
    return replace(parse_request(wire), src=src, raw=wire if keep else b"")


@pytest.fixture
def truth(tmp_path):
    def write(*labels: LabLabel):
        path = tmp_path / "truth.jsonl"
        path.write_text("".join(one.to_line() + "\n" for one in labels), encoding="ascii")
        return path

    return write


def test_labels_round_trip(truth):
    odd = label(ATTACK, 1, label1="attack", label2="sqli", tags=("obfuscated",), part="query:q", payload="' ☃\n\0\\")
    assert list(lab_labels(truth(label(SEARCH, 0), odd))) == [label(SEARCH, 0), odd]


def test_a_request_is_found_by_its_bytes_wherever_it_stands(truth):
    path = truth(label(SEARCH, 0), label(ATTACK, 1, label1="attack", label2="sqli"))
    found = list(match([request(ATTACK), request(SEARCH)], path))
    assert [one.index for _, one in found] == [1, 0]


def test_twins_on_one_connection_are_told_apart_by_their_order(truth):
    path = truth(label(SEARCH, 0), label(SEARCH, 1, tags=("second",)))
    assert [one.index for _, one in match([request(SEARCH)] * 3, path)] == [0, 1, 1]


def test_without_bytes_the_place_on_the_connection_decides(truth):
    path = truth(label(SEARCH, 0), label(ATTACK, 1, label1="attack", label2="sqli"))
    found = list(match([request(SEARCH, keep=False), request(ATTACK, keep=False)], path))
    assert [one.label1 for _, one in found] == ["normal", "attack"]


def test_strangers_have_no_label_and_quarantined_bytes_are_skipped(truth):
    path = truth(label(SEARCH, 0))
    found = list(match([request(SEARCH, "203.0.113.9:1"), object(), request(SEARCH)], path))
    assert [one is not None for _, one in found] == [False, True]
    assert [one.site for one in labelled([request(SEARCH, "203.0.113.9:1"), request(SEARCH)], path)] == ["s.example"]


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        '{"client": "a"}',
        label(SEARCH, 0).to_line().replace("normal", "weird"),
        label(SEARCH, 0).to_line().replace('"time"', '"when"'),
        label(SEARCH, 0).to_line().replace('"tags":[]', '"tags":7'),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(tmp_path, line):
    path = tmp_path / "truth.jsonl"
    path.write_text(label(SEARCH, 0).to_line() + "\n" + line + "\n", encoding="ascii")
    with pytest.raises(BadLabels, match="line 2") as caught:
        list(lab_labels(path))
    assert (caught.value.path, caught.value.line) == (path, 2)
