"""Margins of requests whose site the scoring model has not seen: what thresholds and probabilities come from."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from secmlops.web_attacks.calibration import Floats, bounded_quantile
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.svm.config import SvmConfig
from secmlops.web_attacks.svm.corpus import SITE_UNDER_PROTECTION, Bag, Corpus, Texts, bag_of
from secmlops.web_attacks.svm.learner import fit
from secmlops.web_attacks.svm.linear_model import LinearModel
from secmlops.web_attacks.text_shape import text_shape

FEWEST_ALARMS: Final = 5
"""A parameter gets an allowance once so many normal requests of the site alarm in it."""
MOST_ALLOWANCE: Final = 1.5


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Margins of requests under models that did not see their site.

    Attributes:
        normals: of normal requests, those of the site under protection left out.
        attacks: of attacks.
        site_normals: for each normal request of the site under protection, the margin of each part label.
    """

    normals: Floats
    attacks: Floats
    site_normals: list[dict[str, float]]

    def joined(self, other: "HeldOut") -> "HeldOut":
        """Both sets of margins as one."""
        return HeldOut(
            np.concatenate([self.normals, other.normals]),
            np.concatenate([self.attacks, other.attacks]),
            self.site_normals + other.site_normals,
        )

    def site_margins(self, allowances: Mapping[str, float]) -> Floats:
        """Margins of the protected site's requests once the allowances are granted."""
        return np.array([max(m - allowances.get(label, 0.0) for label, m in one.items()) for one in self.site_normals])


def _fold_of(bag: Bag, texts: Texts, by_site: bool, folds: int, seed: int) -> int:
    """Sites stay whole where there are several; attacks, and the traffic of one site, are split by their shape."""
    if by_site and not bag.attack and bag.site != SITE_UNDER_PROTECTION:
        key = bag.site
    else:
        key = "|".join(sorted(text_shape(texts.all[i]) for i in bag.texts))
    return int.from_bytes(hashlib.blake2b(f"{seed}|{key}".encode(), digest_size=4).digest(), "big") % folds


def out_of_fold(corpus: Corpus, config: SvmConfig, on_progress: Callable[[str, float], None]) -> HeldOut:
    """Margins of every bag under a model fitted without its fold."""
    sites = {bag.site for bag in corpus.bags if not bag.attack} - {SITE_UNDER_PROTECTION}
    by_site = len(sites) >= 2 * config.folds
    fold = np.array([_fold_of(bag, corpus.texts, by_site, config.folds, config.seed) for bag in corpus.bags])
    normals, attacks, site_normals = [], [], []
    for number in range(config.folds):
        on_progress(f"scoring unseen requests, fold {number + 1} of {config.folds}", 0.05 + 0.6 * number / config.folds)
        kept = [bag for bag, own in zip(corpus.bags, fold, strict=True) if own != number]
        if not _both(kept):
            continue
        model = fit(corpus, kept, config, config.rounds, lambda share: None).model
        unseen = [bag for bag, own in zip(corpus.bags, fold, strict=True) if own == number]
        normals.append(_bag_margins(corpus.texts, model, [b for b in unseen if not b.attack and not b.labels]))
        attacks.append(_bag_margins(corpus.texts, model, [b for b in unseen if b.attack]))
        site_normals += _label_margins(corpus.texts, model, [b for b in unseen if b.labels])
    return HeldOut(np.concatenate(normals), np.concatenate(attacks), site_normals)


def _label_margins(texts: Texts, model: LinearModel, bags: Sequence[Bag]) -> list[dict[str, float]]:
    if not bags:
        return []
    ids = np.unique(np.concatenate([bag.texts for bag in bags]))
    margin = dict(zip(ids.tolist(), texts.margins(model, ids)[0].tolist(), strict=True))
    found = []
    for bag in bags:
        labels: dict[str, float] = {}
        for label, number in zip(bag.labels, bag.texts.tolist(), strict=True):
            labels[label] = max(margin[number], labels.get(label, -math.inf))
        found.append(labels)
    return found


def site_allowances(
    site: Sequence[Mapping[str, float]], cut: float, max_false_positive_rate: float
) -> dict[str, float]:
    """Margin that single parameters of a site need, because their normal values look like attacks.

    A wiki's `body:text` or an administrator's `body:query` would otherwise raise the threshold of the whole site.
    Only names that often alarm get one, never the path, and none gets more than `MOST_ALLOWANCE`.

    Args:
        site: margins of held-out normal requests of the site, by part label.
        cut: the margin of the verdict.
        max_false_positive_rate: share of a parameter's normal values that may still alarm.
    """
    values: dict[str, list[float]] = {}
    for labels in site:
        for label, margin in labels.items():
            values.setdefault(label, []).append(margin)
    return {
        label: min(bounded_quantile(np.array(found), max_false_positive_rate) - cut, MOST_ALLOWANCE)
        for label, found in values.items()
        if label != "path" and sum(margin >= cut for margin in found) >= FEWEST_ALARMS
    }


def _both(bags: Sequence[Bag]) -> bool:
    return any(bag.attack for bag in bags) and any(not bag.attack for bag in bags)


def _bag_margins(texts: Texts, model: LinearModel, bags: Sequence[Bag]) -> Floats:
    if not bags:
        return np.zeros(0)
    ids = np.unique(np.concatenate([bag.texts for bag in bags]))
    margin = np.full(len(texts.all), -np.inf)
    margin[ids] = texts.margins(model, ids)[0]
    return np.array([margin[bag.texts].max() for bag in bags])


def margins_of(texts: Texts, model: LinearModel, records: Sequence[LabelledRequest]) -> HeldOut:
    """Margins of further requests."""
    bags = [bag_of(texts, record.request, record.is_attack, record.attack_class, record.site) for record in records]
    margins = _bag_margins(texts, model, bags)
    attack = np.array([bag.attack for bag in bags], dtype=bool)
    return HeldOut(margins[~attack], margins[attack], [])
