"""The assurance report: what was shown, and what was not, at every stage of the lifecycle.

It is made from evidence records alone. A mitigation that applies but has no record is listed as plainly as one that
has, because a report that only lists successes hides the risks.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict

from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.mitigations import ATLAS_LICENSE, ATLAS_SOURCE, ATLAS_VERSION, MITIGATIONS, Mitigation
from secmlops.lifecycle.stages import Stage

_TEMPLATE = "assurance.html"


class Status(StrEnum):
    """What the records say about one mitigation."""

    SHOWN = "shown"
    """At least one record, and all hold."""
    CONTRADICTED = "contradicted"
    """A record whose claim does not hold."""
    NO_EVIDENCE = "no_evidence"
    """It applies, but no record speaks for it."""
    NOT_APPLICABLE = "not_applicable"
    """It does not apply; the reason is given."""


class MitigationStatus(BaseModel):
    """One mitigation in the report.

    Attributes:
        id: MITRE ATLAS id.
        name: MITRE's name.
        stages: the stages it belongs to.
        status: what the records say.
        evidenced_in: the stages whose records speak for it.
        producers: the steps that wrote them.
        reason: why it does not apply, or in what sense it does.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    stages: tuple[Stage, ...]
    status: Status
    evidenced_in: tuple[Stage, ...]
    producers: tuple[str, ...]
    reason: str


class StageSection(BaseModel):
    """One stage in the report.

    Attributes:
        stage: the stage.
        evidence: its records, oldest first.
        missing: ids of applicable mitigations of this stage without any record, from whatever stage.
    """

    model_config = ConfigDict(frozen=True)

    stage: Stage
    evidence: tuple[Evidence, ...]
    missing: tuple[str, ...]


class AssuranceReport(BaseModel):
    """The report's content, for JSON.

    Attributes:
        title: what it is about.
        generated_at: when, UTC.
        atlas_version: version of the MITRE ATLAS data.
        stages: all six, in lifecycle order.
        mitigations: all of them, in the order of their ids.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    generated_at: AwareDatetime
    atlas_version: str
    stages: tuple[StageSection, ...]
    mitigations: tuple[MitigationStatus, ...]

    def with_status(self, status: Status) -> tuple[MitigationStatus, ...]:
        """The mitigations of one status."""
        return tuple(row for row in self.mitigations if row.status is status)

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of the mitigations that apply but have no evidence."""
        return tuple(row.id for row in self.with_status(Status.NO_EVIDENCE))


def assurance_report(evidence: Sequence[Evidence], out: str | Path, *, title: str) -> AssuranceReport:
    """Write the report as one self-contained HTML file and return its content.

    Every record is listed. What they say about a mitigation is taken from those alone that speak for the champion
    judged last: a candidate that was refused, or that lost, neither shows nor contradicts anything about it.

    Args:
        evidence: the records, in any order; none at all is a report too.
        out: the HTML file; its folder is made where needed.
        title: what the report is about.
    """
    champions = [record.artifacts["champion"] for record in _by_time(evidence) if "champion" in record.artifacts]
    speaking = [record for record in evidence if not champions or record.speaks_for(champions[-1])]
    report = AssuranceReport(
        title=title,
        generated_at=datetime.now(UTC),
        atlas_version=ATLAS_VERSION,
        stages=tuple(_section(stage, evidence, speaking) for stage in Stage),
        mitigations=tuple(_status(row, speaking) for row in MITIGATIONS.values()),
    )
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_render(report), encoding="utf-8")
    return report


def _by_time(evidence: Sequence[Evidence]) -> list[Evidence]:
    return sorted(evidence, key=lambda record: record.at)


def _section(stage: Stage, evidence: Sequence[Evidence], speaking: Sequence[Evidence]) -> StageSection:
    named = {mitigation_id for record in speaking for mitigation_id in record.mitigations}
    return StageSection(
        stage=stage,
        evidence=tuple(_by_time([record for record in evidence if record.stage is stage])),
        missing=tuple(
            row.id for row in MITIGATIONS.values() if row.applies and stage in row.stages and row.id not in named
        ),
    )


def _status(mitigation: Mitigation, evidence: Sequence[Evidence]) -> MitigationStatus:
    records = [record for record in evidence if mitigation.id in record.mitigations]
    if records:
        status = Status.SHOWN if all(record.holds for record in records) else Status.CONTRADICTED
    else:
        status = Status.NO_EVIDENCE if mitigation.applies else Status.NOT_APPLICABLE
    return MitigationStatus(
        id=mitigation.id,
        name=mitigation.name,
        stages=mitigation.stages,
        status=status,
        evidenced_in=tuple(stage for stage in Stage if any(record.stage is stage for record in records)),
        producers=tuple(sorted({record.producer for record in records})),
        reason=mitigation.reason,
    )


def _render(report: AssuranceReport) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("secmlops.lifecycle", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        report=report,
        by_status={status.value: report.with_status(status) for status in Status},
        names={row.id: row.name for row in report.mitigations},
        atlas_source=ATLAS_SOURCE,
        atlas_license=ATLAS_LICENSE,
    )
