"""The ways to make a digits classifier, as data: one for each family of defence, and the standard one to compare with.

Recipes are tuned on MNIST (training split only). A small data set gets more passes and, where its images have few
pixels, smaller attacks: a change that a person does not notice in 28 x 28 pixels can hide a digit of 8 x 8.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from secmlops.errors import SecmlopsError
from secmlops.images.image_set import ImageSet
from secmlops.robustness.attacks.pgd import Pgd
from secmlops.robustness.classifiers import ClassifierConfig, build_classifier
from secmlops.robustness.hardening.adversarial_training import CrossEntropy, FgsmTraining, RobustAccuracy, Trades
from secmlops.robustness.hardening.certified_training import (
    AttackedAndBounded,
    IntervalBoundPropagation,
    start_for_intervals,
)
from secmlops.robustness.hardening.distillation import Distillation, HotCrossEntropy
from secmlops.robustness.hardening.ensemble import Ensemble
from secmlops.robustness.hardening.fit import FitConfig, FitReport, Objective, Progress, fit
from secmlops.robustness.networks import Activation, NetworkConfig
from secmlops.robustness.transformations import (
    BitDepthConfig,
    ContrastConfig,
    Denoiser,
    Denoising,
    DenoisingConfig,
    JpegConfig,
    MedianConfig,
    TransformationConfig,
    Transformed,
)

Family = Literal[
    "none",
    "adversarial training",
    "certified robustness",
    "defensive distillation",
    "input transformation",
    "robust architecture",
    "ensemble",
]

FULL_SET = 60_000
"""Images of the set for which the epochs of recipes are meant; a smaller set gets more, to see as many images."""

FEW_EPOCHS = 30
"""Most passes over a small set, unless a recipe has more than half as many on the full one: then twice those."""

LONGEST_STEP = 3.0
"""By this factor at most the learning rate rises where a set allows for fewer steps only."""

SMALL_SIDE = 16
"""Images with a shorter side have few pixels."""

SMALL_EPS = 1 / 3
"""By this factor attacks on such images are smaller."""

MOST_STRETCHED = 0.45
"""Budgets that take away all contrast but a tenth, or more, are refused."""

_VALIDATED = 500
"""Validation images that are attacked after each epoch."""


@dataclass(frozen=True, slots=True)
class Member:
    """A network without what the data decide.

    Attributes:
        channels: of each convolution.
        hidden: width of each hidden linear layer.
        activation: after each of them.
    """

    channels: tuple[int, ...] = (32, 64)
    hidden: tuple[int, ...] = (256,)
    activation: Activation = "relu"

    def config(self, image_shape: tuple[int, int, int], classes: int) -> NetworkConfig:
        """The network for some images."""
        return NetworkConfig(image_shape=image_shape, classes=classes, **{n: getattr(self, n) for n in self.__slots__})


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to train a classifier.

    Attributes:
        name: on the command line and in tables.
        family: of defence.
        sources: the papers it follows.
        atlas: MITRE ATLAS mitigations that it implements.
        eps: largest change of a pixel, on MNIST, that it is made for; 0 for none.
        objective: what is minimized; its own eps may lie above that of the recipe. With `HotCrossEntropy` a second
            network of the same kind learns from the first, and is what is kept.
        fit: how, on `FULL_SET` images.
        members: the networks; several make an ensemble.
        transformation: what images pass through first.
        stretched: whether they pass through a `ContrastStretching` that takes eps from both ends.
        choose_best: whether the epoch with the highest robust accuracy on validation images is kept, or the last one.
    """

    name: str
    family: Family
    sources: tuple[str, ...]
    atlas: tuple[str, ...]
    eps: float
    objective: Objective
    fit: FitConfig
    members: tuple[Member, ...] = (Member(),)
    transformation: TransformationConfig | None = None
    stretched: bool = False
    choose_best: bool = False

    def classifier(self, image_shape: tuple[int, int, int], classes: int, eps: float) -> ClassifierConfig:
        """What is trained on images of this shape against changes of this size.

        Raises:
            BudgetTooLarge: no contrast is left.
        """
        if self.stretched and eps >= MOST_STRETCHED:
            raise BudgetTooLarge(self.name, eps)
        transformation = ContrastConfig(low=eps, high=1 - eps) if self.stretched else self.transformation
        if isinstance(transformation, DenoisingConfig):
            transformation = transformation.model_copy(update={"image_channels": image_shape[0]})
        return ClassifierConfig(
            members=tuple(member.config(image_shape, classes) for member in self.members),
            transformation=transformation,
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """What a recipe made of a data set.

    Attributes:
        recipe: the recipe.
        classifier: from images to logits, on the processor, in evaluation mode.
        config: builds the classifier again around its weights.
        eps: largest change of a pixel that it is made for, on these images.
        reports: what each training did: of the members in turn, of a teacher before its student.
    """

    recipe: Recipe
    classifier: nn.Module = field(repr=False)
    config: ClassifierConfig
    eps: float
    reports: tuple[FitReport, ...] = field(repr=False)

    @property
    def seconds(self) -> float:
        """Wall time of all trainings."""
        return sum(report.seconds for report in self.reports)


class UnknownRecipe(SecmlopsError):
    """There is no recipe of this name.

    Attributes:
        name: what was asked for.
        known: what there is.
    """

    def __init__(self, name: str, known: tuple[str, ...]):
        self.name, self.known = name, known
        super().__init__(f"no recipe {name!r}: choose one of {', '.join(known)}")


class BudgetTooLarge(SecmlopsError):
    """Changes of this size leave nothing of the contrast that a recipe relies on.

    Attributes:
        recipe: its name.
        eps: the budget.
    """

    def __init__(self, recipe: str, eps: float):
        self.recipe, self.eps = recipe, eps
        super().__init__(
            f"{recipe} stretches the contrast between eps and 1 - eps, and eps is {eps:g}: take one below "
            f"{MOST_STRETCHED:g}, or another recipe"
        )


_FGSM = FitConfig(epochs=6, batch_size=128, learning_rate=5e-3, averaging=0.998, largest_drop=0.1)
_AROUND = Trades(eps=0.3, steps=4)
_TRADES = FitConfig(epochs=10, batch_size=128, learning_rate=3e-3, warm_up=0.3, averaging=0.999, shift=1)
_CERTIFIED = FitConfig(epochs=50, batch_size=128, learning_rate=3e-3, warm_up=0.3, averaging=0.998)
_SMALL = Member(channels=(16, 32), hidden=(100,))

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="standard",
            family="none",
            sources=(),
            atlas=(),
            eps=0.0,
            objective=CrossEntropy(),
            fit=FitConfig(epochs=5, averaging=0.995),
        ),
        Recipe(
            name="fgsm",
            family="adversarial training",
            sources=("Goodfellow et al. 2015", "Wong et al. 2020"),
            atlas=("AML.M0003",),
            eps=0.1,
            objective=FgsmTraining(eps=0.25, growth=0.1),
            fit=_FGSM,
            members=(_SMALL,),
            choose_best=True,
        ),
        Recipe(
            name="trades",
            family="adversarial training",
            sources=("Zhang et al. 2019",),
            atlas=("AML.M0003",),
            eps=0.3,
            objective=_AROUND,
            fit=_TRADES,
        ),
        Recipe(
            name="robust_architecture",
            family="robust architecture",
            sources=("Madry et al. 2018 (thresholds)", "Xie et al. 2020 (smooth activations)", "Zhang et al. 2019"),
            atlas=("AML.M0003",),
            eps=0.3,
            objective=_AROUND,
            fit=_TRADES,
            members=(Member(activation="silu"),),
            stretched=True,
        ),
        Recipe(
            name="certified_small",
            family="certified robustness",
            sources=("De Palma et al. 2024", "Gowal et al. 2019", "Shi et al. 2021"),
            atlas=("AML.M0003",),
            eps=0.1,
            objective=AttackedAndBounded(eps=0.11, bounded=0.2),
            fit=_CERTIFIED.model_copy(update={"epochs": 20, "shift": 1}),
            members=(_SMALL,),
            stretched=True,
        ),
        Recipe(
            name="certified_large",
            family="certified robustness",
            sources=("Gowal et al. 2019", "Shi et al. 2021"),
            atlas=("AML.M0003",),
            eps=0.3,
            objective=IntervalBoundPropagation(eps=0.305, natural=(1.0, 0.4)),
            fit=_CERTIFIED,
            members=(_SMALL,),
            stretched=True,
        ),
        Recipe(
            name="distillation",
            family="defensive distillation",
            sources=("Papernot et al. 2016", "Carlini and Wagner 2017 (what breaks it)"),
            atlas=("AML.M0003",),
            eps=0.1,
            objective=HotCrossEntropy(temperature=20.0),
            fit=FitConfig(epochs=5, averaging=0.995),
        ),
        Recipe(
            name="input_transformation",
            family="input transformation",
            sources=("Xu et al. 2018",),
            atlas=("AML.M0010",),
            eps=0.1,
            objective=CrossEntropy(),
            fit=FitConfig(epochs=5, averaging=0.995),
            transformation=BitDepthConfig(bits=1),
        ),
        *(
            Recipe(
                name=name,
                family="input transformation",
                sources=(source,),
                atlas=("AML.M0010",),
                eps=0.1,
                objective=CrossEntropy(),
                fit=FitConfig(epochs=5, averaging=0.995),
                transformation=transformation,
            )
            for name, source, transformation in (
                ("median_smoothing", "Xu et al. 2018", MedianConfig(size=3)),
                ("jpeg_compression", "Das et al. 2018", JpegConfig(quality=50)),
                ("denoising", "Liao et al. 2018 (guided denoiser)", DenoisingConfig()),
            )
        ),
        Recipe(
            name="ensemble",
            family="ensemble",
            sources=("Lakshminarayanan et al. 2017", "Wong et al. 2020"),
            atlas=("AML.M0003", "AML.M0006"),
            eps=0.1,
            objective=FgsmTraining(eps=0.25, growth=0.1),
            fit=_FGSM,
            members=(Member(), Member(activation="silu"), Member(channels=(16, 32, 64), hidden=(128,))),
            choose_best=True,
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UnknownRecipe: there is none.
    """
    if name not in RECIPES:
        raise UnknownRecipe(name, tuple(RECIPES))
    return RECIPES[name]


def eps_scale(image_shape: tuple[int, int, int]) -> float:
    """By what factor attacks on images of this shape are smaller than on MNIST."""
    return SMALL_EPS if min(image_shape[1:]) < SMALL_SIDE else 1.0


def train_recipe(
    name: str,
    train: ImageSet,
    validation: ImageSet,
    *,
    seed: int = 0,
    eps: float | None = None,
    checkpoint: Path | None = None,
    on_progress: Progress | None = None,
    **settings: Any,
) -> Trained:
    """Train a classifier by a recipe.

    Args:
        name: of the recipe.
        train: what to learn from.
        validation: images that it does not see, to choose among epochs.
        seed: of everything that is drawn.
        eps: largest change of a pixel to resist, instead of the recipe's.
        checkpoint: folder for the trainings' checkpoints; a training that was interrupted goes on from there.
        on_progress: called with steps done, steps of this training, and a message.
        settings: fields of `FitConfig` instead of the recipe's.

    Raises:
        UnknownRecipe: there is no such recipe.
        BudgetTooLarge: the recipe does not go with such an eps.
        TrainingDiverged, TrainingCollapsed: the training failed.
        CheckpointUnusable: the folder has checkpoints of another training.
    """
    recipe = recipe_named(name)
    meant = recipe.eps * eps_scale(train.shape) if eps is None else eps
    config = recipe.classifier(train.shape, len(train.classes), meant)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = build_classifier(config)
        student = build_classifier(config)
        if recipe.family == "certified robustness":
            start_for_intervals(classifier)
    trainer = _Trainer(
        torch.from_numpy(train.images),
        torch.from_numpy(train.labels),
        _validation(recipe, validation, meant),
        sized(recipe.fit, len(train), train.shape).model_copy(update={"seed": seed, **settings}),
        checkpoint,
        on_progress,
    )
    objective = _made_for(recipe, meant)
    reports = [
        trainer.train(f"network {number}", part, objective, number)
        for number, part in enumerate(_parts(classifier), start=1)
    ]
    if isinstance(objective, HotCrossEntropy):
        lesson = Distillation(classifier, objective.temperature)
        reports.append(trainer.train("student", student, lesson, len(reports) + 1))
        classifier = student
    if isinstance(recipe.transformation, DenoisingConfig):
        reports.append(trainer.train("denoiser", classifier, Denoising(), len(reports) + 1))
    return Trained(recipe, classifier.eval(), config, meant, tuple(reports))


def sized(config: FitConfig, images: int, image_shape: tuple[int, int, int]) -> FitConfig:
    """How to train on so many images of this shape what is meant for `FULL_SET` images of MNIST.

    A smaller set gets more passes and smaller batches, within limits, and where that still makes fewer steps, longer
    ones. Images of few pixels are not moved: one pixel is far for them.
    """
    passes = min(max(2 * config.epochs, FEW_EPOCHS), max(1, round(config.epochs * FULL_SET / images)))
    batch_size = min(config.batch_size, max(32, images // 20))
    fewer = (config.epochs * FULL_SET / config.batch_size) / (passes * images / batch_size)
    return config.model_copy(
        update={
            "epochs": passes,
            "batch_size": batch_size,
            "learning_rate": config.learning_rate * min(LONGEST_STEP, max(1.0, fewer**0.5)),
            "shift": 0 if min(image_shape[1:]) < SMALL_SIDE else config.shift,
        }
    )


def _made_for(recipe: Recipe, eps: float) -> Objective:
    """The objective for attacks of another size, if it is one that attacks."""
    objective: Any = recipe.objective
    return replace(objective, eps=objective.eps * eps / recipe.eps) if hasattr(objective, "eps") else objective


def _parts(classifier: nn.Module) -> list[nn.Module]:
    """What is trained in turn: the members of an ensemble, what stands behind a denoiser, or the whole classifier."""
    if isinstance(classifier, Transformed) and isinstance(classifier.transformation, Denoiser):
        return [classifier.network]
    return list(classifier.members) if isinstance(classifier, Ensemble) else [classifier]


def _validation(recipe: Recipe, validation: ImageSet, eps: float) -> RobustAccuracy | None:
    if not recipe.choose_best:
        return None
    order = np.random.default_rng(0).permutation(len(validation))[:_VALIDATED]  # files come class by class
    images, labels = (torch.from_numpy(a[order]) for a in (validation.images, validation.labels))
    return RobustAccuracy(Pgd(eps=eps, steps=10), images, labels)


@dataclass(frozen=True, slots=True)
class _Trainer:
    images: Tensor
    labels: Tensor
    validation: RobustAccuracy | None
    config: FitConfig
    checkpoint: Path | None
    on_progress: Progress | None

    def train(self, what: str, network: nn.Module, objective: Objective, number: int) -> FitReport:
        def tell(done: int, total: int, message: str) -> None:
            if self.on_progress is not None:
                self.on_progress(done, total, f"{what}, {message}")

        return fit(
            network,
            self.images,
            self.labels,
            objective,
            self.config,
            validation=self.validation,
            checkpoint=None if self.checkpoint is None else self.checkpoint / f"{number}.safetensors",
            on_progress=tell,
        )
