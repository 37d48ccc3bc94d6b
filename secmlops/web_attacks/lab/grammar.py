"""Small text grammars: rules of alternatives with slots, expanded by a seeded random generator.

An alternative is plain text with slots in guillemets: `«name»` is another rule of the grammar, and a few
built-in slots make numbers and random text: `«int:1-99»`, `«hex:8»`, `«digits:4»`, `«lower:6»`, `«upper:6»`,
`«alnum:10»`; `«nl»`, `«cr»`, `«tab»`, `«space»`, `«nul»` and `«empty»` stand for what a line of a table cannot
show. A rule may also be a function of the generator. The same generator state gives the same text.
"""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import TypeAlias

from secmlops.errors import SecmlopsError

Rule: TypeAlias = Sequence[str] | Callable[[Random], str]
_Piece: TypeAlias = str | Callable[[Random], str]

_CONTINUED = re.compile(r"«»\n[ ]*")
_SLOT = re.compile("«([^«»]+)»")
_ALPHABETS = {
    "hex": "0123456789abcdef",
    "digits": string.digits,
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "alnum": string.ascii_letters + string.digits,
}
_CHARACTERS = {"nl": "\n", "cr": "\r", "tab": "\t", "space": " ", "nul": "\0", "empty": ""}


class BrokenGrammar(SecmlopsError):
    """A rule names a slot that does not exist, or has no alternatives.

    Attributes:
        rule: the rule at fault.
        slot: the unknown slot; empty when the rule has no alternatives.
    """

    def __init__(self, rule: str, slot: str):
        self.rule = rule
        self.slot = slot
        super().__init__(
            f"grammar rule {rule!r} uses the unknown slot {slot!r}: add a rule of that name"
            if slot
            else f"grammar rule {rule!r} has no alternatives: give it at least one"
        )


def rules(text: str) -> dict[str, list[str]]:
    """Read rules from text.

    A line without indentation names a rule; the indented lines below it are its alternatives, one a line. When
    the name ends with a colon, the indented lines hold words instead, separated by white space. An alternative
    that ends with an empty slot goes on in the next line.
    """
    made: dict[str, list[str]] = {}
    alternatives: list[str] = []
    words = False
    for line in _CONTINUED.sub("", text.strip("\n")).splitlines():
        if line and not line[0].isspace():
            words = line.endswith(":")
            alternatives = made.setdefault(line.rstrip(":"), [])
        elif line.strip():
            alternatives.extend(line.split() if words else [line.strip()])
    return made


class Grammar:
    """A set of rules, checked once and compiled for repeated expansion."""

    def __init__(self, rules: Mapping[str, Rule], start: str = "start"):
        """Compile the rules.

        Args:
            rules: rule name to alternatives (equally likely; repeat one to weigh it) or to a function.
            start: the rule that `generate` expands when none is named.

        Raises:
            BrokenGrammar: an unknown slot or an empty rule.
        """
        self.start = start
        self._functions: dict[str, Callable[[Random], str]] = {
            name: rule for name, rule in rules.items() if callable(rule)
        }
        self._alternatives: dict[str, list[tuple[_Piece, ...]]] = {}
        for name, rule in rules.items():
            if not callable(rule):
                self._alternatives[name] = [self._compile(name, text, rules) for text in rule]
                if not rule:
                    raise BrokenGrammar(name, "")
        if start not in rules:
            raise BrokenGrammar(start, start)

    def generate(self, rng: Random, rule: str = "") -> str:
        """Expand a rule (the start rule when none is named) to text."""
        name = rule or self.start
        function = self._functions.get(name)
        if function is not None:
            return function(rng)
        alternatives = self._alternatives[name]
        pieces = alternatives[int(rng.random() * len(alternatives))]
        return "".join([piece if type(piece) is str else piece(rng) for piece in pieces])  # type: ignore[operator]

    def __contains__(self, rule: str) -> bool:
        return rule in self._alternatives or rule in self._functions

    def _compile(self, name: str, text: str, rules: Mapping[str, Rule]) -> tuple[_Piece, ...]:
        pieces: list[_Piece] = []
        for index, part in enumerate(_SLOT.split(text)):
            if index % 2 == 0:
                if part:
                    pieces.append(part)
            elif part in rules:
                pieces.append(partial(self.generate, rule=part))
            else:
                pieces.append(_builtin(name, part))
        return tuple(pieces)


def _builtin(rule: str, slot: str) -> Callable[[Random], str]:
    if slot in _CHARACTERS:
        return lambda rng: _CHARACTERS[slot]
    kind, _, argument = slot.partition(":")
    if kind == "int" and re.fullmatch(r"\d+-\d+", argument):
        low, high = map(int, argument.split("-"))
        return lambda rng: str(low + int(rng.random() * (high - low + 1)))
    if kind in _ALPHABETS and argument.isdigit():
        letters, length = _ALPHABETS[kind], int(argument)
        return lambda rng: "".join(rng.choices(letters, k=length))
    raise BrokenGrammar(rule, slot)
