import subprocess
import sys
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secmlops.storage.warehouse import open_warehouse
from secmlops.web_attacks import labels, packets
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.labels import Decision, Proposal
from secmlops.web_attacks.request import HttpRequest


@dataclass(frozen=True)
class Unreadable:
    """The shape of `readers.Quarantined`."""

    source: str
    offset: int
    reason: str
    detail: str
    data: bytes


@pytest.fixture
def house(tmp_path):
    with open_warehouse(f"chdb://{tmp_path}/house") as opened:
        yield opened


def requests(count: int, **fields) -> list[HttpRequest]:
    return [
        HttpRequest("GET", f"/item/{n}", time=1.7e9 + n, src=f"10.0.0.1:{n}", host="shop.example", **fields)
        for n in range(count)
    ]


wire = st.text(st.characters(max_codepoint=255), max_size=30)


wild_requests = st.builds(
    HttpRequest,
    method=wire,
    uri=wire,
    version=wire,
    headers=st.lists(st.tuples(wire, wire), max_size=4).map(tuple),
    body=st.binary(max_size=60),
    host=wire,
    time=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    src=wire,
    dst=wire,
    raw=st.binary(max_size=60),
)
sites = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wild=st.lists(st.tuples(wild_requests, sites), max_size=25, unique_by=lambda pair: pair[0].digest()))
def test_whatever_was_sent_comes_back_the_same(house, wild):
    packets.create_tables(house)
    for table in ("http_packet_records", "http_packet_labels"):
        house.execute(f"TRUNCATE TABLE {table}")
    packets.store(house, [LabelledRequest(request, "normal", site=site) for request, site in wild], "wild")
    labels.propose(house, [Proposal(request.digest(), "attack", "other") for request, _ in wild], "lab")
    found = {record.packet_id: record for record in packets.export(house, reviewed_only=False)}
    assert len(found) == len(wild)
    for request, site in wild:
        record = found[request.digest()]
        assert record.request == request
        assert record.site == (site or request.site)


def test_storing_twice_changes_nothing(house):
    first = packets.store(house, requests(20), "monday.pcap")
    again = packets.store(house, requests(25), "tuesday.pcap")
    assert (first.read, first.stored, first.duplicates) == (20, 20, 0)
    assert (again.read, again.stored, again.duplicates) == (25, 5, 20)
    sources = house.query("SELECT source, count() AS n FROM http_packets GROUP BY source ORDER BY source").to_pylist()
    assert sources == [{"source": "monday.pcap", "n": 20}, {"source": "tuesday.pcap", "n": 5}]


def test_twins_in_one_import_are_one_packet(house):
    assert packets.store(house, requests(3) * 2, "twice").stored == 3


def test_what_cannot_be_read_is_kept_with_its_reason(house):
    broken = Unreadable("trace.pcap", 4096, "header_too_large", "the header is 100 MB", b"\x00\xffGET")
    counts = packets.store(house, [*requests(1), broken, broken], "trace.pcap")
    assert (counts.stored, counts.quarantined) == (1, 1)
    kept = house.query("SELECT * FROM http_packets_quarantine FINAL", binary=("data",)).to_pylist()
    assert len(kept) == 1
    assert (kept[0]["reason"], kept[0]["offset"], kept[0]["data"]) == ("header_too_large", 4096, b"\x00\xffGET")


def test_nothing_is_nothing(house):
    assert packets.store(house, [], "empty") == packets.StoreCounts(0, 0, 0, 0)
    assert list(packets.export(house)) == []
    assert list(packets.unlabelled(house)) == []


def test_only_reviewed_labels_come_out_unless_told_otherwise(house):
    sent = requests(5)
    ids = [request.digest() for request in sent]
    packets.store(house, sent, "trace")
    labels.propose(house, [Proposal(i, "attack", "sqli", tags=("odd",)) for i in ids[:4]], "signatures")
    labels.review(
        house,
        [Decision(ids[0], "agree"), Decision(ids[1], "change", "normal"), Decision(ids[2], "reject")],
        "ana",
    )
    reviewed = {r.packet_id: r for r in packets.export(house)}
    assert {i: r.label for i, r in reviewed.items()} == {ids[0]: "attack", ids[1]: "normal"}
    assert reviewed[ids[0]].attack_class == "sqli"
    assert reviewed[ids[0]].tags == ("odd",)
    assert reviewed[ids[1]].attack_class == ""
    assert all(r.reviewed for r in reviewed.values())
    proposed = {r.packet_id: r for r in packets.export(house, reviewed_only=False)}
    assert set(proposed) == {ids[0], ids[1], ids[3]}  # the rejected one never comes out
    assert not proposed[ids[3]].reviewed
    assert [i for i, _ in packets.unlabelled(house)] == [ids[4]]


def test_export_filters(house):
    sent = [
        HttpRequest("GET", f"/{n}", host=host, time=float(n))
        for n, host in enumerate(["a.example", "b.example", "a.example", "c.example"])
    ]
    packets.store(house, sent[:2], "one")
    packets.store(house, sent[2:], "two")
    labels.propose(
        house,
        [Proposal(r.digest(), "attack" if n == 3 else "normal", "xss" if n == 3 else "") for n, r in enumerate(sent)],
        "lab",
    )

    def uris(**where) -> set[str]:
        return {r.request.uri for r in packets.export(house, reviewed_only=False, **where)}

    assert uris() == {"/0", "/1", "/2", "/3"}
    assert uris(sites=["a.example"]) == {"/0", "/2"}
    assert uris(sources=["two"]) == {"/2", "/3"}
    assert uris(labels=["attack"]) == {"/3"}
    assert uris(since=1, until=3) == {"/1", "/2"}
    assert uris(sites=["' OR 1=1 --"]) == set()


def test_export_may_be_left_early_and_interleaved(house):
    sent = requests(30)
    packets.store(house, sent, "trace")
    labels.propose(house, [Proposal(r.digest(), "normal") for r in sent], "lab")
    stream = packets.export(house, reviewed_only=False)
    next(stream)
    labels.review(house, [Decision(sent[0].digest(), "agree")], "ana")
    stream.close()
    assert labels.count(house).reviewed == 1


def test_the_view_for_analysts_shows_who_and_when(house):
    sent = requests(2)
    packets.store(house, sent, "trace")
    labels.propose(house, [Proposal(sent[0].digest(), "attack", "xss", note="a rule")], "signatures")
    labels.review(house, [Decision(sent[0].digest(), "agree")], "ana")
    sql = "SELECT secu_label1, secu_label2, proposed_by, reviewed_by, reviewed_at, at FROM http_packets ORDER BY at"
    first, second = house.query(sql).to_pylist()
    assert (first["secu_label1"], first["secu_label2"]) == ("attack", "xss")
    assert (first["proposed_by"], first["reviewed_by"]) == ("signatures", "ana")
    assert first["reviewed_at"] is not None
    assert first["at"].timestamp() == 1.7e9
    assert second["secu_label1"] == ""


def test_an_impossible_time_does_not_break_the_view(house):
    packets.store(house, [HttpRequest("GET", "/", time=1e300), HttpRequest("GET", "/", time=-5.0)], "odd")
    found = house.query("SELECT time, at FROM http_packets ORDER BY time").to_pylist()
    assert found[0]["at"].timestamp() == -5.0
    assert found[1]["at"] is None


@pytest.mark.slow
def test_a_hundred_thousand_requests_are_stored_in_bounded_memory(tmp_path):
    """Once the engine has its working memory, 400 MB more must not make the process grow by nearly that."""
    script = """
import resource, sys
from secmlops.storage.warehouse import open_warehouse
from secmlops.web_attacks import packets
from secmlops.web_attacks.request import HttpRequest

def made(first, count, body):
    for n in range(first, first + count):
        yield HttpRequest("POST", f"/{n}", time=float(n), body=body + str(n).encode())

with open_warehouse(sys.argv[1]) as house:
    packets.store(house, made(0, 60_000, b"x" * 4_000), "warm-up")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = packets.store(house, made(60_000, 100_000, b"x" * 4_000), "big")
    print(counts.stored, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, f"chdb://{tmp_path}/house"], capture_output=True, text=True, check=True
    )
    stored, grown_kib = map(int, done.stdout.split())
    assert stored == 100_000
    assert grown_kib < 250_000
