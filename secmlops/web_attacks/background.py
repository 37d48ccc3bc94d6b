"""Benign values that any site may see: what a model should not alarm on before it has met the site.

Everything is generated, or taken from the documentation that Python carries: technical prose, shop searches and
reviews full of words that merely look suspicious, names and addresses, and the plumbing of the web (client headers,
cookies, tokens, asset paths, analytics, error reports). No values of any data set are in here.
"""

import ast
import base64
import json
import random
import re
import string
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import quote

Chance = random.Random

HEX: Final = "0123456789abcdef"
ALPHANUMERIC: Final = string.ascii_letters + string.digits


def normal_texts(count: int, seed: int) -> list[str]:
    """Benign values of all kinds, in a mix fixed by the seed.

    Args:
        count: how many; fewer come back only when duplicates cannot be avoided.
        seed: the same seed gives the same texts on the same Python release.
    """
    chance = Chance(seed)
    found: dict[str, None] = {}
    for _ in range(4 * count):
        if len(found) >= count:
            break
        kind = chance.choices(list(_KINDS), list(_KINDS.values()))[0]
        found.setdefault(kind(chance), None)
    return list(found)


@lru_cache(maxsize=1)
def _vocabulary() -> Mapping[str, tuple[str, ...]]:
    """`background.json`: word lists, and templates in which `<<name>>` is a slot."""
    source = resources.files("secmlops.web_attacks").joinpath("background.json").read_text(encoding="utf-8")
    lists = json.loads(source)
    return {name: tuple(given.split() if isinstance(given, str) else given) for name, given in lists.items()}


@lru_cache(maxsize=1)
def _documentation() -> tuple[str, ...]:
    """Sentences of the language reference and of the docstrings of the standard library."""
    from pydoc_data import topics

    texts = list(topics.topics.values())
    folder = Path(sysconfig.get_paths()["stdlib"])
    for name in _vocabulary()["documented_modules"]:
        source = folder / f"{name}.py"
        if source.is_file():
            texts += _docstrings(source)
    sentences = (
        " ".join(sentence.split())
        for text in texts
        for paragraph in re.split(r"\n\s*\n", text)
        for sentence in re.split(r"(?<=[.:;?!])\s+", paragraph)
    )
    return tuple(dict.fromkeys(sentence for sentence in sentences if 12 <= len(sentence) <= 400))


def _docstrings(source: Path) -> Iterator[str]:
    tree = ast.parse(source.read_text(encoding="utf-8", errors="replace"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def _pick(name: str, chance: Chance) -> str:
    """One entry of a list of the vocabulary, its slots filled."""
    return _fill(chance.choice(_vocabulary()[name]), chance)


def _fill(template: str, chance: Chance) -> str:
    return re.sub(r"<<(\w+)>>", lambda slot: _SLOTS[slot[1]](chance), template)


def _documented(chance: Chance) -> str:
    prose = _documentation()
    start = chance.randrange(len(prose))
    return " ".join(prose[start : start + chance.choice([1, 1, 2, 3, 4])])


def _forum(chance: Chance) -> str:
    pieces = [_pick("forum", chance) for _ in range(chance.choice([1, 1, 2, 3, 4]))]
    if chance.random() < 0.3:
        pieces.insert(chance.randrange(len(pieces) + 1), chance.choice(_documentation()))
    return " ".join(pieces)


def _shop(chance: Chance) -> str:
    text = _pick("shop", chance)
    if chance.random() < 0.2:
        text += chance.choice([". ", ", ", " - ", " & ", " "]) + _pick("shop", chance)
    return text.title() if chance.random() < 0.1 else text


def _words(chance: Chance) -> str:
    lists = chance.choices(
        ["words", "words", "technical", "items", "names", "verbs"], k=chance.choice([1, 1, 2, 3, 4, 8])
    )
    return chance.choice([" ", " ", "-", "_", ", ", "/"]).join(_pick(name, chance) for name in lists)


def _foreign(chance: Chance) -> str:
    text = " ".join(chance.choices(chance.choice(_vocabulary()["foreign"]).split(), k=chance.randint(1, 6)))
    return _fill(chance.choice(["\0", "\0 <<n>>", '"\0" (<<word>>)', "<<word>>: \0!"]), chance).replace("\0", text)


def _person(chance: Chance) -> str:
    return _pick("people", chance)


def _header(chance: Chance) -> str:
    return _pick("headers", chance)


def _opaque(chance: Chance) -> str:
    return _pick("opaque", chance)


def _structured(chance: Chance) -> str:
    return _pick("structured", chance)


def _resource(chance: Chance) -> str:
    return _pick("resources", chance)


def _address(chance: Chance) -> str:
    return _pick("addresses", chance)


def _page(chance: Chance) -> str:
    """A page or a script as sites send them to their own services: long, and full of code that is nobody's attack."""
    script = [_pick("javascript", chance) for _ in range(chance.randint(2, 8))]
    code = chance.choice([" ", "\n", ""]).join(script)
    if chance.random() < 0.3:
        return code
    markup = "\n".join(_pick("markup", chance) for _ in range(chance.randint(6, 20)))
    opening = chance.choice(["<script>", '<script type="text/javascript">\n'])
    return markup + chance.choice([f"{opening}{code}</script>", ""])


_KINDS: Final[Mapping[Callable[[Chance], str], int]] = {
    _documented: 20,
    _forum: 22,
    _shop: 10,
    _words: 6,
    _foreign: 3,
    _person: 8,
    _header: 6,
    _opaque: 9,
    _structured: 8,
    _resource: 5,
    _address: 6,
    _page: 2,
}
"""The kinds of benign values and their shares."""


def _token(chance: Chance, alphabet: str = ALPHANUMERIC, least: int = 6, most: int = 40) -> str:
    return "".join(chance.choices(alphabet, k=chance.randint(least, most)))


def _number(chance: Chance) -> str:
    return str(chance.choice([chance.randint(1, 12), chance.randint(1, 99), chance.randint(100, 99_999)]))


def _path(chance: Chance) -> str:
    top = chance.choice(("etc", "usr", "var", "home", "opt", "tmp", "boot", "dev", "proc", "media", "mnt", "lib"))
    vocabulary = _vocabulary()
    usual = ("bin", "share", "local", "init.d", "default", "log", "conf.d")
    inner = chance.choices([*vocabulary["programs"], *vocabulary["technical"], *usual], k=chance.randint(1, 2))
    ending = chance.choice(
        ["", "", "/", *(f".{ending}" for ending in ("conf", "list", "log", "txt", "sh", "py", "d", "so"))]
    )
    return f"/{top}/" + "/".join(inner) + ending


def _host(chance: Chance) -> str:
    first = chance.choice(["www.", "", "api.", "cdn.", "img.", "m.", "help."])
    return f"{first}{_pick(chance.choice(('words', 'programs')), chance)}.{_pick('domains', chance)}"


def _url(chance: Chance) -> str:
    return f"{chance.choice(('http', 'https', 'https'))}://{_host(chance)}{_pick('urls', chance)}"


def _route(chance: Chance) -> str:
    vocabulary = _vocabulary()
    return "/".join(chance.choices([*vocabulary["words"], *vocabulary["technical"]], k=chance.randint(1, 4)))


def _folders(chance: Chance) -> str:
    vocabulary = _vocabulary()
    names = chance.choices(
        [*vocabulary["words"], *vocabulary["technical"], *3 * vocabulary["folders"]], k=chance.randint(1, 6)
    )
    return chance.choice(["/", "/", "/", "//", ""]) + "/".join(names)


def _uuid(chance: Chance) -> str:
    return "-".join(_token(chance, HEX, size, size) for size in (8, 4, 4, 4, 12))


def _base64(chance: Chance) -> str:
    return base64.b64encode(chance.randbytes(chance.randint(12, 90))).decode()


def _jwt(chance: Chance) -> str:
    pieces = (
        json.dumps({"alg": "RS256", "typ": "JWT"}),
        json.dumps({"sub": _token(chance), "iat": chance.randint(10**9, 2 * 10**9), "name": _pick("names", chance)}),
    )
    encoded = (base64.urlsafe_b64encode(piece.encode()).decode().rstrip("=") for piece in pieces)
    return ".".join([*encoded, _token(chance, ALPHANUMERIC + "-_", 40, 90)])


def _json(chance: Chance) -> str:
    keys = ("id", "ts", "utm_source", "page", "lang", "cart", "ab", "ref", "consent", "v", "session", "items", "user")
    values: tuple[Callable[[], object], ...] = (
        lambda: chance.randint(0, 10**10),
        lambda: _pick("words", chance),
        lambda: _token(chance),
        lambda: chance.choice([True, False, None]),
        lambda: [_pick("words", chance), chance.randint(0, 99)],
        lambda: _url(chance),
        lambda: {_pick("words", chance): _number(chance)},
        lambda: _pick("shop", chance),
    )
    count = chance.randint(1, 6)
    state = {chance.choice([*keys, _pick("words", chance)]): chance.choice(values)() for _ in range(count)}
    return json.dumps(state, ensure_ascii=False, separators=chance.choice([(",", ":"), (", ", ": ")]))


def _serialized(chance: Chance) -> str:
    """PHP's serialized arrays, as session and statistics cookies carry them."""
    fields = []
    for _ in range(chance.randint(1, 4)):
        key, word = _pick("words", chance), _pick("words", chance)
        value = chance.choice(
            [f"i:{_number(chance)}", f"b:{chance.randint(0, 1)}", f's:{len(word)}:"{word}"', "a:0:{}", "N"]
        )
        fields.append(f's:{len(key)}:"{key}";{value};')
    return f"a:{len(fields)}:{{{''.join(fields)}}}"


def _pipes(chance: Chance) -> str:
    alphabet = chance.choice([string.ascii_letters, string.digits + HEX])
    return "|".join(
        _token(chance, alphabet, 0, 5) if chance.random() < 0.6 else "" for _ in range(chance.randint(2, 8))
    )


def _semicolons(chance: Chance) -> str:
    return ";".join(
        chance.choice(["", "", _number(chance), _pick("words", chance)]) for _ in range(chance.randint(4, 30))
    )


def _street(chance: Chance) -> str:
    return chance.choice(_vocabulary()["streets"]).format(_pick("surnames", chance))


def _quoted(made: Callable[[Chance], str]) -> Callable[[Chance], str]:
    return lambda chance: quote(made(chance), safe="")


def _listed(name: str) -> Callable[[Chance], str]:
    return lambda chance: _pick(name, chance)


_SLOTS: Final[Mapping[str, Callable[[Chance], str]]] = {
    **{
        slot: _listed(name)
        for slot, name in (
            ("word", "words"),
            ("tech", "technical"),
            ("program", "programs"),
            ("verb", "verbs"),
            ("item", "items"),
            ("name", "names"),
            ("surname", "surnames"),
            ("city", "cities"),
            ("month", "months"),
            ("domain", "domains"),
            ("ext", "extensions"),
            ("lang", "languages"),
            ("bot", "bots"),
            ("system", "systems"),
            ("agent", "agents"),
            ("command", "commands"),
            ("shop", "shop"),
            ("forum", "forum"),
            ("resource", "resources"),
        )
    },
    "n": _number,
    "small": lambda chance: str(chance.randint(0, 99)),
    "v": lambda chance: str(chance.randint(60, 150)),
    "odd": lambda chance: chance.choice(" ;:/()?-_=."),
    "letter": lambda chance: chance.choice(string.ascii_lowercase),
    "key": lambda chance: f"{_pick('words', chance)}_{_pick('technical', chance)}",
    "flag": lambda chance: f"--{_pick('words', chance)}={_pick('words', chance)}",
    "phone": lambda chance: f"+{chance.randint(1, 99)} {chance.randint(100, 999)} {chance.randint(1000, 9_999_999)}",
    "stamp": lambda chance: str(chance.randint(13 * 10**11, 20 * 10**11)),
    "ip": lambda chance: ".".join(str(chance.randint(11, 223)) for _ in range(4)),
    "path": _path,
    "host": _host,
    "url": _url,
    "route": _route,
    "folders": _folders,
    "street": _street,
    "token": _token,
    "lower": lambda chance: _token(chance, string.ascii_lowercase + string.digits, 3, 14),
    "urlsafe": lambda chance: _token(chance, ALPHANUMERIC + "-_", 22, 200),
    "dashes": lambda chance: _token(chance, ALPHANUMERIC + "____----", 30, 200),
    "hex8": lambda chance: _token(chance, HEX, 6, 8),
    "hex16": lambda chance: _token(chance, HEX, 8, 20),
    "hex32": lambda chance: _token(chance, HEX, 32, 32),
    "hex64": lambda chance: _token(chance, HEX, 40, 64),
    "uuid": _uuid,
    "b64": _base64,
    "jwt": _jwt,
    "json": _json,
    "php": _serialized,
    "pipes": _pipes,
    "semicolons": _semicolons,
    "quoted_json": _quoted(_json),
    "twice_quoted_json": _quoted(_quoted(_json)),
    "b64_json": lambda chance: base64.b64encode(_json(chance).encode()).decode(),
    "quoted_url": _quoted(_url),
    "quoted_shop": _quoted(_shop),
    "quoted_foreign": _quoted(lambda chance: chance.choice(chance.choice(_vocabulary()["foreign"]).split())),
}
