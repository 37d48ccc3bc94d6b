"""The report on the detectors beside a model: one HTML file, for people."""

from pathlib import Path
from typing import Final

from secmlops.detectors.evaluation import detection_picture, roc_picture
from secmlops.lifecycle.gate import Verdict
from secmlops.pages import render
from secmlops.web_attacks.watching import DetectorsMeasured

_TEMPLATES: Final = Path(__file__).parent / "templates"


def write_detectors_report(
    out: Path, measured: DetectorsMeasured, verdict: Verdict, *, title: str = "Detectors beside the web-attack model"
) -> None:
    """Write the report.

    Args:
        out: the file.
        measured: what they did.
        verdict: the gate's, on any of them: they are judged together.
        title: heading of the page.
    """
    alarms = measured.false_alarms
    text = render(
        _TEMPLATES,
        "detectors.html",
        title=title,
        measured=measured,
        verdict=verdict,
        per_day=alarms.per_day(measured.requests_per_day * measured.clients_per_request),
        detections=detection_picture(measured.detections, alarms.level),
        roc=roc_picture(measured.curves),
    )
    out.write_text(text, encoding="utf-8")
