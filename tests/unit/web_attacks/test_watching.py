"""Detectors beside a model: fitted on earlier traffic, measured on later, signed only when all of them passed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secmlops import bundle
from secmlops.bundle import GateNotPassed, model_digest
from secmlops.detectors.storage import Watching
from secmlops.lifecycle.dossier import hand_on, read_dossier
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.policy import PolicyInvalid
from secmlops.lifecycle.stages import Stage
from secmlops.web_attacks import watching
from secmlops.web_attacks.classifier import Score
from secmlops.web_attacks.dataset import LabelledRequest, write_dataset
from secmlops.web_attacks.decoding import take
from secmlops.web_attacks.drift_features import client_of
from secmlops.web_attacks.rewriting import undone
from secmlops.web_attacks.steps import monitoring
from secmlops.web_attacks.watching import DetectorsMeasured, NoAttacks, Setting, TooFewClients
from tests.unit.bundle.conftest import make_model
from tests.unit.lifecycle.conftest import policy_of, requirement
from tests.unit.web_attacks.small_traffic import attacks, normals

SETTING = Setting(false_alarms_per_day=0.5, requests_per_day=2_000, window=40, false_positive_rate=0.05)
OPERATION = {"detector_false_alarms_per_day": 0.5, "detector_false_positive_rate": 0.05}


class Marks:
    """Scores by the marks that attacks are full of, once encodings are undone."""

    name, threshold = "marks", 0.5

    def score(self, requests):
        return [self._score("\n".join(undone(part.text) for part in take(request).parts)) for request in requests]

    def _score(self, text: str) -> Score:
        marks = sum(text.lower().count(mark) for mark in ("'", "<", "../", "(", "union", "passwd"))
        score = 1 - 0.98 * 0.5**marks
        return Score(score, "attack" if score >= self.threshold else "normal", "", "", "")


def of_clients(records: list[LabelledRequest], per_client: int) -> list[LabelledRequest]:
    """So many requests in a row of each client, told apart by a cookie."""
    return [
        replace(
            record,
            request=replace(
                record.request, headers=(*record.request.headers, ("Cookie", f"id={number // per_client}"))
            ),
        )
        for number, record in enumerate(records)
    ]


@pytest.fixture(scope="module")
def traffic() -> list[LabelledRequest]:
    records = of_clients(normals(900, 1), 3) + of_clients(attacks(200, 2), 2)
    order = np.random.default_rng(0).permutation(len(records))
    return [records[index] for index in order]


@pytest.fixture(scope="module")
def watched(traffic):
    return watching.fit(Marks(), watching.halves(traffic)[0], SETTING)


@pytest.fixture(scope="module")
def measured(run):
    """What the steps measured, on detectors that were stored and read back."""
    run.evaluate()
    return run.measured[0]


def test_halves_keep_the_order_and_lose_nothing(traffic):
    earlier, later = watching.halves(traffic)
    assert earlier + later == traffic
    assert len(earlier) == round(0.7 * len(traffic))


def test_false_alarms_stay_within_what_was_allowed(measured):
    assert measured.false_alarms.windows == 200
    assert measured.false_alarms.kept


def test_whole_changes_of_the_site_are_seen_and_half_ones_less_often(measured):
    by_size = {size: np.mean([row.rate for row in measured.detections if row.size == size]) for size in watching.SIZES}
    assert measured.metrics()["drift_detection_rate"] > 0.9
    assert by_size[1.0] >= by_size[0.5] >= by_size[0.25]


def test_rewritten_attacks_are_flagged_and_normal_requests_seldom(measured):
    metrics = measured.metrics()
    assert metrics["adversarial_auroc"] > 0.75  # of a model that knows six marks
    assert metrics["adversarial_false_positive_rate"] < 0.12


def test_windows_are_called_what_they_are(measured):
    assert measured.metrics()["verdict_accuracy"] > 0.7
    assert sum(measured.confusion["attack"].values()) == sum(measured.confusion["drift"].values())


def test_the_threshold_is_never_above_what_the_traffic_allows(watched, traffic):
    normal = [record.request for record in watching.halves(traffic)[0] if not record.is_attack]
    clients_per_request = len({client_of(request) for request in normal}) / len(normal)
    windows_per_day = SETTING.requests_per_day * clients_per_request / SETTING.window
    assert watched.windows_per_day == pytest.approx(windows_per_day, rel=0.05)  # a few attacks are everyday too
    assert watched.level == pytest.approx(0.5 / watched.windows_per_day)
    assert watched.drift.config.p_val <= watched.level


def test_the_reference_holds_one_request_of_a_client(traffic, watched):
    clients = {client_of(record.request) for record in watching.halves(traffic)[0]}
    assert len(watched.drift.reference) <= len(clients)
    assert len(watched.drift.reference) % SETTING.window == 0


def test_few_clients_and_no_attacks_are_told(traffic):
    one = [replace(record, request=replace(record.request, headers=())) for record in traffic[:300]]
    with pytest.raises(TooFewClients):
        watching.fit(Marks(), one, SETTING)
    with pytest.raises(NoAttacks):
        watching.fit(Marks(), [record for record in traffic[:500] if not record.is_attack], SETTING)


class Run:
    """A folder in which the steps of one run lie."""

    def __init__(self, folder: Path, traffic: list[LabelledRequest], **bounds: float):
        self.folder = folder
        self.measured: list[DetectorsMeasured] = []
        self.champion = str(make_model(folder / "champion"))
        self.traffic = str(folder / "traffic.parquet")
        write_dataset(traffic, self.traffic)
        self.require(**bounds)
        about_data = Evidence(
            stage=Stage.DATA_ENGINEERING,
            mitigations=(),
            claim="data",
            artifacts={"traffic": bundle.file_digest(Path(self.traffic))},
            producer="prepare_requests",
        )
        hand_on([], folder / "dossier", about_data)

    def require(self, **bounds: float) -> None:
        self.requirements = str(self.folder / "policy.json")
        rows = [requirement(metric, at_least=bound, of="detectors") for metric, bound in bounds.items()]
        content = policy_of(requirement(), *rows, operating_point=OPERATION).model_dump(exclude_none=True)
        Path(self.requirements).write_text(json.dumps(content))

    def each(self, kind: str) -> dict[str, str]:
        return {name: str(self.folder / f"{name}-{kind}") for name in monitoring.DETECTORS}

    def fit(self, engine: str = "native") -> dict[str, float]:
        return monitoring.fit_detectors(
            self.champion,
            self.traffic,
            self.requirements,
            self.each("detector"),
            str(self.folder / "dossier"),
            str(self.folder / "fitted"),
            engine=engine,
            requests_per_day=2_000,
            window=40,
            seed=0,
        )

    def evaluate(self) -> monitoring.DetectorsJudged:
        return monitoring.evaluate_detectors(
            self.champion,
            self.traffic,
            self.requirements,
            self.each("detector"),
            self.each("gate"),
            str(self.folder / "report.html"),
            str(self.folder / "fitted"),
            str(self.folder / "evaluated"),
        )

    def measure_once(self, measure: Callable[..., DetectorsMeasured]) -> Callable[..., DetectorsMeasured]:
        """Everything drawn is seeded: the same detectors on the same traffic would say the same again."""

        def measured(*given: object) -> DetectorsMeasured:
            if not self.measured:
                self.measured.append(measure(*given))
            return self.measured[0]

        return measured

    def sign(self, key: Path) -> None:
        monitoring.sign_detectors(
            self.each("detector"),
            self.each("gate"),
            self.each("bundle"),
            str(self.folder / "evaluated"),
            str(self.folder / "signed"),
            run_id="run-1",
            key=str(key),
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory, traffic, watched):
    """Detectors fitted beside a model that the steps load whatever its folder holds; its files give it a digest."""

    def fitted_already(classifier, records, setting):
        earlier, _ = watching.halves(traffic)
        assert [record.request for record in records] == [record.request for record in earlier]
        assert setting == SETTING
        return watched

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitoring, "_classifier", lambda champion: Marks())
        fitted = Run(tmp_path_factory.mktemp("run"), traffic, drift_detection_rate=0.5, adversarial_auroc=0.6)
        patch.setattr(watching, "measure", fitted.measure_once(watching.measure))
        with patch.context() as fit:
            fit.setattr(watching, "fit", fitted_already)
            chosen = fitted.fit()
        assert chosen["drift_p_val"] <= chosen["drift_level"]
        yield fitted


def test_one_requirement_that_fails_keeps_every_detector_from_being_signed(run, tmp_path):
    private, _ = bundle.keygen(tmp_path / "key")
    run.require(adversarial_auroc=0.6, drift_detection_rate=1.01)
    assert not run.evaluate().passed
    with pytest.raises(GateNotPassed) as refused:
        run.sign(private)
    assert [failure.metric for failure in refused.value.failures] == ["drift_detection_rate"]
    assert not list(run.folder.rglob("model.sig"))
    assert any(not record.holds for record in read_dossier(run.folder / "evaluated"))
    assert "Neither these detectors nor the model" in (run.folder / "report.html").read_text()
    shutil.rmtree(run.folder / "evaluated")


def test_detectors_that_passed_are_signed_published_and_name_what_they_watch(run, tmp_path):
    private, public = bundle.keygen(tmp_path / "key")
    run.require(adversarial_auroc=0.6, drift_detection_rate=0.5)
    judged = run.evaluate()
    assert judged.passed
    run.sign(private)
    signed, told = str(run.folder / "signed"), str(run.folder / "told")
    uris = monitoring.publish_detectors(run.each("bundle"), str(tmp_path / "published"), signed, told, key=str(public))
    for name, uri in uris.items():
        opened = bundle.load(uri, public)
        assert opened.verdict == judged.verdicts[name]
        beside = Watching.of(opened.card)
        assert beside == Watching(
            watches="web_attacks", watched_digest=model_digest(run.champion), window_rows=40, view="rows"
        )
        assert opened.preprocess["kind"] == "detector"
    about = [record for record in read_dossier(told) if "AML.M0015" in record.mitigations]
    assert about and all(record.holds for record in about)
    assert all(record.speaks_for(model_digest(run.champion)) for record in about)
    assert "may be signed" in (run.folder / "report.html").read_text()


def test_detectors_of_another_model_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "champion", str(make_model(tmp_path / "other", weights=[9, 9, 9])))
    with pytest.raises(monitoring.NotFittedBeside):
        run.evaluate()


def test_a_policy_without_requirements_of_detectors_and_an_unknown_engine_are_refused(tmp_path, traffic):
    with pytest.raises(PolicyInvalid, match="none is of the detectors"):
        Run(tmp_path / "first", traffic[:9]).fit()
    with pytest.raises(monitoring.UnknownEngine):
        Run(tmp_path / "second", traffic[:9], adversarial_auroc=0.6).fit(engine="seldon")
