"""The steps from captures to requests: who is believed about a label, and what the evidence says."""

import shutil
from pathlib import Path

import pytest

from secmlops.lifecycle.dossier import read_dossier
from secmlops.storage.warehouse import open_warehouse
from secmlops.web_attacks import labels, packets
from secmlops.web_attacks.lab.labels import labels_path
from secmlops.web_attacks.steps.data_engineering import collect_packets, gather_captures, label_packets


class Steps:
    """The first steps of one run, in a folder, on a warehouse."""

    def __init__(self, folder: Path, warehouse: str):
        self.folder, self.warehouse = folder, warehouse
        (folder / "stated").mkdir(parents=True)

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def gather(self, source: str = "", *, seed: int = 4) -> None:
        gather_captures(source, self["captures"], self["ground_truth"], normal=40, attacks=20, seed=seed)

    def collect(self) -> dict[str, int]:
        return collect_packets(self["captures"], self.warehouse, self["stated"], self["collected"])

    def label(self) -> dict[str, int]:
        return label_packets(
            self["captures"], self["ground_truth"], self.warehouse, "", self["collected"], self["labelled"]
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
