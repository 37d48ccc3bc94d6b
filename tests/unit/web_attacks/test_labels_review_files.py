import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secmlops.storage.warehouse import open_warehouse
from secmlops.web_attacks import labels, packets
from secmlops.web_attacks.labels import InvalidReviewFile, LabelError, Proposal, review_files
from secmlops.web_attacks.labels.review_files import COLUMNS
from secmlops.web_attacks.request import HttpRequest, wire_text

REQUESTS = [
    HttpRequest("GET", "/plain", time=1.0),
    HttpRequest("=cmd|' /C calc'!A0", "+1+1", headers=(("X", "@SUM(A1)"),), body=b"-2+3", host="=1", time=2.0),
    HttpRequest("POST", wire_text("/\u202egnp.exe?q=naïve"), body=b"line\r\nline\0\xff", time=3.0),
    HttpRequest("GET", "/" + "a" * 50_000, time=4.0),
]
IDS = [request.digest() for request in REQUESTS]


@pytest.fixture
def house(tmp_path):
    with open_warehouse(f"chdb://{tmp_path}/house") as opened:
        packets.store(opened, REQUESTS, "trace")
        labels.propose(opened, [Proposal(i, "attack", "sqli", "=HYPERLINK(1)") for i in IDS], "signatures")
        yield opened


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {row["packet_id"]: row for row in csv.DictReader(file)}


def fill_in(path, decisions):
    rows = read_csv(path)
    for packet_id, fields in decisions.items():
        rows[packet_id].update(fields)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows.values())


def test_no_cell_is_a_formula_and_everything_shows(house, tmp_path):
    path = tmp_path / "review.csv"
    assert labels.export_for_review(house, path) == 4
    rows = read_csv(path)
    for row in rows.values():
        for text in row.values():
            assert not text.startswith(("=", "+", "-", "@", "\t", "\r"))
            assert text.isprintable()
            assert len(text) < 32_767
    odd = rows[IDS[2]]
    assert odd["target"] == "/\\u202egnp.exe?q=naïve"
    assert odd["body"] == "line\\r\\nline\\x00\\xff"
    assert rows[IDS[3]]["target"].endswith("[cut]")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_is_a_safe_cell(text):
    cell = review_files._safe_cell(review_files._visible(text))
    assert cell.isprintable()
    assert not cell.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))


def test_decisions_come_back(house, tmp_path):
    path = tmp_path / "review.csv"
    labels.export_for_review(house, path)
    fill_in(
        path,
        {
            IDS[0]: {"decision": "Change", "label": "benign", "note": "a visitor"},
            IDS[1]: {"decision": "agree"},
            IDS[2]: {"decision": "reject"},
        },
    )
    done = labels.import_reviews(house, path, "ana")
    assert (done.agreed, done.changed, done.rejected) == (1, 1, 1)
    assert labels.history(house, IDS[0])[-1].note == "a visitor"
    assert {r.packet_id: r.label for r in packets.export(house)} == {IDS[0]: "normal", IDS[1]: "attack"}
    again = tmp_path / "rest.csv"
    assert labels.export_for_review(house, again) == 1  # what was decided does not come again
    assert set(read_csv(again)) == {IDS[3]}


def test_json_lines_and_semicolons_are_read_too(house, tmp_path):
    lines = tmp_path / "review.jsonl"
    labels.export_for_review(house, lines)
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert tuple(rows[0]) == COLUMNS
    lines.write_text("\n".join(json.dumps({**row, "decision": "agree"}) for row in rows[:2]), encoding="utf-8")
    assert labels.import_reviews(house, lines, "ana").agreed == 2
    table = tmp_path / "review.csv"
    left = rows[2]["packet_id"]
    table.write_text(f"\ufeffpacket_id;decision;reviewer\n{left};agree;bob\n", encoding="utf-8")
    assert labels.import_reviews(house, table).agreed == 1
    assert labels.history(house, left)[-1].by == "bob"


def test_limit(house, tmp_path):
    assert labels.export_for_review(house, tmp_path / "some.jsonl", limit=2) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("packet_id,label\nx,y\n", "decision is missing"),
        ("packet_id,decision\nID,approve\n", "no decision"),
        ("packet_id,decision,label\nID,change,dubious\n", "unknown label"),
        ("packet_id,decision\nID,agree\nID,reject\n", "line 2"),
        ("packet_id,decision\n,agree\n", "packet id is missing"),
        ('packet_id,decision\n"ID,agree\n', "CSV"),
        ("", "missing"),
    ],
)
def test_bad_tables_are_refused_whole(house, tmp_path, text, message):
    path = tmp_path / "review.csv"
    path.write_text(text.replace("ID", IDS[0]), encoding="utf-8")
    with pytest.raises(InvalidReviewFile, match=message):
        labels.import_reviews(house, path, "ana")
    assert labels.count(house).reviewed == 0


@pytest.mark.parametrize("line", ["[]", "{", "[" * 100_000, '{"packet_id": 5, "decision": "agree"}', '"text"'])
def test_bad_lines_are_refused_with_their_number(house, tmp_path, line):
    path = tmp_path / "review.jsonl"
    path.write_text(json.dumps({"packet_id": IDS[0], "decision": "agree"}) + f"\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidReviewFile) as caught:
        labels.import_reviews(house, path, "ana")
    assert caught.value.line == 2
    assert labels.count(house).reviewed == 0


def test_endless_lines_are_refused(house, tmp_path):
    path = tmp_path / "review.jsonl"
    path.write_text("x" * (2**20 + 10), encoding="utf-8")
    with pytest.raises(InvalidReviewFile, match="longer"):
        labels.import_reviews(house, path, "ana")
    table = tmp_path / "review.csv"
    table.write_text("packet_id,decision\n" + "x" * (2**20 + 10) + ",agree\n", encoding="utf-8")
    with pytest.raises(InvalidReviewFile):
        labels.import_reviews(house, table, "ana")


def test_somebody_must_have_decided(house, tmp_path):
    path = tmp_path / "review.csv"
    path.write_text(f"packet_id,decision,reviewer\n{IDS[0]},agree,\n", encoding="utf-8")
    with pytest.raises(InvalidReviewFile, match="reviewer"):
        labels.import_reviews(house, path)


def test_one_reviewer_who_proposed_stops_the_whole_file(house, tmp_path):
    path = tmp_path / "review.csv"
    path.write_text(f"packet_id,decision,reviewer\n{IDS[0]},agree,ana\n{IDS[1]},agree,signatures\n", encoding="utf-8")
    with pytest.raises(LabelError):
        labels.import_reviews(house, path)
    assert labels.count(house).reviewed == 0


def test_other_file_kinds_are_refused(house, tmp_path):
    for name in ("review.xlsx", "review", "review.csv.exe"):
        with pytest.raises(InvalidReviewFile):
            labels.export_for_review(house, tmp_path / name)
    (tmp_path / "latin.csv").write_bytes(b"packet_id,decision\n\xff,agree\n")
    with pytest.raises(InvalidReviewFile, match="UTF-8"):
        labels.import_reviews(house, tmp_path / "latin.csv", "ana")
