"""Other forms of a request, whose score should be that of the request itself unless it hides what it is.

Each request is asked about twice more: with every disguise undone as far as it goes (`canonical`), which the score of
an attack that was rewritten until it passed does not survive, and without what the sender chose (`without_values`): an
honest request is as harmless as an empty one, and whoever stopped just below the threshold is not. These are the
squeezers of `detectors.disagreement` for HTTP (feature squeezing, Xu, Evans and Qi 2018; MITRE ATLAS AML.M0015
against AML.T0015).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from secmlops.web_attacks.classifier import Classifier
from secmlops.web_attacks.decoding import Part, canonical, decode, take
from secmlops.web_attacks.request import HttpRequest

MOST_ROUNDS: Final = 4
"""Times that a text is brought to its canonical form, each on what the last one gave."""

_FORM: Final = ("content-type", "application/x-www-form-urlencoded")
_OF_THE_BODY: Final = frozenset({"content-type", "content-encoding"})
_EMPTY: Final = HttpRequest("GET", "/")


def undone(text: str) -> str:
    """A part's text with its encodings and disguises undone, layer by layer."""
    for _ in range(MOST_ROUNDS):
        simple = canonical(decode(text))
        if simple == text:
            break
        text = simple
    return text


def rewritten(request: HttpRequest, change: Callable[[str], str]) -> HttpRequest:
    """A request whose values were changed one by one; the request itself where none changes.

    Values of a JSON, XML or multipart body become those of a form: what they say is asked about, not how.
    """
    found = take(request).parts
    texts = [change(part.text) for part in found]
    if all(text == decode(part.text) for part, text in zip(found, texts, strict=True)):
        return request
    places: dict[str, list[str]] = {"path": [], "query": [], "body": [], "cookie": []}
    headers: list[tuple[str, str]] = []
    for part, text in zip(found, texts, strict=True):
        if part.location == "header":
            headers.append((part.name or "x", _quoted(text)))
        else:
            places[part.location].append(_quoted(text, "/") if part.location == "path" else _pair(part, text))
    if places["cookie"]:
        headers.append(("cookie", "; ".join(places["cookie"])))
    if places["body"]:
        headers = [*(header for header in headers if header[0].lower() not in _OF_THE_BODY), _FORM]
    return replace(
        request,
        uri="?".join(filter(None, ["".join(places["path"]), "&".join(places["query"])])),
        headers=tuple(headers),
        body="&".join(places["body"]).encode("ascii"),
        raw=b"",
    )


def _pair(part: Part, text: str) -> str:
    return f"{_quoted(part.name)}={_quoted(text)}"


def _quoted(text: str, safe: str = "") -> str:
    return quote(text.encode("utf-8", "replace"), safe=safe)


REWRITERS: Final[Mapping[str, Callable[[HttpRequest], HttpRequest]]] = MappingProxyType(
    {
        "canonical": lambda request: rewritten(request, undone),
        "without_values": lambda request: _EMPTY,
    }
)
"""The forms that a web-attack `Disagreement` compares with, by name."""


def scorer(classifier: Classifier) -> Callable[[Sequence[HttpRequest]], npt.NDArray[np.float64]]:
    """A model as what a `Disagreement` asks: requests to probabilities (n,) of an attack."""
    return lambda requests: np.array([answer.score for answer in classifier.score(requests)])
