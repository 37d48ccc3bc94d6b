"""Records survive the round trip exactly; what is none is refused."""

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from secmlops.bundle import bytes_digest
from secmlops.lifecycle.dossier import hand_on, read_dossier
from secmlops.lifecycle.evidence import (
    MAX_EVIDENCE_BYTES,
    Evidence,
    EvidenceInvalid,
    read_evidence,
    verdict_evidence,
    write_evidence,
)
from secmlops.lifecycle.gate import judge
from secmlops.lifecycle.stages import Stage
from tests.unit.lifecycle.conftest import policy_of, requirement

DIGEST = "sha256:" + "b" * 64


def record(**changes) -> Evidence:
    content = {
        "stage": Stage.QUALITY_ASSURANCE,
        "mitigations": ("AML.M0008",),
        "claim": "the model meets its policy",
        "measured": {"f1": 0.97, "n": 3, "reviewed": True, "tool": "own", "auc": None},
        "artifacts": {"report": DIGEST},
        "producer": "judge_models",
    }
    return Evidence.model_validate({**content, **changes})


def test_round_trip_keeps_types(tmp_path):
    path = write_evidence(record(), tmp_path / "new" / "judge.json")
    found = read_evidence(path)

    assert found == record(at=found.at)
    assert [type(value) for value in found.measured.values()] == [float, int, bool, str, type(None)]
    assert [file.name for file in path.parent.iterdir()] == ["judge.json"]


VALUES = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.none()


@given(measured=st.dictionaries(st.text(max_size=20), VALUES, max_size=5), holds=st.booleans())
def test_any_measured_values_survive_json(measured, holds):
    evidence = record(measured=measured, holds=holds)
    found = Evidence.model_validate_json(evidence.model_dump_json())
    assert found == evidence
    assert {name: type(value) for name, value in found.measured.items()} == {
        name: type(value) for name, value in measured.items()
    }


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"measured": {"f1": math.nan}}, id="NaN"),
        pytest.param({"measured": {"f1": math.inf}}, id="infinity"),
        pytest.param({"measured": {"f1": [1]}}, id="list"),
        pytest.param({"mitigations": ("AML.M0035",)}, id="unknown mitigation"),
        pytest.param({"mitigations": ("AML.M0008", "AML.M0008")}, id="mitigation twice"),
        pytest.param({"artifacts": {"report": "md5:abc"}}, id="no SHA-256"),
        pytest.param({"stage": "testing"}, id="unknown stage"),
        pytest.param({"claim": ""}, id="no claim"),
        pytest.param({"at": "2026-01-01T00:00:00"}, id="time without zone"),
        pytest.param({"author": "me"}, id="unknown key"),
    ],
)
def test_what_is_no_record_is_refused(changes):
    with pytest.raises(ValidationError):
        record(**changes)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "EOF", id="empty"),
        pytest.param(b"[]", "object", id="a list"),
        pytest.param(b"\xff", "Invalid JSON", id="not text"),
        pytest.param(b'{"stage": "deployment"}', "mitigations", id="fields missing"),
        pytest.param(b" " * (MAX_EVIDENCE_BYTES + 1), "larger", id="too large"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, data, reason):
    path = tmp_path / "evidence.json"
    path.write_bytes(data)
    with pytest.raises(EvidenceInvalid, match=reason) as caught:
        read_evidence(path)
    assert caught.value.source == str(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(EvidenceInvalid, match="cannot be read"):
        read_evidence(tmp_path / "none.json")


def test_the_file_is_plain_json(tmp_path):
    content = json.loads(write_evidence(record(), tmp_path / "e.json").read_text(encoding="utf-8"))
    assert content["stage"] == "quality_assurance"
    assert content["mitigations"] == ["AML.M0008"]


def test_a_verdict_is_evidence_by_mitigation_and_holds_only_within_its_bounds():
    policy = policy_of(
        requirement("recall", at_least=0.9),
        requirement("evasion_rate", at_least=None, at_most=0.1, mitigation="AML.M0003"),
        requirement("drift", at_least=None, at_most=0.1, mitigation="AML.M0003"),
    )
    verdict = judge(policy, {"recall": 0.95, "evasion_rate": 0.28}, bytes_digest(b"model"))
    validated, hardened = verdict_evidence(verdict, "judge")
    assert (validated.mitigations, validated.holds) == (("AML.M0008",), True)
    assert (hardened.mitigations, hardened.holds) == (("AML.M0003",), False)
    assert hardened.measured == {
        "evasion_rate": 0.28,
        "drift": None,
        "evasion_rate_at_most": 0.1,
        "drift_at_most": 0.1,
    }
    assert hardened.artifacts["model"] == verdict.model_digest


def test_records_written_at_once_are_all_kept(tmp_path):
    verdict = judge(
        policy_of(*(requirement(f"m{n}", mitigation=f"AML.M000{n}") for n in range(9))), {}, bytes_digest(b"model")
    )
    at = datetime.now(UTC)
    records = [record.model_copy(update={"at": at}) for record in verdict_evidence(verdict, "judge")]
    hand_on([], tmp_path / "dossier", *records)
    assert len(read_dossier(tmp_path / "dossier")) == 9
