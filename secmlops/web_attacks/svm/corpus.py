"""What the linear model learns from: every request as a bag of its texts, and their hashed n-grams."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks import background, known_attacks
from secmlops.web_attacks.calibration import Floats
from secmlops.web_attacks.dataset import LabelledRequest
from secmlops.web_attacks.decoding import parts, readings
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.svm.config import SvmConfig
from secmlops.web_attacks.svm.linear_model import LinearModel
from secmlops.web_attacks.svm.ngrams import Shape, features, lay_out

SITE_UNDER_PROTECTION: Final = "\0site"
_LONGEST_TRAINING_TEXT: Final = 4096
_ROWS_AT_ONCE: Final = 2000


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


def gather(train: Sequence[LabelledRequest], site_normals: Sequence[HttpRequest], config: SvmConfig) -> Corpus:
    """Take requests apart and join them with the generated texts."""
    texts = Texts(config.shape)
    bags = [bag_of(texts, record.request, record.is_attack, record.attack_class, record.site) for record in train]
    bags += [_labelled_bag(texts, request) for request in site_normals]
    normals = [form for text in background.normal_texts(config.background, config.seed) for form in readings(text)]
    generated = known_attacks.attack_texts(config.background // 2, config.seed)
    attacks = [Bag(texts.add(readings(text)), True, kind, "") for text, kind in generated]
    return Corpus(texts, bags, np.unique(texts.add(normals)), attacks)


def bag_of(texts: Texts, request: HttpRequest, attack: bool, attack_class: str, site: str) -> Bag:
    """A request as the bag of all readings of all its parts."""
    forms = dict.fromkeys(form for part in parts(request) for form in readings(part.text))
    return Bag(texts.add(forms), attack, attack_class, site)


def _labelled_bag(texts: Texts, request: HttpRequest) -> Bag:
    read = [(part.label, form) for part in parts(request) for form in readings(part.text)]
    ids = texts.add(form for _, form in read)
    return Bag(ids, False, "", SITE_UNDER_PROTECTION, tuple(label for label, _ in read))
