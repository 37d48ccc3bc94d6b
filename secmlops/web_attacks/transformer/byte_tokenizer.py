"""Byte-level sub-word tokens: every byte has a token, so no obfuscation falls outside the vocabulary.

Source: Sennrich et al. 2016 (byte-pair encoding), Radford et al. 2019 (byte-level alphabet); implemented by the
`tokenizers` library.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from secmlops.errors import SecmlopsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD: Final = "[PAD]"
START: Final = "[CLS]"
END: Final = "[SEP]"
MARKERS: Final = {
    "path": "[PATH]",
    "query": "[QUERY]",
    "body": "[BODY]",
    "header": "[HEADER]",
    "cookie": "[COOKIE]",
}
"""The token that tells the network where in the request a text stood."""


class UnusableTokenizer(SecmlopsError):
    """A tokenizer file that cannot serve these models.

    Attributes:
        problem: what is wrong with it.
    """

    def __init__(self, problem: str):
        self.problem = problem
        super().__init__(f"the tokenizer cannot be used: {problem}; take the one that was trained with the model")


def train(texts: Iterable[str], vocabulary_size: int) -> "Tokenizer":
    """Learn a lower-casing byte-level BPE vocabulary.

    Digits are tokens of their own: numbers identify sites and sessions, not attacks.

    Args:
        texts: decoded texts.
        vocabulary_size: most tokens, at least 256 bytes and the special ones.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[PAD, START, END, *MARKERS.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=16,
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(encodable, texts), trainer)
    tokenizer.encode_special_tokens = True
    return tokenizer


def load(data: bytes) -> "Tokenizer":
    """Read a `tokenizer.json`.

    Special tokens written out in a request (`[SEP]`, `[MASK]`) are read as the text they are.

    Raises:
        UnusableTokenizer: not a tokenizer, or one without `PAD`, `START`, `END` and `MARKERS`.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises the bare class
        raise UnusableTokenizer(f"not a tokenizer.json ({type(error).__name__})") from None
    require(tokenizer, [PAD, START, END, *MARKERS.values()])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer


def require(tokenizer: "Tokenizer", tokens: Iterable[str]) -> None:
    """Raise `UnusableTokenizer` when a token is missing from the vocabulary."""
    missing = [token for token in tokens if tokenizer.token_to_id(token) is None]
    if missing:
        raise UnusableTokenizer(f"no token {', '.join(missing)}")


def encodable(text: str) -> str:
    """The text with lone surrogates replaced: UTF-8, which the tokenizer works on, has no form for them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
