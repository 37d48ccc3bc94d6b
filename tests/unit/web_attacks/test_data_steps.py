"""The steps from captures to requests: who is believed about a label, and what the evidence says."""

import shutil
from pathlib import Path

import pytest

from secmlops.lifecycle.dossier import read_dossier
from secmlops.storage.warehouse import open_warehouse
from secmlops.web_attacks import labels, packets
from secmlops.web_attacks.lab.labels import labels_path
from secmlops.web_attacks.steps.data_engineering import (
    collect_packets,
    gather_captures,
    label_packets,
    prepare_requests,
)


class Steps:
    """The first steps of one run, in a folder, on a warehouse."""

    def __init__(self, folder: Path, warehouse: str):
        self.folder, self.warehouse = folder, warehouse
        (folder / "stated").mkdir(parents=True)

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def gather(self, source: str = "", *, seed: int = 4, normal: int = 40, attacks: int = 20) -> None:
        gather_captures(source, self["captures"], self["ground_truth"], normal=normal, attacks=attacks, seed=seed)

    def collect(self) -> dict[str, int]:
        return collect_packets(self["captures"], self.warehouse, self["stated"], self["collected"])

    def label(self) -> dict[str, int]:
        return label_packets(
            self["captures"], self["ground_truth"], self.warehouse, "", self["collected"], self["labelled"]
        )

    def prepare(self) -> dict[str, int]:
        return prepare_requests(
            *(self.warehouse, self["train"], self["validation"], self["test"], self["report.html"]),
            *(self["labelled"], self["prepared"]),
            reviewed_only=False,
            seed=1,
        )

    def record(self, dossier: str):
        return read_dossier(self[dossier])[-1]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """A folder as the lab leaves it: a capture, and the ground truth beside it."""
    from secmlops.web_attacks import lab

    folder = tmp_path_factory.mktemp("recorded")
    lab.record(folder / "upload.pcap", normal=40, attacks=20, seed=4)
    assert labels_path(folder / "upload.pcap").exists()
    return folder


@pytest.fixture
def steps(tmp_path) -> Steps:
    return Steps(tmp_path / "run", f"chdb://{tmp_path / 'warehouse'}")


def test_what_the_lab_of_this_run_recorded_is_reviewed_by_its_ground_truth(steps):
    steps.gather()
    steps.collect()
    counts = steps.label()
    assert counts["reviewed"] == counts["proposed"] == 60
    assert steps.record("labelled").holds


def test_ground_truth_that_came_with_a_fetched_capture_reviews_nothing(steps, recorded):
    """Whoever may write into the bucket would be the second reviewer of their own traffic."""
    steps.gather(str(recorded))
    assert steps.collect()["requests"] == 60
    counts = steps.label()
    assert (counts["proposed"], counts["reviewed"]) == (60, 0)
    assert not steps.record("labelled").holds


def test_ground_truth_of_a_fetched_capture_reviews_nothing_under_the_labs_own_name(steps, recorded, tmp_path):
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    shutil.copyfile(recorded / "upload.pcap", bucket / "lab.pcap")
    for name in ("lab.pcap.labels.jsonl", "ground_truth", "ground_truth.jsonl"):
        shutil.copyfile(labels_path(recorded / "upload.pcap"), bucket / name)
    steps.gather(str(bucket))
    steps.collect()
    assert steps.label()["reviewed"] == 0


def test_the_waiting_labels_are_those_that_nobody_reviewed(steps, recorded):
    steps.gather(str(recorded))
    steps.collect()
    steps.label()
    with open_warehouse(steps.warehouse) as house:
        exported = {r.packet_id: (r.label, r.attack_class) for r in packets.export(house, reviewed_only=False)}
        assert labels.waiting(house) == exported
        done, rejected, *_ = sorted(exported)
        labels.review(house, [labels.Decision(done, "agree"), labels.Decision(rejected, "reject")], by="Ada")
        assert labels.waiting(house).keys() == exported.keys() - {done, rejected}


def test_captures_of_one_name_in_two_folders_are_two_captures(steps, recorded, tmp_path):
    from secmlops.web_attacks import lab

    (tmp_path / "bucket" / "monday").mkdir(parents=True)
    shutil.copyfile(recorded / "upload.pcap", tmp_path / "bucket" / "monday" / "upload.pcap")
    (tmp_path / "bucket" / "tuesday").mkdir()
    lab.record(tmp_path / "bucket" / "tuesday" / "upload.pcap", normal=10, attacks=5, seed=9)
    steps.gather(str(tmp_path / "bucket"))
    steps.collect()
    named = steps.record("collected").artifacts
    expected = {f"bucket/{day}/upload.pcap" for day in ("monday", "tuesday")}
    assert (named.keys(), len(set(named.values()))) == (expected, 2)
    with open_warehouse(steps.warehouse) as house:
        sources = house.query("SELECT DISTINCT source FROM http_packets").column("source").to_pylist()
    assert set(sources) == expected


def test_what_earlier_runs_left_in_the_warehouse_is_named_where_it_is_trained_on(tmp_path):
    warehouse = f"chdb://{tmp_path / 'warehouse'}"
    earlier, now = Steps(tmp_path / "earlier", warehouse), Steps(tmp_path / "now", warehouse)
    earlier.gather()
    shutil.move(earlier["captures"] + "/lab.pcap", earlier["captures"] + "/last-month.pcap")
    earlier.collect()
    now.gather(seed=5, normal=120, attacks=80)
    now.collect()
    now.label()
    now.prepare()
    assert set(now.record("collected").artifacts) == {"lab.pcap"}
    named = now.record("prepared").artifacts
    assert {"packets of lab.pcap", "packets of last-month.pcap", "train", "validation", "test"} == named.keys()


def test_the_digest_of_a_source_tells_what_was_taken_from_it(steps):
    steps.gather()
    steps.collect()
    with open_warehouse(steps.warehouse) as house:
        ids = house.query("SELECT packet_id FROM http_packets").column("packet_id").to_pylist()
        everything = packets.source_digests(house, ids)
        assert everything == packets.source_digests(house, ids[::-1])
        assert everything.keys() == {"lab.pcap"}
        assert packets.source_digests(house, ids[1:]) != everything
        assert packets.source_digests(house, []) == {}
