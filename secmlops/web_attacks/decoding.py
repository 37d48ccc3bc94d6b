r"""A request as named parts, and the text that a part means once every encoding is undone.

A model that reads the wire bytes of a whole request learns the host, the header order and the client's
habits instead of the attack. So a request is taken apart into values (`parts`), each read on its own, and
each value is brought to the form that the attacked program would see (`decode`, `canonical`).

What a sender could use to hide text is read too: names that are more than names, every value of a repeated
key, what stands around the sections of a form, the text inside files, bodies whose encoding cannot be undone.
Values are never cut; the time is proportional to what was sent (after decompression, which is bounded).

Sources: RFC 3986 (URIs), RFC 6265 (cookies), RFC 7578 (multipart forms), RFC 9110 section 8.4 (content codings),
the WHATWG URL standard (`application/x-www-form-urlencoded`), the HTML standard (character references).
Obfuscations: MITRE CAPEC-267 (alternate encoding), CAPEC-80 (overlong UTF-8), CAPEC-460 (parameter pollution).
"""

import base64
import binascii
import html
import json
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from secmlops.web_attacks.request import HttpRequest

Location = Literal["path", "query", "body", "header", "cookie"]

MAX_PARTS: Final = 512
"""Most parts named one by one; what lies beyond is joined and given as one `body` part."""

MAX_INFLATED_BYTES: Final = 1_048_576
"""Most bytes a compressed body may become; one that becomes more is not read in full (`Taken.whole`)."""

MAX_CODINGS: Final = 4
"""Most content codings undone, one over the other."""

MAX_MEMBERS: Final = 64
"""Most gzip members of one body."""

MIN_RUN: Final = 14
"""Shortest run of printable characters that is text in the midst of binary data, in bytes."""

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


@dataclass(frozen=True, slots=True)
class Taken:
    """A request taken apart.

    Attributes:
        parts: path, query, body, headers, cookies.
        whole: whether the parts hold all that was sent. False when a body inflates beyond its bounds: whoever decides
            about the request must not let the rest pass unread.
    """

    parts: list[Part]
    whole: bool


_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[\w.\-:\[\]@%]*(?=[/?#]|\Z)", re.ASCII)
_METHOD = re.compile(r"[A-Za-z_\-]{0,20}\Z")
_PLAIN_NAME = re.compile(r"[\w.\-:\[\]]{0,80}\Z", re.ASCII)
_PLAIN_HOST = re.compile(r"[\w.\-:\[\]]{0,255}\Z", re.ASCII)
_TRANSPORT_VALUE = re.compile(r"[\w ,:.\-\"/+=;]{0,160}\Z", re.ASCII)
_ORIGIN_VALUE = re.compile(r"(?:null|https?://[\w.\-]+(?::\d+)?)\Z", re.ASCII)
_FORM_START = re.compile(rb"[\w.\-\[\]%$+]{1,120}=", re.ASCII)


def parts(request: HttpRequest) -> list[Part]:
    """The parts of `take`, for readers that do not decide about the request."""
    return take(request).parts


def take(request: HttpRequest) -> Taken:
    """Take a request apart.

    The host, the order and presence of headers, the client's address and the time never appear. Values of one
    name that stands several times are also given joined, as servers that concatenate them see it. Never
    raises on malformed bodies: what does not parse is one part with the text as it is.

    Returns:
        The parts, at most `MAX_PARTS` and one. JSON numbers, booleans and nulls carry no text and are left out.
    """
    found: list[Part] = []
    overflow: list[str] = []
    body = _unpacked(request)
    for part in _all_parts(request, body):
        if len(found) < MAX_PARTS:
            found.append(part)
        else:
            overflow.append(part.text)
    if overflow:
        found.append(Part("body", "", "\n".join(overflow)))
    return Taken(found, body.whole)


def _all_parts(request: HttpRequest, body: "_Unpacked") -> Iterator[Part]:
    path, _, query = request.uri.partition("?")
    yield Part("path", "", _without_authority(path) or "/")
    if not _METHOD.match(request.method):
        yield Part("path", "method", request.method)
    if query:
        yield from _form("query", query)
    if body.data:
        yield from _body(body.data, request)
    yield from _runs("", body.rest)
    for name, value in request.headers:
        yield from _header(name, value, request)


def _without_authority(uri: str) -> str:
    """A target without scheme and host, unless these are more than that."""
    authority = _AUTHORITY.match(uri)
    return uri[authority.end() :] if authority else uri


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
        if len(several) > 1 and len(set(several)) > 1:
            yield Part(location, _short(name), ",".join(several))


def _named(location: Location, name: str, value: str, joint: str) -> Part:
    if _is_plain_name(name):
        return Part(location, name, value)
    return Part(location, _short(name), f"{name}{joint}{value}")


def _is_plain_name(name: str) -> bool:
    """Whether a name is nothing but a name, also once decoded."""
    return bool(_PLAIN_NAME.match(name)) or ("%" in name and len(name) <= 240 and bool(_PLAIN_NAME.match(decode(name))))


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:77] + "..."


def _header(name: str, value: str, request: HttpRequest) -> Iterator[Part]:
    low = name.lower()
    if low == "cookie":
        yield from _cookies(value)
        return
    if low in UNREAD_HEADERS and (low == "host" or _TRANSPORT_VALUE.match(value)):
        if low == "host" and not _PLAIN_HOST.match(value):
            yield Part("header", "Host", value)
        return
    if low == "origin" and _ORIGIN_VALUE.match(value):
        return
    if low == "referer" and request.host and f"//{request.host}" in value:
        value = _without_authority(value)
    yield _named("header", name, value, ": ")


def _cookies(text: str) -> Iterator[Part]:
    for pair in text.split(";", MAX_PARTS):
        name, equals, value = pair.strip().partition("=")
        if not equals:
            name, value = "", name
        if value or not _is_plain_name(name):
            yield _named("cookie", name, value, "=")


def _body(body: bytes, request: HttpRequest) -> Iterator[Part]:
    kind = request.header("content-type") or ""
    start = body.lstrip()[:1]
    if kind.lower().startswith("multipart/"):
        yield from _multipart(body, kind)
    elif start in (b"{", b"[") and (tree := _json(body)) is not None:
        yield from _flat("", tree, 0, shown=False)
    elif start not in (b"<", b"{", b"[") and ("urlencoded" in kind.lower() or _FORM_START.match(body)):
        yield from _form("body", body.decode("latin-1"))
    else:
        text = body.decode("latin-1")
        yield Part("body", "", text)
        if start == b"<" and (joined := _without_seams(text)) != text:
            yield Part("body", "", joined)


def _without_seams(text: str) -> str:
    """XML text as its parser joins it: without comments, and without what opens and closes character data."""
    if "<![CDATA[" not in text and "<!--" not in text:
        return text
    pieces, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        pieces.append(text[at:start])
        at = end + 3
    return "".join([*pieces, text[at:]]).replace("<![CDATA[", "").replace("]]>", "")


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """A body without its content codings: `data`, and the bytes of which no more than the text runs can be read."""

    data: bytes
    rest: bytes = b""
    whole: bool = True


class _TooLarge(Exception):
    """Inflates beyond the bounds."""


_WINDOW_BITS: Final = {"gzip": (47,), "x-gzip": (47,), "deflate": (47, -15)}
_NOT_UNDONE: Final = frozenset({"br", "zstd", "compress", "x-compress"})


def _unpacked(request: HttpRequest) -> _Unpacked:
    """Undo the content codings, the last one first."""
    body = request.body
    if not body:
        return _Unpacked(body)
    named = ",".join(value for name, value in request.headers if name.lower() == "content-encoding").lower()
    codings = [coding for item in named.split(",") if (coding := item.strip()) not in ("", "identity")]
    if not codings and body[:2] == b"\x1f\x8b":
        codings = ["gzip"]
    rest: list[bytes] = []
    for place, coding in enumerate(reversed(codings)):
        if place == MAX_CODINGS or coding not in _WINDOW_BITS:
            whole = _is_text(body) or (place < MAX_CODINGS and coding not in _NOT_UNDONE)
            return _Unpacked(b"", b"\n".join([*rest, body]), whole)
        try:
            body, behind = _inflated(body, _WINDOW_BITS[coding])
        except _TooLarge:
            return _Unpacked(b"", b"\n".join([*rest, body]), whole=False)
        rest.append(behind)
        if not body:
            break
    return _Unpacked(body, b"\n".join(rest))


def _inflated(body: bytes, ways: Iterable[int]) -> tuple[bytes, bytes]:
    """What a body decompresses to in the first way that works, and its bytes from where none does any longer."""
    for wbits in ways:
        pieces: list[bytes] = []
        room, left = MAX_INFLATED_BYTES, body
        while left:
            inflater = zlib.decompressobj(wbits)
            try:
                pieces.append(inflater.decompress(left, room + 1))
            except zlib.error:
                break
            room -= len(pieces[-1])
            left = inflater.unused_data
            if room < 0 or (left and len(pieces) == MAX_MEMBERS):
                raise _TooLarge
        if pieces:
            return b"".join(pieces), left
    return b"", body


_RUN = re.compile(rb"[\t\n\r\x20-\x7e]{%d,}" % MIN_RUN)


def _runs(name: str, data: bytes) -> Iterator[Part]:
    """The text in data that may be binary: all of it when it is UTF-8 without controls, else its printable runs."""
    if not data:
        return
    text = data.replace(b"\0", b"")
    if not _is_text(text):
        text = b"\n".join(_RUN.findall(text))
    if text.strip():
        yield Part("body", _short(name), text.decode("latin-1"))


_CONTROLS = bytes({*range(32), 127} - {9, 10, 12, 13})


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(data.translate(None, _CONTROLS)) == len(data)


def _json(body: bytes) -> object | None:
    try:
        return json.loads(body, object_pairs_hook=_with_all_values)
    except (ValueError, RecursionError):
        return None


def _with_all_values(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; a key that stands several times has all its values, whichever the application takes."""
    tree = dict(pairs)
    if len(tree) < len(pairs):
        several: dict[str, list[object]] = {}
        for key, value in pairs:
            several.setdefault(key, []).append(value)
        tree = {key: values[0] if len(values) == 1 else values for key, values in several.items()}
    return tree


def _flat(path: str, tree: object, depth: int, *, shown: bool) -> Iterator[Part]:
    """The texts of a JSON value.

    Args:
        path: where it stands.
        tree: the value.
        depth: how deep.
        shown: whether it stands in a part already, as what an operator (`$or`) is applied to.
    """
    if isinstance(tree, str):
        yield Part("body", _short(path), _wire(tree))
    elif depth >= MAX_DEPTH and isinstance(tree, dict | list):
        yield Part("body", _short(path), _wire(_dumped(tree)))
    elif isinstance(tree, dict):
        for key, value in tree.items():
            name = _wire(key)
            inner = f"{path}.{name}" if path else name
            plain = _is_plain_name(name)
            if not plain and not (shown and isinstance(value, dict | list)):
                yield Part(
                    "body", _short(inner), _wire(f"{key}: {value if isinstance(value, str) else _dumped(value)}")
                )
            yield from _flat(inner if len(inner) <= 200 else inner[-200:], value, depth + 1, shown=shown or not plain)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _flat(f"{path}[{min(index, 9)}]", value, depth + 1, shown=shown)


def _dumped(tree: object) -> str:
    try:
        return json.dumps(tree, ensure_ascii=False)
    except (RecursionError, ValueError):
        return str(type(tree).__name__)


def _wire(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


_BOUNDARY = re.compile(r"""boundary\s*=\s*(?:"([^"]{1,200})"|([^;,\s"]{1,200}))""", re.IGNORECASE)
_FIRST_LINE = re.compile(rb"\s*--([^\r\n]{1,200})")
_DISPOSITION = re.compile(rb'(filename|name)\*?\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\r\n]*))', re.IGNORECASE)
_PLAIN_HEAD = re.compile(rb"[\w \t/;:.,=+\-\"\r\n]{0,1024}\Z", re.ASCII)


def _multipart(body: bytes, kind: str) -> Iterator[Part]:
    declared = _BOUNDARY.search(kind)
    if declared is not None:
        boundary = (declared[1] or declared[2]).encode("latin-1", "replace")
    else:
        first = _FIRST_LINE.match(body)
        boundary = first[1].strip() if first is not None else b""
    around, *sections = body.split(b"--" + boundary) if boundary else [body]
    yield from _runs("", around)
    for section in sections:
        yield from _section(section)


def _section(section: bytes) -> Iterator[Part]:
    head, gap, content = section.partition(b"\r\n\r\n")
    if not gap:
        head, gap, content = section.partition(b"\n\n")
    if not gap:
        yield from _runs("", head.strip(b"-\r\n "))
        return
    given = [(m[1].lower(), (m[2] or m[3] or b"").decode("latin-1")) for m in _DISPOSITION.finditer(head[:4096])]
    name = next((value for key, value in given if key == b"name"), "")
    files = [value for key, value in given if key == b"filename"]
    for value in files:
        yield Part("body", _short(f"{name}.filename"), value)
    if not _PLAIN_HEAD.match(_DISPOSITION.sub(b"", head) if len(head) <= 4096 else head) or len(given) - len(files) > 1:
        yield Part("body", _short(f"{name}.head"), head.decode("latin-1"))
    if not files:
        yield _named("body", name, content.rstrip(b"\r\n").decode("latin-1"), "=")
        return
    if not _is_plain_name(name):
        yield _named("body", name, "", "=")
    yield from _runs(name, content)


_ENCODED = re.compile(r"[%&+\\\0]")
_PERCENT_U = re.compile(r"%u([0-9a-fA-F]{4})")
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_ESCAPE = re.compile(r"\\(?:u\{?([0-9a-fA-F]{4})\}?|x([0-9a-fA-F]{2}))")
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
_BASE64 = re.compile(r"(?<![\w+/%=-])[A-Za-z0-9+/_-]{16,}={0,2}(?![\w+/%-])")
_LONG_REFERENCE = re.compile(r"&#0*([1-9][0-9]{8,};?)|&#0{8,}(?=[0-9])")
_PHRASE = re.compile("[\ufdfa\ufdfb]")  # one character each that compatibility forms make eighteen
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
            text = html.unescape(_LONG_REFERENCE.sub(_shorter_reference, text))
        if "\\" in text:
            text = _ESCAPE.sub(_escaped, text)
        if text == before:
            break
    text = _unicode(text)
    if len(text) >= 16:
        text = _BASE64.sub(_base64_text, text)
    return text


def _shorter_reference(match: re.Match[str]) -> str:
    """A decimal character reference without its leading zeros; one beyond any character as the standard reads it."""
    return "\ufffd" if match[1] else "&#"


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
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", _PHRASE.sub(" ", text)))


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
_HEADER_BREAK = re.compile(
    r"[\r\n\u560a\u560d][ \t]{0,9}(?=(?:set-cookie|location|content-(?:type|length|disposition)|transfer-encoding|"
    r"bcc|x-[\w\-]{1,40})[ \t]{0,9}:|http/\d)",
    re.IGNORECASE,
)
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
_DISGUISE = re.compile(r"[('\"`$\\^{@+\r\n\u560a\u560d]|/[*/.]|<!|0[xX]")
_DOT_SEGMENT = re.compile(r"(?<=/)(?:\./|/)+")


@lru_cache(maxsize=8192)
def _canonical_short(text: str) -> str:
    return _canonical(text)


def canonical(text: str) -> str:
    """Undo, on decoded text, the ways to write one and the same attack differently.

    SQL comments become blanks, `(SELECT 1)` its value, CHAR() and hexadecimal strings their text, joined
    strings one string; `$IFS`, empty quotes and backslashes inside shell words go; nested Log4j lookups are
    resolved; `/./` and `//` in paths become `/`; addresses of the own host, of private networks and of cloud
    metadata services get one name each; plus signs become blanks; a line break before a header's name, which
    n-grams take for a blank, becomes the word `crlf`. Text without such constructs comes back unchanged.
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
    if any(mark in text for mark in "\r\n\u560a\u560d"):
        text = _LINE_COMMENT.sub(" ", _HEADER_BREAK.sub(" crlf ", text))
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
    codes = [_code(digits) for digits in re.findall(r"0x[0-9a-f]+|\d+", match[1].lower())]
    return "'" + "".join(chr(code) for code in codes if 32 <= code < 127) + "'"


def _code(digits: str) -> int:
    """A character code as SQL writes it; 0 for one beyond any character, however long."""
    base, digits = (16, digits[2:]) if digits.startswith("0x") else (10, digits)
    digits = digits.lstrip("0")
    return int(digits, base) if 0 < len(digits) <= 3 else 0


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
