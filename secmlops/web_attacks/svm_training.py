"""Training of the linear n-gram model: which part is the attack, where it lies, and where the threshold stands.

A request is a bag of texts (all readings of all parts). All texts of a normal request are normal; of an attack only
one, the witness, is taken for the attack, and which one is chosen anew with every round (mi-SVM). Windows that score
high in normal texts join as hard negatives, the best window of an attack as a positive, because windows are what is
scored later. Thresholds and probabilities come from scores of sites that the scoring model has not seen.
"""

import hashlib
import json
import math
import random
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks import background, known_attacks
from secmlops.web_attacks.calibration import Floats, Platt, bounded_quantile, choose_margin, fit_platt
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.decoding import parts, readings
from secmlops.web_attacks.mutations import mutate
from secmlops.web_attacks.ngram_model import LinearModel
from secmlops.web_attacks.ngrams import Shape, features, lay_out
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.svm import KIND, SvmClassifier, SvmConfig, TooFewLabels
from secmlops.web_attacks.taxonomy import ATTACK, ATTACK_CLASSES, NORMAL

FEWEST_REQUESTS: Final = 20
CLASS_BITS: Final = 14
PER_SHAPE: Final = 6
HABIT_SHARE: Final = 0.05
"""A text in more than this share of all attacks is a habit of the attacker's client."""
FEWEST_ALARMS: Final = 5
"""A parameter gets an allowance once so many normal requests of the site alarm in it."""
MOST_ALLOWANCE: Final = 1.5
_HARD_MARGIN: Final = -0.6
_OTHER_PART_WEIGHT: Final = 0.3
_LONGEST_TRAINING_TEXT: Final = 4096
_ROWS_AT_ONCE: Final = 2000
_MOST_MUTATIONS: Final = 8
_EMBEDDED_WEIGHT: Final = 0.5
_PASSES: Final = 60
SITE_UNDER_PROTECTION: Final = "\0site"

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Bag:
    """A request as its texts.

    Attributes:
        texts: ids of its distinct readings in the `Texts` they were added to.
        attack: the label.
        attack_class: the class of an attack.
        site: what folds group by.
        labels: for a request of the site under protection, the part label of each text; otherwise empty.
    """

    texts: npt.NDArray[np.int64]
    attack: bool
    attack_class: str
    site: str
    labels: tuple[str, ...] = ()


class Texts:
    """Distinct texts, and the hashed n-grams of those that were asked for, kept for the next time."""

    def __init__(self, shape: Shape):
        self.shape = shape
        self.all: list[str] = []
        self._ids: dict[str, int] = {}
        self._known: Any = None
        self._place = np.zeros(0, dtype=np.int64)

    def add(self, texts: Iterable[str]) -> npt.NDArray[np.int64]:
        """The ids of texts, new ones added."""
        ids = []
        for text in texts:
            number = self._ids.setdefault(text, len(self.all))
            if number == len(self.all):
                self.all.append(text)
            ids.append(number)
        return np.array(ids, dtype=np.int64)

    def rows(self, ids: npt.NDArray[np.int64]) -> Any:
        """The rows of whole texts as `stretch_rows` gives them; of a long text only its beginning."""
        import scipy.sparse as sp

        place = np.full(len(self.all), -1, dtype=np.int64)
        place[: len(self._place)] = self._place
        new = np.unique(ids[place[ids] < 0])
        if len(new):
            rows = stretch_rows([self.all[i][:_LONGEST_TRAINING_TEXT] for i in new], None, self.shape)
            first = 0 if self._known is None else self._known.shape[0]
            place[new] = np.arange(first, first + len(new))
            self._known = rows if self._known is None else sp.vstack([self._known, rows], format="csr")
        self._place = place
        return self._known[place[ids]]

    def margins(self, model: LinearModel, ids: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Margins of texts under a model and, shape (n, 2), the stretches that gave them."""
        margin = np.empty(len(ids))
        stretch = np.empty((len(ids), 2), dtype=np.int64)
        for at in range(0, len(ids), _ROWS_AT_ONCE):
            found = model.margins(lay_out([self.all[i] for i in ids[at : at + _ROWS_AT_ONCE]]))
            margin[at : at + _ROWS_AT_ONCE] = found.margin
            stretch[at : at + _ROWS_AT_ONCE, 0] = found.start
            stretch[at : at + _ROWS_AT_ONCE, 1] = found.stop
        return margin, stretch


def stretch_rows(texts: Sequence[str], stretches: npt.NDArray[np.int64] | None, shape: Shape) -> Any:
    """Hashed n-grams of texts, or of one stretch of each, as a sparse matrix (scipy CSR, float32).

    Args:
        texts: the texts.
        stretches: shape (n, 2), begin and end in code indices from the separator before the text; None: all of it.
        shape: the n-grams.
    """
    import scipy.sparse as sp

    blocks = [
        _block(texts[at : at + _ROWS_AT_ONCE], None if stretches is None else stretches[at : at + _ROWS_AT_ONCE], shape)
        for at in range(0, len(texts), _ROWS_AT_ONCE)
    ]
    return sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix((0, 1 << shape.bits), dtype=np.float32)


def _block(texts: Sequence[str], stretches: npt.NDArray[np.int64] | None, shape: Shape) -> Any:
    import scipy.sparse as sp

    batch = lay_out(texts)
    owner = np.full(len(batch.codes), -1, dtype=np.int64)
    first = batch.begins - 1
    begins, ends = (first, batch.ends) if stretches is None else (first + stretches[:, 0], first + stretches[:, 1])
    sizes = ends - begins
    inside = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(begins, sizes)
    owner[inside] = np.repeat(np.arange(len(texts)), sizes)
    rows, columns = [], []
    for positions, buckets in features(batch, shape):
        at = owner[: len(buckets)] if positions is None else owner[positions[: len(buckets)]]
        used = (buckets != 0) & (at >= 0)
        rows.append(at[used])
        columns.append(buckets[used])
    row, column = np.concatenate(rows), np.concatenate(columns).astype(np.int32)
    number = np.maximum(np.bincount(row, minlength=len(texts)), 1)
    values = (1 / np.sqrt(number))[row].astype(np.float32)
    return sp.csr_matrix((values, (row, column)), shape=(len(texts), 1 << shape.bits))


@dataclass(frozen=True, slots=True)
class Corpus:
    """All that training reads.

    Attributes:
        texts: every text.
        bags: the requests.
        normals: ids of generated benign texts.
        generated: generated attacks, one text in all its readings a bag.
        mutants: mutated copies made so far, by the id of the attack's text; each in all its readings.
        embedded: attacks inside benign text made so far, by the id of the attack's text: id and stretch.
    """

    texts: Texts
    bags: list[Bag]
    normals: npt.NDArray[np.int64]
    generated: list[Bag]
    mutants: dict[int, list[npt.NDArray[np.int64]]] = field(default_factory=dict)
    embedded: dict[int, tuple[int, int, int] | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted linear model and the texts it takes for the attacks.

    Attributes:
        model: the model.
        witnesses: for each attack, given or generated, the id of its witness.
        classes: the class of each of these attacks.
    """

    model: LinearModel
    witnesses: npt.NDArray[np.int64]
    classes: list[str]


_SHAPE_TABLE = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZbcdefghijklmnopqrstuvwxyz123456789", "a" * 51 + "0" * 9)
_RUNS = re.compile(r"[a0]+|([^a0])\1+")


def text_shape(text: str) -> str:
    """A text with its letters and digits made alike: texts of one shape teach a model the same."""
    return _RUNS.sub("a", text[:160].translate(_SHAPE_TABLE))


def fit(corpus: Corpus, bags: Sequence[Bag], config: SvmConfig, rounds: int, tell: Callable[[float], None]) -> Fitted:
    """Fit on some of the corpus's bags and all of its generated texts."""
    learner = _Learner(corpus, bags, config)
    model = learner.first()
    for number in range(rounds):
        tell((number + 1) / (rounds + 1))
        model = learner.next(model)
    return Fitted(model, learner.witnesses, [bag.attack_class for bag in learner.attack_bags])


Group = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None, int, Any]
"""Texts, their stretches (None: the whole texts), their sign and their weights."""


def mutated(text: str, attack_class: str, copies: int, chance: random.Random) -> list[str]:
    """Copies of an attack that do the same and look different, from one to `_MOST_MUTATIONS` mutations deep."""
    found = (mutate(text, attack_class or "other", chance, chance.randint(1, _MOST_MUTATIONS)) for _ in range(copies))
    return [copy for copy in dict.fromkeys(found) if copy != text]


def embed(attack: str, before: str, after: str, windows: Sequence[int]) -> tuple[str, int, int] | None:
    """Put an attack between benign texts, and find the window around it.

    Returns:
        The text and the stretch (code indices from the separator before it) of the shortest window that holds the
        attack with a little of both neighbours; None when no window does.
    """
    before, after = before[-200:].rstrip() + " ", " " + after[:200].lstrip()
    batch = lay_out([before + attack + after, before, attack])
    whole, ahead, inside = (batch.ends - batch.begins).tolist()
    window = next((size for size in sorted(windows) if inside + 4 <= size <= whole), None)
    if window is None:
        return None
    start = min(max(ahead + 1 - (window - inside) // 2, 0), whole + 1 - window)
    return before + attack + after, start, start + window


class _Learner:
    """The state of one fit: what is normal, what may be the attack, and what was found hard."""

    def __init__(self, corpus: Corpus, bags: Sequence[Bag], config: SvmConfig):
        self.texts, self.config = corpus.texts, config
        self.random = np.random.default_rng(config.seed)
        self.chance = random.Random(config.seed)
        normal_bags = [bag.texts for bag in bags if not bag.attack]
        self.seen_normal = np.unique(np.concatenate([*normal_bags, corpus.normals])) if normal_bags else corpus.normals
        self.base_normals = np.union1d(self._thinned(self.seen_normal), corpus.normals)
        own = [bag for bag in bags if bag.attack]
        habits = self._habits(own)
        normal = np.zeros(len(self.texts.all), dtype=bool)
        normal[self.seen_normal] = True
        normal[habits] = True
        self.base_normals = np.union1d(self.base_normals, habits)
        self.attack_bags = own + corpus.generated
        self.candidates = [
            bag.texts[~normal[bag.texts]] if (~normal[bag.texts]).any() else bag.texts for bag in self.attack_bags
        ]
        self.generated = len(corpus.generated)
        self.witnesses = np.array([ids[-1] for ids in self.candidates], dtype=np.int64)
        self.hard: dict[int, None] = {}
        self.benign = corpus.normals[[" " in self.texts.all[i] for i in corpus.normals]]
        self.embedded = corpus.embedded
        self.mutants = corpus.mutants

    def _habits(self, attacks: Sequence[Bag]) -> npt.NDArray[np.int64]:
        """Texts of so many attacks that they tell the attacker's client, not the attack."""
        if not attacks:
            return np.zeros(0, dtype=np.int64)
        ids, number = np.unique(np.concatenate([bag.texts for bag in attacks]), return_counts=True)
        alone = {int(bag.texts[0]) for bag in attacks if len(bag.texts) == 1}
        common = ids[number > max(HABIT_SHARE * len(attacks), FEWEST_REQUESTS)]
        return common[[int(i) not in alone for i in common]]

    def _thinned(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        shapes: Counter[str] = Counter()
        kept = []
        for number in self.random.permutation(ids):
            shape = text_shape(self.texts.all[number])
            if shapes[shape] < PER_SHAPE:
                shapes[shape] += 1
                kept.append(number)
        return np.array(kept[: self.config.max_texts], dtype=np.int64)

    def first(self) -> LinearModel:
        """Generated attacks and requests of one candidate show what an attack is; without them, all candidates do."""
        own = self.candidates[: len(self.candidates) - self.generated]
        certain = [ids for ids in own if len(ids) == 1] + [ids[-1:] for ids in self.candidates[len(own) :]]
        if len(certain) < FEWEST_REQUESTS:
            certain = own
        positives = np.concatenate(certain)
        weights = np.concatenate([np.full(len(ids), 1 / len(ids)) for ids in certain])
        return self._solve([(self.base_normals, None, -1, 1.0), (positives, None, 1, weights)])

    def next(self, model: LinearModel) -> LinearModel:
        """Choose witnesses, mutants, hard texts and hard windows with the model, and fit anew."""
        others = self._choose(model)
        positives = np.unique(np.concatenate([self.witnesses, self._mutants(model)]))
        groups: list[Group] = [
            (positives, None, 1, 1.0),
            (np.setdiff1d(others, positives), None, -1, _OTHER_PART_WEIGHT),
            *self._windows(model, positives, 1, -np.inf),
            *self._embedded(),
        ]
        margin, _ = self.texts.margins(model, self.seen_normal)
        hard = self.seen_normal[margin > _HARD_MARGIN]
        self.hard.update(dict.fromkeys(hard[: self.config.max_texts // 4].tolist()))
        normals = np.union1d(self.base_normals, np.fromiter(self.hard, dtype=np.int64, count=len(self.hard)))
        groups.append((normals, None, -1, 1.0))
        groups += self._windows(model, normals, -1, _HARD_MARGIN)
        return self._solve(groups)

    def _choose(self, model: LinearModel) -> npt.NDArray[np.int64]:
        """Set the witnesses; returns the candidates that are surely none."""
        flat = np.concatenate(self.candidates)
        margin, _ = self.texts.margins(model, flat)
        at, other = 0, []
        for number, ids in enumerate(self.candidates):
            found = margin[at : at + len(ids)]
            best = int(np.argmax(found))
            self.witnesses[number] = ids[best]
            other.append(ids[(found < 0) & (np.arange(len(ids)) != best)])
            at += len(ids)
        return np.concatenate(other)

    def _mutants(self, model: LinearModel) -> npt.NDArray[np.int64]:
        """Mutated copies of the witnesses, each in its reading with the largest margin, the hardest kept."""
        if not self.config.mutate:
            return np.zeros(0, dtype=np.int64)
        for number, bag in zip(self.witnesses.tolist(), self.attack_bags, strict=True):
            if number not in self.mutants:
                self.mutants[number] = [
                    self.texts.add(readings(text))
                    for text in mutated(self.texts.all[number], bag.attack_class, self.config.mutate, self.chance)
                ]
        bags = [ids for number in np.unique(self.witnesses).tolist() for ids in self.mutants[number]]
        flat = np.unique(np.concatenate(bags)) if bags else np.zeros(0, dtype=np.int64)
        margin = np.empty(len(self.texts.all))
        margin[flat] = self.texts.margins(model, flat)[0]
        chosen = np.array([ids[np.argmax(margin[ids])] for ids in bags], dtype=np.int64)
        hardest = np.argsort(margin[chosen], kind="stable")[: self.config.max_texts // 4]
        return np.unique(chosen[hardest])

    def _embedded(self) -> list[Group]:
        """Short attacks inside benign text, as windows around them: what a long value with an attack in it shows."""
        if not self.config.mutate or not len(self.benign):
            return []
        chosen = np.unique(self.witnesses).tolist()
        for number in chosen:
            if number not in self.embedded:
                before, after = (self.texts.all[i] for i in self.random.choice(self.benign, 2))
                found = embed(self.texts.all[number], before, after, self.config.windows)
                self.embedded[number] = (int(self.texts.add([found[0]])[0]), *found[1:]) if found else None
        rows = np.array([one for i in chosen if (one := self.embedded[i])], dtype=np.int64).reshape(-1, 3)
        return [(rows[:, 0], rows[:, 1:], 1, _EMBEDDED_WEIGHT)] if len(rows) else []

    def _windows(self, model: LinearModel, ids: npt.NDArray[np.int64], sign: int, least: float) -> list[Group]:
        long = ids[[len(self.texts.all[i]) > min(self.config.windows, default=1 << 30) for i in ids]]
        if not len(long):
            return []
        margin, stretch = self.texts.margins(model, long)
        part = (margin > least) & (stretch[:, 1] - stretch[:, 0] <= max(self.config.windows))
        return [(long[part], stretch[part], sign, 0.5)]

    def _solve(self, groups: list[Group]) -> LinearModel:
        import scipy.sparse as sp
        from sklearn.svm import LinearSVC

        groups = [group for group in groups if len(group[0])]
        rows = [
            self.texts.rows(ids)
            if stretches is None
            else stretch_rows([self.texts.all[i] for i in ids], stretches, self.texts.shape)
            for ids, stretches, _, _ in groups
        ]
        signs = np.concatenate([np.full(len(ids), sign) for ids, _, sign, _ in groups])
        weights = np.concatenate([np.broadcast_to(weight, len(ids)) for ids, _, _, weight in groups])
        solver = LinearSVC(C=self.config.c, tol=1e-2, max_iter=_PASSES, random_state=self.config.seed)
        _fit_briefly(solver, sp.vstack(rows, format="csr"), signs, weights)
        return LinearModel.from_floats(
            solver.coef_[0],
            float(solver.intercept_[0]),
            self.texts.shape,
            self.config.windows,
            self.config.window_penalty,
        )


def train(
    train: Sequence[LabelledRequest],
    validation: Sequence[LabelledRequest],
    out: Path,
    config: SvmConfig,
    *,
    max_false_positive_rate: float,
    site_normals: Sequence[HttpRequest],
    on_progress: Progress,
) -> dict[str, float]:
    """What `svm.train` promises."""
    _refuse_too_few(train)
    begun = time.monotonic()
    on_progress("taking requests apart", 0.0)
    corpus = gather(train, site_normals, config)
    held_out = _out_of_fold(corpus, config, on_progress)
    on_progress("fitting on all training requests", 0.7)
    learner = fit(corpus, corpus.bags, config, config.rounds, lambda share: on_progress("fitting", 0.7 + 0.2 * share))
    on_progress("calibrating", 0.92)
    held_out = held_out.joined(_margins_of(corpus.texts, learner.model, validation))
    normals, attacks = held_out.normals, held_out.attacks
    platt = fit_platt(normals, attacks)
    cut = choose_margin(normals, attacks, max_false_positive_rate)
    allowances: dict[str, float] = {}
    if len(held_out.site_normals) >= FEWEST_REQUESTS:
        allowances = site_allowances(held_out.site_normals, cut, max_false_positive_rate)
        cut = choose_margin(held_out.site_margins(allowances), attacks, max_false_positive_rate)
    threshold = platt.probability(cut)
    classes, class_weights, class_bias = _class_head(corpus, learner, config)
    classifier = SvmClassifier(
        learner.model, platt.slope, platt.offset, threshold, classes, class_weights, class_bias, allowances
    )
    metrics = _metrics(held_out, allowances, platt, threshold)
    _write(out, classifier, config, metrics, _facts(train, validation, site_normals, time.monotonic() - begun))
    on_progress("done", 1.0)
    return metrics


def _refuse_too_few(train: Sequence[LabelledRequest]) -> None:
    for label, found in ((ATTACK, sum(r.is_attack for r in train)), (NORMAL, sum(not r.is_attack for r in train))):
        if found < FEWEST_REQUESTS:
            raise TooFewLabels(label, found, FEWEST_REQUESTS)


def _fit_briefly(solver: Any, rows: Any, targets: npt.NDArray[np.int64], weights: Floats | None) -> None:
    """Fit with the bounded number of passes that the solver was given; stopping there is wanted, not a warning."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(rows, targets, sample_weight=weights)


def gather(train: Sequence[LabelledRequest], site_normals: Sequence[HttpRequest], config: SvmConfig) -> Corpus:
    """Take requests apart and join them with the generated texts."""
    texts = Texts(config.shape)
    bags = [_bag(texts, record.request, record.is_attack, record.attack_class, record.site) for record in train]
    bags += [_labelled_bag(texts, request) for request in site_normals]
    normals = [form for text in background.normal_texts(config.background, config.seed) for form in readings(text)]
    generated = known_attacks.attack_texts(config.background // 2, config.seed)
    attacks = [Bag(texts.add(readings(text)), True, kind, "") for text, kind in generated]
    return Corpus(texts, bags, np.unique(texts.add(normals)), attacks)


def _bag(texts: Texts, request: HttpRequest, attack: bool, attack_class: str, site: str) -> Bag:
    forms = dict.fromkeys(form for part in parts(request) for form in readings(part.text))
    return Bag(texts.add(forms), attack, attack_class, site)


def _labelled_bag(texts: Texts, request: HttpRequest) -> Bag:
    read = [(part.label, form) for part in parts(request) for form in readings(part.text)]
    ids = texts.add(form for _, form in read)
    return Bag(ids, False, "", SITE_UNDER_PROTECTION, tuple(label for label, _ in read))


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


def _out_of_fold(corpus: Corpus, config: SvmConfig, on_progress: Progress) -> HeldOut:
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


def _margins_of(texts: Texts, model: LinearModel, records: Sequence[LabelledRequest]) -> HeldOut:
    bags = [_bag(texts, record.request, record.is_attack, record.attack_class, record.site) for record in records]
    margins = _bag_margins(texts, model, bags)
    attack = np.array([bag.attack for bag in bags], dtype=bool)
    return HeldOut(margins[~attack], margins[attack], [])


def _class_head(
    corpus: Corpus, fitted: Fitted, config: SvmConfig
) -> tuple[tuple[str, ...], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """One linear score per attack class over fewer buckets, learnt on witnesses and generated attacks."""
    from sklearn.svm import LinearSVC

    bits = min(CLASS_BITS, config.bits)
    found = zip(fitted.witnesses, fitted.classes, strict=True)
    labelled = [(number, kind) for number, kind in found if kind in ATTACK_CLASSES]
    classes = tuple(kind for kind in ATTACK_CLASSES if any(kind == own for _, own in labelled))
    if len(classes) < 2:
        return classes, np.zeros((len(classes), 1 << bits), np.float32), np.zeros(len(classes), np.float32)
    rows = _folded(corpus.texts.rows(np.array([number for number, _ in labelled])), config.bits - bits)
    solver = LinearSVC(C=1.0, tol=1e-2, max_iter=_PASSES, class_weight="balanced", random_state=config.seed)
    _fit_briefly(solver, rows, np.array([classes.index(kind) for _, kind in labelled]), None)
    if len(classes) == 2:
        return (
            classes,
            np.concatenate([-solver.coef_, solver.coef_]).astype(np.float32),
            np.concatenate([-solver.intercept_, solver.intercept_]).astype(np.float32),
        )
    return classes, solver.coef_.astype(np.float32, order="C"), solver.intercept_.astype(np.float32)


def _folded(rows: Any, shift: int) -> Any:
    import scipy.sparse as sp

    return sp.csr_matrix((rows.data, rows.indices >> shift, rows.indptr), shape=(rows.shape[0], rows.shape[1] >> shift))


def _metrics(held_out: HeldOut, allowances: Mapping[str, float], platt: Platt, threshold: float) -> dict[str, float]:
    cut = (math.log(threshold / (1 - threshold)) - platt.offset) / platt.slope
    normals, attacks = held_out.normals, held_out.attacks
    found = {
        "threshold": threshold,
        "held_out_normals": float(len(normals)),
        "held_out_attacks": float(len(attacks)),
        "held_out_fpr": float((normals >= cut).mean()),
        "held_out_tpr": float((attacks >= cut).mean()),
    }
    if held_out.site_normals:
        found["held_out_site_fpr"] = float((held_out.site_margins(allowances) >= cut).mean())
    for rate in (0.002, 0.01):
        least = bounded_quantile(normals, rate)
        found[f"held_out_tpr_at_{rate:g}_fpr"] = float((attacks >= least).mean())
    return found


def _facts(
    train: Sequence[LabelledRequest],
    validation: Sequence[LabelledRequest],
    site_normals: Sequence[HttpRequest],
    seconds: float,
) -> dict[str, Any]:
    return {
        "training_normals": sum(not record.is_attack for record in train),
        "training_attacks": dict(Counter(record.attack_class or "unnamed" for record in train if record.is_attack)),
        "training_sites": len({record.site for record in train if not record.is_attack}),
        "validation_requests": len(validation),
        "site_normals": len(site_normals),
        "training_s": round(seconds, 1),
    }


def _write(
    out: Path, classifier: SvmClassifier, config: SvmConfig, metrics: dict[str, float], facts: dict[str, Any]
) -> None:
    from safetensors.numpy import save

    model = classifier.model
    out.mkdir(parents=True, exist_ok=True)
    arrays = {
        "weights": model.floats(),
        "class_weights": classifier.class_weights,
        "class_bias": classifier.class_bias,
    }
    settings = {
        "kind": KIND,
        "bits": model.shape.bits,
        "chars": list(model.shape.chars),
        "tokens": list(model.shape.tokens),
        "windows": list(model.windows),
        "window_penalty": model.window_penalty,
        "bias": model.bias,
        "slope": classifier.slope,
        "offset": classifier.offset,
        "threshold": classifier.threshold,
        "classes": list(classifier.classes),
        "allowances": dict(classifier.allowances),
    }
    card = {
        "name": KIND,
        "task": "binary classification of HTTP requests (normal, attack) with attack class, part and evidence",
        "classes": list(classifier.classes),
        "model": "linear SVM over hashed character and token n-grams of decoded request parts",
        "data": facts,
        "parameters": asdict(config),
        "metrics": metrics,
        "intended_use": "flagging web attacks for blocking or review, beside other controls",
        "limits": [
            "sees one request at a time: no rates, sessions or responses",
            "business-logic abuse without attack syntax looks normal",
            "calibrated on sites held out of training; adapt it with a site's own normal traffic",
        ],
    }
    (out / "weights.safetensors").write_bytes(save(arrays))
    (out / "preprocess.json").write_text(json.dumps(settings, indent=1, sort_keys=True))
    (out / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True))
