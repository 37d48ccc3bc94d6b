"""Model extraction: a student that learns from a model's answers (Knockoff Nets, Orekondy, Schiele and Fritz 2019).

ATLAS AML.T0024.002 (extract AI model). The thief needs queries, no labels and no access to the model; what stands
against it is to tell less (AML.M0002) and to answer less often (AML.M0004). Only measuring shows how much that helps.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from secmlops.errors import SecmlopsError
from secmlops.robustness.hardening.fit import FitConfig, fit
from secmlops.robustness.networks import NetworkConfig, build
from secmlops.robustness.theft.queries import Array, Obfuscation, Predict, obfuscated, of_network, rounded, top_one

Rate = Annotated[float, Field(ge=0, le=1)]

OBFUSCATIONS: dict[str, Obfuscation] = {"none": lambda told: told, "rounded": rounded(1), "top_one": top_one}
"""What a study compares: all, one decimal, or nothing but the class told."""


class UselessAnswers(SecmlopsError):
    """Answers that are no probabilities of the student's classes.

    Attributes:
        shape: of the answers.
        reason: what is wrong with them.
    """

    def __init__(self, shape: Sequence[int], reason: str):
        self.shape = tuple(shape)
        self.reason = reason
        super().__init__(f"the model's answers, of shape {list(shape)}, are no probabilities: {reason}")


class ExtractionReport(BaseModel):
    """What a thief got for their queries.

    Attributes:
        obfuscation: what the model told.
        queries: answers that the student learned from.
        agreement: share of the evaluation images that student and model call the same.
        victim_accuracy: of the model on them.
        student_accuracy: of the student on them.
        evaluation_images: how many.
        seconds: of queries and training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    obfuscation: str
    queries: int
    agreement: Rate
    victim_accuracy: Rate
    student_accuracy: Rate
    evaluation_images: int
    seconds: float


def extract(predict: Predict, queries: Tensor, student: NetworkConfig, config: FitConfig) -> nn.Module:
    """Ask the model about every query (n, c, h, w) and train a student on the answers.

    Raises:
        UselessAnswers: the model does not answer with probabilities of the student's classes.
    """
    answers = predict(queries.numpy())
    _check(answers, len(queries), student.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build(student)
    targets = torch.from_numpy(np.ascontiguousarray(answers, dtype=np.float32))
    fit(network, queries, torch.arange(len(queries)), _LikeAnswers(targets), config)
    return network


def study_extraction(
    predict: Predict,
    queries: Tensor,
    images: Tensor,
    labels: Tensor,
    *,
    student: NetworkConfig,
    config: FitConfig,
    obfuscations: Mapping[str, Obfuscation] = OBFUSCATIONS,
) -> list[ExtractionReport]:
    """Extract a model once for each way of telling less, and compare the copies.

    Args:
        predict: the model.
        queries: the thief's images (q, c, h, w); none of them among the evaluation images.
        images: for evaluation (n, c, h, w).
        labels: their classes (n,).
        student: the thief's network.
        config: the thief's training.
        obfuscations: by name, what the thief is told.

    Raises:
        UselessAnswers: as `extract`.
    """
    victim = predict(images.numpy()).argmax(axis=1)
    truth = labels.numpy()
    reports = []
    for name, obfuscation in obfuscations.items():
        start = time.perf_counter()
        copy = extract(obfuscated(predict, obfuscation), queries, student, config)
        seconds = time.perf_counter() - start
        answers = of_network(copy)(images.numpy()).argmax(axis=1)
        reports.append(
            ExtractionReport(
                obfuscation=name,
                queries=len(queries),
                agreement=float((answers == victim).mean()),
                victim_accuracy=float((victim == truth).mean()),
                student_accuracy=float((answers == truth).mean()),
                evaluation_images=len(images),
                seconds=seconds,
            )
        )
    return reports


@dataclass(frozen=True, eq=False)
class _LikeAnswers:
    """Cross-entropy to the answers; the labels of `fit` say which answer belongs to which image."""

    answers: Tensor

    def __call__(self, network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        logits = network(images).float()
        return nn.functional.cross_entropy(logits, self.answers.to(logits.device)[labels])


def _check(answers: Array, queries: int, classes: int) -> None:
    if answers.shape != (queries, classes):
        raise UselessAnswers(answers.shape, f"{queries} queries about {classes} classes were asked")
    if not np.isfinite(answers).all() or answers.min() < 0 or answers.max() > 1:
        raise UselessAnswers(answers.shape, "some lie outside of 0..1; convert logits by softmax")
