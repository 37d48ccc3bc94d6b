"""Find labels that were flipped or planted, before anything learns from them (ATLAS AML.M0007, AML.T0020).

Three looks at every label, none of which the label itself can vouch for:
- a linear n-gram model that has seen neither the request nor its near duplicates says what it should be
  (confident learning: Northcutt, Jiang, Chuang, Confident Learning, JAIR 2021);
- the nearest requests outside its own group say what they are labelled (Brodley, Friedl, Identifying mislabeled
  training data, JAIR 1999);
- its near duplicates say what they are labelled, which shows a flipped copy at once.

A whole block of look-alikes with a wrong label would vouch for itself under plain cross-validation. Here folds are
drawn by groups of near duplicates, and for normal traffic, where an attacker's payload gains most by hiding, also by
clusters of several sizes, so that some pass holds the whole block back. A block is accused together or not at all:
single harmless texts that look like attacks are what a model must learn from. One column of the features says whether
a signature matches, because signatures are the one opinion that poisoned data cannot change; how far to trust it is
learnt from the labels.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks import near_duplicates, signatures
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.decoding import decode, parts
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.taxonomy import ATTACK, NORMAL, Label

Reason = Literal["flipped", "planted", "contradiction"]

FOLDS: Final = 5
MIN_RECORDS: Final = 100
"""Fewer requests than this say nothing about each other; nothing is suspected."""

PLANTED_BLOCK: Final = 8
"""From so many differing requests in one group of look-alikes on, the group can be a planted block."""

_WIDE_THRESHOLD: Final = 0.5
_WIDEST_SHARE: Final = 0.02
"""A wide group with a larger share of the records is a kind of traffic, not a block of look-alikes."""
_TEXTS_PER_CLUSTER: Final = (50, 100, 400)
_MOST_CLUSTERS: Final = 400

_MAX_CHARS: Final = 1_500
_HASH_BITS: Final = 16
_NGRAMS: Final = (1, 4)
_COMPONENTS: Final = 256
_NEIGHBOURS: Final = 10
_MINORITY: Final = 1 / 3
_SUPPORTED: Final = 0.9
_CANDIDATE: Final = 0.5
_UNSURE: Final = 0.75
_CLEAR: Final = 0.85
"""Where the model is unsure about normal-labelled requests, so large a share of their nearest must be attacks."""
_BLOCK_SHARE: Final = 0.6
"""Share of a block's normal-labelled requests that must look like attacks before the block is accused."""
_BLOCK_SIGNED: Final = 0.25
"""Share of a block that signatures must match: pages of a kind never seen before look strange, but match none."""
_SIGNATURE_WEIGHT: Final = 1.0
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
    """

    packet_id: str
    index: int
    reason: Reason
    score: float
    given_label: Label
    expected_label: Label
    detail: str


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
    alone = _Block.find(view, labels, seed)
    same, size = _agreement(view.groups, labels)
    outvoted = (same < _MINORITY * size) & (size >= 3) & (given < _SUPPORTED)
    candidates = np.flatnonzero((given < _CANDIDATE) | outvoted | alone.members)
    against = view.neighbours_against(candidates, labels, alone.members)
    least = np.minimum(given, alone.given)
    doubt = (1 - least[candidates] + against) / 2
    doubt = np.where(alone.members[candidates], np.maximum(doubt, 1 - least[candidates]), doubt)
    chosen = ((doubt > _SUSPECT) & (against > 0.5)) | outvoted[candidates] | alone.members[candidates]
    found = []
    for i, sure, others in zip(candidates[chosen], doubt[chosen], against[chosen], strict=True):
        look_alikes = int(alone.sizes[i])
        copies = (int(size[i] - same[i]), int(size[i])) if outvoted[i] else None
        found.append(_suspect(records[i], int(i), float(sure), float(least[i]), float(others), copies, look_alikes))
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
        features: TF-IDF of hashed character n-grams and whether a signature matches; a sparse row per distinct text.
        places: the n-grams by random projection, rows of length 1.
    """

    groups: _Ints
    wide_groups: _Ints
    owner: _Ints
    features: Any
    places: npt.NDArray[np.float32]

    @classmethod
    def of(cls, records: Sequence[LabelledRequest]) -> "_View":
        from scipy.sparse import csr_array, hstack
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        requests = [record.request for record in records]
        groups = near_duplicates.cluster(requests)
        wide = near_duplicates.cluster(requests, _WIDE_THRESHOLD)
        texts: dict[str, int] = {}
        owner = np.array([texts.setdefault(near_duplicates.request_text(r), len(texts)) for r in requests])
        first = np.unique(owner, return_index=True)[1]
        looks = [_look(requests[i]) for i in first]
        hashed = HashingVectorizer(
            analyzer="char", ngram_range=_NGRAMS, n_features=2**_HASH_BITS, alternate_sign=False, norm=None
        ).transform([text for text, _ in looks])
        ngrams = TfidfTransformer(sublinear_tf=True).fit_transform(hashed).astype(np.float32).tocsr()
        projection = np.random.default_rng(_PROJECTION_SEED).standard_normal(
            (2**_HASH_BITS, _COMPONENTS), dtype=np.float32
        )
        places = ngrams @ projection
        places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-9)
        signed = csr_array(np.array([[is_signed] for _, is_signed in looks], dtype=np.float32) * _SIGNATURE_WEIGHT)
        return cls(groups, _bounded_groups(wide, groups), owner, hstack([ngrams, signed]).tocsr(), places)

    def signed(self) -> _Bools:
        """For each record, whether a signature matches it."""
        return (self.features[:, [-1]].toarray().ravel() > 0)[self.owner]

    def clusters(self, texts_per_cluster: int, seed: int) -> _Ints:
        """A number per record; near duplicates share one, and so do texts of one kind."""
        from sklearn.cluster import MiniBatchKMeans

        count = max(2 * FOLDS, min(_MOST_CLUSTERS, len(self.places) // texts_per_cluster))
        kinds = MiniBatchKMeans(
            min(count, len(self.places)), random_state=seed, n_init=1, batch_size=2048, max_iter=30
        ).fit_predict(self.places)[self.owner]
        _, first, group = np.unique(self.groups, return_index=True, return_inverse=True)
        return kinds[first][group].astype(np.int64)

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
            model.fit(self.features[rows[known]], wanted[known], sample_weight=weight[known])
            probability[held_back] = model.predict_proba(self.features[rows[held_back]])[:, 1]
        return probability[np.searchsorted(distinct, key)]

    def neighbours_against(self, chosen: _Ints, labels: _Bools, silent: _Bools) -> _Floats:
        """Share of the nearest texts, by similarity, that carry the other label.

        A record's own wide group has no say, and nor have the silent records.
        """
        key = self.owner * 2 + labels
        first = np.unique(key, return_index=True)[1]
        if (~silent[first]).sum() > _NEIGHBOURS:
            first = first[~silent[first]]
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


@dataclass(frozen=True, slots=True)
class _Block:
    """Normal-labelled look-alikes that seem attacks to a model that has seen none of their kind.

    Attributes:
        members: which records.
        given: probability of the given label in the least favourable pass; 1 for records that are no member.
        sizes: members of the largest block that each record belongs to; 0 for records that are no member.
    """

    members: _Bools
    given: _Floats
    sizes: _Ints

    @classmethod
    def find(cls, view: _View, labels: _Bools, seed: int) -> "_Block":
        least = np.ones(len(labels))
        kinds = [view.wide_groups, *(view.clusters(size, seed) for size in _TEXTS_PER_CLUSTER)]
        for kind in kinds:
            least = np.minimum(least, 1 - view.out_of_fold(labels, kind, seed))
        accused = ~labels & (least < _CANDIDATE)
        unsure = np.flatnonzero(~labels & ~accused & (least < _UNSURE))
        accused[unsure] = view.neighbours_against(unsure, labels, accused) > _CLEAR
        sizes = np.zeros(len(labels), dtype=np.int64)
        for kind in kinds:
            found = _block_sizes(kind, accused, ~labels, view.signed(), view.owner)
            sizes = np.maximum(sizes, np.where(accused, found, 0))
        return cls(sizes > 0, np.where(sizes > 0, least, 1.0), sizes)


def _block_sizes(kind: _Ints, accused: _Bools, normal: _Bools, signed: _Bools, owner: _Ints) -> _Ints:
    """For each record, how many of its kind are accused, where they are a block; else 0."""
    count = int(kind.max()) + 1
    width = int(owner.max()) + 1
    texts = np.bincount(np.unique((kind * width + owner)[accused]) // width, minlength=count)
    accused_count = np.bincount(kind[accused], minlength=count)
    signed_count = np.bincount(kind[accused & signed], minlength=count)
    is_block = (
        (texts >= PLANTED_BLOCK)
        & (accused_count >= _BLOCK_SHARE * np.bincount(kind[normal], minlength=count))
        & (signed_count >= _BLOCK_SIGNED * accused_count)
    )
    return np.where(is_block, accused_count, 0)[kind].astype(np.int64)


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


def _look(request: HttpRequest) -> tuple[str, bool]:
    """What is sent, decoded, without the parameters' names, and whether a signature matches it.

    Names tell one application from another, and one attack tool, but not an attack.
    """
    found = parts(request)
    values = [
        part.text for part in found if part.location != "header" or near_duplicates.may_carry(part.name, part.text)
    ]
    text = "\n".join(decode(value[:_MAX_CHARS]) for value in values)
    is_signed = any(rule.attack_class != "scanner" for rule, _ in signatures.matches(found))
    return text[:_MAX_CHARS].lower(), is_signed


def _suspect(
    record: LabelledRequest,
    index: int,
    doubt: float,
    given: float,
    against: float,
    copies: tuple[int, int] | None,
    look_alikes: int,
) -> Suspect:
    expected: Label = NORMAL if record.is_attack else ATTACK
    reason: Reason = "contradiction" if copies else "planted" if look_alikes else "flipped"
    evidence = [f"a model that has not seen its like says {expected} with {1 - given:.2f}"]
    if copies:
        evidence.append(f"{copies[0]} of its {copies[1] - 1} near duplicates are labelled {expected}")
    else:
        evidence.append(f"{against:.0%} of its nearest requests are labelled {expected}")
    if reason == "planted":
        evidence.append(f"one of a block of {look_alikes} look-alikes labelled {record.label}")
    return Suspect(
        packet_id=record.packet_id or record.request.digest(),
        index=index,
        reason=reason,
        score=round(max(doubt, copies[0] / copies[1] if copies else 0.0), 4),
        given_label=record.label,
        expected_label=expected,
        detail="; ".join(evidence),
    )
