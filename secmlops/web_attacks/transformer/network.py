"""The PyTorch side of the transformer models: the network, its weights from a folder, its ONNX file.

Sources: DistilBERT (Sanh et al. 2019), MobileBERT (Sun et al. 2020), attribution of a pooled linear head to
positions (Zhou et al. 2016, class activation mapping).
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES
from secmlops.web_attacks.transformer.config import Architecture

if TYPE_CHECKING:
    from tokenizers import Tokenizer

INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("logit", "class_logits", "saliency")


class UnusableWeights(SecmlopsError):
    """A weights folder that does not hold a model of the wanted architecture.

    Attributes:
        folder: the folder.
        problem: what is wrong with it.
    """

    def __init__(self, folder: Path, problem: str):
        self.folder = folder
        self.problem = problem
        super().__init__(
            f"weights in {folder} cannot be used: {problem}; give a folder in Hugging Face form with config.json, "
            "model.safetensors and tokenizer.json"
        )


class AttackNetwork(nn.Module):
    """An encoder, a maximum over the tokens, and one linear head for the attack and its class.

    The maximum makes a short attack in a long text count as much as one alone, and it splits the attack's logit
    exactly into shares per token (`saliency`).
    """

    def __init__(self, encoder: nn.Module, width: int, dropout: float = 0.1):
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.randn(width, 1 + len(ATTACK_CLASSES)) * 0.02)
        self.bias = nn.Parameter(torch.zeros(1 + len(ATTACK_CLASSES)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score token windows.

        Args:
            input_ids: int64, (windows, tokens).
            attention_mask: int64, (windows, tokens); 1 where there is a token.

        Returns:
            The attack's logit (windows), logits of `ATTACK_CLASSES` (windows, classes), and the share of each
            token in the attack's logit (windows, tokens); the shares and the bias add up to the logit.
        """
        states = self._states(input_ids, attention_mask)
        pooled = states.amax(dim=1)
        driving = torch.where(states == pooled.unsqueeze(1), states, torch.zeros_like(states))
        return *self._head(pooled), (driving @ self.weight[:, :1])[:, :, 0]

    def logits(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The first two of what `forward` returns, which is all that training needs, at less cost."""
        return self._head(self._states(input_ids, attention_mask).amax(dim=1))

    def _states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states.masked_fill(attention_mask.unsqueeze(-1) == 0, torch.finfo(torch.float32).min)

    def _head(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.dropout(pooled) @ self.weight + self.bias
        return logits[:, 0], logits[:, 1:]


def from_configuration(
    architecture: Architecture, *, vocabulary: int, max_tokens: int, width: int, layers: int, heads: int
) -> AttackNetwork:
    """A network with random weights; `vocabulary` and `max_tokens` in tokens, `width` in channels."""
    from transformers import DistilBertConfig, DistilBertModel, MobileBertConfig, MobileBertModel

    if architecture == "distilbert":
        encoder = DistilBertModel(
            DistilBertConfig(
                vocab_size=vocabulary,
                max_position_embeddings=max_tokens,
                dim=width,
                hidden_dim=2 * width,
                n_layers=layers,
                n_heads=heads,
                attention_dropout=0.0,
                pad_token_id=0,
            )
        )
        # What stands in a text tells more than where: with positions as loud as tokens, small data teach places.
        nn.init.normal_(encoder.embeddings.word_embeddings.weight, std=0.05)
        nn.init.normal_(encoder.embeddings.position_embeddings.weight, std=0.002)
        return AttackNetwork(encoder, width)
    # No-norm, MobileBERT's own normalization, learns only from a teacher; from scratch it needs layer norm.
    config = MobileBertConfig(
        vocab_size=vocabulary,
        max_position_embeddings=max_tokens,
        embedding_size=width // 2,
        hidden_size=width,
        intra_bottleneck_size=width // 2,
        intermediate_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_feedforward_networks=2,
        normalization_type="layer_norm",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    return AttackNetwork(MobileBertModel(config, add_pooling_layer=False), width)


def from_folder(architecture: Architecture, folder: Path) -> tuple[AttackNetwork, "Tokenizer", int]:
    """Read an encoder and its tokenizer; only safetensors, never a pickle, never the network.

    Returns:
        The network with a fresh head, the tokenizer with the location markers added, the longest input in tokens.

    Raises:
        UnusableWeights: a file is missing (a pickled `.bin` is no substitute) or malformed, or the architecture is
            another.
        UnusableTokenizer: the tokenizer lacks a token.
    """
    from tokenizers import Tokenizer
    from transformers import DistilBertModel, MobileBertModel, PreTrainedModel

    from secmlops.web_attacks.transformer import byte_tokenizer

    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise UnusableWeights(folder, f"there is no {name}")
    try:
        found = json.loads((folder / "config.json").read_bytes()).get("model_type")
    except (ValueError, AttributeError):
        raise UnusableWeights(folder, "config.json is not a JSON object") from None
    if found != architecture:
        raise UnusableWeights(folder, f"it holds a {str(found)[:40]}, not a {architecture}")
    kinds: tuple[type[PreTrainedModel], dict[str, Any]]
    kinds = (DistilBertModel, {}) if architecture == "distilbert" else (MobileBertModel, {"add_pooling_layer": False})
    try:
        encoder, loaded = kinds[0].from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **kinds[1]
        )
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers and safetensors raise the bare class
        raise UnusableWeights(folder, f"a file does not load ({type(error).__name__})") from None
    if loaded["missing_keys"]:
        raise UnusableWeights(folder, f"{len(loaded['missing_keys'])} of the encoder's tensors are not in it")
    tokenizer.add_special_tokens(list(byte_tokenizer.MARKERS.values()))
    tokenizer = byte_tokenizer.load(tokenizer.to_str().encode())
    encoder.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
    return AttackNetwork(encoder, encoder.config.hidden_size), tokenizer, encoder.config.max_position_embeddings


def export(network: AttackNetwork, path: Path, max_tokens: int) -> None:
    """Write the network as ONNX with any number of windows and of tokens up to `max_tokens`."""
    windows = torch.export.Dim("windows", min=1, max=65_536)
    tokens = torch.export.Dim("tokens", min=3, max=max_tokens)
    shape = {0: windows, 1: tokens}
    ids = torch.ones((3, min(11, max_tokens)), dtype=torch.int64)
    network.eval()
    with _quiet():
        torch.onnx.export(
            network,
            (ids, torch.ones_like(ids)),
            str(path),
            dynamo=True,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=dict.fromkeys(INPUTS, shape),
            external_data=False,
            verbose=False,
            opset_version=20,
        )


def quantize(source: Path, target: Path) -> None:
    """Write the ONNX file with matrices as 8-bit integers, a scale per output channel.

    Seven of the eight bits are used, because processors without VNNI instructions saturate on eight and would
    then give other scores than the ones that were judged.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    del model.graph.value_info[:]  # the quantizer transposes weights whose recorded shapes it then contradicts
    stripped = target.with_suffix(".stripped")
    onnx.save(model, stripped)
    with _quiet():
        quantize_dynamic(
            stripped,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=["MatMul", "Gather"],
        )
    stripped.unlink()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' advice to their own developers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
