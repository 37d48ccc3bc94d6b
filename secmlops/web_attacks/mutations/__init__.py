"""Semantics-preserving mutations of web attacks (MITRE ATLAS AML.T0015, evade an AI model).

A mutation rewrites an attack so that it still does the same on the engines that the mutation names. Composing
mutations keeps only the engines that all of them share, and a step that would leave none is not taken.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.mutations import addresses, documents, encodings, lookups, markup, paths, shell, sql
from secmlops.web_attacks.mutations.carrier import Slot, UnfitPayload, locate
from secmlops.web_attacks.mutations.mutation import Mutation
from secmlops.web_attacks.request import HttpRequest

__all__ = [
    "MUTATIONS",
    "Injection",
    "Mutation",
    "UnfitPayload",
    "UnknownMutation",
    "for_class",
    "mutate",
    "mutate_request",
]

MUTATIONS: Mapping[str, Mutation] = MappingProxyType(
    {
        one.name: one
        for module in (sql, markup, paths, shell, addresses, documents, lookups, encodings)
        for one in module.MUTATIONS
    }
)

_ENGINE_MARKS: Mapping[str, tuple[tuple[str, frozenset[str]], ...]] = {
    "sqli": (
        (
            r"\bbenchmark\s*\(|(?<!pg_)\bsleep\s*\(|extractvalue|updatexml|\belt\s*\(|/\*!|\brlike\b|#|@@|\bmake_set",
            frozenset({"mysql"}),
        ),
        (r"pg_sleep|generate_series|::\w", frozenset({"postgresql"})),
        (r"waitfor\s+delay|\bxp_\w+|sysobjects|\bexec\b|master\.\.", frozenset({"mssql"})),
        (r"\bdual\b|dbms_|utl_\w+|all_users|ctxsys|ordsys", frozenset({"oracle"})),
        (r"randomblob|sqlite_|load_extension", frozenset({"sqlite"})),
    ),
    "cmd_injection": (
        (r"print\(|proc_open\(|phpinfo\(|system\(|passthru\(|<\?", frozenset({"php"})),
        (
            r"\b(?:ipconfig|systeminfo|tasklist|powershell|net\s+user|type\s+[a-z]:|cmd(?:\.exe)?\s*/c)\b|%[A-Z_]{4,}%|\bdir\b",
            frozenset({"cmd"}),
        ),
        (r".", frozenset({"sh"})),
    ),
    "shellshock": ((r".", frozenset({"sh", "bash"})),),
    "path_traversal": (
        (r"\\|win\.ini|boot\.ini|\bwindows\b|\b[a-z]:[/\\]", frozenset({"windows"})),
        (r"etc/|proc/|\bvar/|passwd|shadow", frozenset({"posix"})),
    ),
}


class UnknownMutation(SecmlopsError):
    """A mutation's name that is not in `MUTATIONS`.

    Attributes:
        name: the name given.
    """

    def __init__(self, name: str):
        self.name = name
        super().__init__(f"there is no mutation {name!r}: use one of {', '.join(MUTATIONS)}")


def for_class(attack_class: str, names: Collection[str] | None = None) -> tuple[Mutation, ...]:
    """The mutations that preserve the semantics of an attack class, all of them or only those named.

    Raises:
        UnknownMutation: a name is not in `MUTATIONS`.
    """
    for name in names or ():
        if name not in MUTATIONS:
            raise UnknownMutation(name)
    return tuple(
        one for one in MUTATIONS.values() if attack_class in one.classes and (names is None or one.name in names)
    )


def engines_of(payload: str, attack_class: str) -> frozenset[str]:
    """The engines that a payload is meant for, as far as its text tells; all engines of the class otherwise."""
    for pattern, engines in _ENGINE_MARKS.get(attack_class, ()):
        if re.search(pattern, payload, re.IGNORECASE):
            return engines
    known = [one.engines for one in for_class(attack_class) if one.layer == "payload"]
    return frozenset().union(*known)


def shared_engines(one: Mutation, engines: frozenset[str]) -> frozenset[str]:
    """The engines left after a mutation; empty when it works on none of them."""
    return engines if "any" in one.engines else engines & one.engines


def mutate(
    payload: str, attack_class: str, rng: Random, rounds: int = 1, *, names: Collection[str] | None = None
) -> str:
    """Rewrite a decoded payload by up to `rounds` payload mutations of its class that share an engine.

    Where no mutation applies the payload comes back unchanged.

    Raises:
        UnknownMutation: a name is not in `MUTATIONS`.
    """
    usable = [one for one in for_class(attack_class, names) if one.layer == "payload" and not one.carriers]
    engines = engines_of(payload, attack_class)
    for _ in range(rounds):
        for one in rng.sample(usable, len(usable)):
            left = shared_engines(one, engines)
            changed = one.apply(payload, rng) if left else payload
            if changed != payload:
                payload, engines = changed, left
                break
    return payload


def mutate_request(
    request: HttpRequest,
    attack_class: str,
    rng: Random,
    rounds: int = 1,
    part: str | None = None,
    *,
    names: Collection[str] | None = None,
) -> HttpRequest:
    """Rewrite the attack in a request by up to `rounds` mutations of its payload, encoding and parameters.

    Args:
        request: the attack.
        attack_class: its class; only mutations that preserve the semantics of this class are used.
        rng: the source of randomness.
        rounds: how many mutations to compose.
        part: which part carries the payload, in the form of `Score.part`; guessed when None or not found.
        names: use only these mutations.

    Returns:
        The mutated request with `raw` empty and Content-Length corrected, or `request` itself where nothing
        applies.

    Raises:
        UnknownMutation: a name is not in `MUTATIONS`.
    """
    injection = Injection.find(request, attack_class, part)
    if injection is None:
        return request
    for _ in range(rounds):
        injection = injection.step(rng, names) or injection
    return injection.render() if injection.trail else request


@dataclass(frozen=True, slots=True)
class Injection:
    """A payload in its place in a request, and what has been done to it so far.

    Attributes:
        request: the original request.
        slot: where the payload sits.
        attack_class: the attack's class.
        payload: the payload now, decoded.
        engines: the engines on which everything done so far preserves the semantics.
        encoding: the encoding mutation in use, or None for the plain one.
        nonce: what the encoding draws its randomness from.
        prefix: parameters put before the payload's own.
        suffix: parameters put after it.
        trail: names of the mutations applied, in order.
    """

    request: HttpRequest
    slot: Slot
    attack_class: str
    payload: str
    engines: frozenset[str]
    encoding: Mutation | None = None
    nonce: int = 0
    prefix: str = ""
    suffix: str = ""
    trail: tuple[str, ...] = ()

    @classmethod
    def find(cls, request: HttpRequest, attack_class: str, part: str | None = None) -> "Injection | None":
        """Find the payload of an attack; None for a request that holds no value at all."""
        slot = locate(request, attack_class, part)
        if slot is None:
            return None
        return cls(request, slot, attack_class, slot.payload, engines_of(slot.payload, attack_class))

    @property
    def growth_bytes(self) -> int:
        """By how many bytes payload and parameters have grown."""
        return len(self.payload) + len(self.prefix) + len(self.suffix) - len(self.slot.payload)

    def step(self, rng: Random, names: Collection[str] | None = None) -> "Injection | None":
        """One more mutation, chosen at random among those that change something; None when there is none.

        Raises:
            UnknownMutation: a name is not in `MUTATIONS`.
        """
        usable = for_class(self.attack_class, names)
        for one in rng.sample(usable, len(usable)):
            changed = self.apply(one, rng)
            if changed is not None:
                return changed
        return None

    def apply(self, one: Mutation, rng: Random) -> "Injection | None":
        """Apply one mutation; None when it does not fit the engines, the place or the payload."""
        engines = shared_engines(one, self.engines)
        if (self.engines and not engines) or (one.carriers and self.slot.carrier not in one.carriers):
            return None
        trail = (*self.trail, one.name)
        if one.layer == "payload":
            changed = replace(self, payload=one.apply(self.payload, rng), engines=engines, trail=trail)
            return changed if changed.payload != self.payload and changed._fits() else None
        if one.layer == "encoding":
            return replace(self, encoding=one, nonce=rng.getrandbits(32), trail=trail)
        return self._with_parameters(one, rng, trail)

    def _with_parameters(self, one: Mutation, rng: Random, trail: tuple[str, ...]) -> "Injection | None":
        if self.slot.carrier not in ("query", "form"):
            return None
        name = re.split(r"[?&]", self.slot.before)[-1]
        if not name.endswith("="):
            return None
        before, _, after = one.apply(f"{name}\0", rng).partition("\0")
        prefix = before[: len(before) - len(name)].rstrip("&")
        if not prefix and not after:
            return None
        return replace(self, prefix=prefix, suffix=after.lstrip("&"), trail=trail)

    def _fits(self) -> bool:
        try:
            self.slot.encode(self.payload)
        except UnfitPayload:
            return False
        return True

    def render(self) -> HttpRequest:
        """The request as it would be sent now.

        Raises:
            UnfitPayload: the place cannot carry the payload (only for payloads not made by `apply`).
        """
        if self.encoding is None:
            value = self.slot.encode(self.payload)
        else:
            rng = Random(self.nonce)
            pieces = self.payload.split("/") if self.slot.carrier == "path" else [self.payload]
            value = "/".join(self.encoding.apply(piece, rng) for piece in pieces)
            if self.slot.layers > 1:
                value = self._encode_again(value)
        return self.slot.fill(self.request, value, prefix=self.prefix, suffix=self.suffix)

    def _encode_again(self, value: str) -> str:
        for _ in range(self.slot.layers - 1):
            value = value.replace("%", "%25")
        return value
