"""From captures to reviewed, validated, split and sanitized requests."""

import math
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from secmlops.bundle import file_digest
from secmlops.errors import SecmlopsError
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.stages import Stage
from secmlops.progress import reporter, say
from secmlops.storage import objects
from secmlops.storage.warehouse import Warehouse, open_warehouse
from secmlops.web_attacks import (
    labels,
    packets,
    poisoning,
    preparation,
    readers,
    report,
    signatures,
    validation,
)
from secmlops.web_attacks.dataset import LabelledRequest, by_label, read_dataset, write_dataset
from secmlops.web_attacks.lab.labels import labelled as lab_labelled
from secmlops.web_attacks.lab.labels import labels_path
from secmlops.web_attacks.taxonomy import NORMAL

FIRST_LEVEL = "signatures"
LAB_REVIEWER = "traffic-lab"
UNDECIDED = "undecided"
CANARY_RECORDS = 1_500
CANARY_RECALL = 0.5
"""A check that misses more than every other planted flip shows nothing about the flips of others."""


class NothingReviewed(SecmlopsError):
    """The warehouse holds no label to train on.

    Attributes:
        warehouse: its URI.
    """

    def __init__(self, warehouse: str):
        self.warehouse = warehouse
        super().__init__(
            f"{warehouse} holds no reviewed label: write a reviewers' file with `secmlops web-attacks review-export` "
            "and give it back as `reviews` of a run with this `warehouse`, "
            "or train on proposals with reviewed_only=false"
        )


def gather_captures(source: str, captures: str, ground_truth: str, *, normal: int, attacks: int, seed: int) -> None:
    """Fetch captures from a URI, or record the traffic lab when there is none.

    Args:
        source: URI of a file or folder; empty for the lab.
        captures: folder to fill.
        ground_truth: where the lab's knowledge of its own traffic is written, out of reach of anything fetched;
            empty when captures were fetched.
        normal: visitors' requests to record.
        attacks: attackers' requests to record.
        seed: seed of the lab's traffic.
    """
    folder = Path(captures)
    folder.mkdir(parents=True, exist_ok=True)
    if source:
        Path(ground_truth).touch()
        objects.fetch(source, folder / (Path(source).name or "captures"))
        say(f"captures fetched from {source}")
        return
    from secmlops.web_attacks import lab

    capture = folder / "lab.pcap"
    summary = lab.record(capture, normal=normal, attacks=attacks, seed=seed, on_progress=reporter("recording"))
    shutil.move(labels_path(capture), ground_truth)
    say(f"{summary.normal:,} visitors' and {summary.attacks:,} attackers' requests recorded")


def collect_packets(captures: str, warehouse: str, dossier: str, evidence: str) -> dict[str, int]:
    """Read every capture into the warehouse; what is no request goes to its quarantine.

    Returns:
        Counts: `requests` read, `new` among them, `duplicates`, `quarantined` records.
    """
    counts = Counter(requests=0, new=0, duplicates=0, quarantined=0)
    digests: dict[str, str] = {}
    with open_warehouse(warehouse) as house:
        for file in _captures(captures):
            name = file.relative_to(captures).as_posix()
            stored = packets.store(house, readers.read(file), name)
            counts += Counter(
                requests=stored.read, new=stored.stored, duplicates=stored.duplicates, quarantined=stored.quarantined
            )
            digests[name] = file_digest(file)
    result = {name: counts[name] for name in ("requests", "new", "duplicates", "quarantined")}
    record = Evidence(
        stage=Stage.DATA_ENGINEERING,
        mitigations=("AML.M0025",),
        claim="Every capture is named by its digest; what could not be read is kept, with the reason.",
        measured={**result},
        artifacts=digests,
        producer="collect_packets",
        holds=counts["requests"] > 0,
    )
    hand_on([dossier], evidence, record)
    say(f"{counts['requests']:,} requests read, {counts['quarantined']:,} records quarantined")
    return result


def label_packets(
    captures: str, ground_truth: str, warehouse: str, reviews: str, dossier: str, evidence: str
) -> dict[str, int]:
    """Propose labels by signatures, then take reviews: the lab's knowledge, and a reviewers' file.

    Args:
        captures: the folder that was collected. Ground truth that lies in it is no review: whoever could put a capture
            there could put its labels there too.
        ground_truth: what `gather_captures` wrote of the traffic it recorded itself.
        warehouse: where the packets are.
        reviews: URI of a file that reviewers filled in; empty: none.
        dossier: the evidence so far.
        evidence: the dossier handed on.

    Returns:
        Counts: labels `proposed`; `agreed`, `changed` and `rejected` by reviewers; `reviewed` labels in all.
    """
    done = Counter(agreed=0, changed=0, rejected=0)
    with open_warehouse(warehouse) as house:
        proposed = labels.propose(house, _proposals(house), by=FIRST_LEVEL).proposed
        if Path(ground_truth).stat().st_size:
            decisions = _lab_decisions(house, _captures(captures), ground_truth)
            done += _counted(labels.review(house, decisions, by=LAB_REVIEWER))
        if reviews:
            with tempfile.TemporaryDirectory() as folder:
                file = objects.fetch(reviews, Path(folder) / Path(reviews).name)
                done += _counted(labels.import_reviews(house, file, by=""))
        reviewed = labels.count(house).reviewed
    result = {"proposed": proposed, **{name: done[name] for name in ("agreed", "changed", "rejected")}}
    result["reviewed"] = reviewed
    record = Evidence(
        stage=Stage.DATA_ENGINEERING,
        mitigations=("AML.M0007",),
        claim="Each reviewed label was proposed by one and confirmed or changed by another; its history is kept.",
        measured={**result},
        producer="label_packets",
        holds=reviewed > 0,
    )
    hand_on([dossier], evidence, record)
    say(f"{proposed:,} labels proposed, {reviewed:,} reviewed, {done['changed']:,} of them changed")
    return result


def prepare_requests(
    warehouse: str,
    train: str,
    validation_set: str,
    test: str,
    report_file: str,
    dossier: str,
    evidence: str,
    *,
    reviewed_only: bool,
    seed: int,
    traffic: str = "",
) -> dict[str, int]:
    """Export the labelled requests, validate them, remove what leaks the answer, and split them.

    Returns:
        Rows and attacks of each split.

    Raises:
        NothingReviewed: no label may be used.
        InvalidDataset: the validation report holds an error, or a split would lack a class.
    """
    with open_warehouse(warehouse) as house:
        exported = packets.export(house, reviewed_only=reviewed_only)
        records = [record for record in exported if record.reviewed or UNDECIDED not in record.tags]
        sources = packets.source_digests(house, [record.packet_id for record in records])
    if not records:
        raise NothingReviewed(warehouse)
    return split_requests(
        records,
        train,
        validation_set,
        test,
        report_file,
        dossier,
        evidence,
        seed=seed,
        sources=sources,
        traffic=traffic,
    )


def split_requests(
    records: Sequence[LabelledRequest],
    train: str,
    validation_set: str,
    test: str,
    report_file: str,
    dossier: str,
    evidence: str,
    *,
    seed: int,
    sources: Mapping[str, str] = MappingProxyType({}),
    held_back: float = 0.2,
    traffic: str = "",
) -> dict[str, int]:
    """What `prepare_requests` does once the records are at hand.

    Args:
        records: labelled requests.
        train: where training requests are written.
        validation_set: where validation requests are written.
        test: where test requests are written.
        report_file: where the HTML report is written.
        dossier: the evidence so far.
        evidence: the dossier handed on.
        seed: seed of the split.
        sources: what the records came from, this run's captures or earlier ones: `sha256:...` by name.
        held_back: share of the requests for validation, and again for test.
        traffic: where all requests are written once more, in order of time and undivided, for detectors of drift: the
            splits are not what the service sees, since what repeats itself stands in one of them; empty: nowhere.

    Returns:
        Rows and attacks of each split.

    Raises:
        InvalidDataset: see `prepare_requests`.
    """
    checked = validation.validate(records)
    report.write_data_report(Path(report_file), validation=checked)
    checked.require_ok()
    split = preparation.split(records, validation=held_back, test=held_back, seed=seed)
    report.write_data_report(Path(report_file), validation=checked, split=split.report)
    sizes: dict[str, int] = {}
    digests = {f"packets of {source}": digest for source, digest in sources.items()}
    for name, part, path in (
        ("train", split.train, train),
        ("validation", split.validation, validation_set),
        ("test", split.test, test),
    ):
        sizes[name] = write_dataset(map(preparation.strip_leaks, part), path)
        sizes[f"{name}_attacks"] = len(by_label(part)[1])
        digests[name] = file_digest(Path(path))
    if traffic:
        write_dataset(map(preparation.strip_leaks, in_order_of_time(records)), traffic)
        digests["traffic"] = file_digest(Path(traffic))
    record = Evidence(
        stage=Stage.DATA_ENGINEERING,
        mitigations=("AML.M0025",),
        claim="The data is valid, and no near duplicate, host, header order or time ties training to test.",
        measured={**sizes, "dropped_near_duplicates": sum(split.report.dropped.values())},
        artifacts=digests,
        producer="prepare_requests",
    )
    hand_on([dossier], evidence, record)
    say(f"{sizes['train']:,} to train, {sizes['validation']:,} to validate, {sizes['test']:,} to test")
    return sizes


def in_order_of_time(records: Sequence[LabelledRequest]) -> list[LabelledRequest]:
    """The records by their times; those without one first, as given."""
    return sorted(records, key=lambda record: record.request.time if record.request.time is not None else -math.inf)


def check_poisoning(
    train: str, sanitized: str, report_file: str, dossier: str, evidence: str, *, seed: int
) -> dict[str, int]:
    """Leave flipped and planted labels out of training, and show each with its reason.

    Returns:
        Rows given, `suspects`, and rows `kept`.
    """
    records = read_dataset(train)
    suspects = poisoning.find_suspects(records, seed=seed)
    sample = _some(records, CANARY_RECORDS, seed)
    canaries = poisoning.check_canaries(sample, seed=seed)
    kept = poisoning.sanitize(records, suspects)
    write_dataset(kept, sanitized)
    report.write_data_report(Path(report_file), suspects=suspects, records=records)
    by_reason: Counter[str] = Counter(suspect.reason for suspect in suspects)
    record = Evidence(
        stage=Stage.DATA_ENGINEERING,
        mitigations=("AML.M0007",),
        claim="Requests whose label contradicts their like are left out of training; of flips planted in a sample of "
        f"the requests, the check finds at least {CANARY_RECALL:.0%}.",
        measured={
            "rows": len(records),
            "suspects": len(suspects),
            "kept": len(kept),
            **by_reason,
            "canary_sample_rows": len(sample),
            "canaries_planted": canaries.planted,
            "canaries_found": canaries.found,
        },
        artifacts={"train_sanitized": file_digest(Path(sanitized))},
        producer="check_poisoning",
        holds=canaries.recall >= CANARY_RECALL,
    )
    hand_on([dossier], evidence, record)
    say(
        f"{len(suspects):,} of {len(records):,} labels suspect and left out; "
        f"{canaries.found} of {canaries.planted} planted flips found"
    )
    return {"rows": len(records), "suspects": len(suspects), "kept": len(kept)}


def _some(records: Sequence[LabelledRequest], most: int, seed: int) -> list[LabelledRequest]:
    return random.Random(seed).sample(records, min(most, len(records)))


def _captures(folder: str) -> list[Path]:
    files = sorted(file for file in Path(folder).rglob("*") if file.is_file())
    truths = {labels_path(file) for file in files}
    return [file for file in files if file not in truths]


def _proposals(house: Warehouse) -> Iterator[labels.Proposal]:
    for packet_id, request in packets.unlabelled(house):
        match = signatures.propose_label(request)
        if match is None:
            yield labels.Proposal(packet_id, NORMAL, note="no signature decides: look at it", tags=(UNDECIDED,))
        else:
            label, attack_class, rule = match
            yield labels.Proposal(packet_id, label, attack_class, note=rule)


def _lab_decisions(house: Warehouse, captures: Sequence[Path], ground_truth: str) -> Iterator[labels.Decision]:
    """What the lab knows of its own traffic, as a second reviewer's decisions on what waits for review."""
    waiting = labels.waiting(house)
    for capture in captures:
        for record in lab_labelled(readers.read(capture), ground_truth):
            truth = (record.label, record.attack_class)
            if record.packet_id not in waiting:
                continue
            if waiting[record.packet_id] == truth:
                yield labels.Decision(record.packet_id, "agree", note="ground truth", tags=record.tags)
            else:
                yield labels.Decision(record.packet_id, "change", *truth, note="ground truth", tags=record.tags)


def _counted(reviewed: labels.ReviewCounts) -> Counter[str]:
    return Counter(agreed=reviewed.agreed, changed=reviewed.changed, rejected=reviewed.rejected)
