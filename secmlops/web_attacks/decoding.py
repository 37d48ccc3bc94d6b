r"""A request as named parts, and the text that a part means once every encoding is undone.

A model that reads the wire bytes of a whole request learns the host, the header order and the client's
habits instead of the attack. So a request is taken apart into values (`parts`), each read on its own, and
each value is brought to the form that the attacked program would see (`decode`, `canonical`).

Sources: RFC 3986 (URIs), RFC 6265 (cookies), RFC 7578 (multipart forms), the WHATWG URL standard
(`application/x-www-form-urlencoded`), the HTML standard (character references). Obfuscations: MITRE CAPEC-267
(alternate encoding), CAPEC-80 (overlong UTF-8).
"""

import base64
import binascii
import html
import json
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from secmlops.web_attacks.request import HttpRequest

Location = Literal["path", "query", "body", "header", "cookie"]

MAX_PARTS: Final = 512
"""Most parts named one by one; what lies beyond is joined and given as `body` text, up to `MAX_BODY_BYTES`."""

MAX_PART_CHARS: Final = 65_536
"""Longest part in characters; a longer one keeps its first and last half of this."""

MAX_BODY_BYTES: Final = 1_048_576
"""Longest body looked at, after decompression; a longer one keeps its beginning and end."""

MAX_DEPTH: Final = 32
"""Deepest JSON nesting followed; what lies deeper is read as JSON text."""

MAX_ROUNDS: Final = 4
"""Most layers of encoding undone, one over the other."""

UNREAD_HEADERS: Final = frozenset(
    {
        "host",
        "content-length",
        "connection",
        "date",
        "if-modified-since",
        "if-unmodified-since",
        "if-none-match",
        "transfer-encoding",
    }
)
"""Headers that tell who is asked, when, or how the bytes travel; read only when their value is not of that form."""


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a request, still encoded as on the wire (latin-1, one character per byte).

    Attributes:
        location: where it stands.
        name: parameter, header or cookie name, or the JSON path (`user.tags[0]`); empty for the path itself.
        text: the value. A name that looks like more than a name is kept before it (`user[$ne]=1`).
    """

    location: Location
    name: str
    text: str

    @property
    def label(self) -> str:
        """`path`, `query:q`, `body:user.name`, `header:User-Agent`, `cookie:id`."""
        return f"{self.location}:{self.name}" if self.name else self.location


_AUTHORITY = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_PLAIN_NAME = re.compile(r"[\w.\-:\[\]%]{0,80}\Z", re.ASCII)
_TRANSPORT_VALUE = re.compile(r"[\w ,:.\-\"/+=;]{0,160}\Z", re.ASCII)
_ORIGIN_VALUE = re.compile(r"(?:null|https?://[\w.\-]+(?::\d+)?)\Z", re.ASCII)
_FORM_START = re.compile(rb"[\w.\-\[\]%$+]{1,120}=", re.ASCII)


def parts(request: HttpRequest) -> list[Part]:
    """Take a request apart.

    The host, the order and presence of headers, the client's address and the time never appear. Values of one
    name that stands several times are also given joined, as servers that concatenate them see it. Never
    raises on malformed bodies: what does not parse is one part with the text as it is.

    Returns:
        Parts of at most `MAX_PART_CHARS` characters: path, query, body, headers, cookies. JSON numbers, booleans
        and nulls carry no text and are left out.
    """
    found: list[Part] = []
    overflow: list[str] = []
    room = MAX_BODY_BYTES
    for part in _all_parts(request):
        if len(found) < MAX_PARTS:
            found.append(part)
        elif room > 0:
            overflow.append(part.text)
            room -= len(part.text) + 1
    if overflow:
        found.extend(_chunks("\n".join(overflow)))
    return found


def _all_parts(request: HttpRequest) -> Iterator[Part]:
    path, _, query = request.uri.partition("?")
    path = _AUTHORITY.sub("", path) or "/"
    yield Part("path", "", _bounded(path))
    if query:
        yield from _form("query", query)
    if request.body:
        yield from _body(request)
    for name, value in request.headers:
        yield from _header(name, value, request)


def _form(location: Location, text: str) -> Iterator[Part]:
    values: dict[str, list[str]] = {}
    pairs = text.split("&", MAX_PARTS)
    for pair in pairs:
        if not pair:
            continue
        name, equals, value = pair.partition("=")
        if not equals:
            name, value = "", name
        values.setdefault(name, []).append(value)
        yield _named(location, name, value, "=")
    for name, several in values.items():
        if 1 < len(several) <= 16 and len(set(several)) > 1:
            yield Part(location, _short(name), _bounded(",".join(several)))


def _named(location: Location, name: str, value: str, joint: str) -> Part:
    if _PLAIN_NAME.match(name) and not (("[" in name or "%" in name) and "$" in decode(name)):
        return Part(location, name, _bounded(value))
    return Part(location, _short(name), _bounded(f"{name}{joint}{value}"))


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:77] + "..."


def _bounded(text: str) -> str:
    if len(text) <= MAX_PART_CHARS:
        return text
    half = MAX_PART_CHARS // 2
    return text[:half] + text[-half:]


def _header(name: str, value: str, request: HttpRequest) -> Iterator[Part]:
    low = name.lower()
    if low == "cookie":
        yield from _cookies(value)
        return
    if low in UNREAD_HEADERS and (low == "host" or _TRANSPORT_VALUE.match(value)):
        if low == "host" and not re.fullmatch(r"[\w.\-:\[\]]{0,255}", value, re.ASCII):
            yield Part("header", "Host", _bounded(value))
        return
    if low == "origin" and _ORIGIN_VALUE.match(value):
        return
    if low == "referer" and request.host:
        value = _AUTHORITY.sub("", value, count=1) if f"//{request.host}" in value else value
    yield _named("header", name, value, ": ")


def _cookies(text: str) -> Iterator[Part]:
    for pair in text.split(";", MAX_PARTS):
        name, equals, value = pair.strip().partition("=")
        if not equals:
            name, value = "", name
        if value:
            yield _named("cookie", name, value, "=")


def _body(request: HttpRequest) -> Iterator[Part]:
    body = _inflated(request.body, (request.header("content-encoding") or "").lower())
    if len(body) > MAX_BODY_BYTES:
        body = body[: MAX_BODY_BYTES // 2] + body[-MAX_BODY_BYTES // 2 :]
    kind = (request.header("content-type") or "").lower()
    start = body.lstrip()[:1]
    if kind.startswith("multipart/"):
        yield from _multipart(body)
    elif start in (b"{", b"[") and (tree := _json(body)) is not None:
        yield from _flat("", tree, 0)
    elif start not in (b"<", b"{", b"[") and ("urlencoded" in kind or _FORM_START.match(body)):
        yield from _form("body", body.decode("latin-1"))
    else:
        yield from _chunks(body.decode("latin-1"))


def _chunks(text: str) -> Iterator[Part]:
    """Body text in pieces that overlap, so that nothing is cut out of the middle."""
    step = MAX_PART_CHARS - 256
    for at in range(0, max(len(text) - 256, 1), step):
        yield Part("body", "", text[at : at + MAX_PART_CHARS])


def _inflated(body: bytes, encoding: str) -> bytes:
    if encoding not in ("gzip", "x-gzip", "deflate") and body[:2] != b"\x1f\x8b":
        return body
    try:
        return zlib.decompressobj(wbits=47).decompress(body, MAX_BODY_BYTES)
    except zlib.error:
        return body


def _json(body: bytes) -> object | None:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _flat(path: str, tree: object, depth: int) -> Iterator[Part]:
    if depth >= MAX_DEPTH and isinstance(tree, dict | list):
        yield Part("body", _short(path), _bounded(_wire(_dumped(tree))))
    elif isinstance(tree, dict):
        for key, value in tree.items():
            name = _wire(key)
            inner = f"{path}.{name}" if path else name
            if not _PLAIN_NAME.match(name):
                shown = value if isinstance(value, str) else _dumped(value)
                yield Part("body", _short(inner), _bounded(_wire(f"{key}: {shown}")))
            yield from _flat(inner if len(inner) <= 200 else inner[-200:], value, depth + 1)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _flat(f"{path}[{min(index, 9)}]", value, depth + 1)
    elif isinstance(tree, str):
        yield Part("body", _short(path), _bounded(_wire(tree)))


def _dumped(tree: object) -> str:
    try:
        return json.dumps(tree, ensure_ascii=False)
    except RecursionError:
        return str(type(tree).__name__)


def _wire(text: str) -> str:
    return text.encode("utf-8", "replace").decode("latin-1")


_BOUNDARY = re.compile(rb"--([^\r\n]{1,200})")
_DISPOSITION = re.compile(rb'(filename|name)\*?\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\r\n]*))', re.IGNORECASE)


def _multipart(body: bytes) -> Iterator[Part]:
    opening = _BOUNDARY.search(body)
    if opening is None:
        yield from _chunks(body.decode("latin-1"))
        return
    for section in body[opening.start() :].split(opening.group(0))[1:]:
        head, gap, content = section.partition(b"\r\n\r\n")
        if not gap:
            head, gap, content = section.partition(b"\n\n")
        named = {m[1].lower(): (m[2] or m[3] or b"").decode("latin-1") for m in _DISPOSITION.finditer(head[:4096])}
        name = named.get(b"name", "")
        if b"filename" in named:
            yield Part("body", _short(f"{name}.filename"), _bounded(named[b"filename"]))
        if not gap:
            yield from () if not head.strip(b"-\r\n ") else _chunks(head.decode("latin-1"))
        elif _mostly_text(content):
            yield _named("body", name, content.rstrip(b"\r\n").decode("latin-1"), "=")


def _mostly_text(content: bytes) -> bool:
    sample = content[:512]
    return sum(byte < 9 or 13 < byte < 32 for byte in sample) * 20 <= len(sample)


_ENCODED = re.compile(r"[%&+\\\0]")
_PERCENT_U = re.compile(r"%u([0-9a-fA-F]{4})")
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_ESCAPE = re.compile(r"\\(?:u\{?([0-9a-fA-F]{4})\}?|x([0-9a-fA-F]{2}))")
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
_BASE64 = re.compile(r"(?<![\w+/%=-])[A-Za-z0-9+/_-]{16,}={0,2}(?![\w+/%-])")
_INVISIBLE = re.compile("[\0\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")


@lru_cache(maxsize=8192)
def _decode_short(text: str) -> str:
    return _decode(text)


def decode(text: str) -> str:
    r"""Undo up to `MAX_ROUNDS` layers of encoding and give the text that the application would work on.

    Undone: percent-encoding (`%27`, `%2527`, `%u0027`), `+` for a blank where the text is percent-encoded or
    has no blank, overlong UTF-8, HTML character references, `\u0027` and `\x27`, full-width and other
    compatibility forms (NFKC), NUL and zero-width characters, and base64 where the token decodes to readable
    text. The same text always gives the same answer; decoding what is already plain changes nothing but the
    compatibility forms.

    Args:
        text: a part's text in wire form (latin-1), or Unicode text.

    Returns:
        Unicode text; bytes that are not UTF-8 stay latin-1 characters.
    """
    return _decode_short(text) if len(text) <= 256 else _decode(text)


def _decode(text: str) -> str:
    if len(text) < 16 and text.isascii() and not _ENCODED.search(text):
        return text
    if "+" in text and ("%" in text or " " not in text):
        text = text.replace("+", " ") if _plus_is_blank(text) else text
    for _ in range(MAX_ROUNDS):
        before = text
        if "%" in text:
            text = _percent_decoded(text)
        if "&" in text and ("&#" in text or ";" in text):
            text = html.unescape(text)
        if "\\" in text:
            text = _ESCAPE.sub(_escaped, text)
        if text == before:
            break
    text = _unicode(text)
    if len(text) >= 16:
        text = _BASE64.sub(_base64_text, text)
    return text


def _plus_is_blank(text: str) -> bool:
    """Base64 and phone numbers keep their plus signs; words joined by plus signs do not."""
    return not re.fullmatch(r"\+?[\d+/=\-.()]*|[A-Za-z0-9+/]{24,}={0,2}", text)


def _percent_decoded(text: str) -> str:
    if "%u" in text or "%U" in text:
        text = _PERCENT_U.sub(lambda m: _wire(chr(int(m[1], 16))), text)
    if not _PERCENT.search(text):
        return text
    if text.isascii():
        return unquote_to_bytes(text).decode("latin-1")
    return unquote_to_bytes(text.encode("latin-1", "ignore") if _is_latin1(text) else text).decode("latin-1")


def _is_latin1(text: str) -> bool:
    return max(text) <= "\xff"


def _escaped(match: re.Match[str]) -> str:
    return _wire(chr(int(match[1] or match[2], 16)))


def _unicode(text: str) -> str:
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    if _is_latin1(text):
        raw = _OVERLONG.sub(_shortest, text.encode("latin-1"))
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))


def _shortest(match: re.Match[bytes]) -> bytes:
    sequence = match[0]
    code = sequence[0] & (0x1F if len(sequence) == 2 else 0x0F if len(sequence) == 3 else 0x07)
    for byte in sequence[1:]:
        code = code << 6 | byte & 0x3F
    return chr(code).encode("utf-8", "replace")


def _base64_text(match: re.Match[str]) -> str:
    token = match[0]
    if token.isalpha() and (token.islower() or token.isupper()):
        return token
    padded = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return token
    if not data or any(byte < 9 or 13 < byte < 32 or byte > 126 for byte in data):
        return token
    return data.decode("ascii")


_SELECTED_VALUE = re.compile(r"\(\s{0,9}select\s{1,9}(0x[0-9a-f]{1,40}|[\w.'\"]{1,40})\s{0,9}\)", re.IGNORECASE)
_CHARS = re.compile(r"\b(?:n?char|chr)\s*\(\s*((?:0x[0-9a-f]+|\d+)(?:\s*,\s*(?:0x[0-9a-f]+|\d+))*)\s*\)", re.IGNORECASE)
_HEX = re.compile(r"\b0x((?:[0-9a-f]{2}){2,200})\b", re.IGNORECASE)
_JOINED = re.compile(r"'\s{0,9}(?:\|\||\+)?\s{0,9}'|\"\s{0,9}(?:\|\||\+)\s{0,9}\"")
_SHELL_BLANK = re.compile(r"\$\{?IFS\}?(?:\$\d)?|\$IFS\$?\d?")
_SHELL_NOTHING = re.compile(r"(?<=[\w/])(?:''|\"\"|``|\\|\$@|\$\*|\$\d|\^)(?=[\w/])|(?<=\w)(['\"])(\w{1,3})\1(?=\w)")
_BRACES = re.compile(r"\{([\w./\-]{1,40}(?:,[\w./\-]{1,80}){1,6})\}")
_LOOKUP = re.compile(r"\$\{(?:[^{}$]{0,40}:-([^{}$]{0,40})|(?:lower|upper):([^{}$]{0,40}))\}", re.IGNORECASE)
_UNSET_VARIABLE = re.compile(r"\$[A-Za-z_]\w{0,30}(?=/|\s|$)")
_LINE_COMMENT = re.compile(r"(?:#|--)[^\n]{0,200}\n")
_OWN_HOST = re.compile(
    r"(?<=[/@])(?:127(?:\.\d{1,3}){1,3}|0\.0\.0\.0|2130706433|0x7f0{5}1|017700000001|0177(?:\.0?){2,3}1|\[::1?\]|"
    r"\[::ffff:127[.\d]{1,12}\]|localtest\.me)(?![\d.])",
    re.IGNORECASE,
)
_PRIVATE_HOST = re.compile(
    r"(?<=[/@])(?:10(?:\.\d{1,3}){3}|192\.168(?:\.\d{1,3}){2}|172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2})(?![\d.])"
)
_METADATA_HOST = re.compile(
    r"(?<=[/@])(?:169\.254\.169\.254|100\.100\.100\.200|2852039166|0xa9fea9fe)(?![\d.])", re.IGNORECASE
)
_DISGUISE = re.compile(r"[('\"`$\\^{@+\n]|/[*/.]|<!|0[xX]")
_DOT_SEGMENT = re.compile(r"(?<=/)(?:\./|/)+")


@lru_cache(maxsize=8192)
def _canonical_short(text: str) -> str:
    return _canonical(text)


def canonical(text: str) -> str:
    """Undo, on decoded text, the ways to write one and the same attack differently.

    SQL comments become blanks, `(SELECT 1)` its value, CHAR() and hexadecimal strings their text, joined
    strings one string; `$IFS`, empty quotes and backslashes inside shell words go; nested Log4j lookups are
    resolved; `/./` and `//` in paths become `/`; addresses of the own host, of private networks and of cloud
    metadata services get one name each; plus signs become blanks. Text without such constructs comes back unchanged.
    """
    return _canonical_short(text) if len(text) <= 256 else _canonical(text)


def _canonical(text: str) -> str:
    if not _DISGUISE.search(text):
        return text
    if "/*" in text or "<!--" in text:
        text = _without_comments(_without_comments(text, "/*", "*/"), "<!--", "-->")
    if "(" in text:
        text = _unnested(_SELECTED_VALUE, r" \1", text)
        text = _CHARS.sub(_spelled, text)
    if "0x" in text or "0X" in text:
        text = _HEX.sub(_unhexed, text)
    if "'" in text or '"' in text:
        text = _JOINED.sub("", text) if _JOINED.search(text, 1) and len(text) > 8 else text
    if "$" in text or "{" in text:
        text = _BRACES.sub(lambda m: m[1].replace(",", " "), _SHELL_BLANK.sub(" ", text))
        text = _unnested(_LOOKUP, lambda m: m[1] or m[2] or "", text)
    if "$" in text and "/" in text:
        text = _UNSET_VARIABLE.sub("", text)
    if any(mark in text for mark in "'\"`\\$^"):
        text = _SHELL_NOTHING.sub(lambda m: m[2] or "", text)
    if "//" in text or "/./" in text:
        text = _DOT_SEGMENT.sub("", text) if "://" not in text else text
    if "//" in text or "@" in text:
        text = _METADATA_HOST.sub("metadata.internal", text)
        text = _PRIVATE_HOST.sub("private.internal", _OWN_HOST.sub("localhost", text))
    if "\n" in text:
        text = _LINE_COMMENT.sub(" ", text)
    return text.replace("+", " ") if "+" in text else text


def _without_comments(text: str, opening: str, closing: str) -> str:
    """Comments become a blank, executable ones (`/*!50000 ... */`) their content; an unclosed one stays."""
    pieces: list[str] = []
    at = 0
    while (start := text.find(opening, at)) >= 0 and (end := text.find(closing, start + len(opening))) >= 0:
        inside = text[start + len(opening) : end]
        pieces += (text[at:start], f" {inside[1:].lstrip('0123456789')}" if inside.startswith("!") else "", " ")
        at = end + len(closing)
    return "".join(pieces) + text[at:] if at else text


def _unnested(pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str], text: str) -> str:
    for _ in range(8):
        text, count = pattern.subn(replacement, text)
        if not count:
            break
    return text


def _spelled(match: re.Match[str]) -> str:
    codes = [int(code, 0) for code in re.findall(r"0x[0-9a-f]+|[1-9]\d*|0", match[1].lower())]
    return "'" + "".join(chr(code) for code in codes if 32 <= code < 127) + "'"


def _unhexed(match: re.Match[str]) -> str:
    data = bytes.fromhex(match[1])
    readable = all(32 <= byte < 127 for byte in data)
    return f"'{data.decode('latin-1')}'" if readable else match[0]


def forget() -> None:
    """Drop what was remembered of short texts already decoded; answers do not change, they only cost anew."""
    _decode_short.cache_clear()
    _canonical_short.cache_clear()


def readings(text: str) -> tuple[str, ...]:
    """The decoded text and, where it differs, its canonical form: what a model should look at."""
    plain = decode(text)
    simple = canonical(plain)
    return (plain,) if simple == plain else (plain, simple)
