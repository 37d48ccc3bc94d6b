"""The shape of a text, for thinning out texts that teach the same."""

import re

_SHAPE_TABLE = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZbcdefghijklmnopqrstuvwxyz123456789", "a" * 51 + "0" * 9)
_RUNS = re.compile(r"[a0]+|([^a0])\1+")


def text_shape(text: str) -> str:
    """A text with its letters and digits made alike: texts of one shape teach a model the same."""
    return _RUNS.sub("a", text[:160].translate(_SHAPE_TABLE))
