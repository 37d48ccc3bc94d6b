"""Our table says what MITRE ATLAS says."""

import re

import pytest
import yaml

from secmlops.lifecycle.mitigations import ATLAS_VERSION, MITIGATIONS, Applicability, UnknownMitigation, mitigation
from secmlops.lifecycle.stages import ATLAS_STAGES, Stage
from tests.conftest import ROOT


def test_the_table_equals_atlas(public_data):
    atlas = yaml.safe_load((public_data / "atlas" / "ATLAS.yaml").read_text(encoding="utf-8"))
    assert atlas["version"] == ATLAS_VERSION
    theirs = {}
    for row in atlas["matrices"][0]["mitigations"]:
        # Version 5.6.0 has a mis-indented technique, a dict, at the end of two of these lists.
        stages = {ATLAS_STAGES[value] for value in row["ml-lifecycle"] if isinstance(value, str)}
        theirs[row["id"]] = (row["name"], stages, row["category"])

    ours = {key: (row.name, set(row.stages), [row.category.value]) for key, row in MITIGATIONS.items()}

    assert ours == theirs


def test_there_are_35_in_order_and_12_do_not_apply():
    assert list(MITIGATIONS) == [f"AML.M{number:04d}" for number in range(35)]
    kinds = [row.applicability for row in MITIGATIONS.values()]
    assert {kind: kinds.count(kind) for kind in Applicability} == {
        Applicability.AUTOMATIC: 17,
        Applicability.STATIC: 5,
        Applicability.ORGANISATIONAL: 1,
        Applicability.NOT_APPLICABLE: 12,
    }


def test_what_does_not_apply_says_why():
    assert all(re.search(r"\w{3,}.*\.$", row.reason) for row in MITIGATIONS.values() if not row.applies)


def test_stages_stand_in_lifecycle_order():
    order = list(Stage)
    for row in MITIGATIONS.values():
        assert list(row.stages) == sorted(row.stages, key=order.index)


def test_component_folders_are_named_like_stages():
    folders = {path.parent.name for path in (ROOT / "components").glob("*/__init__.py")}
    assert folders
    assert folders <= set(Stage)


def test_an_unknown_id_is_named():
    with pytest.raises(UnknownMitigation, match=r"AML\.M0035"):
        mitigation("AML.M0035")
    assert mitigation("AML.M0013").name == "Code Signing"
