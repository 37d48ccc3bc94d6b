"""One HTTP request, kept as it was on the wire."""

import hashlib
from dataclasses import dataclass

from secmlops.errors import SecmlopsError


class InvalidRequest(SecmlopsError):
    """Input that cannot be read as an HTTP request.

    Attributes:
        reason: a short machine-readable reason, e.g. `bad_json` or `header_too_large`.
    """

    def __init__(self, reason: str, detail: str):
        self.reason = reason
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTP request in wire form.

    Every text field holds bytes decoded as latin-1, so nothing is lost and `.encode("latin-1")` gives the
    wire bytes back; percent-encoding is left alone.

    Attributes:
        method: request method as sent; empty when the request line had none.
        uri: request-target as sent.
        version: `1.1`, `1.0`, `0.9`, `2`, ...; empty when unknown.
        headers: name and value pairs in wire order, original case.
        body: message body after transfer decoding (chunked) but before content decoding.
        host: the `Host` header (or the authority of an absolute request-target); empty when absent.
        time: seconds since the Unix epoch, UTC; None when unknown.
        src: client as `address:port` (or only the address); empty when unknown.
        dst: server likewise.
        raw: the exact bytes on the wire; empty when the source did not keep them.
    """

    method: str
    uri: str
    version: str = "1.1"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    host: str = ""
    time: float | None = None
    src: str = ""
    dst: str = ""
    raw: bytes = b""

    @property
    def site(self) -> str:
        """The host in lower case without its port: what splits and site adaptation group by."""
        host = self.host.strip().lower()
        if host.startswith("["):
            return host.partition("]")[0].lstrip("[")
        return host.partition(":")[0]

    def header(self, name: str) -> str | None:
        """The first header of that name, case-insensitively."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def to_wire(self) -> bytes:
        """The raw bytes where they were kept, otherwise an HTTP/1.1 serialization of the fields."""
        if self.raw:
            return self.raw
        lines = [f"{self.method} {self.uri} HTTP/{self.version or '1.1'}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + self.body

    def digest(self) -> str:
        """SHA-256 (hex) over what was sent, when, and between whom: the packet's identity in the warehouse."""
        head = f"{self.time!r}\0{self.src}\0{self.dst}\0".encode("latin-1", "replace")
        return hashlib.sha256(head + self.to_wire()).hexdigest()


def wire_text(text: str) -> str:
    """Turn Unicode text into wire form: its UTF-8 bytes, one character per byte (latin-1).

    Raises:
        InvalidRequest: the text holds a lone surrogate, which no bytes stand for.
    """
    try:
        return text.encode("utf-8").decode("latin-1")
    except UnicodeEncodeError:
        raise InvalidRequest("lone_surrogate", "text holds a lone surrogate and has no UTF-8 form") from None
