"""The report says what is missing as plainly as what is there."""

from html.parser import HTMLParser

from secmlops.bundle import bytes_digest
from secmlops.lifecycle.assurance import AssuranceReport, Status, assurance_report
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.mitigations import MITIGATIONS
from secmlops.lifecycle.stages import Stage


def record(stage: Stage, *mitigations: str, claim: str = "it is so", holds: bool = True, **measured) -> Evidence:
    return Evidence(
        stage=stage, mitigations=mitigations, claim=claim, measured=measured, producer="a_step", holds=holds
    )


def test_no_records_leave_every_applicable_mitigation_open(tmp_path):
    report = assurance_report([], tmp_path / "report.html", title="Nothing done")

    applicable = [row.id for row in MITIGATIONS.values() if row.applies]
    assert list(report.missing) == applicable
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count("No record was written at this stage.") == 6
    assert all(f"<li>{mitigation_id} " in html for mitigation_id in applicable)


def test_shown_contradicted_missing_and_not_applicable(tmp_path):
    report = assurance_report(
        [
            record(Stage.QUALITY_ASSURANCE, "AML.M0008", f1=0.97),
            record(Stage.MODEL_ENGINEERING, "AML.M0003", claim="hardened"),
            record(Stage.QUALITY_ASSURANCE, "AML.M0003", claim="evasion is rare", holds=False, evasion_rate=0.4),
        ],
        tmp_path / "deep" / "report.html",
        title="Web attacks",
    )

    status = {row.id: row.status for row in report.mitigations}
    assert status["AML.M0008"] is Status.SHOWN
    assert status["AML.M0003"] is Status.CONTRADICTED
    assert status["AML.M0013"] is Status.NO_EVIDENCE
    assert status["AML.M0020"] is Status.NOT_APPLICABLE
    hardening = next(row for row in report.mitigations if row.id == "AML.M0003")
    assert hardening.evidenced_in == (Stage.MODEL_ENGINEERING, Stage.QUALITY_ASSURANCE)
    deployment = next(section for section in report.stages if section.stage is Stage.DEPLOYMENT)
    assert "AML.M0013" in deployment.missing and "AML.M0015" in deployment.missing
    html = (tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    assert "does not hold" in html and "evasion_rate: <b>0.4</b>" in html


def test_a_mitigation_that_need_not_apply_counts_when_it_was_shown(tmp_path):
    report = assurance_report([record(Stage.DEPLOYMENT, "AML.M0032")], tmp_path / "r.html", title="x")
    assert next(row for row in report.mitigations if row.id == "AML.M0032").status is Status.SHOWN


def test_text_from_records_cannot_become_markup(tmp_path):
    hostile = "<script>alert(1)</script>"
    assurance_report(
        [record(Stage.DEPLOYMENT, "AML.M0013", claim=hostile, **{"a<b": hostile})], tmp_path / "r.html", title=hostile
    )
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 3


def test_the_file_stands_alone_and_is_well_formed(tmp_path):
    assurance_report([record(Stage.DEPLOYMENT, "AML.M0013")], tmp_path / "r.html", title="x")

    class Checker(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.links = [], []

        def handle_starttag(self, tag, attributes):
            self.links += [value for name, value in attributes if name in ("src", "href")]
            if tag not in ("meta", "br"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    checker = Checker()
    checker.feed((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert checker.open == [] and checker.links == []


def test_the_content_survives_json(tmp_path):
    report = assurance_report([record(Stage.DEPLOYMENT, "AML.M0013", n=1)], tmp_path / "r.html", title="x")
    assert AssuranceReport.model_validate_json(report.model_dump_json()) == report


def test_records_stand_in_the_order_of_time(tmp_path):
    first, second = record(Stage.DEPLOYMENT, claim="first"), record(Stage.DEPLOYMENT, claim="second")
    report = assurance_report([second, first], tmp_path / "r.html", title="x")
    assert [row.claim for row in report.stages[4].evidence] == ["first", "second"]


def test_records_on_other_models_than_the_champion_are_listed_but_decide_nothing(tmp_path):
    """A first attempt that the gate refused, and a candidate that lost, say nothing of the model that is released."""

    def about(model: str, *mitigations: str, holds: bool = True, name: str = "model") -> Evidence:
        plain = record(Stage.QUALITY_ASSURANCE, *mitigations, claim=f"{model} resists", holds=holds)
        return plain.model_copy(update={"artifacts": {name: bytes_digest(model.encode())}})

    records = [
        record(Stage.DATA_ENGINEERING, "AML.M0007"),
        about("first", "AML.M0003", holds=False),
        about("first", "AML.M0008", holds=False, name="champion"),
        about("loser", "AML.M0015"),
        about("hardened", "AML.M0003"),
        about("hardened", "AML.M0008", name="champion"),
    ]
    report = assurance_report(records, tmp_path / "r.html", title="x")
    status = {row.id: row.status for row in report.mitigations}
    assert {status[name] for name in ("AML.M0003", "AML.M0007", "AML.M0008")} == {Status.SHOWN}
    assert status["AML.M0015"] is Status.NO_EVIDENCE
    assert "first resists" in (tmp_path / "r.html").read_text()

    refused = assurance_report(records[:3], tmp_path / "r.html", title="x")
    assert {row.id for row in refused.with_status(Status.CONTRADICTED)} == {"AML.M0003", "AML.M0008"}
