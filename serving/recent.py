"""Answers to requests that were seen a short while ago."""

from collections.abc import Sequence
from typing import Any

Answer = tuple[Any, ...]


class Recent:
    """The latest answers by key, at most `size` and at least half of that, without bookkeeping per use.

    Two generations: when the young one is full it becomes the old one, and what is asked for again becomes young
    again. It belongs to the event loop's thread.
    """

    def __init__(self, size: int):
        self._half = max(size // 2, 1)
        self._young: dict[bytes, Answer] = {}
        self._old: dict[bytes, Answer] = {}

    def get(self, key: bytes) -> Answer | None:
        """The answer, if it is remembered."""
        answer = self._young.get(key)
        if answer is None:
            answer = self._old.get(key)
            if answer is not None:
                self.put(key, answer)
        return answer

    def find(self, keys: Sequence[bytes]) -> list[Answer | None]:
        """The answers to several questions, None for each that is not remembered."""
        answers = list(map(self._young.get, keys))
        if None in answers:
            return [self.get(key) if answer is None else answer for key, answer in zip(keys, answers, strict=True)]
        return answers

    def put(self, key: bytes, answer: Answer) -> None:
        """Remember an answer."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = answer
