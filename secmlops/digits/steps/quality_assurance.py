"""Attacking and measuring the variants, choosing among them, and examining the one that was chosen.

Variants are compared on images that no training saw. By being best there a variant has been lucky too, so the verdict
and the figures that are told are those of the champion alone, on images that no choice has looked at.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secmlops.bundle import model_digest
from secmlops.digits import published, report, report_plots
from secmlops.digits.choosing import Candidate, choose, pareto_front
from secmlops.digits.evaluation import Evaluation, evaluate
from secmlops.digits.model import ImageClassifier, read_model
from secmlops.images.image_set import ImageSet, read_images
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence, verdict_evidence
from secmlops.lifecycle.gate import Verdict, judge
from secmlops.lifecycle.policy import Policy, load_policy
from secmlops.lifecycle.stages import Stage
from secmlops.progress import reporter, say


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which variant goes to the exam.

    Attributes:
        recipe: the champion's.
        metrics: per candidate, requirements failed on the images to choose by.
    """

    recipe: str
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Examined:
    """The gate's decision.

    Attributes:
        verdict: the champion's.
        evaluation: what was measured.
    """

    verdict: Verdict
    evaluation: Evaluation


def evaluate_recipe(
    model: str,
    selection: str,
    requirements: str,
    evaluation: str,
    report_file: str,
    training_evidence: str,
    evidence: str,
    *,
    attacks: Sequence[str],
    attacked_images: int,
    seed: int,
) -> Evaluation:
    """Measure a classifier on images that it was not trained on, attack it, and prove what can be proved.

    Args:
        model: unsigned model directory.
        selection: labelled images by which variants are compared.
        requirements: the policy; the budget of the attacks is its `eps`.
        evaluation: folder to write `subject.json` and `evaluation.json` into.
        report_file: HTML report on this variant.
        training_evidence: the dossier of its training.
        evidence: that dossier with this evaluation's record.
        attacks: names out of `secmlops.robustness.attacks.ATTACKS`.
        attacked_images: how many images are attacked; 0: all.
        seed: of the attacks.

    Raises:
        UnknownAttack: no attack has one of the names.
        PolicyInvalid: the policy gives no `eps`.
    """
    measured = _Measured.of(model, selection, load_policy(requirements), attacks, attacked_images, seed)
    folder = Path(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subject.json").write_text(json.dumps({"model": measured.digest}))
    (folder / "evaluation.json").write_text(measured.evaluation.model_dump_json())
    report.write_report(report_file, [measured.candidate], pictures=measured.pictures())
    hand_on([training_evidence], evidence, measured.record(f"evaluate_recipe-{measured.evaluation.recipe}", attacks))
    say(measured.sentence())
    return measured.evaluation


def choose_recipe(
    candidate_models: Sequence[str],
    evaluations: Sequence[str],
    candidate_evidence: Sequence[str],
    dossier: str,
    requirements: str,
    champion: str,
    report_file: str,
    evidence: str,
) -> Chosen:
    """Compare every variant by the policy and choose the champion: one that met it, if there is one.

    Args:
        candidate_models: unsigned model directories.
        evaluations: folders that `evaluate_recipe` wrote, in any order.
        candidate_evidence: the candidates' dossiers.
        dossier: the evidence of the data.
        requirements: the policy.
        champion: where the champion's directory is copied.
        report_file: where the HTML report on all candidates is written.
        evidence: the dossier handed on.

    Raises:
        KeyError: a model has no evaluation.
    """
    policy = load_policy(requirements)
    compared = {one.verdict.model_digest: one for one in _compared(evaluations, policy)}
    models = {model_digest(path): Path(path) for path in candidate_models}
    candidates = [compared[digest] for digest in models]
    best = choose(candidates)
    shutil.copytree(models[best.verdict.model_digest], champion, dirs_exist_ok=True)
    report.write_report(report_file, candidates, champion=best)
    recipe = best.evaluation.recipe
    failed = {f"{c.evaluation.recipe}_requirements_failed": float(len(c.verdict.failures)) for c in candidates}
    front = [candidates[i].evaluation.recipe for i in pareto_front([c.evaluation.metrics() for c in candidates])]
    record = Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=(),
        claim=f"Every variant was compared by policy {policy.name} {policy.version} on images kept for it; "
        f"{recipe} is best and goes to the exam.",
        measured={"champion": recipe, "pareto_front": ", ".join(front), "images": best.evaluation.n, **failed},
        artifacts={"policy": policy.digest(), "champion": best.verdict.model_digest},
        producer="choose_recipe",
    )
    hand_on([dossier, *candidate_evidence], evidence, record)
    passing = sum(candidate.verdict.passed for candidate in candidates)
    say(f"{passing} of {len(candidates)} meet the policy; {recipe} goes to the exam")
    return Chosen(recipe, failed)


def examine_champion(
    champion: str,
    test: str,
    requirements: str,
    evaluations: Sequence[str],
    dossiers: Sequence[str],
    verdict: str,
    report_file: str,
    evidence: str,
    *,
    attacks: Sequence[str],
    attacked_images: int,
    seed: int,
) -> Examined:
    """The gate: measure and attack the champion on images that no choice has looked at, and judge it by the policy.

    Args:
        champion: unsigned model directory.
        test: labelled images, never used before.
        requirements: the policy; the budget of the attacks is its `eps`.
        evaluations: folders that `evaluate_recipe` wrote of all variants, shown beside; none: there was no choice.
        dossiers: the evidence so far.
        verdict: where the verdict is written.
        report_file: where the HTML report on the exam and all variants is written.
        evidence: the dossier handed on.
        attacks: names out of `secmlops.robustness.attacks.ATTACKS`.
        attacked_images: how many test images are attacked; 0: all.
        seed: of the attacks.

    Raises:
        UnknownAttack: no attack has one of the names.
        PolicyInvalid: the policy gives no `eps`.
    """
    policy = load_policy(requirements)
    measured = _Measured.of(champion, test, policy, attacks, attacked_images, seed)
    reached, recipe = measured.candidate.verdict, measured.evaluation.recipe
    Path(verdict).write_text(reached.model_dump_json(indent=2))
    report.write_report(
        report_file, _compared(evaluations, policy), exam=measured.candidate, pictures=measured.pictures()
    )
    record = Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=("AML.M0008",),
        claim=f"{recipe} was judged by policy {policy.name} {policy.version} on images that no choice had looked at.",
        measured={"champion": recipe, "passed": reached.passed, "test_images": measured.evaluation.n},
        artifacts={"policy": policy.digest(), "champion": measured.digest},
        producer="examine_champion",
        holds=reached.passed,
    )
    producer = "examine_champion"
    records = [measured.record(producer, attacks), record, *verdict_evidence(reached, producer)]
    hand_on(dossiers, evidence, *records)
    refused = ", ".join(result.metric for result in reached.failures)
    say(f"{measured.sentence()}; {'passed the gate' if reached.passed else f'failed the gate: {refused}'}")
    return Examined(reached, measured.evaluation)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A model, the images that it was measured on, and what came of it."""

    classifier: ImageClassifier
    images: ImageSet
    candidate: Candidate
    mitigations: tuple[str, ...]

    @staticmethod
    def of(
        model: str, images: str, policy: Policy, attacks: Sequence[str], attacked_images: int, seed: int
    ) -> "_Measured":
        facts = json.loads((Path(model) / "card.json").read_bytes())["training"]
        classifier, seen = read_model(model), read_images(images)
        evaluation = evaluate(
            classifier,
            seen,
            recipe=facts["recipe"],
            family=facts["family"],
            eps=policy.operating("eps"),
            training_eps=facts["training_eps"],
            training_s=facts["training_s"],
            attack_names=attacks,
            attacked_images=attacked_images,
            seed=seed,
            on_progress=reporter(f"attacking {facts['recipe']}"),
        )
        candidate = Candidate(evaluation, judge(policy, evaluation.metrics(), model_digest(model)))
        return _Measured(classifier, seen, candidate, tuple(facts["mitigations"]))

    @property
    def evaluation(self) -> Evaluation:
        return self.candidate.evaluation

    @property
    def digest(self) -> str:
        return self.candidate.verdict.model_digest

    def pictures(self) -> list[report_plots.Picture]:
        return report_plots.draw_attacked(self.classifier, self.images, self.evaluation.eps)

    def record(self, producer: str, attacks: Sequence[str]) -> Evidence:
        found = self.evaluation
        past = ", and together with its detector" if self.classifier.config.detector else ""
        return Evidence(
            stage=Stage.QUALITY_ASSURANCE,
            mitigations=("AML.M0008", *self.mitigations),
            claim=f"{found.recipe} was attacked within {found.eps:g} a pixel by {', '.join(attacks)}{past}.",
            measured={**found.metrics(), "images": found.n},
            artifacts={"model": self.digest},
            producer=producer,
            holds=self.candidate.verdict.passed,
        )

    def sentence(self) -> str:
        found = self.evaluation
        return (
            f"{found.recipe}: {found.clean_accuracy:.1%} clean, {found.metrics()['robust_accuracy']:.1%} under attack, "
            f"{found.certified_accuracy:.1%} proved{published.beside(found)}"
        )


def _compared(evaluations: Sequence[str], policy: Policy) -> list[Candidate]:
    """The variants as `evaluate_recipe` measured them, judged."""
    candidates = []
    for folder in map(Path, evaluations):
        measured = Evaluation.model_validate_json((folder / "evaluation.json").read_bytes())
        digest = json.loads((folder / "subject.json").read_text())["model"]
        candidates.append(Candidate(measured, judge(policy, measured.metrics(), digest)))
    return candidates
