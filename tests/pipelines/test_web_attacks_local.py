"""The whole pipeline on this machine: what a passing and a failing gate lead to."""

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipelines.local import LocalRun, PipelineFailed, run, with_local_defaults
from pipelines.web_attacks import POLICY, pipeline
from secmlops import bundle
from secmlops.detectors.storage import Watching
from secmlops.lifecycle.register import registered
from secmlops.storage.warehouse import open_warehouse
from secmlops.web_attacks.dataset import LabelledRequest, by_label, read_dataset
from secmlops.web_attacks.drift_features import client_of
from secmlops.web_attacks.models import load_classifier
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.steps import monitoring
from serving.detectors.events import Event, Half, Head
from serving.detectors.opening import Sources, check_use_case, open_subject
from serving.detectors.readers import SCORES
from serving.detectors.settings import Settings
from serving.detectors.subjects import Subject
from serving.detectors.watch import Watch
from serving.limits import Limits

WINDOW = 40
SMALL = {
    "normal": 900,
    "attacks": 250,
    "architectures": ["svm"],
    "attack_rounds": 2,
    "attack_candidates": 3,
    "attacked_requests": 12,
    "detector_window": WINDOW,
    "seed": 3,
}


def policy_with(**bounds: float) -> dict:
    """The pipeline's policy with other bounds for some metrics; the others are dropped."""
    policy = copy.deepcopy(POLICY)
    kept = [requirement for requirement in policy["requirements"] if requirement["metric"] in bounds]
    for requirement in kept:
        kind = "at_least" if "at_least" in requirement else "at_most"
        requirement[kind] = bounds[requirement["metric"]]
    return {**policy, "requirements": kept}


@contextmanager
def without_keys() -> Iterator[None]:
    """No keys in the environment, not those of an earlier run either."""
    with pytest.MonkeyPatch.context() as patch:
        # Set first, so that what the run itself sets is taken back too.
        for name in ("SECMLOPS_SIGNING_KEY", "SECMLOPS_TRUSTED_KEY"):
            patch.setenv(name, "")
            patch.delenv(name)
        yield


@pytest.fixture
def no_keys_in_environment():
    with without_keys():
        yield


def run_with(policy: dict, folder: Path) -> LocalRun:
    arguments = with_local_defaults(pipeline, {**SMALL, "policy": policy}, folder)
    return run(pipeline, arguments, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("passed")


@pytest.fixture(scope="module")
def finished(folder) -> LocalRun:
    """A run whose model and detectors pass."""
    bounds = {"tpr_at_1pct_fpr": 0.3, "balanced_accuracy": 0.6, "adversarial_auroc": 0.6, "drift_detection_rate": 0.3}
    with without_keys():
        return run_with(policy_with(**bounds), folder)


def test_a_model_that_passes_is_signed_published_deployed_and_registered(finished, folder):
    uri = finished.outputs["publish-bundle"]["Output"]
    verified = bundle.verify(uri, folder / "keys" / "signing.pub")
    assert verified.verdict.passed

    (manifest,) = finished.root.glob("*/deploy/manifest")
    service = yaml.safe_load(manifest.read_text())
    assert service["metadata"]["annotations"]["secmlops/model-digest"] == verified.model_digest

    with open_warehouse(f"chdb://{folder / 'warehouse'}") as house:
        (row,) = registered(house, "web_attacks")
    assert (row["passed"], row["bundle_uri"], row["model_digest"]) == (True, uri, verified.model_digest)

    provenance = json.loads((Path(uri) / "provenance.json").read_text())
    materials = {item["name"] for item in provenance["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert {"lab.pcap", "train", "train_sanitized", "test", "policy"} <= materials
    reports = {"prepare-requests", "check-poisoning", "judge-models", "evaluate-detectors", "assure"}
    assert reports <= finished.reports.keys()

    for name in ("drift", "adversarial", "verdict"):
        published = Path(finished.outputs["publish-detectors"][f"{name}_uri"])
        opened = bundle.load(published, folder / "keys" / "signing.pub")
        assert (opened.verdict.use_case, opened.preprocess["kind"]) == ("web_attacks", "detector")
        assert Watching.of(opened.card).watched_digest == verified.model_digest


def with_client(request: HttpRequest, number: int) -> HttpRequest:
    """As a client of its own sends it: campaigns come from many."""
    headers = tuple(pair for pair in request.headers if pair[0].lower() != "cookie")
    return replace(request, headers=(*headers, ("Cookie", f"id={number}")))


def opened(finished: LocalRun, folder: Path, name: str, *, watched: bool = False, judge: bool = False) -> Subject:
    """A published detector as its service opens it."""
    key = folder / "keys" / "signing.pub"
    uris = {each: Path(finished.outputs["publish-detectors"][f"{each}_uri"]) for each in monitoring.DETECTORS}
    model = Path(finished.outputs["publish-bundle"]["Output"])
    sources = Sources(uris[name], str(key), model if watched else None, uris["verdict"] if judge else None)
    found = bundle.load(sources.detector, key)
    check_use_case(found)
    return open_subject(found, "adversarial" if watched else "drift", sources, Settings(), Limits())


def judged(subject: Subject, calls: Sequence[tuple[dict, dict]]) -> list[dict]:
    """The windows that the payload logger's events of these calls fill."""
    watch = Watch(subject, Settings(), Limits())
    for number, call in enumerate(calls):
        for half, document in zip(Half, call, strict=True):
            watch.take(Event(Head(half, str(number), "shop", "web-attacks"), json.dumps(document).encode()))
    watch.tick()
    report = watch.take_report()
    assert not report.malformed
    return report.windows


def test_the_published_detectors_are_served_as_they_are_and_judge_windows(finished, folder):
    model = bundle.load(finished.outputs["publish-bundle"]["Output"], folder / "keys" / "signing.pub")
    classifier = load_classifier(model.model_files())
    (traffic,) = finished.root.glob("*/prepare-requests/traffic")
    normals, attacks = by_label(read_dataset(traffic))
    adversarial = opened(finished, folder, "adversarial", watched=True)

    def calls(records: Sequence[LabelledRequest]) -> list[tuple[dict, dict]]:
        """What is asked, one request of each client, and what the server and the transformer before it answer."""
        one = {client_of(record.request): record.request for record in records if not record.request.body}
        requests = list(one.values())[:WINDOW]
        assert len(requests) == WINDOW
        scores = adversarial.columns(requests, {})[SCORES]
        return [
            (
                {"instances": [{"method": r.method, "uri": r.uri, "headers": dict(r.headers)}]},
                {"predictions": [{"score": answer.score, "verdict": answer.verdict, SCORES: score}]},
            )
            for r, answer, score in zip(requests, classifier.score(requests), scores.tolist(), strict=True)
        ]

    everyday = calls(normals)
    campaign = calls([replace(a, request=with_client(a.request, n)) for n, a in enumerate(attacks)])
    for name, kind, beside in (
        ("drift", None, {}),
        ("verdict", "attack", {}),
        ("adversarial", "attack", {"watched": True, "judge": True}),
    ):
        subject = opened(finished, folder, name, **beside)
        (calm,), (attacked,) = judged(subject, everyday), judged(subject, campaign)
        assert (calm["rows"], attacked["rows"]) == (WINDOW, WINDOW)
        assert (calm["detected"], attacked["detected"]) == (False, True), name
        assert (calm["verdict"], attacked["verdict"]) == (kind and "clean", kind)


def test_detectors_that_fail_the_gate_keep_the_model_from_being_signed(tmp_path, no_keys_in_environment):
    with pytest.raises(PipelineFailed) as failed:
        run_with(policy_with(tpr_at_1pct_fpr=0.3, drift_detection_rate=1.1), tmp_path)

    assert failed.value.step == "reject-model"
    assert "drift_detection_rate" in failed.value.reason
    assert not (tmp_path / "published").exists()
    assert not list((tmp_path / "steps").rglob("model.sig"))
    assert "may be served" in (tmp_path / "reports" / "evaluate-detectors.html").read_text()
    (report,) = (tmp_path / "steps").glob("*/reject-model/report")
    assert "drift_detection_rate" in report.read_text()
    with open_warehouse(f"chdb://{tmp_path / 'warehouse'}") as house:
        (row,) = registered(house, "web_attacks")
    assert (row["passed"], row["failed"], row["bundle_uri"]) == (False, ["drift_detection_rate"], "")


def test_an_impossible_policy_ends_in_a_failed_run_and_publishes_nothing(tmp_path, no_keys_in_environment):
    with pytest.raises(PipelineFailed) as failed:
        run_with(policy_with(tpr_at_1pct_fpr=0.3, latency_p95_ms=0.0), tmp_path)

    assert failed.value.step == "reject-model-3"
    assert "latency_p95_ms" in failed.value.reason
    assert not (tmp_path / "published").exists()
    assert not list((tmp_path / "steps").rglob("model.sig"))
    assert not list((tmp_path / "steps").glob("*/sign-bundle*"))
    # Two judgements: the first candidate and the hardened one.
    assert len(list((tmp_path / "steps").glob("*/judge-models*/verdict"))) == 2
    for name in ("judge-models", "judge-models-2"):
        report = (tmp_path / "reports" / f"{name}.html").read_text()
        assert "No model may be served" in report
    with open_warehouse(f"chdb://{tmp_path / 'warehouse'}") as house:
        (row,) = registered(house, "web_attacks")
    assert (row["passed"], row["failed"], row["bundle_uri"]) == (False, ["latency_p95_ms"], "")
