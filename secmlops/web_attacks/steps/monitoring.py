"""The detectors beside the champion: fitted, measured on later traffic, and judged by the same gate."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from secmlops import release
from secmlops.bundle import GateNotPassed, file_digest, model_digest
from secmlops.detectors.detector import Engine
from secmlops.detectors.storage import CARD, Watching, load_detector, save_detector
from secmlops.errors import SecmlopsError
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence, verdict_evidence
from secmlops.lifecycle.gate import Verdict, judge
from secmlops.lifecycle.policy import load_policy
from secmlops.lifecycle.stages import Stage
from secmlops.progress import say
from secmlops.web_attacks import drift_features, models, watching, watching_report
from secmlops.web_attacks.classifier import Classifier
from secmlops.web_attacks.dataset import read_dataset
from secmlops.web_attacks.rewriting import REWRITERS, scorer
from secmlops.web_attacks.watching import Setting, Watched

DETECTORS: Final = ("drift", "adversarial", "verdict")
"""Each is a folder of its own, and later a bundle of its own."""

USE_CASE: Final = "web_attacks"
"""As the policy and the server name it."""

_OPERATION: Final = "operation.json"

_LIMITS: Final = {
    "drift": "Sees windows of requests of different clients, not single requests; blind to what changes no feature.",
    "adversarial": "Knows no attack that it has not seen the model answer; an attacker who asks it too can pass it.",
    "verdict": "Tells rewritten attacks of many clients from changes of a site; a single client is one row.",
}


class UnknownEngine(SecmlopsError):
    """An engine of drift detectors that is not known here.

    Attributes:
        name: what was given.
    """

    def __init__(self, name: str):
        self.name = name
        super().__init__(f"there is no engine {name[:40]!r}: use one of {', '.join(get_args(Engine))}")


class NotFittedBeside(SecmlopsError):
    """Detectors that were fitted beside another model."""

    def __init__(self, fitted: str, given: str):
        super().__init__(f"the detectors were fitted beside model {fitted[:23]}, and not {given[:23]}: fit them anew")


@dataclass(frozen=True, slots=True)
class DetectorsJudged:
    """The gate's decision about the detectors.

    Attributes:
        passed: whether they met every requirement; they are judged together.
        verdicts: one each, by name; they differ in the digest alone.
        metrics: every figure, by the names that policies use.
    """

    passed: bool
    verdicts: Mapping[str, Verdict]
    metrics: dict[str, float]


def fit_detectors(
    champion: str,
    traffic: str,
    requirements: str,
    detectors: Mapping[str, str],
    dossier: str,
    evidence: str,
    *,
    engine: str,
    requests_per_day: int,
    window: int,
    seed: int,
) -> dict[str, float]:
    """Fit the detectors beside the champion on the earlier part of the traffic.

    Args:
        champion: unsigned model directory.
        traffic: labelled requests in order of time.
        requirements: the policy; its operating point gives `detector_false_alarms_per_day` and
            `detector_false_positive_rate`.
        detectors: for each of `DETECTORS` the directory to write.
        dossier: the evidence so far.
        evidence: the dossier handed on.
        engine: `native`, or `alibi` where alibi-detect is installed.
        requests_per_day: the traffic that false alarms a day are counted at.
        window: requests of a window, each of another client.
        seed: seed of everything drawn.

    Returns:
        The levels and thresholds that were chosen.

    Raises:
        UnknownEngine: the engine is none of the two.
        PolicyInvalid: the policy does not say how many false alarms are borne, or requires nothing of detectors.
        TooFewClients: the traffic is of too few clients.
        AlibiMissing: the engine is `alibi`, and alibi-detect is not installed.
    """
    if engine not in get_args(Engine):
        raise UnknownEngine(engine)
    policy = load_policy(requirements)
    policy.requirements_of("detectors")
    setting = Setting(
        false_alarms_per_day=policy.operating("detector_false_alarms_per_day"),
        false_positive_rate=policy.operating("detector_false_positive_rate"),
        requests_per_day=requests_per_day,
        window=window,
        engine="alibi" if engine == "alibi" else "native",
        seed=seed,
    )
    earlier, _ = watching.halves(read_dataset(traffic))
    watched = watching.fit(_classifier(champion), earlier, setting)
    beside = Watching(watches=USE_CASE, watched_digest=model_digest(champion), window_rows=window, view="rows")
    operation = {
        "per_client": 1,
        "requests_per_day": requests_per_day,
        "false_alarms_per_window": watched.level,
        "features": drift_features.VERSION,
    }
    for name, detector in watched.named().items():
        card = beside.card() | {"limits": _LIMITS[name], "operation": operation}
        save_detector(detector, detectors[name], card=card)
        (Path(detectors[name]) / _OPERATION).write_text(json.dumps(setting_of(setting)))
    chosen = {
        "windows_per_day": watched.windows_per_day,
        "drift_level": watched.level,
        "drift_p_val": float(watched.drift.config.p_val),  # type: ignore[attr-defined]
        "adversarial_threshold": watched.adversarial.config.threshold or 0.0,
    }
    record = Evidence(
        stage=Stage.MONITORING,
        mitigations=("AML.M0015",),
        claim="Beside the model stand detectors of drift, of adversarial requests, and of which of the two it is; "
        f"their thresholds are chosen for {setting.false_alarms_per_day:g} false alarms a day at the traffic stated.",
        measured={"engine": engine, "requests_per_day": requests_per_day, "window": window, "seed": seed, **chosen},
        artifacts={"traffic": file_digest(Path(traffic)), **_digests(detectors)},
        producer="fit_detectors",
    )
    hand_on([dossier], evidence, record)
    say(f"drift, adversarial and verdict detectors fitted for {watched.windows_per_day:.0f} windows a day")
    return chosen


def evaluate_detectors(
    champion: str,
    traffic: str,
    requirements: str,
    detectors: Mapping[str, str],
    verdicts: Mapping[str, str],
    report_file: str,
    dossier: str,
    evidence: str,
) -> DetectorsJudged:
    """Measure the detectors on the later part of the traffic and judge them by the policy, all together.

    A verdict that failed is written too: whoever is to sign the detector refuses it.

    Args:
        champion: unsigned model directory.
        traffic: labelled requests in order of time.
        requirements: the policy.
        detectors: for each of `DETECTORS` its directory.
        verdicts: for each of them where its verdict is written.
        report_file: where the HTML report is written.
        dossier: the evidence so far.
        evidence: the dossier handed on.

    Raises:
        NotFittedBeside: they watch another model.
        PolicyInvalid: the policy requires nothing of detectors.
        TooFewClients: the traffic is of too few clients.
    """
    policy = load_policy(requirements)
    classifier = _classifier(champion)
    setting = Setting(**json.loads((Path(detectors["drift"]) / _OPERATION).read_text()))
    watched = _watched(detectors, classifier, model_digest(champion), setting)
    _, later = watching.halves(read_dataset(traffic))
    measured = watching.measure(watched, classifier, later, setting)
    metrics = measured.metrics()
    digests = _digests(detectors)
    reached = {name: judge(policy, metrics, digests[f"{name}_detector"], of="detectors") for name in DETECTORS}
    for name, verdict in reached.items():
        Path(verdicts[name]).write_text(verdict.model_dump_json(indent=2))
    passed = all(verdict.passed for verdict in reached.values())
    watching_report.write_detectors_report(Path(report_file), measured, reached["drift"])
    alarms = measured.false_alarms
    records = [
        Evidence(
            stage=Stage.MONITORING,
            mitigations=("AML.M0015",),
            claim="On traffic after that which they were fitted on, the detectors keep their false alarms, see "
            "injected changes of the site and rewritten attacks, and tell one from the other.",
            measured={
                "windows": alarms.windows,
                "alarms": alarms.alarms,
                "alarms_compatible_with_the_level": alarms.allowed,
                "evasions": measured.evasions,
                "flagged_evasions": measured.flagged_evasions,
                **metrics,
            },
            artifacts=digests,
            producer="evaluate_detectors",
            holds=passed,
        ),
        *verdict_evidence(
            reached["adversarial"], "evaluate_detectors", subject="adversarial_detector", stage=Stage.MONITORING
        ),
    ]
    hand_on([dossier], evidence, *records)
    refused = ", ".join(result.metric for result in reached["drift"].failures)
    say(
        f"detectors {'passed the gate' if passed else f'failed the gate: {refused}'}; "
        f"{metrics['drift_false_alarms_per_day']:.1f} false alarms a day, "
        f"verdict right {metrics['verdict_accuracy']:.0%}"
    )
    return DetectorsJudged(passed, reached, metrics)


def sign_detectors(
    detectors: Mapping[str, str],
    verdicts: Mapping[str, str],
    bundles: Mapping[str, str],
    dossier: str,
    evidence: str,
    *,
    run_id: str,
    key: str = release.SIGNING_KEY,
) -> None:
    """Assemble and sign a bundle of each detector, or of none of them.

    Args:
        detectors: for each of `DETECTORS` its directory.
        verdicts: for each of them the gate's verdict on it.
        bundles: for each of them the bundle to write.
        dossier: the evidence so far.
        evidence: the dossier handed on.
        run_id: the pipeline run.
        key: where the private key is.

    Raises:
        GateNotPassed: a verdict failed; nothing is signed.
        VerdictMismatch: a verdict names another detector.
        MissingKey: there is no private key.
    """
    for name in DETECTORS:
        reached = Verdict.model_validate_json(Path(verdicts[name]).read_bytes())
        if not reached.passed:
            raise GateNotPassed(detectors[name], reached.failures)
    with tempfile.TemporaryDirectory() as folder:
        handed = [str(Path(folder) / name) for name in DETECTORS]
        for name, out in zip(DETECTORS, handed, strict=True):
            release.sign_bundle(detectors[name], verdicts[name], dossier, bundles[name], out, run_id=run_id, key=key)
        hand_on(handed, evidence)


def publish_detectors(
    bundles: Mapping[str, str], publish_to: str, dossier: str, evidence: str, *, key: str = release.TRUSTED_KEY
) -> dict[str, str]:
    """Verify the signed detectors and publish each under a name that its digest gives.

    Returns:
        The URI of each, by name.

    Raises:
        BundleError: one does not verify; that one is not published, nor any after it.
    """
    with tempfile.TemporaryDirectory() as folder:
        handed = [str(Path(folder) / name) for name in DETECTORS]
        uris = {
            name: release.publish_bundle(bundles[name], publish_to, dossier, out, key=key)
            for name, out in zip(DETECTORS, handed, strict=True)
        }
        hand_on(handed, evidence)
    say(f"published {', '.join(uris)}")
    return uris


def setting_of(setting: Setting) -> dict[str, Any]:
    """A setting as plain data, as `Setting(**...)` takes it."""
    return {name: getattr(setting, name) for name in Setting.__dataclass_fields__}


def _watched(detectors: Mapping[str, str], classifier: Classifier, champion: str, setting: Setting) -> Watched:
    files = {name: {f.name: f.read_bytes() for f in Path(detectors[name]).iterdir()} for name in DETECTORS}
    for each in files.values():
        card = json.loads(each[CARD])
        fitted = Watching.of(card).watched_digest or "unknown"
        if fitted != champion:
            raise NotFittedBeside(fitted, champion)
    loaded: dict[str, Any] = {
        name: load_detector(each, watched=scorer(classifier), rewriters=REWRITERS) for name, each in files.items()
    }
    level = float(card["operation"]["false_alarms_per_window"])
    return Watched(**loaded, level=level, windows_per_day=setting.false_alarms_per_day / level)


def _classifier(champion: str) -> Classifier:
    return models.load_classifier({file.name: file.read_bytes() for file in Path(champion).iterdir() if file.is_file()})


def _digests(detectors: Mapping[str, str]) -> dict[str, str]:
    return {f"{name}_detector": model_digest(detectors[name]) for name in DETECTORS}
