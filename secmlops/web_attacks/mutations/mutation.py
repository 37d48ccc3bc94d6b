"""What a mutation is, and how one is declared."""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeVar

Layer = Literal["payload", "encoding", "parameters"]
Rewrite = Callable[[str, Random], str]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rewriting of an attack that leaves what it does unchanged.

    Attributes:
        name: its key in `MUTATIONS`.
        classes: the attack classes (`taxonomy.ATTACK_CLASSES`) whose semantics it preserves.
        engines: the interpreters on which it preserves them, e.g. `mysql`, `sh`, `html`, `log4j2`.
        preserves: what stays the same, and why.
        apply: `apply(text, rng)` gives the rewritten text, or `text` itself where there is nothing to rewrite.
        layer: what `text` is: a decoded `payload`; an `encoding` takes the decoded payload and gives what is
            sent in its place; `parameters` takes `name=value` pairs as sent.
        carriers: the places (`query`, `path`, `form`, `json`, `body`) that undo it; empty for any place.
        assumption: what the attacked application must do for it to work; empty when nothing special.
    """

    name: str
    classes: frozenset[str]
    engines: frozenset[str]
    preserves: str
    apply: Rewrite
    layer: Layer = "payload"
    carriers: frozenset[str] = frozenset()
    assumption: str = ""


def mutation(
    classes: Collection[str],
    engines: Collection[str],
    *,
    layer: Layer = "payload",
    carriers: Collection[str] = (),
    assumption: str = "",
) -> Callable[[Rewrite], Mutation]:
    """Declare a function as a mutation; its name is the mutation's, its docstring says what it preserves."""

    def declare(function: Rewrite) -> Mutation:
        return Mutation(
            name=function.__name__,
            classes=frozenset(classes),
            engines=frozenset(engines),
            preserves=" ".join((inspect.getdoc(function) or "").split()),
            apply=function,
            layer=layer,
            carriers=frozenset(carriers),
            assumption=assumption,
        )

    return declare


def some(items: Sequence[Item], rng: Random) -> list[Item]:
    """A random non-empty choice in the given order: one, all, or anything between; empty only for no items."""
    if not items:
        return []
    count = rng.choice((1, rng.randint(1, len(items)), len(items)))
    return [items[index] for index in sorted(rng.sample(range(len(items)), count))]


def random_case(text: str, rng: Random) -> str:
    """The text with its ASCII letters in random case; others stay, as their cases may not be one byte long."""
    return "".join(rng.choice((char.lower(), char.upper())) if char.isascii() else char for char in text)


_WORD_LIST = """
    shoes summer sale order delivery address winter jacket size blue cotton review garden coffee travel invoice
    meeting note team budget report holiday photo music recipe family weather train ticket hotel booking school
"""
WORDS = tuple(_WORD_LIST.split())


def words(rng: Random, most: int = 4) -> str:
    """A few harmless words, for places that an interpreter ignores."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))
