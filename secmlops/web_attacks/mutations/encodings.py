"""Other encodings of a payload on the wire, and other parameters around it: for every attack class."""

from random import Random
from urllib.parse import quote

from secmlops.web_attacks.mutations.mutation import mutation, some, words
from secmlops.web_attacks.taxonomy import ATTACK_CLASSES

_URL = ("query", "path", "form")
_ANY = ("any",)


def percent(char: str, rng: Random) -> str:
    """`%XX` for a latin-1 character, with hexadecimal digits of either case."""
    return f"%{ord(char):{rng.choice(('02x', '02X'))}}"


@mutation(ATTACK_CLASSES, _ANY, layer="encoding", carriers=_URL)
def url_encode_all(payload: str, rng: Random) -> str:
    """Every character percent-encoded; a URL decoder gives the payload back."""
    return "".join(percent(char, rng) for char in payload)


@mutation(ATTACK_CLASSES, _ANY, layer="encoding", carriers=_URL)
def url_encode_some(payload: str, rng: Random) -> str:
    """A random half of the harmless characters percent-encoded as well; a URL decoder gives the payload back."""
    return "".join(
        percent(char, rng) if rng.random() < 0.5 else quote(char, safe="", encoding="latin-1") for char in payload
    )


@mutation(ATTACK_CLASSES, _ANY, layer="encoding", carriers=("query", "form"))
def url_plus_blank(payload: str, rng: Random) -> str:
    """Blanks as `+`, one of the two ways in which forms send them."""
    return quote(payload, safe=" ", encoding="latin-1").replace(" ", "+")


@mutation(ATTACK_CLASSES, _ANY, layer="encoding", carriers=_URL, assumption="the application URL-decodes twice")
def url_double(payload: str, rng: Random) -> str:
    """Percent-encoded twice; two URL decoders give the payload back."""
    once = "".join(percent(char, rng) if not char.isalnum() or rng.random() < 0.3 else char for char in payload)
    return once.replace("%", "%25")


@mutation(
    ATTACK_CLASSES, _ANY, layer="encoding", carriers=_URL, assumption="the server decodes %uXXXX (IIS, classic ASP)"
)
def url_percent_u(payload: str, rng: Random) -> str:
    """Some characters as `%uXXXX`, which IIS and classic ASP decode."""
    return "".join(
        f"%u{ord(char):04x}" if char.isascii() and not char.isalnum() else quote(char, safe="", encoding="latin-1")
        for char in payload
    )


@mutation(
    ATTACK_CLASSES,
    _ANY,
    layer="encoding",
    carriers=_URL,
    assumption="the server accepts overlong UTF-8 (old Java, IIS 4 and 5)",
)
def url_overlong(payload: str, rng: Random) -> str:
    """Dots, slashes, quotes and angle brackets as two-byte UTF-8 that lenient decoders accept (CVE-2000-0884)."""
    return "".join(
        f"%{0xC0 | ord(char) >> 6:02x}%{0x80 | ord(char) & 0x3F:02x}"
        if char in "./\\'\"<>"
        else quote(char, safe="", encoding="latin-1")
        for char in payload
    )


@mutation(ATTACK_CLASSES, _ANY, layer="encoding", carriers=("json",))
def json_unicode(payload: str, rng: Random) -> str:
    r"""Characters of a JSON string as `\uXXXX`; JSON parsers give the payload back."""
    text = payload.encode("latin-1").decode("utf-8", "replace")
    chosen = set(some(range(len(text)), rng))
    return "".join(_json_escape(char) if index in chosen else _json_plain(char) for index, char in enumerate(text))


def _json_escape(char: str) -> str:
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 | code >> 10:04x}\\u{0xDC00 | code & 0x3FF:04x}"


def _json_plain(char: str) -> str:
    return _json_escape(char) if char in '"\\' or not " " <= char <= "~" else char


@mutation(ATTACK_CLASSES, _ANY, layer="parameters")
def junk_parameters(payload: str, rng: Random) -> str:
    """More parameters before and after, of names that an application does not read."""

    def junk() -> str:
        name = rng.choice(("ref", "lang", "page", "sort", "utm_source", "view"))
        return f"{name}_{rng.randint(1, 99)}={words(rng, 3).replace(' ', '+')}"

    before = [junk() for _ in range(rng.randint(0, 3))]
    after = [junk() for _ in range(rng.randint(0 if before else 1, 3))]
    return "&".join([*before, payload, *after])


@mutation(
    ATTACK_CLASSES,
    _ANY,
    layer="parameters",
    assumption="the application takes the last of equal parameters (PHP, Rails, Django)",
)
def parameter_pollution(payload: str, rng: Random) -> str:
    """The same parameter with a harmless value before it (HTTP parameter pollution, OWASP WSTG-INPV-04)."""
    name, equals, _ = payload.partition("=")
    return f"{name}={words(rng, 3).replace(' ', '+')}&{payload}" if equals else payload


MUTATIONS = (
    url_encode_all,
    url_encode_some,
    url_plus_blank,
    url_double,
    url_percent_u,
    url_overlong,
    json_unicode,
    junk_parameters,
    parameter_pollution,
)
