"""How a transformer model is built and trained."""

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["distilbert", "mobilebert"]


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """How to build and train.

    Attributes:
        architecture: which encoder.
        weights_uri: folder of pretrained weights in Hugging Face form (safetensors), any URI that
            `secmlops.storage.objects` takes; None: random weights and a tokenizer trained on the data. With
            weights, `vocabulary`, `width`, `layers` and `heads` are theirs.
        max_tokens: longest window; longer texts are cut into several.
        vocabulary: tokens of the trained tokenizer.
        width: channels.
        layers: encoder layers; None: 2 for distilbert, 3 of MobileBERT's smaller ones.
        heads: attention heads.
        epochs: most passes over the training data.
        tokens_per_epoch: a pass ends after about so many tokens; with `epochs` it bounds the time
            (some 15,000 tokens a second on one core at the default size).
        patience: passes without improvement before stopping.
        batch_requests: attack requests per step.
        learning_rate: its peak; None: 2e-3 from scratch, 5e-5 with pretrained weights.
        mutated_copies: mutated copies of each training attack (hardening, AML.M0003).
        background: generated benign texts that join the training data, against alarms on mere keywords; 0 for none.
        threads: CPU threads of training; more help only on idle cores and at greater widths.
        seed: of everything random.
    """

    architecture: Architecture = "distilbert"
    weights_uri: str | None = None
    max_tokens: int = 64
    vocabulary: int = 2048
    width: int = 128
    layers: int | None = None
    heads: int = 4
    epochs: int = 4
    tokens_per_epoch: int = 120_000
    patience: int = 3
    batch_requests: int = 16
    learning_rate: float | None = None
    mutated_copies: int = 1
    background: int = 2000
    threads: int = 1
    seed: int = 0

    @property
    def depth(self) -> int:
        """Encoder layers of a network from configuration."""
        return self.layers or (2 if self.architecture == "distilbert" else 3)
