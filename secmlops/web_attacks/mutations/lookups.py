"""Rewritings of Log4Shell lookups, NoSQL operators and injected header lines."""

import re
from random import Random

from secmlops.web_attacks.mutations.mutation import mutation, random_case, some, words

_LOG4SHELL = ("log4shell",)
_PREFIX = re.compile(r"(?<=\$\{)jndi:[a-z]{2,6}(?=:)", re.IGNORECASE)


@mutation(_LOG4SHELL, ("log4j2",))
def log4j_nested_lookup(payload: str, rng: Random) -> str:
    """Letters of `jndi:ldap` come from nested lookups, which Log4j 2 resolves from the inside out."""
    match = _PREFIX.search(payload)
    if match is None:
        return payload
    letters = list(match.group())
    for index in some([i for i, char in enumerate(letters) if char.isalpha()], rng):
        letters[index] = _lookup(letters[index], rng)
    return payload[: match.start()] + "".join(letters) + payload[match.end() :]


def _lookup(letter: str, rng: Random) -> str:
    name = "".join(rng.choice("abcdefghkmnp") for _ in range(rng.randint(1, 5)))
    forms = [f"${{::-{letter}}}", f"${{env:{name.upper()}:-{letter}}}", f"${{sys:{name}:-{letter}}}"]
    if letter.islower():
        forms.append(f"${{lower:{rng.choice((letter, letter.upper()))}}}")
    return rng.choice(forms)


@mutation(_LOG4SHELL, ("log4j2",))
def log4j_prefix_case(payload: str, rng: Random) -> str:
    """`jndi` in random case; Log4j 2 lower-cases the name of a lookup."""
    return re.sub(
        r"(?<=\$\{)jndi(?=:)",
        lambda match: random_case(match.group(), rng),
        payload,
        flags=re.IGNORECASE,
    )


@mutation(_LOG4SHELL, ("log4j2",))
def log4j_surrounding_words(payload: str, rng: Random) -> str:
    """Words around the lookup; Log4j 2 substitutes lookups anywhere in a message."""
    return f"{words(rng, 3)} {payload} {words(rng, 3)}" if "${" in payload else payload


_NOSQLI = ("nosqli",)


@mutation(_NOSQLI, ("json",))
def nosql_unicode_operator(payload: str, rng: Random) -> str:
    r"""Characters of an operator name in a JSON document as `\uXXXX`, which JSON parsers read back."""

    def escape(match: re.Match[str]) -> str:
        name = match["name"]
        chosen = set(some(range(len(name)), rng))
        return '"' + "".join(f"\\u{ord(c):04x}" if i in chosen else c for i, c in enumerate(name)) + '"'

    return re.sub(r'"(?P<name>\$[a-zA-Z]+)"(?=\s*:)', escape, payload)


@mutation(_NOSQLI, ("json",))
def nosql_blanks(payload: str, rng: Random) -> str:
    """White space around the braces and colons of a JSON document, which JSON parsers skip."""
    if not re.search(r'[{[]\s*"', payload) or not payload.lstrip().startswith(("{", "[")):
        return payload
    pieces = re.split(r'("(?:[^"\\]|\\.)*")', payload)
    chosen = set(some(range(0, len(pieces), 2), rng))

    def loosen(text: str) -> str:
        return re.sub(r"[{}\[\]:,]", lambda match: match.group() + rng.choice((" ", "\n", "\t", "  ")), text)

    return "".join(loosen(piece) if index in chosen else piece for index, piece in enumerate(pieces))


_EQUIVALENT_OPERATORS = (
    (re.compile(r'"\$ne"\s*:\s*(null|-?\d+|"[^"\\]*")'), r'"$nin":[\1]'),
    (re.compile(r'"\$in"\s*:\s*\[\s*("[^"\\]*")\s*\]'), r'"$eq":\1'),
    (re.compile(r'"\$eq"\s*:\s*(-?\d+|"[^"\\]*")'), r'"$in":[\1]'),
)


@mutation(_NOSQLI, ("json",))
def nosql_equivalent_operator(payload: str, rng: Random) -> str:
    """`$ne: x` becomes `$nin: [x]`, `$eq: x` becomes `$in: [x]` and back: MongoDB selects the same documents."""
    usable = [pair for pair in _EQUIVALENT_OPERATORS if pair[0].search(payload)]
    if not usable:
        return payload
    pattern, replacement = rng.choice(usable)
    return pattern.sub(replacement, payload, count=1)


_HEADERS = ("header_injection",)
_HEADER_LINE = re.compile(r"(?P<end>\r\n|\n)(?P<name>[A-Za-z][\w-]*):(?P<blank>[ \t]*)")


@mutation(_HEADERS, ("http",))
def header_case(payload: str, rng: Random) -> str:
    """Injected header names in random case (RFC 9110, 5.1: they are case-insensitive)."""

    def flip(match: re.Match[str]) -> str:
        return f"{match['end']}{random_case(match['name'], rng)}:{match['blank']}"

    return _HEADER_LINE.sub(flip, payload)


@mutation(_HEADERS, ("http",))
def header_blanks(payload: str, rng: Random) -> str:
    """Other white space before an injected header's value (RFC 9110, 5.5: it is not part of the value)."""
    return _HEADER_LINE.sub(
        lambda match: f"{match['end']}{match['name']}:{rng.choice(('', ' ', chr(9), '   '))}", payload
    )


@mutation(_HEADERS, ("http",))
def header_line_end(payload: str, rng: Random) -> str:
    """A bare line feed for CR LF, which lenient recipients take as a line end too (RFC 9112, 2.2)."""
    return payload.replace("\r\n", "\n")


@mutation(_HEADERS, ("http",))
def header_extra_line(payload: str, rng: Random) -> str:
    """One more injected header before the first, of a name that nothing reads."""
    match = _HEADER_LINE.search(payload)
    if match is None:
        return payload
    line = f"{match['end']}X-{rng.choice(('Note', 'Shop', 'Info'))}: {words(rng, 3)}"
    return payload[: match.start()] + line + payload[match.start() :]


MUTATIONS = (
    log4j_nested_lookup,
    log4j_prefix_case,
    log4j_surrounding_words,
    nosql_unicode_operator,
    nosql_blanks,
    nosql_equivalent_operator,
    header_case,
    header_blanks,
    header_line_end,
    header_extra_line,
)
