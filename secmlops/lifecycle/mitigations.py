"""The mitigations of MITRE ATLAS: to which stages each belongs, and whether it applies to us.

Ids, names, stages and categories are facts of MITRE ATLAS data, version 5.6.0, (c) MITRE, Apache License 2.0
(https://github.com/mitre-atlas/atlas-data). Applicability and reasons are ours: they hold for pipelines whose
models classify or detect and generate nothing. Match by id: MITRE renamed several of them in 2025.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from secmlops.errors import SecmlopsError
from secmlops.lifecycle.stages import Stage

ATLAS_VERSION: Final = "5.6.0"
ATLAS_SOURCE: Final = "https://github.com/mitre-atlas/atlas-data"
ATLAS_LICENSE: Final = "Apache-2.0"


class Category(StrEnum):
    """What kind of measure a mitigation is, in MITRE's words."""

    POLICY = "Policy"
    TECHNICAL_ML = "Technical - ML"
    TECHNICAL_CYBER = "Technical - Cyber"


class Applicability(StrEnum):
    """How a mitigation can be shown in a pipeline that generates nothing."""

    AUTOMATIC = "automatic"
    """Implemented and checked by running code."""
    STATIC = "static"
    """Checked by reading manifests and settings."""
    ORGANISATIONAL = "organisational"
    """People do it; only a record can show it."""
    NOT_APPLICABLE = "not_applicable"


class UnknownMitigation(SecmlopsError):
    """An id that MITRE ATLAS does not have.

    Attributes:
        mitigation_id: the id found.
    """

    def __init__(self, mitigation_id: object):
        self.mitigation_id = mitigation_id
        super().__init__(
            f"{str(mitigation_id)[:40]!r} is no mitigation of MITRE ATLAS {ATLAS_VERSION}: "
            "use an id from AML.M0000 to AML.M0034"
        )


@dataclass(frozen=True, slots=True)
class Mitigation:
    """One mitigation.

    Attributes:
        id: e.g. `AML.M0008`.
        name: MITRE's name for it.
        stages: the stages it belongs to, in lifecycle order.
        category: the kind of measure.
        applicability: how it can be shown here.
        reason: why it does not apply, or in what sense it does where that is not plain; else empty.
    """

    id: str
    name: str
    stages: tuple[Stage, ...]
    category: Category
    applicability: Applicability
    reason: str = ""

    @property
    def applies(self) -> bool:
        """Whether evidence for it is expected."""
        return self.applicability is not Applicability.NOT_APPLICABLE


_STAGE_CODES = dict(zip("BPEVDM", Stage, strict=True))
_CATEGORY_CODES = {"policy": Category.POLICY, "ml": Category.TECHNICAL_ML, "cyber": Category.TECHNICAL_CYBER}
_APPLICABILITY_CODES = {
    "A": Applicability.AUTOMATIC,
    "S": Applicability.STATIC,
    "O": Applicability.ORGANISATIONAL,
    "-": Applicability.NOT_APPLICABLE,
}

_GENERATIVE = "The models classify or detect; none generates text, images or code."
_AGENTS = "No AI agent acts here: a model answers with a score and calls no tool."

# number | name | stages: B business, P data, E engineering, V quality, D deployment, M monitoring | category |
# applicability | reason
_TABLE = (
    (0, "Limit Public Release of Information", "B", "policy", "S", ""),
    (1, "Limit Model Artifact Release", "BD", "policy", "S", ""),
    (2, "Passive AI Output Obfuscation", "VD", "ml", "A", ""),
    (3, "Model Hardening", "PE", "ml", "A", ""),
    (4, "Restrict Number of AI Model Queries", "BDM", "cyber", "A", ""),
    (5, "Control Access to AI Models and Data at Rest", "BPEV", "policy", "S", ""),
    (6, "Use Ensemble Methods", "E", "ml", "A", ""),
    (7, "Sanitize Training Data", "BPM", "ml", "A", ""),
    (8, "Validate AI Model", "VM", "ml", "A", ""),
    (
        9,
        "Use Multi-Modal Sensors",
        "BPE",
        "cyber",
        "-",
        "There is one kind of input per model; no second sensor observes the same event.",
    ),
    (10, "Input Restoration", "PVDM", "ml", "A", ""),
    (11, "Restrict Library Loading", "D", "cyber", "A", ""),
    (12, "Encrypt Sensitive Information", "PED", "cyber", "S", ""),
    (13, "Code Signing", "D", "cyber", "A", ""),
    (14, "Verify AI Artifacts", "BPE", "cyber", "A", ""),
    (15, "Adversarial Input Detection", "PEVDM", "ml", "A", ""),
    (16, "Vulnerability Scanning", "PE", "cyber", "A", ""),
    (17, "AI Model Distribution Methods", "D", "policy", "S", ""),
    (18, "User Training", "BPEVDM", "policy", "O", "Training is done by people; a dated record can show it."),
    (19, "Control Access to AI Models and Data in Production", "DM", "policy", "A", ""),
    (20, "Generative AI Guardrails", "EVD", "ml", "-", _GENERATIVE),
    (21, "Generative AI Guidelines", "EVD", "ml", "-", _GENERATIVE),
    (22, "Generative AI Model Alignment", "EVD", "ml", "-", _GENERATIVE),
    (23, "AI Bill of Materials", "BPE", "policy", "A", ""),
    (24, "AI Telemetry Logging", "DM", "cyber", "A", ""),
    (25, "Maintain AI Dataset Provenance", "BP", "ml", "A", ""),
    (26, "Privileged AI Agent Permissions Configuration", "D", "cyber", "-", _AGENTS),
    (27, "Single-User AI Agent Permissions Configuration", "D", "cyber", "-", _AGENTS),
    (28, "AI Agent Tools Permissions Configuration", "D", "cyber", "-", _AGENTS),
    (29, "Human In-the-Loop for AI Agent Actions", "D", "ml", "-", _AGENTS),
    (30, "Restrict AI Agent Tool Invocation on Untrusted Data", "D", "ml", "-", _AGENTS),
    (31, "Memory Hardening", "EDM", "ml", "-", "Models keep no memory between requests."),
    (
        32,
        "Segmentation of AI Agent Components",
        "BD",
        "cyber",
        "-",
        "No AI agent acts here; network policies separate predictors and detectors, which is the nearest thing.",
    ),
    (
        33,
        "Input and Output Validation for AI Agent Components",
        "BPD",
        "ml",
        "A",
        "By analogy: written for agents, shown here by the validation of every request and answer of a model.",
    ),
    (
        34,
        "Deepfake Detection",
        "EVDM",
        "ml",
        "-",
        "No person is identified or believed on the strength of an image, a voice or a video.",
    ),
)


def _build() -> dict[str, Mitigation]:
    rows = {}
    for number, name, stages, category, applicability, reason in _TABLE:
        mitigation_id = f"AML.M{number:04d}"
        rows[mitigation_id] = Mitigation(
            id=mitigation_id,
            name=name,
            stages=tuple(_STAGE_CODES[code] for code in stages),
            category=_CATEGORY_CODES[category],
            applicability=_APPLICABILITY_CODES[applicability],
            reason=reason,
        )
    return rows


MITIGATIONS: Final[Mapping[str, Mitigation]] = MappingProxyType(_build())
"""All 35 mitigations by id, in the order of their ids."""


def mitigation(mitigation_id: str) -> Mitigation:
    """Look a mitigation up by id.

    Raises:
        UnknownMitigation: ATLAS has no such id.
    """
    found = MITIGATIONS.get(mitigation_id)
    if found is None:
        raise UnknownMitigation(mitigation_id)
    return found
