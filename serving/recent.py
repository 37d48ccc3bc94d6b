"""Answers to requests that were seen a short while ago."""

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

    def put(self, key: bytes, answer: Answer) -> None:
        """Remember an answer."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = answer
