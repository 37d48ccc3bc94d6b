"""The shared secret between Alertmanager and this service."""

import hashlib
import hmac
import os
from pathlib import Path

from secmlops.errors import SecmlopsError

MIN_CHARACTERS = 32
_MAX_BYTES = 4096
_ENV = "env:"


class MissingToken(SecmlopsError):
    """There is no usable token, so nobody could be told from anybody.

    Attributes:
        source: where it was looked for.
        reason: what is wrong with it.
    """

    def __init__(self, source: str, reason: str):
        self.source, self.reason = source, reason
        super().__init__(f"the bearer token {source} {reason}: the service does not start without one")


class BearerToken:
    """A token that is kept as its digest and compared in constant time.

    Args:
        source: a path, or `env:VARIABLE`.

    Raises:
        MissingToken: absent, unreadable, or shorter than `MIN_CHARACTERS`.
    """

    def __init__(self, source: str):
        self.source = source
        token = _read(source)
        if len(token) < MIN_CHARACTERS:
            raise MissingToken(source, f"has fewer than {MIN_CHARACTERS} characters")
        self._digest = hashlib.sha256(token).digest()

    def admits(self, authorization: str) -> bool:
        """Whether the value of an `Authorization` header carries this token."""
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(hashlib.sha256(given.encode("latin-1", "replace")).digest(), self._digest)
        return scheme.lower() == "bearer" and same


def variable_of(source: str) -> str | None:
    """The environment variable that a token source names, if it names one."""
    return source.removeprefix(_ENV) if source.startswith(_ENV) else None


def _read(source: str) -> bytes:
    variable = variable_of(source)
    if variable is not None:
        return os.environ.get(variable, "").strip().encode()
    try:
        with Path(source).open("rb") as file:
            return file.read(_MAX_BYTES).strip()
    except OSError as error:
        raise MissingToken(source, f"cannot be read ({error.strerror})") from None
