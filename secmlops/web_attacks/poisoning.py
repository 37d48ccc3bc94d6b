"""Find labels that were flipped or planted, before anything learns from them (ATLAS AML.M0007, AML.T0020).

Three looks at every label, none of which the label itself can vouch for:
- a linear n-gram model that has seen neither the request nor its near duplicates says what it should be
  (confident learning: Northcutt, Jiang, Chuang, Confident Learning, JAIR 2021);
- the nearest requests outside its own group say what they are labelled (Brodley, Friedl, Identifying mislabeled
  training data, JAIR 1999);
- its near duplicates say what they are labelled, which shows a flipped copy at once.

A whole block of look-alikes with a wrong label would vouch for itself under plain cross-validation. Here folds are
drawn by group, and a second pass holds back wider groups, so that a block stands alone against everything else.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks import near_duplicates
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.decoding import decode
from secmlops.web_attacks.taxonomy import ATTACK, NORMAL, Label

Reason = Literal["flipped", "planted", "contradiction"]

FOLDS: Final = 5
MIN_RECORDS: Final = 100
"""Fewer requests than this say nothing about each other; nothing is suspected."""

PLANTED_BLOCK: Final = 5
"""From so many suspects in one group of look-alikes on, the group is called planted."""

_WIDE_THRESHOLD: Final = 0.5
_WIDEST_SHARE: Final = 0.02
"""A wide group with a larger share of the records is a kind of traffic, not a block: it is not held back whole."""

_HASH_BITS: Final = 16
_NGRAMS: Final = (1, 4)
_COMPONENTS: Final = 256
_NEIGHBOURS: Final = 10
_MINORITY: Final = 1 / 3
_SUPPORTED: Final = 0.9
_CANDIDATE: Final = 0.5
_WIDE_CANDIDATE: Final = 0.3
_SUSPECT: Final = 0.5
_ROWS_AT_ONCE: Final = 512
_PROJECTION_SEED: Final = 20_210_414

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that should not be trained on.

    Attributes:
        packet_id: the packet.
        index: its place in the records given.
        reason: `flipped`: alone among its like; `planted`: one of a block of look-alikes; `contradiction`: most of
            its near duplicates carry the other label.
        score: how sure, 0..1.
        given_label: the label it carries.
        expected_label: the label it should carry.
        detail: the evidence in a sentence.
        group: its near duplicates share this number.
    """

    packet_id: str
    index: int
    reason: Reason
    score: float
    given_label: Label
    expected_label: Label
    detail: str
    group: int


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """How well flips that we planted ourselves were found.

    Attributes:
        planted: labels flipped.
        found: of them suspected.
        suspected: all suspects, true and false.
    """

    planted: int
    found: int
    suspected: int

    @property
    def recall(self) -> float:
        """Share of the planted flips that were found; 0 when none were planted."""
        return self.found / self.planted if self.planted else 0.0

    @property
    def precision(self) -> float:
        """Share of the suspects that we planted; a lower bound, for others may be wrong as well."""
        return self.found / self.suspected if self.suspected else 0.0


def find_suspects(records: Sequence[LabelledRequest], seed: int = 0) -> list[Suspect]:
    """Find labels that contradict everything else in the data.

    Args:
        records: labelled requests; at least `MIN_RECORDS`, both labels among them, or nothing is suspected.
        seed: seed of the folds.

    Returns:
        The suspects, surest first.
    """
    labels = np.array([record.is_attack for record in records], dtype=bool)
    if len(records) < MIN_RECORDS or min(labels.sum(), (~labels).sum()) < 2 * FOLDS:
        return []
    view = _View.of(records)
    given = _given_probability(view.out_of_fold(labels, view.groups, seed), labels)
    wide = _given_probability(view.out_of_fold(labels, view.wide_groups, seed), labels)
    same, size = _agreement(view.groups, labels)
    outvoted = (same < _MINORITY * size) & (size >= 3) & (given < _SUPPORTED)
    # A block of look-alikes that are attacks can only gain by hiding among normal traffic, so only there does the
    # wider pass accuse; for rare attack classes, which also stand alone, it would be unjust.
    alone = ~labels & (wide < _WIDE_CANDIDATE)
    candidates = np.flatnonzero((given < _CANDIDATE) | outvoted | alone)
    against = view.neighbours_against(candidates, labels)
    doubt = (1 - np.minimum(given, np.where(labels, 1.0, wide))[candidates] + against) / 2
    chosen = (doubt > _SUSPECT) & (against > 0.5) | outvoted[candidates]
    block = Counter(view.wide_groups[candidates[chosen]].tolist())
    found = [
        _suspect(records[i], i, doubt[k], given[i], wide[i], against[k], view, block, same[i], size[i], outvoted[i])
        for k, i in enumerate(candidates.tolist())
        if chosen[k]
    ]
    return sorted(found, key=lambda suspect: (-suspect.score, suspect.index))


def sanitize(records: Sequence[LabelledRequest], suspects: Sequence[Suspect]) -> list[LabelledRequest]:
    """The records without the suspects, in their order."""
    left_out = {suspect.index for suspect in suspects}
    return [record for index, record in enumerate(records) if index not in left_out]


def flip_labels(
    records: Sequence[LabelledRequest], share: float, seed: int
) -> tuple[list[LabelledRequest], frozenset[int]]:
    """Flip the labels of a share of the records drawn by lot: the attack that `find_suspects` is measured with.

    Returns:
        The records with the flips, and where they are.
    """
    chosen = frozenset(random.Random(seed).sample(range(len(records)), round(share * len(records))))
    flipped = [_flipped(record) if index in chosen else record for index, record in enumerate(records)]
    return flipped, chosen


def check_canaries(records: Sequence[LabelledRequest], *, share: float = 0.02, seed: int = 0) -> CanaryResult:
    """Flip a share of the labels, look for them, and say how many were found."""
    flipped, planted = flip_labels(records, share, seed)
    suspected = {suspect.index for suspect in find_suspects(flipped, seed)}
    return CanaryResult(len(planted), len(planted & suspected), len(suspected))


def _flipped(record: LabelledRequest) -> LabelledRequest:
    if record.is_attack:
        return replace(record, label=NORMAL, attack_class="")
    return replace(record, label=ATTACK, attack_class="other")


@dataclass(frozen=True, slots=True)
class _View:
    """The records as features.

    Attributes:
        groups: near duplicates share a number.
        wide_groups: looser look-alikes share a number.
        owner: for each record, the row of its text in the matrices.
        ngrams: TF-IDF of hashed character n-grams, one sparse row per distinct text.
        places: the same by random projection, rows of length 1.
    """

    groups: _Ints
    wide_groups: _Ints
    owner: _Ints
    ngrams: Any
    places: npt.NDArray[np.float32]

    @classmethod
    def of(cls, records: Sequence[LabelledRequest]) -> "_View":
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        requests = [record.request for record in records]
        groups = near_duplicates.cluster(requests)
        wide = near_duplicates.cluster(requests, _WIDE_THRESHOLD)
        texts: dict[str, int] = {}
        owner = np.array([texts.setdefault(near_duplicates.request_text(r), len(texts)) for r in requests])
        hashed = HashingVectorizer(
            analyzer="char", ngram_range=_NGRAMS, n_features=2**_HASH_BITS, alternate_sign=False, norm=None
        ).transform([decode(text) for text in texts])
        ngrams = TfidfTransformer(sublinear_tf=True).fit_transform(hashed).astype(np.float32).tocsr()
        projection = np.random.default_rng(_PROJECTION_SEED).standard_normal(
            (2**_HASH_BITS, _COMPONENTS), dtype=np.float32
        )
        places = ngrams @ projection
        places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-9)
        return cls(groups, _bounded_groups(wide, groups), owner, ngrams, places)

    def out_of_fold(self, labels: _Bools, groups: _Ints, seed: int) -> _Floats:
        """Probability of an attack by a model that has not seen the record's group."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedGroupKFold

        key = self.owner * 2 + labels
        distinct, first, counts = np.unique(key, return_index=True, return_counts=True)
        rows, wanted, weight = self.owner[first], labels[first], 1 + np.log(counts)
        probability = np.full(len(distinct), wanted.mean())
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        for known, held_back in folds.split(rows, wanted, groups[first]):
            if not 0 < wanted[known].sum() < len(known):
                continue
            model = LogisticRegression(C=10, solver="liblinear", random_state=seed)
            model.fit(self.ngrams[rows[known]], wanted[known], sample_weight=weight[known])
            probability[held_back] = model.predict_proba(self.ngrams[rows[held_back]])[:, 1]
        return probability[np.searchsorted(distinct, key)]

    def neighbours_against(self, chosen: _Ints, labels: _Bools) -> _Floats:
        """Share of the nearest texts outside each record's wide group, by similarity, that carry the other label."""
        key = self.owner * 2 + labels
        _, first = np.unique(key, return_index=True)
        places, attack, groups = self.places[self.owner[first]], labels[first], self.wide_groups[first]
        nearest = min(_NEIGHBOURS, len(first) - 1)
        against = np.zeros(len(chosen))
        for start in range(0, len(chosen), _ROWS_AT_ONCE):
            rows = chosen[start : start + _ROWS_AT_ONCE]
            similarity = self.places[self.owner[rows]] @ places.T
            similarity[groups[None, :] == self.wide_groups[rows][:, None]] = -1
            top = np.argpartition(-similarity, nearest, axis=1)[:, :nearest]
            # The fourth power: a near neighbour must count more than several distant ones.
            weight = np.clip(np.take_along_axis(similarity, top, axis=1), 0, None) ** 4
            other = attack[top] != labels[rows][:, None]
            against[start : start + len(rows)] = (weight * other).sum(1) / np.maximum(weight.sum(1), 1e-12)
        return against


def _bounded_groups(wide: _Ints, narrow: _Ints) -> _Ints:
    """Wide groups, except that those which are too wide fall back into their narrow groups."""
    too_wide = np.bincount(wide)[wide] > max(_WIDEST_SHARE * len(wide), 50)
    return np.unique(np.where(too_wide, narrow + wide.max() + 1, wide), return_inverse=True)[1].astype(np.int64)


def _given_probability(attack: _Floats, labels: _Bools) -> _Floats:
    return np.where(labels, attack, 1 - attack)


def _agreement(groups: _Ints, labels: _Bools) -> tuple[_Ints, _Ints]:
    """For each record, how many of its group carry its label (itself included), and the group's size."""
    size = np.bincount(groups)
    attacks = np.bincount(groups, weights=labels).astype(np.int64)
    return np.where(labels, attacks[groups], (size - attacks)[groups]), size[groups]


def _suspect(
    record: LabelledRequest,
    index: int,
    doubt: float,
    given: float,
    wide: float,
    against: float,
    view: _View,
    block: Counter[int],
    same: int,
    size: int,
    outvoted: bool,
) -> Suspect:
    expected: Label = NORMAL if record.is_attack else ATTACK
    look_alikes = block[int(view.wide_groups[index])]
    reason: Reason = "contradiction" if outvoted else "planted" if look_alikes >= PLANTED_BLOCK else "flipped"
    said = 1 - (given if record.is_attack else min(given, wide))
    sentences = [f"a model that has not seen its like says {expected} with {said:.2f}"]
    if outvoted:
        sentences.append(f"{size - same} of its {size - 1} near duplicates are labelled {expected}")
    else:
        sentences.append(f"{against:.0%} of its nearest requests are labelled {expected}")
    if reason == "planted":
        sentences.append(f"one of a block of {look_alikes} look-alikes labelled {record.label}")
    return Suspect(
        packet_id=record.packet_id or record.request.digest(),
        index=index,
        reason=reason,
        score=round(float(max(doubt, 1 - same / size if outvoted else 0.0)), 4),
        given_label=record.label,
        expected_label=expected,
        detail="; ".join(sentences),
        group=int(view.groups[index]),
    )
