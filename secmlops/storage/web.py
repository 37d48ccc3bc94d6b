"""Files from the web, taken only where a checksum says what they must be.

The checksum, not the server, is what is trusted: it comes with the URI, so plain http is as good as https, and a
mirror that was broken into is noticed. Bytes are counted while they arrive, and nothing appears before all of it is
verified (MITRE ATLAS AML.M0014).
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import urlsplit

from secmlops.storage.objects import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    RETRIES,
    NotFound,
    StorageError,
    StorageUnavailable,
    TooLarge,
)
from secmlops.storage.uri import CredentialInUri, InvalidUri

if TYPE_CHECKING:
    from urllib3 import PoolManager

MAX_BYTES: Final = 1024**3
"""Default bound on all files of one address together."""

_CHUNK_BYTES = 64 * 1024
_MAX_REDIRECTS = 3
_CHECKSUM = re.compile(r"sha256=([0-9a-fA-F]{64})")


class ChecksumMismatch(StorageError):
    """Files that are not what their checksum says.

    Attributes:
        expected: SHA-256 (hex) that was asked for.
        found: SHA-256 (hex) of what came.
    """

    def __init__(self, uri: str, expected: str, found: str):
        self.expected = expected
        self.found = found
        super().__init__(uri, f"has the SHA-256 {found}, not {expected}: do not use it, find out why it changed")


class MissingChecksum(InvalidUri):
    """A web address without a checksum."""

    def __init__(self, uri: str):
        super().__init__(uri, "has no checksum: end it with #sha256= and the 64 hex digits that you trust")


@dataclass(frozen=True, slots=True)
class WebUri:
    """A folder of files on the web and the checksum of those that are wanted.

    Attributes:
        base: the address, ending in `/`.
        sha256: SHA-256 (hex) of the wanted files' bytes, one after the other.
    """

    base: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.base}#sha256={self.sha256}"


def is_web(uri: str) -> bool:
    """Whether this is an http or https address."""
    return uri.lower().startswith(("http://", "https://"))


def parse_web_uri(uri: str) -> WebUri:
    """Read `http[s]://host/folder#sha256=...`.

    Raises:
        MissingChecksum: there is no checksum.
        CredentialInUri: the address carries a user or password.
        InvalidUri: no host, a query, or control characters.
    """
    address, _, fragment = uri.partition("#")
    try:
        parts = urlsplit(address)
        known = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known or parts.query or not is_web(uri) or not address.isascii() or not address.isprintable():
        raise InvalidUri(uri, "write http[s]://host/folder#sha256=...")
    if "@" in parts.netloc:
        raise CredentialInUri(uri, "nothing: only public files are fetched from the web")
    checksum = _CHECKSUM.fullmatch(fragment)
    if checksum is None:
        raise MissingChecksum(uri)
    return WebUri(address.rstrip("/") + "/", checksum[1].lower())


def fetch_verified(uri: WebUri, names: Sequence[str], dest: str | Path, *, max_bytes: int = MAX_BYTES) -> Path:
    """Fetch files of a web folder into a new folder, which appears when their checksum is right.

    Args:
        uri: the folder; its checksum is that of the files' bytes in the order of `names`.
        names: names of the files.
        dest: the new folder.
        max_bytes: bound on all files together.

    Returns:
        `dest`.

    Raises:
        ChecksumMismatch: other bytes came.
        NotFound: a file is not there.
        TooLarge: more than `max_bytes` came.
        StorageUnavailable: the server does not answer, or answers with an error.
    """
    import certifi
    import urllib3

    http = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
        retries=urllib3.Retry(total=RETRIES, redirect=_MAX_REDIRECTS, backoff_factor=0.2, raise_on_redirect=True),
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )
    target, digest, left = Path(dest), hashlib.sha256(), max_bytes
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=target.parent) as temporary:
        staged = Path(temporary) / "staged"
        staged.mkdir()
        for name in names:
            with (staged / name).open("xb") as file:
                left -= _download(http, uri.base + name, file, digest, left)
        if digest.hexdigest() != uri.sha256:
            raise ChecksumMismatch(uri.base, uri.sha256, digest.hexdigest())
        os.replace(staged, target)
    return target


def _download(http: "PoolManager", url: str, file: BinaryIO, digest: "hashlib._Hash", max_bytes: int) -> int:
    """Write one file and feed the digest; returns its size in bytes."""
    import urllib3

    received = 0
    try:
        response = http.request("GET", url, preload_content=False, headers={"accept-encoding": "identity"})
        try:
            if response.status in (404, 410):
                raise NotFound(url)
            if response.status != 200:
                raise StorageUnavailable(url, f"the server answers with status {response.status}")
            for chunk in response.stream(_CHUNK_BYTES, decode_content=False):
                received += len(chunk)
                if received > max_bytes:
                    raise TooLarge(url, "is larger than all files together may be")
                digest.update(chunk)
                file.write(chunk)
        finally:
            response.close()
    except urllib3.exceptions.HTTPError as error:
        raise StorageUnavailable(url, f"cannot be fetched ({type(error).__name__}): try again later") from None
    return received
