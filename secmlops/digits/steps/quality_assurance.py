"""Attacking, measuring and judging the variants; the reports people read."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secmlops.bundle import model_digest
from secmlops.digits import published, report, report_plots
from secmlops.digits.choosing import Candidate, choose, pareto_front
from secmlops.digits.evaluation import Evaluation, evaluate
from secmlops.digits.model import read_model
from secmlops.images.image_set import read_images
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence, verdict_evidence
from secmlops.lifecycle.gate import Verdict, judge
from secmlops.lifecycle.policy import load_policy
from secmlops.lifecycle.stages import Stage
from secmlops.progress import reporter, say


@dataclass(frozen=True, slots=True)
class Chosen:
    """The gate's decision.

    Attributes:
        passed: whether the champion met every requirement.
        recipe: the champion's.
        verdict: the champion's.
        metrics: per candidate, requirements failed.
    """

    passed: bool
    recipe: str
    verdict: Verdict
    metrics: dict[str, float]


def evaluate_recipe(
    model: str,
    test: str,
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
    """Measure a classifier on held-out images, attack it, and prove what can be proved.

    Args:
        model: unsigned model directory.
        test: held-out labelled images.
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
    policy = load_policy(requirements)
    card = json.loads((Path(model) / "card.json").read_bytes())
    facts = card["training"]
    classifier, images = read_model(model), read_images(test)
    measured = evaluate(
        classifier,
        images,
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
    digest = model_digest(model)
    folder = Path(evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subject.json").write_text(json.dumps({"model": digest}))
    (folder / "evaluation.json").write_text(measured.model_dump_json())
    verdict = judge(policy, measured.metrics(), digest)
    pictures = report_plots.draw_attacked(classifier, images, measured.eps)
    report.write_report(report_file, [Candidate(Path(model), measured, verdict)], pictures=pictures)
    robust = measured.metrics()["robust_accuracy"]
    record = Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=("AML.M0008", *facts["mitigations"]),
        claim=f"{measured.recipe} was attacked within {measured.eps:g} a pixel by {', '.join(attacks)}.",
        measured={**measured.metrics(), "test_images": measured.n},
        artifacts={"model": digest},
        producer=f"evaluate_recipe-{measured.recipe}",
        holds=verdict.passed,
    )
    hand_on([training_evidence], evidence, record)
    say(
        f"{measured.recipe}: {measured.clean_accuracy:.1%} clean, {robust:.1%} under attack, "
        f"{measured.certified_accuracy:.1%} proved{published.beside(measured)}"
    )
    return measured


def choose_recipe(
    candidate_models: Sequence[str],
    evaluations: Sequence[str],
    candidate_evidence: Sequence[str],
    dossier: str,
    requirements: str,
    champion: str,
    verdict: str,
    report_file: str,
    evidence: str,
) -> Chosen:
    """Judge every variant by the policy and choose the champion: one that passed, if there is one.

    Args:
        candidate_models: unsigned model directories.
        evaluations: folders that `evaluate_recipe` wrote, in any order.
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
        candidates.append(Candidate(path, measured, judge(policy, measured.metrics(), digest)))
    best = choose(candidates)
    shutil.copytree(best.model, champion, dirs_exist_ok=True)
    Path(verdict).write_text(best.verdict.model_dump_json(indent=2))
    report.write_report(report_file, candidates, champion=best)
    recipe, passed = best.evaluation.recipe, best.verdict.passed
    failed = {f"{c.evaluation.recipe}_requirements_failed": float(len(c.verdict.failures)) for c in candidates}
    front = [candidates[i].evaluation.recipe for i in pareto_front([c.evaluation.metrics() for c in candidates])]
    record = Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=("AML.M0008",),
        claim=f"Every variant was judged by policy {policy.name} {policy.version}; {recipe} is best.",
        measured={"champion": recipe, "passed": passed, "pareto_front": ", ".join(front), **failed},
        artifacts={"policy": policy.digest(), "champion": best.verdict.model_digest},
        producer="choose_recipe",
        holds=passed,
    )
    hand_on([dossier, *candidate_evidence], evidence, record, *verdict_evidence(best.verdict, "choose_recipe"))
    refused = ", ".join(result.metric for result in best.verdict.failures)
    passing = sum(candidate.verdict.passed for candidate in candidates)
    say(f"{passing} of {len(candidates)} pass; {recipe} {'is chosen' if passed else f'fails {refused}'}")
    return Chosen(passed, recipe, best.verdict, failed)
