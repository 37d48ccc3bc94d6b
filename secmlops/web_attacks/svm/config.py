"""How a linear n-gram model is trained."""

from dataclasses import dataclass

from secmlops.web_attacks.svm.ngrams import Shape


@dataclass(frozen=True, slots=True)
class SvmConfig:
    """How to train.

    Attributes:
        bits: the weights lie in `2**bits` hash buckets (4 bytes each).
        chars: shortest and longest character n-gram.
        tokens: shortest and longest token n-gram.
        windows: lengths of the sliding windows, in folded characters.
        window_penalty: by how much a window must beat the whole text to count instead of it.
        c: LinearSVC's inverse regularisation strength.
        mutate: mutated copies per attack payload (hardening, AML.M0003); 0 for none.
        background: generated benign texts and generated attacks that join the training data; 0 for none of both.
        rounds: rounds of choosing witnesses and hard windows.
        folds: folds, by site, of the out-of-fold scores that calibrate.
        max_texts: most distinct texts of either label kept for training.
        seed: of everything random.
    """

    bits: int = 19
    chars: tuple[int, int] = (3, 5)
    tokens: tuple[int, int] = (2, 5)
    windows: tuple[int, ...] = (40, 120)
    window_penalty: float = 0.5
    c: float = 2.0
    mutate: int = 2
    background: int = 12_000
    rounds: int = 2
    folds: int = 3
    max_texts: int = 120_000
    seed: int = 0

    @property
    def shape(self) -> Shape:
        """The n-grams that the model uses."""
        return Shape(self.bits, self.chars, self.tokens)
