"""What could not be read, kept with the reason."""

from dataclasses import asdict, dataclass
from typing import Any

from secmlops.web_attacks.jsonl import bytes_to_json


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that is not a request, or a notice that some were passed over.

    Attributes:
        source: name of the file or stream.
        offset: byte offset in the (unpacked) source at which the record, or the first packet of the connection, starts.
        reason: a short machine-readable reason, e.g. `not_http`, `truncated_record`, `bad_json`.
        detail: a sentence for a person.
        data: the bytes, or the first of them; empty for a notice.
    """

    source: str
    offset: int
    reason: str
    detail: str
    data: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """The record for `json.dumps`; bytes that are not UTF-8 in base64."""
        return {**asdict(self), "data": bytes_to_json(self.data)}
