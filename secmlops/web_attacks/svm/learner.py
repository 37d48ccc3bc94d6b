"""Fitting: witnesses, mutants, hard texts and hard windows, chosen anew with every round (mi-SVM).

All texts of a normal request are normal; of an attack only one, the witness, is taken for the attack. Windows that
score high in normal texts join as hard negatives, the best window of an attack as a positive, because windows are what
is scored later. Source: Andrews et al., "Support vector machines for multiple-instance learning", NIPS 2002.
"""

import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks.calibration import Floats
from secmlops.web_attacks.decoding import readings
from secmlops.web_attacks.mutations import mutate
from secmlops.web_attacks.svm.config import SvmConfig
from secmlops.web_attacks.svm.corpus import Bag, Corpus, stretch_rows
from secmlops.web_attacks.svm.linear_model import LinearModel
from secmlops.web_attacks.svm.ngrams import lay_out
from secmlops.web_attacks.text_shape import text_shape

PASSES: Final = 60
PER_SHAPE: Final = 6
HABIT_SHARE: Final = 0.05
"""A text in more than this share of all attacks is a habit of the attacker's client."""
FEWEST_CERTAIN: Final = 20
_HARD_MARGIN: Final = -0.6
_OTHER_PART_WEIGHT: Final = 0.3
_MOST_MUTATIONS: Final = 8
_EMBEDDED_WEIGHT: Final = 0.5


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
        common = ids[number > max(HABIT_SHARE * len(attacks), FEWEST_CERTAIN)]
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
        if len(certain) < FEWEST_CERTAIN:
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
        solver = LinearSVC(C=self.config.c, tol=1e-2, max_iter=PASSES, random_state=self.config.seed)
        fit_briefly(solver, sp.vstack(rows, format="csr"), signs, weights)
        return LinearModel.from_floats(
            solver.coef_[0],
            float(solver.intercept_[0]),
            self.texts.shape,
            self.config.windows,
            self.config.window_penalty,
        )


def fit_briefly(solver: Any, rows: Any, targets: npt.NDArray[np.int64], weights: Floats | None) -> None:
    """Fit with the bounded number of passes that the solver was given; stopping there is wanted, not a warning."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(rows, targets, sample_weight=weights)
