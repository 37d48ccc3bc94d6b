"""A request as token windows, the unit that a transformer scores.

Every decoded part is read whole: a text longer than the model's input is cut into windows that overlap, and
each is scored alone. So nothing hides behind padding, junk parameters or a truncation, and the window that
scores highest names the part. A network costs milliseconds a window, so their number is bounded; a request with
more (some 70 KB of text that does not repeat itself, at 64 tokens a window) is not whole, and must not pass.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from secmlops.web_attacks.decoding import Location, readings, take
from secmlops.web_attacks.request import HttpRequest
from secmlops.web_attacks.transformer import byte_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FRAME: Final = 3
"""Tokens around the text: start, location, end."""

MAX_WINDOWS: Final = 1024
"""Most windows scored in one request; of more, those with the most punctuation, which tell most."""

MAX_CHARS: Final = 262_144
"""Most characters of decoded text cut into windows in one request."""


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a part.

    Attributes:
        ids: token ids with start, location and end.
        label: the part, e.g. `query:q`.
        text: the decoded text that the tokens stand for.
    """

    ids: tuple[int, ...]
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a request.

    Attributes:
        windows: in order, equal ones once, at least one and at most `MAX_WINDOWS`.
        whole: whether they hold all that was sent.
    """

    windows: list[Window]
    whole: bool


class Windower:
    """Cuts requests into windows of at most `max_tokens` tokens, `FRAME` included."""

    def __init__(self, tokenizer: "Tokenizer", max_tokens: int):
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._room = max_tokens - FRAME
        self._step = self._room - self._room // 4
        self._start, self._end = self._id(byte_tokenizer.START), self._id(byte_tokenizer.END)
        self._markers = {location: self._id(marker) for location, marker in byte_tokenizer.MARKERS.items()}
        self._cut_short = lru_cache(maxsize=8192)(self._cut)

    def windows(self, request: HttpRequest) -> list[Window]:
        """The windows of `take`, for readers that do not decide about the request."""
        return self.take(request).windows

    def take(self, request: HttpRequest) -> Windows:
        """Cut the request into windows."""
        found: dict[tuple[int, ...], Window] = {}
        taken = take(request)
        room = MAX_CHARS
        for part in taken.parts:
            for reading in readings(part.text):
                text = reading[: max(room, 0)]
                room -= len(reading)
                cut = self._cut_short if len(text) <= 256 else self._cut
                for ids, piece in cut(part.location, text):
                    found.setdefault(ids, Window(ids, part.label, piece))
        windows = list(found.values())
        if len(windows) > MAX_WINDOWS:
            return Windows(_most_punctuated(windows), whole=False)
        return Windows(windows, taken.whole and room >= 0)

    def spans(self, window: Window) -> list[tuple[int, int]]:
        """The characters of `window.text` that each token of `window.ids` stands for; empty for the frame."""
        text = byte_tokenizer.encodable(window.text)
        offsets = self.tokenizer.encode(text, add_special_tokens=False).offsets[: len(window.ids) - FRAME]
        return [(0, 0), (0, 0), *offsets, *[(0, 0)] * (len(window.ids) - 2 - len(offsets))]

    def _cut(self, location: Location, text: str) -> list[tuple[tuple[int, ...], str]]:
        text = byte_tokenizer.encodable(text)
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        ids, offsets = encoding.ids, encoding.offsets
        head = (self._start, self._markers[location])
        if len(ids) <= self._room:
            return [((*head, *ids, self._end), text)]
        pieces = []
        for at in range(0, len(ids) - self._room + self._step, self._step):
            span = offsets[at : at + self._room]
            pieces.append(((*head, *ids[at : at + self._room], self._end), text[span[0][0] : span[-1][1]]))
        return pieces

    def _id(self, token: str) -> int:
        byte_tokenizer.require(self.tokenizer, [token])
        return self.tokenizer.token_to_id(token)


def _most_punctuated(windows: list[Window]) -> list[Window]:
    def punctuation(index: int) -> int:
        return sum(not (char.isalnum() or char.isspace()) for char in windows[index].text)

    chosen = sorted(range(len(windows)), key=punctuation, reverse=True)[:MAX_WINDOWS]
    return [windows[index] for index in sorted(chosen)]
