"""Images from a URI to four validated sets: to learn from, to calibrate with, to choose by, and to judge by."""

from pathlib import Path
from typing import Final

from secmlops.bundle import file_digest
from secmlops.digits.data import load_digits
from secmlops.digits.data_report import write_data_report
from secmlops.images.errors import InvalidFile
from secmlops.images.image_set import write_images
from secmlops.images.splits import hold_out
from secmlops.images.validation import validate
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.stages import Stage
from secmlops.progress import say

_TO_CHOOSE: Final = 0.5
"""Share of the validation images that training does not see either, to choose among what was trained."""


def load_images(
    source: str,
    train: str,
    validation: str,
    selection: str,
    test: str,
    report_file: str,
    dossier: str,
    evidence: str,
    *,
    seed: int,
) -> dict[str, float]:
    """Read labelled images, look at every one, and divide them.

    Args:
        source: a URI as `load_digits` takes it; empty: scikit-learn's bundled digits.
        train: where the images to learn from are written.
        validation: where those to stop and calibrate a training with are written.
        selection: where those by which variants are compared are written; no training sees them.
        test: where those that only the champion's exam sees are written.
        report_file: HTML report on the data.
        dossier: the evidence so far.
        evidence: the dossier handed on.
        seed: of the division.

    Returns:
        Images per set, and files that were left out.

    Raises:
        UnfitImages: they must not be trained on; the report says why.
        ImagesError: files that are broken or contradict each other.
        StorageError: they cannot be fetched.
    """
    refused: list[InvalidFile] = []
    splits = load_digits(source, seed=seed, on_refused=refused.append)
    found = validate(splits)
    write_data_report(report_file, splits, found, refused)
    found.require_fit()
    calibrating, choosing = hold_out(splits.validation, _TO_CHOOSE, seed=seed)
    sets = {
        "train": (train, splits.train),
        "validation": (validation, calibrating),
        "selection": (selection, choosing),
        "test": (test, splits.test),
    }
    for path, images in sets.values():
        write_images(path, images)
    counts = {name: float(len(images)) for name, (_, images) in sets.items()}
    record = Evidence(
        stage=Stage.DATA_ENGINEERING,
        mitigations=("AML.M0007", "AML.M0025"),
        claim="Every image was looked at: shapes, ranges, classes and duplicates; no image stands in two sets.",
        measured={
            **counts,
            "refused_files": len(refused),
            "duplicates": found.removed.copies + sum(one.duplicates for one in found.splits.values()),
            "in_published_test": found.removed.in_test,
            "conflicting": found.removed.conflicting + sum(one.conflicting for one in found.splits.values()),
        },
        artifacts={
            **splits.sources,
            **{name: file_digest(Path(path)) for name, (path, _) in sets.items()},
        },
        producer="load_images",
    )
    hand_on([dossier], evidence, record)
    say("images: " + ", ".join(f"{name} {count:,.0f}" for name, count in counts.items()))
    return counts | {"refused_files": float(len(refused))}
