"""Evaluating, attacking and judging the candidates; the reports people read."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secmlops.bundle import bytes_digest, file_digest, model_digest
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence, verdict_evidence
from secmlops.lifecycle.gate import Verdict, judge
from secmlops.lifecycle.policy import load_policy
from secmlops.lifecycle.promotion import Measurement, write_measurement
from secmlops.lifecycle.stages import Stage
from secmlops.progress import reporter, say
from secmlops.web_attacks import models, report, robustness
from secmlops.web_attacks.dataset import read_dataset
from secmlops.web_attacks.evaluation import Evaluation, evaluate
from secmlops.web_attacks.probes import probe_fpr
from secmlops.web_attacks.robustness import RobustnessReport


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What evaluating one model gave.

    Attributes:
        metrics: every figure, by the names that policies use.
        roc: false-positive rates, true-positive rates, thresholds, all finite.
        confusion: [[true normal, false attack], [false normal, true attack]].
    """

    metrics: dict[str, float]
    roc: tuple[list[float], list[float], list[float]]
    confusion: list[list[int]]


@dataclass(frozen=True, slots=True)
class Judged:
    """The gate's decision.

    Attributes:
        passed: whether the champion met every requirement.
        architecture: the champion's.
        verdict: the champion's.
        metrics: per candidate, requirements failed.
    """

    passed: bool
    architecture: str
    verdict: Verdict
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Candidate:
    model: Path
    architecture: str
    evaluation: Evaluation
    robustness: RobustnessReport
    verdict: Verdict

    @property
    def rank(self) -> tuple[bool, int, float, float]:
        """Passed first, then fewest failures, then most attacks seen and resisted, then the fastest."""
        metrics = self.evaluation.metrics()
        seen = metrics.get("tpr_at_1pct_fpr", 0.0) - self.robustness.metrics().get("evasion_rate", 1.0)
        return self.verdict.passed, -len(self.verdict.failures), seen, -metrics["latency_p95_ms"]


def evaluate_classifier(
    model: str,
    test: str,
    evaluation: str,
    training_evidence: str,
    evidence: str,
    *,
    rounds: int,
    candidates: int,
    attacked_requests: int,
    seed: int,
) -> Evaluated:
    """Measure a model on held-out requests and attack it under a query budget.

    Args:
        model: unsigned model directory.
        test: held-out labelled requests.
        evaluation: folder to write `subject.json`, `evaluation.json`, `robustness.json` and `measurement.json` into.
        training_evidence: the dossier of its training.
        evidence: that dossier with this evaluation's record.
        rounds: rounds of the query attack.
        candidates: mutated candidates per round.
        attacked_requests: how many attacks it starts from.
        seed: seed of the attack.
    """
    classifier = models.load_classifier(_files(Path(model)))
    records = read_dataset(test)
    measured = evaluate(classifier, records).model_copy(update={"probe_fpr": probe_fpr(classifier)})
    attacked = robustness.attack(
        classifier,
        records,
        rounds=rounds,
        candidates=candidates,
        seed=seed,
        max_records=attacked_requests,
        on_progress=reporter(f"attacking {classifier.name}"),
    )
    digest = model_digest(model)
    folder = Path(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subject.json").write_text(json.dumps({"model": digest, "architecture": classifier.name}))
    (folder / "evaluation.json").write_text(measured.model_dump_json())
    (folder / "robustness.json").write_text(attacked.model_dump_json())
    metrics = measured.metrics() | attacked.metrics()
    settings = {"rounds": rounds, "candidates": candidates, "attacked_requests": attacked_requests, "seed": seed}
    write_measurement(
        Measurement(
            model_digest=digest,
            data_digest=file_digest(test),
            attacks_digest=bytes_digest(json.dumps(settings, sort_keys=True).encode()),
            labelled=measured.n,
            metrics={**metrics},
        ),
        folder,
    )
    record = Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=("AML.M0008",),
        claim=f"{classifier.name} was measured on held-out requests, and a score-guided attacker rewrote the attacks "
        f"that it detects, with at most {rounds * candidates} queries for each.",
        measured={
            "requests": measured.n,
            "attacks_attacked": attacked.n_attacked,
            "attacks_evaded": attacked.n_evaded,
            "queries_per_attack_at_most": rounds * candidates,
            **metrics,
        },
        artifacts={"model": digest},
        producer=f"evaluate_classifier-{classifier.name}",
    )
    hand_on([training_evidence], evidence, record)
    say(
        f"{classifier.name}: {metrics.get('tpr_at_1pct_fpr', 0):.1%} of attacks seen at 1 % false alarms, "
        f"{metrics.get('evasion_rate', 1):.1%} evade"
    )
    roc = measured.roc
    curve = (list(roc.x), list(roc.y), list(roc.threshold)) if roc else ([], [], [])
    return Evaluated(metrics, curve, measured.confusion.rows())


def judge_models(
    candidate_models: Sequence[str],
    evaluations: Sequence[str],
    candidate_evidence: Sequence[str],
    dossier: str,
    requirements: str,
    champion: str,
    verdict: str,
    report_file: str,
    evidence: str,
) -> Judged:
    """Judge every candidate by the policy and choose the champion: a candidate that passed, if there is one.

    Args:
        candidate_models: unsigned model directories.
        evaluations: folders that `evaluate_classifier` wrote, in any order.
        candidate_evidence: the candidates' dossiers.
        dossier: the evidence of the data.
        requirements: the policy.
        champion: where the champion's directory is copied.
        verdict: where its verdict is written.
        report_file: where the HTML report on all candidates is written.
        evidence: the dossier handed on.

    Raises:
        KeyError: a model has no evaluation.
    """
    policy = load_policy(requirements)
    by_digest = {json.loads((Path(e) / "subject.json").read_text())["model"]: Path(e) for e in evaluations}
    candidates = []
    for path in map(Path, candidate_models):
        digest = model_digest(path)
        measured = Evaluation.model_validate_json((by_digest[digest] / "evaluation.json").read_bytes())
        attacked = RobustnessReport.model_validate_json((by_digest[digest] / "robustness.json").read_bytes())
        reached = judge(policy, measured.metrics() | attacked.metrics(), digest)
        candidates.append(_Candidate(path, measured.model, measured, attacked, reached))
    best = max(candidates, key=lambda candidate: candidate.rank)
    shutil.copytree(best.model, champion, dirs_exist_ok=True)
    Path(verdict).write_text(best.verdict.model_dump_json(indent=2))
    report.write_report(
        Path(report_file),
        evaluations=[c.evaluation for c in candidates],
        robustness=[c.robustness for c in candidates],
        verdicts=[c.verdict for c in candidates],
        champion=best.architecture,
    )
    failed = {f"{c.architecture}_requirements_failed": float(len(c.verdict.failures)) for c in candidates}
    record = Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=("AML.M0008",),
        claim=f"Every candidate was judged by policy {policy.name} {policy.version}; {best.architecture} is best.",
        measured={"champion": best.architecture, "passed": best.verdict.passed, **failed},
        artifacts={"policy": policy.digest(), "champion": best.verdict.model_digest},
        producer="judge_models",
        holds=best.verdict.passed,
    )
    hand_on([dossier, *candidate_evidence], evidence, record, *verdict_evidence(best.verdict, "judge_models"))
    refused = ", ".join(result.metric for result in best.verdict.failures)
    say(f"{best.architecture} {'passed the gate' if best.verdict.passed else f'failed the gate: {refused}'}")
    return Judged(best.verdict.passed, best.architecture, best.verdict, failed)


def _files(model: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in model.iterdir() if file.is_file()}
