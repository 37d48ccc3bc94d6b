"""Attackers: sessions that browse a little like anyone, then put payloads into every place a request has.

Payloads come from the grammars in `payloads`; here they are placed (query values, form fields, JSON leaves, path
segments, cookies, headers, file names, whole bodies), spelled (percent-encoding once or twice, Unicode, HTML
entities, base64, mutations that keep the meaning) and sent with a browser's usual headers and parameters, so that
nothing but the payload gives the class away. Some requests are malformed, as attackers' tools write them.
"""

import base64
import html
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from random import Random
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from secmlops.errors import SecmlopsError
from secmlops.web_attacks.lab.crawler import Visitor, wander
from secmlops.web_attacks.lab.payloads import PAYLOADS, header_injection, nosqli, scanner
from secmlops.web_attacks.lab.sites import Route, Site
from secmlops.web_attacks.lab.wire import Draft, Encoded, LabReply, LabRequest, Upload, target
from secmlops.web_attacks.mutations import mutate
from secmlops.web_attacks.taxonomy import ATTACK, ATTACK_CLASSES

MALFORMED: Final = "malformed"
OBFUSCATED: Final = "obfuscated"

CLASS_SHARES: Final[Mapping[str, float]] = {
    "sqli": 0.22,
    "xss": 0.17,
    "path_traversal": 0.12,
    "cmd_injection": 0.12,
    "ssrf": 0.06,
    "ssti": 0.06,
    "xxe": 0.05,
    "log4shell": 0.05,
    "nosqli": 0.05,
    "header_injection": 0.035,
    "shellshock": 0.02,
    "scanner": 0.03,
    "other": 0.015,
}
_PLACES: Final[Mapping[str, Mapping[str, float]]] = {
    "sqli": {"query": 40, "form": 28, "json": 14, "cookie": 6, "header": 6, "path": 6},
    "xss": {"query": 42, "form": 28, "json": 12, "header": 7, "path": 5, "filename": 4, "cookie": 2},
    "path_traversal": {"query": 46, "path": 30, "form": 8, "json": 5, "filename": 7, "cookie": 4},
    "cmd_injection": {"query": 42, "form": 28, "json": 14, "header": 8, "path": 3, "filename": 3, "cookie": 2},
    "ssrf": {"query": 50, "form": 18, "json": 26, "header": 6},
    "ssti": {"query": 40, "form": 30, "json": 20, "header": 5, "path": 5},
    "xxe": {"document": 70, "upload": 8, "query": 12, "form": 10},
    "log4shell": {"header": 50, "query": 20, "form": 14, "json": 8, "path": 5, "cookie": 3},
    "nosqli": {"json": 55, "query": 25, "form": 20},
    "header_injection": {"query": 50, "form": 22, "path": 6, "forward": 16, "cookie": 6},
    "shellshock": {"header": 70, "cookie": 10, "query": 12, "form": 8},
    "scanner": {"target": 76, "agent": 14, "method": 10},
    "other": {"query": 40, "form": 30, "json": 18, "cookie": 8, "header": 4},
}
_HEADERS: Final[Mapping[str, Sequence[str]]] = {
    "sqli": ("User-Agent", "X-Forwarded-For", "Referer", "X-Real-IP", "Accept-Language"),
    "xss": ("Referer", "User-Agent", "X-Forwarded-Host", "Accept-Language"),
    "cmd_injection": ("User-Agent", "X-Forwarded-For", "Referer", "X-Api-Version"),
    "ssrf": ("Referer", "X-Forwarded-Host", "X-Original-URL", "Destination"),
    "ssti": ("User-Agent", "Referer", "X-Forwarded-For"),
    "log4shell": (
        "User-Agent", "Referer", "X-Forwarded-For", "X-Api-Version", "Accept-Language", "Authorization", "Origin",
        "If-Modified-Since", "X-Client-Ip", "Forwarded", "Contact", "CF-Connecting-IP",
    ),
    "shellshock": ("User-Agent", "Referer", "Accept", "X-Forwarded-For", "Test"),
    "other": ("User-Agent", "Referer"),
}  # fmt: skip
_BROAD_METHODS: Final = ("TRACE", "PROPFIND", "OPTIONS", "DELETE", "PUT", "MOVE", "SEARCH", "DEBUG", "TRACK", "LOCK")


class UnknownAttackClass(SecmlopsError):
    """A name that is none of `taxonomy.ATTACK_CLASSES`.

    Attributes:
        attack_class: the name.
    """

    def __init__(self, attack_class: str):
        self.attack_class = attack_class
        super().__init__(f"unknown attack class {attack_class[:40]!r}: use one of {', '.join(ATTACK_CLASSES)}")


def payload(attack_class: str, rng: Random) -> str:
    """One payload of a class, as text before any transport encoding.

    Raises:
        UnknownAttackClass: no such class.
    """
    generator = PAYLOADS.get(attack_class)
    if generator is None:
        raise UnknownAttackClass(attack_class)
    return generator(rng)


def raid(site: Site, rng: Random, attacks: Sequence[str], normal: int) -> Generator[LabRequest, LabReply, None]:
    """An attacker's session: `normal` harmless requests first, then one attack request per class in `attacks`.

    Raises:
        UnknownAttackClass: on a class that is none.
    """
    attacker = Visitor(site, rng, attacker=True)
    yield from wander(attacker, normal)
    haste = rng.choice([0.03, 0.2, 1.0])
    for attack_class in attacks:
        request = attack(attacker, attack_class, pause_s=rng.expovariate(1) * haste + 0.001)
        reply = yield request
        attacker.learn(request, reply)


def attack(attacker: Visitor, attack_class: str, *, pause_s: float = 1.0) -> LabRequest:
    """One attack request by a visitor.

    Raises:
        UnknownAttackClass: no such class.
    """
    if attack_class not in _PLACES:
        raise UnknownAttackClass(attack_class)
    rng = attacker.rng
    places = _PLACES[attack_class]
    place = rng.choices(list(places), list(places.values()))[0]
    if attack_class != "scanner" and place in ("query", "form") and rng.random() < 0.03:
        return _malformed(attacker, attack_class, pause_s)
    return _PLACERS[place](attacker, attack_class, pause_s)


def _spelled(attacker: Visitor, attack_class: str) -> tuple[str, str, tuple[str, ...]]:
    """A payload, the form in which it is placed, and the tags of that form."""
    rng = attacker.rng
    plain = payload(attack_class, rng)
    choice = rng.random()
    if choice < 0.74:
        return plain, plain, ()
    text = mutate(plain, attack_class, rng, rng.randint(1, 2)) if choice < 0.9 else _disguise(plain, attack_class, rng)
    return plain, text, (OBFUSCATED,) if text != plain else ()


def _disguise(text: str, attack_class: str, rng: Random) -> str:
    return rng.choice(_DISGUISES.get(attack_class, _DECODED_BY_SERVERS))(text, rng)


def _percent_some(text: str, rng: Random) -> str:
    share = rng.choice([0.3, 0.6, 1.0])
    return "".join(quote(c, safe="") if not c.isalnum() and rng.random() < share else c for c in text)


def _percent_all(text: str, rng: Random) -> str:
    pattern = rng.choice(["%%%02x", "%%%02X"])
    return "".join(pattern % byte for byte in text.encode("utf-8"))


def _unicode_escapes(text: str, rng: Random) -> str:
    pattern = rng.choice(["%%u%04x", "\\u%04x"])
    return "".join(pattern % ord(c) if not c.isalnum() and rng.random() < 0.7 and ord(c) < 65536 else c for c in text)


def _full_width(text: str, rng: Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c in "<>'\"()/;=-.|&" and rng.random() < 0.6 else c for c in text)


def _entities(text: str, rng: Random) -> str:
    style = rng.choice(["&#{};", "&#x{:x};", "&#{:07d}"])
    return (
        "".join(style.format(ord(c)) if not c.isalnum() or rng.random() < 0.2 else c for c in text)
        if rng.random() < 0.7
        else html.escape(text)
    )


def _base64(text: str, rng: Random) -> str:
    return base64.b64encode(text.encode()).decode()


def _overlong(text: str, rng: Random) -> str:
    return "".join(
        f"%c{0xC0 + (ord(c) >> 6) & 0xF:x}%{0x80 | ord(c) & 0x3F:02x}" if c in "./\\'<>\"" else c for c in text
    )


_Disguise: TypeAlias = Callable[[str, Random], str]
_DECODED_BY_SERVERS: Final[tuple[_Disguise, ...]] = (
    _percent_some,
    _percent_some,
    _percent_all,
    _unicode_escapes,
    _base64,
)
_DISGUISES: Final[Mapping[str, tuple[_Disguise, ...]]] = {
    "xss": (*_DECODED_BY_SERVERS, _entities, _entities, _full_width),
    "sqli": (*_DECODED_BY_SERVERS, _full_width),
    "path_traversal": (_percent_some, _percent_all, _overlong, _overlong, _full_width, _unicode_escapes),
}


def _request(
    attacker: Visitor, draft: Draft, attack_class: str, part: str, plain: str, tags: tuple[str, ...], pause_s: float
) -> LabRequest:
    return attacker.write(
        draft, label=ATTACK, attack_class=attack_class, part=part, payload=plain, tags=tags, pause_s=pause_s, lane=0
    )


def _route(attacker: Visitor, wanted: Callable[[Route], bool]) -> Route:
    routes = [route for route in attacker.site.routes if wanted(route)]
    return attacker.rng.choice(routes or attacker.site.pages)


def _in_query(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: bool(r.query) and r.method == "GET"))
    plain, text, tags = _spelled(attacker, attack_class)
    name, index = _victim(draft.query, attack_class, rng)
    if attack_class == "nosqli" and text.startswith("{") and rng.random() < 0.8:
        draft.query[index : index + 1] = _bracketed(name, text)
    else:
        draft.query[index] = (name, _query_text(text, rng))
    return _request(attacker, draft, attack_class, f"query:{name}", plain, tags, pause_s)


def _query_text(text: str, rng: Random) -> str:
    """Escape as a browser would (mostly), as a lazy script would (only what breaks a request line), or twice."""
    choice = rng.random()
    if choice < 0.72:
        return text
    if choice < 0.9:
        return Encoded(quote(text, safe="!\"$'()*,-./:;<=>?@[\\]^_`{|}~%+" if rng.random() < 0.6 else "/:'()*=,;-"))
    return quote(text, safe="")


def _victim(pairs: list[tuple[str, Any]], attack_class: str, rng: Random) -> tuple[str, int]:
    """The parameter to attack: for files and URLs one that takes them, where there is one; else any."""
    if not pairs:
        pairs.append((rng.choice(["q", "id", "page", "file", "url", "name", "p", "data"]), ""))
    likely = []
    if attack_class in ("ssrf", "path_traversal"):
        likely = [
            i
            for i, (name, _) in enumerate(pairs)
            if any(hint in name.lower() for hint in ("url", "src", "to", "file", "f", "u", "path", "web", "ziel"))
        ]
    index = rng.choice(likely) if likely and rng.random() < 0.7 else rng.randrange(len(pairs))
    return pairs[index][0], index


def _bracketed(name: str, operator: str) -> list[tuple[str, str]]:
    """`{"$ne": 1}` as `name[$ne]=1`, the way PHP and Express turn brackets into objects."""
    try:
        data = json.loads(operator)
    except ValueError:
        return [(name, operator)]
    if not isinstance(data, dict):
        return [(name, operator)]
    return [
        (f"{name}[{key}]", value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))
        for key, value in data.items()
    ]


def _in_form(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: r.body in ("form", "multipart", "xml")))
    plain, text, tags = _spelled(attacker, attack_class)
    texts = [(name, value) for name, value in draft.fields if not isinstance(value, Upload)]
    name, _ = _victim(texts, attack_class, rng)
    if attack_class == "nosqli" and text.startswith("{") and draft.body == "form":
        draft.fields = [pair for old in draft.fields for pair in (_bracketed(name, text) if old[0] == name else [old])]
    else:
        value = _query_text(text, rng) if draft.body == "form" else text
        draft.fields = [(key, value if key == name else old) for key, old in draft.fields]
    if name not in [key for key, _ in draft.fields] and texts and attack_class != "nosqli":
        draft.fields.append((name, text))
    return _request(attacker, draft, attack_class, f"body:{name}", plain, tags, pause_s)


def _in_json(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    route = _route(attacker, lambda r: r.body == "json")
    draft, _ = attacker.draft(route)
    if route.body != "json":
        draft.method, draft.body, draft.purpose = "POST", "json", "api"
        draft.fields = [*draft.query, ("data", "1")]
    plain, text, tags = _spelled(attacker, attack_class)
    value: Any = text
    if attack_class == "nosqli" and rng.random() < 0.85:
        plain, tags = nosqli.operator(rng), ()
        value = json.loads(plain)
    name, index = _victim(draft.fields, attack_class, rng)
    draft.fields[index] = (name, value)
    return _request(attacker, draft, attack_class, f"body:{name}", plain, tags, pause_s)


def _in_path(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: r.method == "GET"))
    plain, text, tags = _spelled(attacker, attack_class)
    if attack_class == "path_traversal" and rng.random() < 0.7:
        piece: str = Encoded(quote(text, safe="/.;%\\:$!*'()+,=@~-_").replace("\\", rng.choice(["\\", "%5c"])))
    else:
        piece = text
    keep = rng.randint(0, max(0, len(draft.segments) - 1))
    draft.segments = [*draft.segments[:keep], piece, *(draft.segments[keep + 1 :] if rng.random() < 0.3 else [])]
    draft.query = draft.query if rng.random() < 0.4 else []
    return _request(attacker, draft, attack_class, "path", plain, tags, pause_s)


def _in_cookie(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: r.method == "GET"))
    plain, text, tags = _spelled(attacker, attack_class)
    cookies = dict(draft.cookies) or {attacker.site.session_cookie: "1"}
    name = rng.choice([*cookies, "lang", "user", "track", "theme"])
    one_line = quote(text, safe="!\"$'()*,-./:<=>?@[\\]^_`{|}~%+&# ")
    cookies[name] = one_line if attack_class == "shellshock" or rng.random() < 0.6 else quote(text, safe="")
    line = "; ".join(f"{key}={value}" for key, value in cookies.items())
    draft.cookies = []
    draft.headers.append(("Cookie", line))
    return _request(attacker, draft, attack_class, f"cookie:{name}", plain, tags, pause_s)


def _in_header(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: r.method == "GET"))
    plain = payload(attack_class, rng)
    name = rng.choice(_HEADERS[attack_class])
    value = _header_value(plain)
    if name == "Referer" and rng.random() < 0.5:
        value = f"http://{attacker.site.authority}/?{rng.choice(['q', 'id', 'ref'])}={value}"
    elif name == "User-Agent" and rng.random() < 0.35 and attack_class != "shellshock":
        value = f"{attacker.program.user_agent} {value}"
    draft.headers.append((name, value))
    return _request(attacker, draft, attack_class, f"header:{name}", plain, (), pause_s)


def _header_value(text: str) -> str:
    """Text as a header can carry it: one line, UTF-8 bytes."""
    return " ".join(text.replace("\0", "%00").split()).encode("utf-8", "replace").decode("latin-1")


def _in_filename(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: r.body == "multipart"))
    plain, text, tags = _spelled(attacker, attack_class)
    name = text.replace("\r", "%0d").replace("\n", "%0a") + rng.choice(["", "", ".jpg", ".php", ".svg", "%00.png"])
    upload = Upload(
        name,
        rng.choice(["image/jpeg", "image/png", "application/x-php", "text/html"]),
        rng.randbytes(rng.randint(20, 200)),
    )
    uploads = [key for key, value in draft.fields if isinstance(value, Upload)] or ["file"]
    draft.fields = [(key, value) for key, value in draft.fields if key not in uploads[:1]] + [(uploads[0], upload)]
    return _request(attacker, draft, attack_class, f"body:{uploads[0]}", plain, tags, pause_s)


def _as_document(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: r.body in ("xml", "json")))
    plain = payload(attack_class, rng)
    draft.method, draft.body, draft.purpose = "POST", "xml", "api"
    encoding = rng.choice(["utf-8", "utf-8", "utf-8", "utf-8", "utf-16"])
    draft.raw_body = plain.encode(encoding)
    draft.content_type = rng.choice(
        [
            "application/xml",
            "text/xml",
            "text/xml; charset=utf-8",
            "application/soap+xml",
            "application/json",
            "image/svg+xml",
        ]
    )
    tags = (OBFUSCATED,) if encoding == "utf-16" else ()
    return _request(attacker, draft, attack_class, "body", plain, tags, pause_s)


def _as_upload(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: r.body == "multipart"))
    plain = payload(attack_class, rng)
    name = next((key for key, value in draft.fields if isinstance(value, Upload)), "file")
    upload = Upload(
        f"{rng.choice(['logo', 'photo', 'data', 'sheet'])}{rng.randint(1, 99)}.{rng.choice(['svg', 'xml', 'xlsx'])}",
        "image/svg+xml",
        plain.encode(),
    )
    draft.body = "multipart"
    draft.fields = [(key, value) for key, value in draft.fields if key != name] + [(name, upload)]
    return _request(attacker, draft, attack_class, f"body:{name}", plain, (), pause_s)


def _as_forwarding(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: r.answer in ("page", "login")))
    plain = header_injection.forwarding(rng)
    name = rng.choice(header_injection.FORWARDING_HEADERS)
    draft.headers.append((name, _header_value(plain)))
    return _request(attacker, draft, attack_class, f"header:{name}", plain, (), pause_s)


def _as_target(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    plain = payload(attack_class, rng)
    path, mark, query = plain.removeprefix("/").partition("?")
    safe = "/:;,+~@!$&'()*=._%-\\"
    draft = Draft(
        rng.choice(["GET", "GET", "GET", "GET", "HEAD", "POST"]),
        [Encoded(quote(path, safe=safe))],
        "page",
        cookies=list(attacker.cookies.items()),
    )
    if mark:
        name, equals, value = query.partition("=")
        draft.query = (
            [(Encoded(quote(name, safe=safe)), Encoded(quote(value, safe=safe)))]
            if equals
            else [(Encoded(quote(name, safe=safe)), Encoded(""))]
        )
    if rng.random() < 0.3:
        draft.headers.append(("User-Agent", scanner.agent(rng)))
    return _request(attacker, draft, attack_class, "path", plain, (), pause_s)


def _as_agent(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    draft, _ = attacker.draft(_route(attacker, lambda r: r.method == "GET"))
    agent = scanner.agent(attacker.rng)
    draft.headers.append(("User-Agent", agent))
    return _request(attacker, draft, attack_class, "header:User-Agent", agent, (), pause_s)


def _as_method(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    rng = attacker.rng
    draft, _ = attacker.draft(_route(attacker, lambda r: r.method == "GET"))
    draft.method = rng.choice(_BROAD_METHODS)
    draft.headers.append(("User-Agent", scanner.agent(rng)))
    if draft.method in ("PUT", "MOVE"):
        ending = rng.choice(["txt", "jsp", "php", "asp"])
        draft.segments = [f"{rng.choice(['test', 'nikto', 'put', 'poc'])}-{rng.getrandbits(24):06x}.{ending}"]
        draft.raw_body = payload("cmd_injection", rng).encode()
    return _request(attacker, draft, attack_class, "method", f"{draft.method} /{'/'.join(draft.segments)}", (), pause_s)


def _malformed(attacker: Visitor, attack_class: str, pause_s: float) -> LabRequest:
    """A request as careless or hostile tools write it: always the last one on its connection."""
    rng, site = attacker.rng, attacker.site
    draft, _ = attacker.draft(_route(attacker, lambda r: bool(r.query) and r.method == "GET"))
    plain = payload(attack_class, rng)
    name, index = _victim(draft.query, attack_class, rng)
    one_line = plain.replace("\r", "").replace("\n", " ").replace("\0", "%00")
    raw = one_line.encode("utf-8", "replace").decode("latin-1")
    draft.query[index] = (name, Encoded(raw))
    address = target(draft, plus_spaces=True)
    agent = attacker.program.user_agent
    headers = f"Host: {site.authority}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    text, complete = _malformed_text(rng, draft.method, address, headers, site.authority)
    return LabRequest(
        wire=text.encode("latin-1", "replace"),
        label=ATTACK,
        attack_class=attack_class,
        part=f"query:{name}",
        payload=plain,
        tags=(MALFORMED,),
        pause_s=pause_s,
        complete=complete,
        last=True,
    )


def _malformed_text(rng: Random, method: str, address: str, headers: str, authority: str) -> tuple[str, bool]:
    """A broken message, and whether a server can tell where it ends."""
    return rng.choice(
        [
            (f"{method} {address} HTTP/1.1\r\n{headers}", True),
            (f"{method} {address} HTTP/1.1\n{headers}".replace("\r\n", "\n"), True),
            (f"{method}  {address}  HTTP/1.1\r\n{headers}", True),
            (f"{method.lower()} {address} HTTP/1.1\r\n{headers}", True),
            (f"{method} {address} HTTP/9.{rng.randint(0, 9)}\r\n{headers}", True),
            (f"{method} {address} HTTP/1.1\r\nX-{rng.getrandbits(16):x}\r\n{headers}", True),
            (f"{method} {address}\r\n\r\n", False),
            (f"{method} http://{authority}{address} HTTP/1.1\r\n{headers}", True),
            (f"{method} {address} HTTP/1.1\r\nContent-Length: -{rng.randint(1, 9)}\r\n{headers}", True),
            (f"{method} {address} HTTP/1.1\r\nUser-Agent: a\x01b\x00c\r\n{headers}", True),
        ]
    )


_PLACERS: Final[Mapping[str, Callable[[Visitor, str, float], LabRequest]]] = {
    "query": _in_query,
    "form": _in_form,
    "json": _in_json,
    "path": _in_path,
    "cookie": _in_cookie,
    "header": _in_header,
    "filename": _in_filename,
    "document": _as_document,
    "upload": _as_upload,
    "forward": _as_forwarding,
    "target": _as_target,
    "agent": _as_agent,
    "method": _as_method,
}
