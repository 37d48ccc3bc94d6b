"""The URIs by which every input and output that names data is given.

| form | means |
|---|---|
| `runs/data.parquet`, `/data/x`, `file:///data/x` | a file or folder of this machine |
| `s3://bucket/key` | an object, or all objects below `key/` |
| `clickhouse://user@host:port/database` | a ClickHouse server over TLS (`?secure=false` must be said to go without) |
| `chdb:///folder`, `chdb://./folder` | an embedded ClickHouse database in a folder |

Credentials never stand in a URI: they would end up in logs, compiled pipelines and provenance. They come
from the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `CLICKHOUSE_PASSWORD`).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from secmlops.errors import SecmlopsError

SCHEMES = ("file", "s3", "clickhouse", "chdb")

MAX_URI_CHARS = 4096
MAX_KEY_BYTES = 1024
"""Longest S3 object key (Amazon S3 user guide, "Naming Amazon S3 objects")."""

CLICKHOUSE_TLS_PORT = 8443
CLICKHOUSE_PLAIN_PORT = 8123

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


class InvalidUri(SecmlopsError):
    """A URI that does not say where the data is.

    Attributes:
        uri: the URI, with anything before an `@` left out.
        reason: what is wrong with it.
    """

    def __init__(self, uri: str, reason: str):
        self.uri = _without_credentials(uri)
        self.reason = reason
        super().__init__(f"{self.uri!r}: {reason}")


class UnknownScheme(InvalidUri):
    """A URI whose scheme is none of `SCHEMES`.

    Attributes:
        scheme: the scheme found.
    """

    def __init__(self, uri: str, scheme: str):
        self.scheme = scheme
        super().__init__(uri, f"scheme {scheme!r} is not known: use a path or one of {', '.join(SCHEMES)}")


class CredentialInUri(InvalidUri):
    """A URI that carries a password or key.

    Attributes:
        variable: the environment variable to set in its place.
    """

    def __init__(self, uri: str, variable: str):
        self.variable = variable
        super().__init__(uri, f"a URI must not carry a password or key: leave it out and set {variable}")


@dataclass(frozen=True, slots=True)
class PathUri:
    """A file or folder of this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class S3Uri:
    """An object, or everything below `key/`; an empty key is the whole bucket."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"


@dataclass(frozen=True, slots=True)
class ClickHouseUri:
    """A ClickHouse server's HTTP interface; the password comes from `CLICKHOUSE_PASSWORD`."""

    host: str
    port: int
    user: str
    database: str
    secure: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        plain = "" if self.secure else "?secure=false"
        return f"clickhouse://{quote(self.user, safe='')}@{host}:{self.port}/{self.database}{plain}"


@dataclass(frozen=True, slots=True)
class ChdbUri:
    """An embedded ClickHouse database (chdb) in a folder."""

    folder: Path

    def __str__(self) -> str:
        return f"chdb://{'' if self.folder.is_absolute() else './'}{quote(str(self.folder))}"


Uri = PathUri | S3Uri | ClickHouseUri | ChdbUri


def parse_uri(text: str | Path) -> Uri:
    """Read a URI or path; `str()` of the answer parses to the same answer.

    Args:
        text: one of the forms in this module's table. Text without `scheme://` is a path, taken as it stands.

    Raises:
        UnknownScheme: the scheme is none of `SCHEMES`.
        CredentialInUri: the URI carries a password or key.
        InvalidUri: empty, too long, with control characters, or its parts make no sense for its scheme.
    """
    if isinstance(text, Path):
        text = str(text)
    if not isinstance(text, str) or not text.strip():
        raise InvalidUri(str(text), "is empty: give a path or a URI")
    if len(text) > MAX_URI_CHARS:
        raise InvalidUri(text[:80], f"is longer than {MAX_URI_CHARS} characters")
    if _CONTROL.search(text):
        raise InvalidUri(text, "holds control characters")
    match = _SCHEME.match(text)
    if match is None:
        return PathUri(Path(text))
    scheme = match.group(1).lower()
    if scheme == "s3":
        return _parse_s3(text, text[match.end() :])
    if scheme not in SCHEMES:
        raise UnknownScheme(text, scheme)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidUri(text, "its host or port cannot be read") from None
    if parts.fragment or "#" in text:
        raise InvalidUri(text, "'#' has no meaning here: write it as %23 if it belongs to the path")
    if scheme == "clickhouse":
        return _parse_clickhouse(text, parts, port)
    return _parse_folder(text, parts, scheme)


def check_key(key: str) -> str | None:
    """Say what is unsafe about an S3 key that is to become a relative path; None when nothing is.

    Refused: more than `MAX_KEY_BYTES`, control characters, backslashes, empty, `.` and `..` segments.
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "the key is not valid Unicode"
    if size > MAX_KEY_BYTES:
        return f"the key is longer than {MAX_KEY_BYTES} bytes"
    if _CONTROL.search(key) or "\\" in key:
        return "the key holds control characters or backslashes"
    if any(segment in ("", ".", "..") for segment in key.split("/")):
        return "the key holds empty, '.' or '..' segments"
    return None


def _parse_s3(uri: str, rest: str) -> S3Uri:
    # By hand: '?', '#' and '%' are ordinary characters of a key, so a URL parser would lose them.
    bucket, _, key = rest.partition("/")
    if "@" in bucket:
        raise CredentialInUri(uri, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise InvalidUri(uri, "the bucket's name must be 3 to 63 of a-z, 0-9, '.' and '-'")
    key = key.removesuffix("/")
    problem = check_key(key) if key else None
    if problem:
        raise InvalidUri(uri, problem)
    return S3Uri(bucket, key)


def _parse_clickhouse(uri: str, parts: SplitResult, port: int | None) -> ClickHouseUri:
    if parts.password is not None:
        raise CredentialInUri(uri, "CLICKHOUSE_PASSWORD")
    secure = _secure_option(uri, parts.query)
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise InvalidUri(uri, "names no host: write clickhouse://user@host:port/database")
    if port == 0:
        raise InvalidUri(uri, "port 0 cannot be connected to")
    user = unquote(parts.username) if parts.username else "default"
    database = parts.path.removeprefix("/") or "default"
    if not _IDENTIFIER.fullmatch(user) or not _IDENTIFIER.fullmatch(database):
        raise InvalidUri(uri, "user and database are letters, digits, '_', '.' and '-', and start with a letter")
    return ClickHouseUri(
        host, port or (CLICKHOUSE_TLS_PORT if secure else CLICKHOUSE_PLAIN_PORT), user, database, secure
    )


def _secure_option(uri: str, query: str) -> bool:
    options = parse_qsl(query, keep_blank_values=True)
    if any(name.lower() in ("password", "pass", "pwd", "token", "secret") for name, _ in options):
        raise CredentialInUri(uri.partition("?")[0], "CLICKHOUSE_PASSWORD")
    if not query:
        return True
    if len(options) == 1 and options[0][0] == "secure" and options[0][1] in ("true", "false"):
        return options[0][1] == "true"
    raise InvalidUri(uri, "the only option is secure=true or secure=false")


def _parse_folder(uri: str, parts: SplitResult, scheme: str) -> PathUri | ChdbUri:
    if "@" in parts.netloc:
        raise CredentialInUri(uri, "nothing: a folder needs no credentials")
    if "?" in uri:
        raise InvalidUri(uri, "'?' has no meaning here: write it as %3F if it belongs to the path")
    path = unquote(parts.path)
    if not path.strip("/") or _CONTROL.search(path):
        raise InvalidUri(uri, f"names no folder: write {scheme}:///absolute/path")
    if scheme == "chdb":
        if parts.netloc not in ("", "."):
            raise InvalidUri(uri, "write chdb:///absolute/folder or chdb://./relative/folder")
        return ChdbUri(Path(path.lstrip("/")) if parts.netloc else Path(path))
    if parts.netloc not in ("", "localhost"):
        raise InvalidUri(uri, "a file of another machine: write file:///absolute/path")
    return PathUri(Path(path))


def _without_credentials(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
