"""Files and folders in and out of object storage (S3, MinIO, SeaweedFS) or a plain folder, by URI.

Whatever comes from storage is hostile input: names are checked before they become paths, sizes are counted while
bytes arrive, and a file or folder appears at its destination complete or not at all.

Settings come from the environment: `AWS_S3_ENDPOINT` (`https://host:port`; `http://` only when it is written out),
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and if wanted `AWS_SESSION_TOKEN` and `AWS_DEFAULT_REGION`. Requests are
signed with AWS Signature Version 4.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from secmlops.errors import SecmlopsError
from secmlops.storage.uri import PathUri, S3Uri, Uri, check_key, parse_uri

if TYPE_CHECKING:
    from minio import Minio

ENDPOINT = "AWS_S3_ENDPOINT"
ACCESS_KEY = "AWS_ACCESS_KEY_ID"
SECRET_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - a variable's name
SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - a variable's name
REGION = "AWS_DEFAULT_REGION"
DEFAULT_REGION = "us-east-1"

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
RETRIES = 3

_CHUNK_BYTES = 1024**2
_SIGNATURE_SUFFIX = ".sig"
_ERROR_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_NOT_FOUND = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchObject", "NoSuchUpload", "ResourceNotFound"})
_DENIED = frozenset(
    {"AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "RequestTimeTooSkewed"}
)


class StorageError(SecmlopsError):
    """Data that could not be fetched or published.

    Attributes:
        uri: what was asked for.
    """

    def __init__(self, uri: str, sentence: str):
        self.uri = uri
        super().__init__(f"{uri}: {sentence}")


class MissingSetting(SecmlopsError):
    """An environment variable that must be set and is not, or makes no sense.

    Attributes:
        variable: its name.
    """

    def __init__(self, variable: str, sentence: str):
        self.variable = variable
        super().__init__(f"set the environment variable {variable}: {sentence}")


class NotFound(StorageError):
    """There is nothing at the URI."""

    def __init__(self, uri: str):
        super().__init__(uri, "there is nothing here: check the URI, or run the step that writes it")


class AccessDenied(StorageError):
    """The storage refuses the credentials."""

    def __init__(self, uri: str, code: str):
        super().__init__(
            uri, f"the storage refuses ({code}): check {ACCESS_KEY} and {SECRET_KEY}, and what they may do"
        )


class StorageUnavailable(StorageError):
    """The storage does not answer, or answers with an error of its own."""


class UnsafeContent(StorageError):
    """Names that would leave the destination, links, or colliding names."""


class TooLarge(StorageError):
    """More files or bytes than the limits allow."""


class TargetOccupied(StorageError):
    """The destination holds files that are not part of what is to be written.

    Attributes:
        strangers: some of their names.
    """

    def __init__(self, uri: str, strangers: list[str]):
        self.strangers = strangers
        super().__init__(uri, f"already holds other files ({', '.join(strangers[:5])}): name a new folder or prefix")


class Unsupported(StorageError):
    """A URI that names no files."""

    def __init__(self, uri: str):
        super().__init__(uri, "is a database: give a path, file:// or s3:// URI")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is fetched or published.

    Attributes:
        max_files: number of files.
        max_file_bytes: size of one file.
        max_total_bytes: size of all files.
    """

    max_files: int = 1000
    max_file_bytes: int = 8 * 1024**3
    max_total_bytes: int = 32 * 1024**3


DEFAULT_LIMITS = Limits()


@dataclass(slots=True)
class _Budget:
    """Counts what has been taken and stops at the limits."""

    uri: str
    limits: Limits
    files: int = 0
    total_bytes: int = 0

    def add_file(self) -> None:
        self.files += 1
        if self.files > self.limits.max_files:
            raise TooLarge(self.uri, f"holds more than {self.limits.max_files:,} files")

    def add_bytes(self, size: int, of_this_file: int) -> None:
        self.total_bytes += size
        if of_this_file > self.limits.max_file_bytes:
            raise TooLarge(self.uri, f"holds a file larger than {self.limits.max_file_bytes:,} bytes")
        if self.total_bytes > self.limits.max_total_bytes:
            raise TooLarge(self.uri, f"holds more than {self.limits.max_total_bytes:,} bytes")


def fetch(uri: str | Path, dest: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Path:
    """Copy a file, or a folder with all that is below it, to `dest`.

    An `s3://bucket/key` is the object of that key; where there is none, all objects below `key/` become a folder.
    What is at `dest` is replaced when it is made of the same files, so a step can be repeated.

    Returns:
        `dest`.

    Raises:
        NotFound: there is nothing at the URI.
        UnsafeContent: a name leads out of the folder, or the source holds links.
        TooLarge: more than the limits allow.
        TargetOccupied: `dest` holds other files.
        MissingSetting: an environment variable for S3 is not set.
        AccessDenied, StorageUnavailable: the storage's answer.
        Unsupported: a database's URI.
        InvalidUri: no URI.
    """
    source, target = parse_uri(uri), Path(dest)
    if isinstance(source, PathUri):
        _copy(source.path, target, limits)
    elif isinstance(source, S3Uri):
        _download(source, target, limits)
    else:
        raise Unsupported(str(source))
    return target


def publish(source: str | Path, uri: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> str:
    """Copy a file or folder to a URI, so that a reader never takes a half-written one for a whole one.

    A folder's destination is written beside it and moved into place; where the same files were already there, they
    are gone for the moment between two renames. Object storage has no rename: signatures (`*.sig`) go last, so
    an unfinished bundle is an unsigned or wrongly signed one, which nothing loads. A destination that holds other
    files is left alone.

    Returns:
        The URI.

    Raises:
        NotFound: there is no such file or folder.
        TargetOccupied: the destination holds files that are not in the folder.
        UnsafeContent: the folder holds links, or names that cannot be keys.
        TooLarge, MissingSetting, AccessDenied, StorageUnavailable, Unsupported, InvalidUri: as `fetch`.
    """
    target = parse_uri(uri)
    if isinstance(target, PathUri):
        _copy(Path(source), target.path, limits)
    elif isinstance(target, S3Uri):
        _upload(Path(source), target, limits)
    else:
        raise Unsupported(str(target))
    return str(target)


def exists(uri: str | Path) -> bool:
    """Whether there is a file, a folder, an object, or any object below `key/` at the URI.

    Raises:
        MissingSetting, AccessDenied, StorageUnavailable, Unsupported, InvalidUri: as `fetch`.
    """
    target = parse_uri(uri)
    if isinstance(target, PathUri):
        return target.path.exists()
    if not isinstance(target, S3Uri):
        raise Unsupported(str(target))
    with _errors(target):
        client = s3_client()
        return _object_size(client, target) is not None or next(_listed(client, target), None) is not None


def s3_client(environment: Mapping[str, str] | None = None) -> "Minio":
    """A MinIO client from the environment: TLS with verified certificates unless the endpoint says `http://`.

    Raises:
        MissingSetting: a variable is not set, or the endpoint is no `https://host:port`.
    """
    import certifi
    import urllib3
    from minio import Minio

    settings = os.environ if environment is None else environment
    host, secure = _endpoint(_setting(settings, ENDPOINT, "the object storage, as https://host:port"))
    http = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
        retries=urllib3.Retry(total=RETRIES, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504], redirect=0),
        cert_reqs="CERT_REQUIRED",
        ca_certs=settings.get("SSL_CERT_FILE") or certifi.where(),
    )
    return Minio(
        host,
        access_key=_setting(settings, ACCESS_KEY, "the access key of the object storage"),
        secret_key=_setting(settings, SECRET_KEY, "the secret key of the object storage"),
        session_token=settings.get(SESSION_TOKEN) or None,
        region=settings.get(REGION) or DEFAULT_REGION,
        secure=secure,
        http_client=http,
    )


def _setting(settings: Mapping[str, str], variable: str, meaning: str) -> str:
    value = settings.get(variable, "").strip()
    if not value:
        raise MissingSetting(variable, meaning)
    return value


def _endpoint(text: str) -> tuple[str, bool]:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        known = parts.scheme in ("https", "http") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known or "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise MissingSetting(ENDPOINT, "it must be https://host:port, or http://host:port to go without TLS")
    return parts.netloc, parts.scheme == "https"


def _copy(source: Path, target: Path, limits: Limits) -> None:
    budget = _Budget(str(source), limits)
    if source.is_dir():
        files = _files_below(source, budget)
        with _staging(target) as staged:
            for name, path in files.items():
                _copy_file(path, staged / name, budget)
            _move_into_place(staged, target, set(files))
    elif source.is_file():
        with _staging(target) as staged:
            budget.add_file()
            _copy_file(source, staged / "file", budget)
            _move_file(staged / "file", target)
    else:
        raise NotFound(str(source))


def _files_below(folder: Path, budget: _Budget) -> dict[str, Path]:
    """All files below a folder by their `/`-separated names, sorted; links and devices are refused."""
    found: dict[str, Path] = {}
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root, name)
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise UnsafeContent(str(folder), f"{path.relative_to(folder)} is a link or a device")
        for name in names:
            budget.add_file()
            path = Path(root, name)
            found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))


def _copy_file(source: Path, target: Path, budget: _Budget) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    copied = 0
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            copied += len(chunk)
            budget.add_bytes(len(chunk), copied)
            writer.write(chunk)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """An empty folder beside the target, on the same file system, gone at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=target.parent) as temporary:
        staged = Path(temporary) / "staged"
        staged.mkdir()
        yield staged


def _move_into_place(staged: Path, target: Path, names: set[str]) -> None:
    if not os.path.lexists(target):
        os.replace(staged, target)
        return
    if target.is_symlink() or not target.is_dir():
        raise TargetOccupied(str(target), [target.name])
    present = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_symlink() or path.is_file()}
    if present - names:
        raise TargetOccupied(str(target), sorted(present - names))
    previous = staged.with_name("previous")
    os.replace(target, previous)
    try:
        os.replace(staged, target)
    except OSError:
        os.replace(previous, target)
        raise
    shutil.rmtree(previous)


def _move_file(staged: Path, target: Path) -> None:
    if target.is_symlink() or target.is_dir():
        raise TargetOccupied(str(target), [target.name])
    os.replace(staged, target)


def _download(source: S3Uri, target: Path, limits: Limits) -> None:
    budget = _Budget(str(source), limits)
    with _errors(source), _staging(target) as staged:
        client = s3_client()
        size = _object_size(client, source)
        if size is not None:
            budget.add_file()
            _download_object(client, source, source.key, size, staged / "file", budget)
            _move_file(staged / "file", target)
            return
        names = _names_below(client, source, budget)
        if not names:
            raise NotFound(str(source))
        prefix = _prefix(source)
        for name, size in names.items():
            _download_object(client, source, prefix + name, size, staged / name, budget)
        _move_into_place(staged, target, set(names))


def _names_below(client: "Minio", source: S3Uri, budget: _Budget) -> dict[str, int]:
    """Sizes by name of the objects below `key/`; every name is safe as a path below a folder."""
    prefix = _prefix(source)
    found: dict[str, int] = {}
    for item in _listed(client, source):
        name = str(item.object_name)
        if name.endswith("/") and not item.size:
            continue  # the marker by which some tools show an empty folder
        problem = "it lies outside of what was asked for" if not name.startswith(prefix) else None
        problem = problem or check_key(name.removeprefix(prefix))
        if problem:
            raise UnsafeContent(str(source), f"the object {name[:200]!r} cannot become a file: {problem}")
        budget.add_file()
        found[name.removeprefix(prefix)] = int(item.size or 0)
    folders = {str(parent) for name in found for parent in Path(name).parents}
    if folders & set(found):
        raise UnsafeContent(str(source), f"{min(folders & set(found))!r} is both an object and a folder")
    return found


def _download_object(client: "Minio", source: S3Uri, key: str, size: int, path: Path, budget: _Budget) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    received = 0
    response = client.get_object(source.bucket, key)
    try:
        with path.open("xb") as file:
            for chunk in response.stream(_CHUNK_BYTES):
                received += len(chunk)
                budget.add_bytes(len(chunk), received)
                file.write(chunk)
    finally:
        response.close()
        response.release_conn()
    if received != size:
        raise StorageUnavailable(str(source), f"{key!r} came with {received:,} of {size:,} bytes: try again")


def _upload(source: Path, target: S3Uri, limits: Limits) -> None:
    budget = _Budget(str(source), limits)
    files = _sources(source, target, budget)
    for key, path in files.items():
        problem = check_key(key)
        if problem:
            raise UnsafeContent(str(target), f"{path} cannot become an object: {problem}")
        size = path.stat().st_size
        budget.add_bytes(size, size)
    with _errors(target):
        client = s3_client()
        if source.is_dir():
            _refuse_strangers(client, target, set(files), limits)
        # Signatures last: until then the folder is not a signed bundle.
        for key in sorted(files, key=lambda key: (key.endswith(_SIGNATURE_SUFFIX), key)):
            client.fput_object(target.bucket, key, str(files[key]))


def _sources(source: Path, target: S3Uri, budget: _Budget) -> dict[str, Path]:
    if source.is_dir():
        return {_prefix(target) + name: path for name, path in _files_below(source, budget).items()}
    if not source.is_file():
        raise NotFound(str(source))
    budget.add_file()
    if not target.key:
        raise StorageError(str(target), "names no object: write s3://bucket/key")
    return {target.key: source}


def _refuse_strangers(client: "Minio", target: S3Uri, keys: set[str], limits: Limits) -> None:
    present = _names_below(client, target, _Budget(str(target), limits))
    strangers = sorted(name for name in present if _prefix(target) + name not in keys)
    if strangers:
        raise TargetOccupied(str(target), strangers)


def _prefix(uri: S3Uri) -> str:
    return f"{uri.key}/" if uri.key else ""


def _listed(client: "Minio", uri: S3Uri) -> Iterator[Any]:
    return iter(client.list_objects(uri.bucket, prefix=_prefix(uri), recursive=True))


def _object_size(client: "Minio", uri: S3Uri) -> int | None:
    """Size of the object of exactly that key; None where there is none."""
    from minio.error import S3Error

    if not uri.key:
        return None
    try:
        return int(client.stat_object(uri.bucket, uri.key).size or 0)
    except S3Error as error:
        if error.code in _NOT_FOUND and error.code != "NoSuchBucket":
            return None
        raise


@contextmanager
def _errors(uri: Uri) -> Iterator[None]:
    """Turn what the MinIO client and its HTTP library raise into this module's errors."""
    from minio.error import MinioException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (MinioException, HTTPError) as error:
        code = _error_code(error)
        if code in _NOT_FOUND:
            raise NotFound(str(uri)) from error
        if code in _DENIED:
            raise AccessDenied(str(uri), code) from error
        told = f"answers {code}" if code else f"gives no usable answer ({type(error).__name__}): check {ENDPOINT}"
        raise StorageUnavailable(str(uri), f"the storage {told}") from error


def _error_code(error: Exception) -> str:
    """The S3 error code, e.g. `NoSuchKey`; empty when the answer has none."""
    code = getattr(error, "code", None)
    if isinstance(code, str):
        return code
    # The client reads errors sent as application/xml only; other servers say text/xml, which it hands on as text.
    found = _ERROR_CODE.search(str(error)[:10_000])
    return found.group(1) if found else ""
