"""Requirements before data: the policy of a run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.policy import parse_policy
from secmlops.lifecycle.stages import Stage
from secmlops.progress import say


def state_requirements(policy: Mapping[str, Any], requirements: str, evidence: str) -> None:
    """Check the policy and write it down for the run.

    Args:
        policy: content of a policy file.
        requirements: where the policy is written, as YAML that is also JSON.
        evidence: the dossier that begins here.

    Raises:
        PolicyInvalid: it is no policy.
    """
    content = json.dumps(policy, indent=2)
    stated = parse_policy(content.encode(), "of this run")
    Path(requirements).write_text(content, encoding="utf-8")
    record = Evidence(
        stage=Stage.BUSINESS_UNDERSTANDING,
        mitigations=("AML.M0008",),
        claim=f"Policy {stated.name} {stated.version} states every requirement with the risk that it answers.",
        measured={f"risk_of_{r.metric}": f"{r.risk} ({r.mitigation})" for r in stated.requirements},
        artifacts={"policy": stated.digest()},
        producer="state_requirements",
    )
    hand_on([], evidence, record)
    say(f"policy {stated.name} {stated.version}, {len(stated.requirements)} requirements")
