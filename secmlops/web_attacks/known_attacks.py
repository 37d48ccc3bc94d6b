r"""Generated attacks of every class: what a model should recognise before the first attack is labelled.

Templates with variable parts (`known_attacks.json`), written from the public descriptions of each technique: the OWASP
Testing Guide; MITRE CAPEC-66 (SQL injection), -63 (XSS), -126 (path traversal), -88 (OS command injection), -664
(SSRF), -221 (XXE), -676 (NoSQL injection); CVE-2021-44228 (Log4Shell); CVE-2014-6271 (Shellshock). The texts are
decoded values, as `decoding.decode` gives them.
"""

import json
import random
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Final

Chance = random.Random


def attack_texts(count: int, seed: int) -> list[tuple[str, str]]:
    """Attacks with their class, in a mix fixed by the seed.

    Args:
        count: how many; fewer come back only when duplicates cannot be avoided.
        seed: the same seed gives the same attacks.
    """
    chance = Chance(seed)
    kinds, shares = zip(*_grammar()["shares"].items(), strict=True)
    found: dict[str, str] = {}
    for _ in range(4 * count):
        if len(found) >= count:
            break
        kind = chance.choices(kinds, shares)[0]
        found.setdefault(_attack(kind, chance), kind)
    return list(found.items())


def _attack(kind: str, chance: Chance) -> str:
    text = _fill(chance.choice(_grammar()["templates"][kind]), chance)
    if kind in ("sqli", "xss", "cmd_injection") and chance.random() < 0.15:
        text = text.upper() if chance.random() < 0.5 else "".join(chance.choice((c.lower(), c.upper())) for c in text)
    return text


def _fill(template: str, chance: Chance) -> str:
    for _ in range(6):
        filled = re.sub(r"<<(\w+)>>", lambda slot: _slot(slot[1], chance), template)
        if filled == template:
            break
        template = filled
    return template


def _number(chance: Chance) -> str:
    return str(chance.choice([chance.randint(0, 9), chance.randint(10, 9999), chance.randint(10**4, 10**7)]))


def _same(chance: Chance) -> str:
    number = _number(chance)
    return chance.choice(
        [f"{number}={number}", f"{number} = {number}", f"'{number}'='{number}'", f"{number}<{int(number) + 1}"]
    )


def _letters(chance: Chance) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 7)))


def _columns(chance: Chance) -> str:
    kinds = [
        "null",
        "1",
        "<<n>>",
        "'<<w>>'",
        "@@version",
        "user()",
        "database()",
        "<<column>>",
        "<<chars>>",
        "version()",
    ]
    return ",".join(chance.choice(kinds) for _ in range(chance.randint(1, 9)))


def _chars(chance: Chance) -> str:
    codes = [chance.randint(65, 122) for _ in range(chance.randint(1, 6))]
    return chance.choice(
        [
            f"char({','.join(map(str, codes))})",
            "+".join(f"char({code})" for code in codes),
            "||".join(f"chr({code})" for code in codes),
            "0x" + "".join(f"{code:02x}" for code in codes),
        ]
    )


def _climb(chance: Chance) -> str:
    step = chance.choice(
        [
            "../",
            "../",
            "../",
            "..\\",
            "....//",
            "..;/",
            "..././",
            "/..",
            "\\..",
            ".../",
            "..//",
            "/./..",
            "%2e%2e/",
            "..%2f",
        ]
    )
    return step * chance.randint(2, 12)


_SLOTS: Final[Mapping[str, Callable[[Chance], str]]] = {
    "n": _number,
    "w": _letters,
    "same": _same,
    "columns": _columns,
    "chars": _chars,
    "climb": _climb,
}


def _slot(name: str, chance: Chance) -> str:
    made = _SLOTS.get(name)
    return made(chance) if made else chance.choice(_grammar()["slots"][name])


@lru_cache(maxsize=1)
def _grammar() -> dict[str, Any]:
    """`known_attacks.json`: `shares` and `templates` by attack class, and `slots` with their choices."""
    source = resources.files("secmlops.web_attacks").joinpath("known_attacks.json").read_text(encoding="utf-8")
    return json.loads(source)
