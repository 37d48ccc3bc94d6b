"""Recordings: exact counts, read back whole by our own reader, the same for the same seed, nothing left by failures."""

import hashlib
from pathlib import Path

import pytest

from secmlops.web_attacks.lab import LabError, LabSummary, lab_labels, labelled, labels_path, match, record, recorder
from secmlops.web_attacks.lab.recorder import EPOCH_S, SPAN_S, plan
from secmlops.web_attacks.readers import read
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> LabSummary:
    return record(tmp_path_factory.mktemp("lab") / "lab.pcap", normal=420, attacks=260, seed=5, sites=6)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_counts_are_exact_and_every_class_and_site_is_there(summary):
    assert (summary.normal, summary.attacks) == (420, 260)
    assert sum(summary.per_class.values()) == 260 and set(summary.per_class) == set(ATTACK_CLASSES)
    assert sum(summary.per_site.values()) == 680 and len(summary.per_site) == 6
    assert 0.08 <= summary.suspicious_benign / summary.normal <= 0.17
    assert sum(summary.per_status.values()) == 680 and summary.unanswered == 0
    assert summary.pcap_bytes == summary.pcap.stat().st_size
    assert EPOCH_S <= summary.first_time < summary.last_time <= EPOCH_S + SPAN_S + 86400
    assert summary.last_time - summary.first_time > 2 * 86400


def test_our_reader_finds_every_request_with_its_label(summary):
    items = list(read(summary.pcap))
    assert all(isinstance(item, HttpRequest) for item in items)
    pairs = list(match(items, summary.labels))
    assert len(pairs) == 680 and all(label is not None for _, label in pairs)
    assert len({(label.client, label.index) for _, label in pairs}) == 680
    for request, label in pairs:
        assert request.src == label.client
        assert abs(request.time - label.time) < 1.0
        if "malformed" not in label.tags:
            assert request.site == label.site


def test_labelled_requests_carry_the_labs_knowledge(summary):
    records = list(labelled(read(summary.pcap), summary.labels))
    attacks = [one for one in records if one.is_attack]
    assert len(records) == 680 and len(attacks) == 260
    assert {one.attack_class for one in attacks} == set(ATTACK_CLASSES)
    assert not any(one.reviewed for one in records)
    assert all(one.attack_class == "" for one in records if not one.is_attack)
    assert sum("suspicious_benign" in one.tags for one in records) == summary.suspicious_benign
    assert all(one.packet_id == one.request.digest() for one in records)
    assert {one.site for one in records} == set(summary.per_site)


def test_packets_come_in_order_of_time(summary):
    import dpkt

    with summary.pcap.open("rb") as file:
        times = [float(time_s) for time_s, _ in dpkt.pcap.Reader(file)]
    assert len(times) == summary.frames
    assert times == sorted(times)


def test_the_ground_truth_does_not_travel_in_the_packets(summary):
    capture = summary.pcap.read_bytes()
    for word in (b"suspicious_benign", b"secu_label", b"obfuscated", b"ground truth"):
        assert word not in capture


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(summary, tmp_path):
    again = record(tmp_path / "again.pcap", normal=420, attacks=260, seed=5, sites=6)
    other = record(tmp_path / "other.pcap", normal=420, attacks=260, seed=6, sites=6)
    assert digest(again.pcap) == digest(summary.pcap)
    assert digest(again.labels) == digest(summary.labels)
    assert digest(other.labels) != digest(summary.labels)


def test_progress_ends_with_everything_recorded(tmp_path):
    told: list[tuple[int, int]] = []
    record(
        tmp_path / "lab.pcap", normal=30, attacks=0, seed=1, on_progress=lambda done, all_: told.append((done, all_))
    )
    assert told[-1] == (30, 30)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_only_attacks_can_be_recorded_too(tmp_path):
    made = record(tmp_path / "lab.pcap", normal=0, attacks=20, seed=2, sites=1)
    assert (made.normal, made.attacks, len(made.per_site)) == (0, 20, 1)


async def test_recording_works_beside_a_running_loop(tmp_path):
    assert record(tmp_path / "lab.pcap", normal=12, attacks=3, seed=3).normal == 12


def test_a_summary_is_plain_json(summary):
    import json

    assert json.loads(json.dumps(summary.to_json()))["attacks"] == 260


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"normal": 0, "attacks": 0}, "not both zero"),
        ({"normal": -1, "attacks": 5}, "not both zero"),
        ({"normal": 5, "attacks": -1}, "not both zero"),
        ({"normal": 5, "attacks": 5, "sites": 0}, "choose 1 to"),
        ({"normal": 5, "attacks": 5, "sites": 7}, "choose 1 to"),
    ],
)
def test_impossible_recordings_are_refused(tmp_path, arguments, reason):
    with pytest.raises(LabError, match=reason):
        record(tmp_path / "lab.pcap", seed=1, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(LabError, match="nowhere"):
        record(tmp_path / "nowhere" / "lab.pcap", normal=1, attacks=0, seed=1)


def test_a_failure_leaves_neither_file_behind_and_the_old_one_alone(tmp_path):
    out = tmp_path / "lab.pcap"
    out.write_bytes(b"older recording")

    def fail(done: int, planned: int) -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        record(out, normal=200, attacks=0, seed=1, on_progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["lab.pcap"]
    assert out.read_bytes() == b"older recording"


def test_plans_are_exact_at_full_scale():
    plans = plan(100_000, 10_000, seed=9)
    assert sum(one.normal for one in plans) == 100_000
    assert sum(len(one.attacks) for one in plans) == 10_000
    assert [one.start_s for one in plans] == sorted(one.start_s for one in plans)
    days = {int((one.start_s - EPOCH_S) // 86400) for one in plans if one.attacks}
    assert len(days) == 5


def test_labels_lie_beside_the_capture(summary):
    assert summary.labels == labels_path(summary.pcap) == summary.pcap.with_name("lab.pcap.labels.jsonl")
    assert sum(1 for _ in lab_labels(summary.labels)) == 680


def test_a_server_that_hangs_up_early_costs_replies_but_no_requests(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "_KEEP_ALIVE_S", 0)
    made = record(tmp_path / "lab.pcap", normal=80, attacks=10, seed=3)
    assert (made.normal, made.attacks) == (80, 10)
    found = list(match(read(made.pcap), made.labels))
    assert len(found) == 90 and all(label is not None for _, label in found)
    patient = tmp_path / "patient.pcap"
    monkeypatch.undo()
    assert made.connections > record(patient, normal=80, attacks=10, seed=3).connections
