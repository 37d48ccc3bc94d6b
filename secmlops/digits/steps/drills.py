"""Quality assurance by drill: planted poison, and theft through the answers. Each can be left out."""

from pathlib import Path
from typing import Final

from secmlops.bundle import file_digest, model_digest
from secmlops.digits import drilling
from secmlops.digits.model import read_model
from secmlops.images.image_set import read_images
from secmlops.lifecycle.dossier import hand_on
from secmlops.lifecycle.evidence import Evidence
from secmlops.lifecycle.stages import Stage
from secmlops.progress import reporter, say

LEAST_BEFORE: Final = 0.9
"""Attack success below which nothing worth finding was planted."""

MOST_AFTER: Final = 0.05
"""Attack success that may be left after the clean-up."""

MOST_LOST: Final = 0.01
"""Clean accuracy that the clean-up may cost, or one image in so few that it weighs more."""

CLOSE_COPY: Final = 0.9
"""Agreement from which on a copy does the model's work."""

MOST_ADVANTAGE: Final = 0.1
"""True less false positive rate of membership inference that is taken for nothing."""


def drill_backdoor(
    train: str, validation: str, selection: str, dossier: str, evidence: str, *, enabled: bool, seed: int
) -> dict[str, float]:
    """Plant a backdoor in a copy of the training images, find it, and train without it.

    Args:
        train: images to learn from.
        validation: trusted images that the search uses.
        selection: images for the figures.
        dossier: the evidence so far.
        evidence: the dossier handed on, with the drill's record (AML.M0007).
        enabled: whether to do it at all.
        seed: of everything random.

    Returns:
        Every figure; none where it was left out.

    Raises:
        TrainingDiverged, TrainingCollapsed: a training of the drill failed.
    """
    if not enabled:
        hand_on([dossier], evidence)
        say("left out")
        return {}
    judged_on = read_images(selection)
    most_lost = max(MOST_LOST, 1 / len(judged_on))
    found = drilling.drill_backdoor(
        read_images(train),
        read_images(validation),
        judged_on,
        seed=seed,
        on_progress=reporter("backdoor drill"),
    )
    before, after = found.before.attack_success, found.after.attack_success
    metrics = {
        "attack_success_before": before,
        "attack_success_after": after,
        "clean_accuracy_lost": found.accuracy_lost,
        "rounds": float(found.rounds),
        **{f"{one.detector}_recall": one.recall for one in found.detectors},
        **{f"{one.detector}_false_positive_rate": one.false_positive_rate for one in found.detectors},
    }
    record = Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=("AML.M0007",),
        claim="A backdoor planted in a copy of the training images worked, was found, and was gone after training "
        "without the images that carried it: poison of this kind would not have gone unseen.",
        measured={**metrics, "train_images": found.train_images, "planted": found.planted, "target": found.plan.target},
        artifacts={"train": file_digest(Path(train))},
        producer="drill_backdoor",
        holds=before >= LEAST_BEFORE and after <= MOST_AFTER and found.accuracy_lost <= most_lost,
    )
    hand_on([dossier], evidence, record)
    say(f"a planted backdoor turns {before:.0%} of marked images, after the clean-up {after:.0%}")
    return metrics


def assess_theft(
    champion: str, train: str, validation: str, selection: str, dossier: str, evidence: str, *, enabled: bool, seed: int
) -> dict[str, float]:
    """Steal the champion through its answers, and guess by them what it learned from.

    Args:
        champion: unsigned model directory.
        train: images that it learned from.
        validation: the thief's images.
        selection: images for the figures; the model did not learn from them.
        dossier: the evidence so far.
        evidence: the dossier handed on, with a record on extraction (AML.M0002, AML.M0004) and one on membership
            inference (AML.M0008).
        enabled: whether to do it at all.
        seed: of everything random.

    Returns:
        Every figure; none where it was left out.

    Raises:
        TooFewMembers: there are fewer than 20 images of a kind.
    """
    if not enabled:
        hand_on([dossier], evidence)
        say("left out")
        return {}
    found = drilling.assess_theft(
        read_model(champion), read_images(train), read_images(validation), read_images(selection), seed=seed
    )
    few, many = drilling.QUERIES
    copy, metrics = found.agreement("none", many), found.metrics()
    digest = model_digest(champion)
    extraction = Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=("AML.M0002", "AML.M0004"),
        claim=f"A thief who asks {many:,} times and is told every probability gets no copy that agrees on "
        f"{CLOSE_COPY:.0%} of the images; beside it what telling less and answering {few:,} times would change.",
        measured={name: value for name, value in metrics.items() if name.startswith("copy_")},
        artifacts={"model": digest},
        producer="assess_theft",
        holds=copy < CLOSE_COPY,
    )
    membership = Evidence(
        stage=Stage.QUALITY_ASSURANCE,
        mitigations=("AML.M0008",),
        claim="By how sure the model is, images that it learned from are hardly told from others.",
        measured={
            **{name: value for name, value in metrics.items() if name.startswith("membership_")},
            "members": found.membership.members,
            "non_members": found.membership.non_members,
        },
        artifacts={"model": digest},
        producer="assess_theft",
        holds=found.membership.advantage <= MOST_ADVANTAGE,
    )
    hand_on([dossier], evidence, extraction, membership)
    say(f"a copy by {many:,} answers agrees on {copy:.0%}; membership advantage {found.membership.advantage:.2f}")
    return metrics
