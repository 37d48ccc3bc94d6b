"""The dossier: a folder of evidence records that travels through a pipeline and grows by a record at every step."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from secmlops.lifecycle.evidence import Evidence, read_evidence, write_evidence


def hand_on(dossiers: Iterable[str | Path], out: str | Path, *records: Evidence) -> None:
    """Write a dossier that holds everything of the given ones and these records.

    Args:
        dossiers: folders of records; a record that stands in several of them is taken once.
        out: the new folder.
        records: what the step at hand adds.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for dossier in dossiers:
        for file in sorted(Path(dossier).glob("*.json")):
            if not (folder / file.name).exists():
                shutil.copyfile(file, folder / file.name)
    for number, record in enumerate(records):
        write_evidence(record, folder / f"{record.at:%Y%m%dT%H%M%S%f}-{number:02d}-{record.producer}.json")


def read_dossier(path: str | Path) -> list[Evidence]:
    """All records, oldest first.

    Raises:
        EvidenceInvalid: a file is no record.
    """
    return sorted((read_evidence(file) for file in sorted(Path(path).glob("*.json"))), key=lambda record: record.at)
