"""The traffic lab: a honeypot shop, visitors, attackers, and a recording of them as packets with ground truth."""

from secmlops.web_attacks.lab.labels import BadLabels, LabLabel, lab_labels, labelled, labels_path, match
from secmlops.web_attacks.lab.recorder import LabError, LabSummary, record

__all__ = [
    "BadLabels",
    "LabError",
    "LabLabel",
    "LabSummary",
    "lab_labels",
    "labelled",
    "labels_path",
    "match",
    "record",
]
